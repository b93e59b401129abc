use std::fmt::{self, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use super::Trace;
use crate::{oracle::sealed, situation};

/// turmoil opens a span of this name around the turn of a host; it carries the host's name.
const HOST_SPAN: &str = "node";
/// Where the span is opened, or a module above.
const HOST_SPAN_TARGET: &str = "turmoil";
/// Under which the product says that a situation has come up which only the simulator counts.
const SITUATION_TARGET: &str = "situation";

impl Trace {
    /// Runs `body` with the `tracing` events of this thread, down to `level`, going into the
    /// trace beside what is recorded by hand.
    pub fn with_tracing_events<T>(&self, level: Level, body: impl FnOnce() -> T) -> T {
        let targets = Targets::new()
            .with_default(LevelFilter::from_level(level))
            .with_target(HOST_SPAN_TARGET, LevelFilter::INFO)
            .with_target(SITUATION_TARGET, LevelFilter::TRACE);
        let layer = EventLayer {
            trace: self.clone(),
        }
        .with_filter(targets);
        tracing::subscriber::with_default(Registry::default().with(layer), body)
    }
}

struct EventLayer {
    trace: Trace,
}

/// Kept with the span of a host's turn.
struct HostName(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for EventLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.name() != HOST_SPAN || !metadata.target().starts_with(HOST_SPAN_TARGET) {
            return;
        }
        let mut name = HostName(String::new());
        attributes.record(&mut name);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(name);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let host = ctx.event_scope(event).and_then(|scope| {
            scope
                .from_root()
                .find_map(|span| Some(span.extensions().get::<HostName>()?.0.clone()))
        });
        let metadata = event.metadata();
        if metadata.target() == SITUATION_TARGET {
            let mut situation = String::new();
            event.record(&mut Fields(&mut situation));
            self.trace.reach(situation.trim_start());
            return;
        }
        let mut text = format!("{} {}", metadata.level(), metadata.target());
        event.record(&mut Fields(&mut text));
        if let Some(situation) = situation::told_by(&text) {
            self.trace.reach(situation);
        }
        let host = host.as_deref().unwrap_or("-");
        if sealed::is_in(text.as_bytes()) {
            self.trace.note_in_the_clear(host, &text);
        }
        if *metadata.level() == Level::ERROR && is_ours(metadata.target()) {
            self.trace.note_call_for_help(host, &text);
        }
        self.trace.record(host, text);
    }
}

/// Whether an event is the product's own: libraries call things errors that a node lives with.
fn is_ours(target: &str) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    ["ledger_domain", "replication", "node"].contains(&library)
}

impl Visit for HostName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            self.0 = value.to_owned();
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes all that is written to it");
    }
}
