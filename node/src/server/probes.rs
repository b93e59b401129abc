//! What monitoring asks over plain HTTP: `/metrics`, `/livez`, `/readyz`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use replication::{
    metrics::{self, Scrape},
    world::{Connection, Incoming},
};
use tokio::task::JoinSet;

use super::observer::Observer;

/// How many may ask at a time; a connection beyond is closed.
const CONNECTIONS: usize = 64;
/// How long a connection may be there without a whole request.
const SILENCE: Duration = Duration::from_secs(75);

/// Answers the connections of a listener, for as long as this is polled.
pub(super) async fn serve(mut incoming: Incoming, observer: Arc<Observer>) {
    let probes = Arc::new(Probes {
        scrape: Scrape::new(observer.clone()),
        observer,
    });
    let mut connections = JoinSet::new();
    while let Some(accepted) = incoming.next().await {
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(connection) if connections.len() < CONNECTIONS => {
                connections.spawn(answer(connection, probes.clone()));
            }
            Ok(_) => tracing::warn!(CONNECTIONS, "too many connections ask for metrics"),
            Err(error) => {
                tracing::warn!(%error, "a connection that asks for metrics is not accepted");
                // Out of files, perhaps: the next attempt would fail at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(connection: Box<dyn Connection>, probes: Arc<Probes>) {
    let service = service_fn(move |request: Request<Body>| {
        let answer = probes.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection that asked for metrics has ended");
    }
}

struct Probes {
    scrape: Scrape,
    observer: Arc<Observer>,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Probes {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
        }
        match path {
            "/metrics" => match self.scrape.page() {
                Ok(page) => response(StatusCode::OK, metrics::CONTENT_TYPE, page),
                Err(error) => {
                    tracing::error!(%error, "the metrics cannot be written");
                    let what = format!("{error}\n");
                    response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, what)
                }
            },
            "/livez" => response(StatusCode::OK, TEXT, "live\n".into()),
            "/readyz" => self.ready(),
            _ => {
                let paths = "/metrics, /livez and /readyz are here\n";
                response(StatusCode::NOT_FOUND, TEXT, paths.into())
            }
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let obstacles = self.observer.obstacles();
        if obstacles.is_empty() {
            return response(StatusCode::OK, TEXT, "ready\n".into());
        }
        let lines = obstacles.iter().map(|obstacle| format!("{obstacle}\n"));
        let body = lines.fold("not ready\n".to_owned(), |body, line| body + &line);
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
    }
}

fn response(status: StatusCode, content: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content = http::HeaderValue::from_static(content);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}
