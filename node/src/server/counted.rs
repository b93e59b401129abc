//! Requests are counted at the door, by method and outcome, and timed.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use ledger_domain::Code;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use replication::metrics::{Counter, Histogram, Level, Page};
use tokio::time::Instant;
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use super::{refusal, route};
use crate::{
    api::{self, CODE},
    metrics,
};

/// Ways for a request to end that are not the code of a refusal.
const OK: usize = 0;
const CANCELLED: usize = 1;
const OTHER: usize = 2;
const NO_CODES: [&str; 3] = ["OK", "CANCELLED", "OTHER"];
/// Who sends a request, in the order of [`Method::ended`].
const SENDERS: [&str; 2] = ["client", "node"];
/// Stands for methods that a service does not have.
const NO_METHOD: &str = "none";

/// The requests of a node, by service, method, sender and outcome. All that can occur is laid out
/// at the start: to count is to find a place in two short lists, without a lock or an allocation.
pub(super) struct Requests {
    services: Vec<Requested>,
    /// Rising.
    codes: Vec<&'static str>,
    limit: u32,
}

/// The requests of one service.
struct Requested {
    name: String,
    in_flight: Level,
    /// The last stands for all that there are not.
    methods: Vec<Method>,
}

struct Method {
    name: String,
    seconds: Histogram,
    /// By sender and outcome.
    ended: [Vec<Counter>; SENDERS.len()],
}

impl Requests {
    /// Those of all services that the public definitions have.
    pub(super) fn new(limit: u32) -> Self {
        let domain = Code::ALL.iter().map(|code| code.name());
        let mut codes: Vec<_> = domain.chain(refusal::CODES).collect();
        codes.sort_unstable();
        codes.dedup();
        let set = FileDescriptorSet::decode(api::FILE_DESCRIPTOR_SET);
        let set = set.expect("the build encoded it");
        let services = set.file.into_iter().flat_map(|file| {
            let package = file.package().to_owned();
            let services = file.service.into_iter();
            services.map(move |service| (format!("{package}.{}", service.name()), service))
        });
        let ways = NO_CODES.len() + codes.len();
        let method = |name: &str| Method {
            name: name.to_owned(),
            seconds: Histogram::of(&metrics::REQUEST_SECONDS),
            ended: SENDERS.map(|_| (0..ways).map(|_| Counter::default()).collect()),
        };
        let services = services.map(|(name, service)| Requested {
            name,
            in_flight: Level::default(),
            methods: service
                .method
                .iter()
                .map(|declared| method(declared.name()))
                .chain([method(NO_METHOD)])
                .collect(),
        });
        Self {
            services: services.collect(),
            codes,
            limit,
        }
    }

    fn way(&self, response: &Response<Body>) -> usize {
        let headers = response.headers();
        // A unary call that succeeds says so behind its message.
        if Status::from_header_map(headers).is_none_or(|s| s.code() == tonic::Code::Ok) {
            return OK;
        }
        let code = headers.get(CODE).and_then(|code| code.to_str().ok());
        let place = code.and_then(|code| self.codes.binary_search(&code).ok());
        place.map_or(OTHER, |place| NO_CODES.len() + place)
    }

