//! What a metric is, apart from its value.

/// A metric as declared: everything that its documentation page says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its full name, with its unit, and `_total` where it is a counter.
    pub name: &'static str,
    /// How its values are to be read.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, as the lines of its doc comment.
    pub help: &'static [&'static str],
}

/// How a metric's values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, until the node starts again.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How many observations were at most each bound.
    Histogram(Buckets),
}

/// The upper bounds of a histogram's buckets, rising. One without a bound follows the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// Of times, in microseconds. They are shown in seconds.
    Micros(&'static [u64]),
    /// Of numbers.
    Numbers(&'static [u64]),
}

impl Buckets {
    /// The bounds, as declared.
    pub fn bounds(self) -> &'static [u64] {
        let (Self::Micros(bounds) | Self::Numbers(bounds)) = self;
        bounds
    }
}

/// Units that a name may end with.
pub(super) const UNITS: [&str; 2] = ["seconds", "bytes"];

impl Metric {
    /// The help text in one line.
    pub fn help_text(&self) -> String {
        let lines: Vec<_> = self.help.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// The unit that its name ends with, if it has one.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.family();
        UNITS
            .into_iter()
            .find(|unit| name.ends_with(&format!("_{unit}")))
    }

    /// The kind in Prometheus's words.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }

    /// The name without a counter's `_total`: what OpenMetrics calls the family.
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            _ => self.name,
        }
    }

    /// Is this the name of one of its series, as queries and alerts have it?
    pub fn has_series(&self, name: &str) -> bool {
        match self.kind {
            Kind::Counter | Kind::Gauge => self.name == name,
            Kind::Histogram(_) => ["_bucket", "_count", "_sum"]
                .iter()
                .any(|part| name.strip_suffix(part) == Some(self.name)),
        }
    }
}

/// Declares metrics as constants, and a list `ALL` of them. The doc comment is the help text.
#[macro_export]
macro_rules! declare_metrics {
    ($(
        $(#[doc = $help:literal])+
        $constant:ident = $name:literal $kind:expr, [$($label:literal),*];
    )+) => {
        $(
            $(#[doc = $help])+
            pub const $constant: $crate::metrics::Metric = $crate::metrics::Metric {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: &[$($help),+],
            };
        )+

        /// Every metric that is declared here, in the order of the declarations.
        pub const ALL: &[&$crate::metrics::Metric] = &[$(&$constant),+];
    };
}
