use super::attempt::Call;
use super::calls::Client;
use super::error::Error;
use super::session::Session;
use crate::api::teller::v1::{
    CaptureHoldRequest, HoldReply, ListHoldsReply, ListHoldsRequest, PlaceHoldRequest,
    RaiseHoldRequest, ReleaseHoldRequest, Wait, teller_client::TellerClient,
};

impl Client {
    /// Sets money of an account aside.
    pub async fn place_hold(&self, mut request: PlaceHoldRequest) -> Result<HoldReply, Error> {
        let call = self.write(&mut request.context, |reply: &HoldReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).place_hold(request).await
        })
        .await
    }

    /// Sets more aside under the same hold.
    pub async fn raise_hold(&self, mut request: RaiseHoldRequest) -> Result<HoldReply, Error> {
        let call = self.write(&mut request.context, |reply: &HoldReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).raise_hold(request).await
        })
        .await
    }

    /// Pays out of a hold. A reply is final, as that of a transfer: settled or returned, or
    /// accepted if only that was asked for.
    pub async fn capture_hold(&self, mut request: CaptureHoldRequest) -> Result<HoldReply, Error> {
        let mut call = self.write(&mut request.context, |reply: &HoldReply| &reply.receipt);
        call.settle = request.wait != Wait::Accepted as i32;
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).capture_hold(request).await
        })
        .await
    }

    /// Gives back what a hold still holds.
    pub async fn release_hold(&self, mut request: ReleaseHoldRequest) -> Result<HoldReply, Error> {
        let call = self.write(&mut request.context, |reply: &HoldReply| &reply.receipt);
        self.call(call, &request, |channel, request| async move {
            TellerClient::new(channel).release_hold(request).await
        })
        .await
    }

    /// Asks for one page of an account's holds.
    pub async fn holds(&self, request: ListHoldsRequest) -> Result<ListHoldsReply, Error> {
        self.call(Call::read(), &request, |channel, request| async move {
            TellerClient::new(channel).list_holds(request).await
        })
        .await
    }
}

impl Session {
    /// As [`Client::place_hold`].
    pub async fn place_hold(&self, request: PlaceHoldRequest) -> Result<HoldReply, Error> {
        let reply = self.client.place_hold(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::raise_hold`].
    pub async fn raise_hold(&self, request: RaiseHoldRequest) -> Result<HoldReply, Error> {
        let reply = self.client.raise_hold(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::capture_hold`].
    pub async fn capture_hold(&self, request: CaptureHoldRequest) -> Result<HoldReply, Error> {
        let reply = self.client.capture_hold(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }

    /// As [`Client::release_hold`].
    pub async fn release_hold(&self, request: ReleaseHoldRequest) -> Result<HoldReply, Error> {
        let reply = self.client.release_hold(request).await?;
        self.note(&reply.receipt);
        Ok(reply)
    }
}
