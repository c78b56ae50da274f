//! Metrics in Prometheus's text format (version 0.0.4): families that are known beforehand, and their samples.
//!
//! A family is a constant of the daemon that exports it, so that its documentation can be held against it. Label values
//! are words of the program and names of sites and studies; no patient, case or path is ever one.

use std::fmt::Write as _;

/// The content type of [`Exposition::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it is, in one sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// A family, in the order in which a daemon's list of them reads best.
pub const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, help, labels }
}

/// The text that a scrape gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Tells the one value of a family without labels.
    pub fn value(&mut self, family: &Family, value: f64) {
        self.values(family, [(Vec::new(), value)]);
    }

    /// Tells every value of a family: the values of its labels in their order, and the number. A family is told even
    /// where it has no value now, so that its name is there from the beginning.
    pub fn values(&mut self, family: &Family, samples: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let Family { name, kind, help, labels } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (told, value) in samples {
            debug_assert_eq!(told.len(), labels.len(), "{name} has the labels {labels:?}");
            let pairs: Vec<String> = labels
                .iter()
                .zip(&told)
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let braces = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
            let _ = writeln!(self.text, "{name}{braces} {value}");
        }
    }

    /// The text.
    pub fn text(self) -> String {
        self.text
    }
}

/// A label's value as the format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: Family =
        Family { name: "sites", kind: Kind::Gauge, help: "Sites.", labels: &["study", "state"] };

    #[test]
    fn the_text_is_what_a_scrape_reads() {
        let mut told = Exposition::default();
        told.values(&SITES, [(vec!["a\"b\\c\nd".to_owned(), "gone".to_owned()], 2.0)]);
        told.value(&Family { name: "up", kind: Kind::Counter, help: "Is.", labels: &[] }, 1.5);
        let expected = "# HELP sites Sites.\n# TYPE sites gauge\nsites{study=\"a\\\"b\\\\c\\nd\",state=\"gone\"} 2\n\
                        # HELP up Is.\n# TYPE up counter\nup 1.5\n";
        assert_eq!(told.text(), expected);
    }

    #[test]
    fn a_family_without_values_is_there() {
        let mut told = Exposition::default();
        told.values(&SITES, []);
        assert_eq!(told.text(), "# HELP sites Sites.\n# TYPE sites gauge\n");
    }
}
