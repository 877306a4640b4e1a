//! The text format of Prometheus.

use std::borrow::Cow;

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// In the order of the text.
    pub families: Vec<Family>,
}

/// All samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name with its unit: `polyport_streams`, `polyport_changes_total`.
    pub name: Cow<'static, str>,
    /// Its meaning, in one sentence.
    pub help: Cow<'static, str>,
    /// Its type.
    pub kind: Kind,
    /// One for each set of labels.
    pub samples: Vec<Sample>,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up only, from 0 at the start of the daemon.
    Counter,
    /// Up and down.
    Gauge,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names and values of its labels. A value may contain anything.
    pub labels: Vec<(Cow<'static, str>, String)>,
    /// The value.
    pub value: f64,
}

impl Metrics {
    /// The text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families.iter().filter(|each| !each.samples.is_empty()) {
            family.write(&mut text);
        }
        text
    }
}

impl Family {
    /// Without samples.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            kind,
            samples: Vec::new(),
        }
    }

    /// Adds a sample.
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = labels
            .iter()
            .map(|(name, of)| (Cow::Borrowed(*name), (*of).to_owned()));
        self.samples.push(Sample {
            labels: labels.collect(),
            value,
        });
        self
    }

    fn write(&self, text: &mut String) {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        text.push_str("# HELP ");
        text.push_str(&self.name);
        text.push(' ');
        escape(text, &self.help, false);
        text.push_str("\n# TYPE ");
        text.push_str(&self.name);
        text.push(' ');
        text.push_str(kind);
        text.push('\n');
        for sample in &self.samples {
            text.push_str(&self.name);
            sample.write(text);
        }
    }
}

impl Sample {
    fn write(&self, text: &mut String) {
        let mut before = '{';
        for (name, value) in &self.labels {
            text.push(before);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value, true);
            text.push('"');
            before = ',';
        }
        if !self.labels.is_empty() {
            text.push('}');
        }
        text.push(' ');
        number(text, self.value);
        text.push('\n');
    }
}

/// Infinities and NaN have words of their own; other values are written exactly, as by Rust.
fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        text.push_str(&value.to_string());
    }
}

fn escape(text: &mut String, value: &str, is_quoted: bool) {
    for each in value.chars() {
        match each {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if is_quoted => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_families_have_help_type_and_samples() {
        let metrics = Metrics {
            families: vec![
                Family::new("polyport_streams", "Streams that live.", Kind::Gauge)
                    .with(&[("service", "echo"), ("plugin", "kv")], 3.0)
                    .with(&[("service", "chat"), ("plugin", "kv")], 0.5),
                Family::new("polyport_changes_total", "Changes begun.", Kind::Counter)
                    .with(&[], 18_446_744_073_709_551_615.0),
                Family::new("polyport_none", "Left out: no sample.", Kind::Gauge),
            ],
        };
        let text = "# HELP polyport_streams Streams that live.\n\
                    # TYPE polyport_streams gauge\n\
                    polyport_streams{service=\"echo\",plugin=\"kv\"} 3\n\
                    polyport_streams{service=\"chat\",plugin=\"kv\"} 0.5\n\
                    # HELP polyport_changes_total Changes begun.\n\
                    # TYPE polyport_changes_total counter\n\
                    polyport_changes_total 18446744073709552000\n";
        assert_eq!(metrics.text(), text);
    }

    #[test]
    fn prometheus_values_are_escaped() {
        let hostile = "a\"b\\c\nd";
        let family =
            Family::new("x", "one \"line\"\\\nonly", Kind::Gauge).with(&[("l", hostile)], f64::NAN);
        let metrics = Metrics {
            families: vec![family.with(&[], f64::NEG_INFINITY)],
        };
        let text = "# HELP x one \"line\"\\\\\\nonly\n# TYPE x gauge\n\
                    x{l=\"a\\\"b\\\\c\\nd\"} NaN\nx -Inf\n";
        assert_eq!(metrics.text(), text);
    }
}
