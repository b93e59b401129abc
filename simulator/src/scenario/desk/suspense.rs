//! What is in suspense, listed and cleared.

use node::api::teller::v1::{ListSuspenseRequest, list_suspense_request::Of};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};

use super::{Desk, some};
use crate::history::Request;

/// How many of the oldest items somebody chooses among. Others do the same at the same time.
const OLDEST: u32 = 3;

impl Desk {
    /// Something in suspense in some region, to be given to somebody or to whose it is. `None` where
    /// nothing is there, or nobody says.
    pub(crate) async fn clearing(&mut self, to: String, rng: &mut SmallRng) -> Option<Request> {
        let client = some(&self.tellers, rng);
        let regions = &self.lobby.bank.topology().regions;
        let region = regions.choose(rng).expect("there are regions");
        let request = ListSuspenseRequest {
            of: Some(Of::Region(region.name.to_string())),
            page_size: OLDEST,
            ..ListSuspenseRequest::default()
        };
        let listed = client.suspense(request).await.ok()?;
        self.lobby.note_aside("lists of suspense");
        let item = listed.items.choose(rng)?;
        let owner = item.account_id.clone();
        Some(Request::Clear {
            to: if rng.random_bool(0.3) {
                owner.clone()
            } else {
                to
            },
            account: owner,
            item: item.transaction_id.clone(),
        })
    }
}
