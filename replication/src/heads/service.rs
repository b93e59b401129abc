use tonic::{Request, Response, Status};

use super::{Told, wire};
use crate::proto::heads_server::{Heads, HeadsServer};
use crate::proto::{HeadsReply, HeadsRequest};

/// Tells other nodes the heads that this one has signed.
pub struct HeadsService(Told);

impl HeadsService {
    /// The service.
    pub fn server(told: Told) -> HeadsServer<Self> {
        HeadsServer::new(Self(told))
    }
}

#[tonic::async_trait]
impl Heads for HeadsService {
    async fn heads(&self, _: Request<HeadsRequest>) -> Result<Response<HeadsReply>, Status> {
        let heads = self.0.mine().iter().map(wire::sent).collect();
        Ok(Response::new(HeadsReply { heads }))
    }
}