    fn way_name(&self, way: usize) -> &'static str {
        match NO_CODES.get(way) {
            Some(name) => name,
            None => self.codes[way - NO_CODES.len()],
        }
    }

    /// Writes what was counted. Ways to end that have not occurred are left out.
    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        page.metric(&metrics::REQUESTS, |series| {
            for (service, method) in self.methods() {
                for (ended, via) in method.ended.iter().zip(SENDERS) {
                    for (way, count) in ended.iter().map(Counter::get).enumerate() {
                        let way = match way {
                            OK if method.name != NO_METHOD => NO_CODES[OK],
                            _ if count == 0 => continue,
                            way => self.way_name(way),
                        };
                        series.counter([&service.name, &method.name, &via, &way], count)?;
                    }
                }
            }
            Ok(())
        })?;
        page.metric(&metrics::REQUEST_SECONDS, |series| {
            let mut methods = self.methods();
            methods.try_for_each(|(service, method)| {
                series.histogram([&service.name, &method.name], &method.seconds)
            })
        })?;
        page.metric(&metrics::REQUESTS_IN_FLIGHT, |series| {
            let mut services = self.services.iter();
            services.try_for_each(|service| series.gauge([&service.name], service.in_flight.get()))
        })?;
        page.gauge(&metrics::REQUESTS_LIMIT, self.limit)
    }

    fn methods(&self) -> impl Iterator<Item = (&Requested, &Method)> {
        let services = self.services.iter();
        services.flat_map(|service| service.methods.iter().map(move |method| (service, method)))
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub(super) struct Counted<S> {
    service: S,
    requests: Arc<Requests>,
    place: usize,
}

impl<S: NamedService> Counted<S> {
    pub(super) fn new(service: S, requests: &Arc<Requests>) -> Self {
        let mut names = requests.services.iter();
        let place = names.position(|counted| counted.name == S::NAME);
        Self {
            service,
            requests: requests.clone(),
            place: place.expect("only services of the public definitions are counted"),
        }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

/// A request being worked on. Unless it ends, it was dropped: its caller did not wait.
struct UnderWay {
    requests: Arc<Requests>,
    service: usize,
    method: usize,
    sender: usize,
    way: usize,
    begun: Instant,
}

impl UnderWay {
    fn begin(requests: &Arc<Requests>, service: usize, request: &Request<Body>) -> Self {
        let counted = &requests.services[service];
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let methods = &counted.methods;
        let method = methods.iter().position(|method| method.name == name);
        counted.in_flight.rise();
        Self {
            requests: requests.clone(),
            service,
            method: method.unwrap_or(methods.len() - 1),
            sender: usize::from(route::is_forwarded(request.headers())),
            way: CANCELLED,
            begun: Instant::now(),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let service = &self.requests.services[self.service];
        let method = &service.methods[self.method];
        method.ended[self.sender][self.way].increment();
        method.seconds.observe(self.begun.elapsed());
        service.in_flight.fall();
    }
}

/// The answer to a counted request.
pub(super) struct Answering<F> {
    answering: F,
    under_way: Option<UnderWay>,
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = ready!(Pin::new(&mut self.answering).poll(cx));
        if let (Some(mut ended), Ok(response)) = (self.under_way.take(), &answer) {
            ended.way = ended.requests.way(response);
        }
        Poll::Ready(answer)
    }
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let under_way = UnderWay::begin(&self.requests, self.place, &request);
        Answering {
            answering: self.service.call(request),
            under_way: Some(under_way),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Texts of a source that are written as codes are.
    /// Codes of what holds something back, and of what does not match.
    const REFUSES_NOTHING: [&str; 2] = ["server/stale", "books/matching.rs"];

    fn codes_in(source: &str) -> impl Iterator<Item = &str> {
        let quoted = source.split('"').skip(1).step_by(2);
        quoted.filter(|text| {
            text.len() > 4 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
    }

    fn read(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if REFUSES_NOTHING.iter().any(|place| path.ends_with(place)) {
                continue;
            }
            if path.is_dir() {
                read(&path, found);
            } else {
                let source = fs::read_to_string(&path).unwrap();
                found.extend(codes_in(&source).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_code_that_a_node_answers_with_is_counted_by_its_name() {
        let mut found = Vec::new();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for folder in ["server", "api"] {
            read(&sources.join(folder), &mut found);
        }
        assert!(found.iter().any(|code| code == "OVERLOADED"), "{found:?}");
        let requests = Requests::new(1);
        let names_none = |code: &&String| {
            let is_part = code.starts_with("CARGO_") || code.ends_with('_');
            is_part || *code == "OUT_DIR" || NO_CODES.contains(&code.as_str())
        };
        for code in found.iter().filter(|code| !names_none(code)) {
            assert!(
                requests.codes.contains(&code.as_str()),
                "{code} is not in refusal::CODES"
            );
        }
    }

    #[test]
    fn a_request_that_nobody_waits_for_is_counted_as_cancelled() {
        let requests = Arc::new(Requests::new(1));
        let teller = requests
            .services
            .iter()
            .position(|service| service.name == "meridian.teller.v1.Teller")
            .unwrap();
        let request = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
        let deposit = UnderWay::begin(&requests, teller, &request("/x/Deposit"));
        let unknown = UnderWay::begin(&requests, teller, &request("/x/Deposits"));
        let service = &requests.services[teller];
        assert_eq!(service.in_flight.get(), 2);
        drop((deposit, unknown));
        assert_eq!(service.in_flight.get(), 0);
        for name in ["Deposit", NO_METHOD] {
            let method = service.methods.iter().find(|m| m.name == name).unwrap();
            assert_eq!(method.ended[0][CANCELLED].get(), 1, "{name}");
        }
    }
}
