//! The door of the public services: so many requests at a time and no more, and a face for what
//! fails before a service has seen it.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task};

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use super::refusal;
use crate::api::CODE;

/// Room for so many requests, shared by all doors of a node. Who finds none is refused at once.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(requests: u32) -> Self {
        Self(Arc::new(Semaphore::new(requests as usize)))
    }

    /// Takes a place, if there is one, for as long as this is held.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        let entered = self.0.clone().try_acquire_owned();
        entered.map_err(|_| refusal::overloaded())
    }

    /// Runs a piece of work if there is room for it.
    pub(super) async fn admit<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        let _place = self.0.try_acquire().map_err(|_| refusal::overloaded())?;
        Ok(work.await)
    }
}

/// A service behind its door.
#[derive(Clone)]
pub(super) struct Door<S> {
    service: S,
    room: Room,
}

impl<S> Door<S> {
    pub(super) fn new(service: S, room: &Room) -> Self {
        let room = room.clone();
        Self { service, room }
    }
}

impl<S: NamedService> NamedService for Door<S> {
    const NAME: &'static str = S::NAME;
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Door<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let room = self.room.clone();
        // A service does nothing before its future is polled.
        let answering = self.service.call(request);
        Box::pin(async move {
            match room.admit(answering).await {
                Ok(answered) => answered.map(with_a_face),
                Err(refused) => Ok(refused.into_http()),
            }
        })
    }
}

/// Gives a code and a sentence to what the transport refused by itself: our own services never
/// answer without.
fn with_a_face(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if !response.headers().contains_key(CODE) => {
            face(&status).map_or(response, Status::into_http)
        }
        _ => response,
    }
}

/// What our own services would have said in place of the transport.
pub(super) fn face(status: &Status) -> Option<Status> {
    match status.code() {
        Code::OutOfRange => Some(refusal::too_large()),
        Code::Internal if status.message().starts_with("failed to decode") => Some(
            refusal::invalid("the request is not the message that this call takes"),
        ),
        _ => None,
    }
}
