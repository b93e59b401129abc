//! What a scrape is answered with: the OpenMetrics text format.

use std::fmt::{self, Display};
use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::instrument::Spread;
use super::{Histogram, Kind, Metric};

/// The content type of a page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What writes the metrics of a node, each time somebody asks.
pub trait Source: Send + Sync + 'static {
    /// Writes all of them.
    fn write(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// A node's registry: the one source of its metrics.
pub struct Scrape(Registry);

struct Collected(Arc<dyn Source>);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.write(&mut Page(encoder))
    }
}

impl Scrape {
    /// A registry over a source.
    pub fn new(source: Arc<dyn Source>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected(source)));
        Self(registry)
    }

    /// The page as it is now.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0)?;
        Ok(page)
    }
}

/// A page being written.
pub struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// Writes one metric: all its series are given to `Series` by `fill`.
    pub fn metric(
        &mut self,
        metric: &'static Metric,
        fill: impl FnOnce(&mut Series<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = metric.unit().map(|unit| Unit::Other(unit.to_owned()));
        let family = metric.family();
        let name = match &unit {
            Some(unit) => &family[..family.len() - unit.as_str().len() - "_".len()],
            None => family,
        };
        let kind = match metric.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram(_) => MetricType::Histogram,
        };
        let help = metric.help_text();
        let encoder = self.0.encode_descriptor(name, &help, unit.as_ref(), kind)?;
        fill(&mut Series { metric, encoder })
    }

    /// Writes a counter without labels.
    pub fn counter(
        &mut self,
        metric: &'static Metric,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.metric(metric, |series| series.counter([], value))
    }

    /// Writes a gauge without labels.
    pub fn gauge(&mut self, metric: &'static Metric, value: impl EncodeGaugeValue) -> fmt::Result {
        self.metric(metric, |series| series.gauge([], value))
    }
}

/// The series of one metric.
pub struct Series<'a> {
    metric: &'static Metric,
    encoder: MetricEncoder<'a>,
}

/// The values of a metric's labels, in the order in which they are declared.
type Labels<'v, const N: usize> = [&'v dyn Display; N];

impl Series<'_> {
    /// A series of a counter.
    pub fn counter<const N: usize>(
        &mut self,
        labels: Labels<'_, N>,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        assert_eq!(self.metric.kind, Kind::Counter, "{}", self.metric.name);
        self.labelled(labels, |encoder| {
            encoder.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
        })
    }

    /// A series of a gauge.
    pub fn gauge<const N: usize>(
        &mut self,
        labels: Labels<'_, N>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        assert_eq!(self.metric.kind, Kind::Gauge, "{}", self.metric.name);
        self.labelled(labels, |encoder| encoder.encode_gauge(&value))
    }

    /// A series of a histogram.
    pub fn histogram<const N: usize>(
        &mut self,
        labels: Labels<'_, N>,
        histogram: &Histogram,
    ) -> fmt::Result {
        let is_histogram = matches!(self.metric.kind, Kind::Histogram(_));
        assert!(is_histogram, "{} is none", self.metric.name);
        let Spread {
            buckets,
            count,
            sum,
        } = histogram.spread();
        self.labelled(labels, |encoder| {
            encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
        })
    }

    fn labelled<const N: usize>(
        &mut self,
        values: Labels<'_, N>,
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let names = self.metric.labels;
        assert_eq!(names.len(), N, "labels of {}", self.metric.name);
        if names.is_empty() {
            return encode(&mut self.encoder);
        }
        let labels: Vec<_> = names
            .iter()
            .zip(values)
            .map(|(name, value)| (*name, value.to_string()))
            .collect();
        encode(&mut self.encoder.encode_family(&labels)?)
    }
}
