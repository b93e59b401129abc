//! Cuts and mends links, where the topology has dev settings.

use tonic::{Request, Response, Status};

use super::{distance::Distances, refusal};
use crate::api::dev::v1::{SetLinkReply, SetLinkRequest, dev_server::Dev};

pub(super) struct Service(pub(super) Distances);

#[tonic::async_trait]
impl Dev for Service {
    async fn set_link(
        &self,
        request: Request<SetLinkRequest>,
    ) -> Result<Response<SetLinkReply>, Status> {
        let SetLinkRequest { region, cut } = request.into_inner();
        let region = region.parse().map_err(refusal::invalid)?;
        tracing::warn!(%region, cut, "a link is switched");
        self.0.set_cut(region, cut);
        Ok(Response::new(SetLinkReply {}))
    }
}
