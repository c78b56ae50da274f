//! Every table of a report, once for the page and for CSV.

mod baselines;
mod csv;
mod federation;
mod provenance;
mod results;

pub use csv::{CsvError, write_csv};
pub(super) use federation::training_loss;

use super::Report;

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Text,
    /// A number.
    Number,
    /// A number with an interval: three columns in CSV.
    Estimate,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name in CSV.
    pub(super) name: &'static str,
    /// Its head on the page.
    pub(super) title: &'static str,
    pub(super) kind: Kind,
}

/// What stands in a cell. What is undefined is empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    /// A whole number.
    Count(Option<u64>),
    /// A number and the digits after the point that the page shows.
    Number(Option<f64>, usize),
    /// A value, its lower and its upper end.
    Estimate(Option<[f64; 3]>),
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Names its file.
    pub(super) name: &'static str,
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// All tables, in the order of the page.
pub(super) fn tables(report: &Report) -> Vec<Table> {
    vec![
        results::arms(report),
        baselines::baselines(report),
        baselines::against_baseline(report),
        baselines::fits(report),
        results::operating_points(report),
        results::ends(report),
        results::calibration(report),
        results::comparisons(report),
        results::across_sites(report),
        baselines::left_out(report),
        federation::sites(report),
        federation::labels(report),
        federation::exclusions(report),
        federation::rounds(report),
        federation::contributions(report),
        federation::routing(report),
        provenance::models(report),
        provenance::settings(report),
    ]
}

pub(super) const fn text(name: &'static str, title: &'static str) -> Column {
    Column { name, title, kind: Kind::Text }
}

pub(super) const fn number(name: &'static str, title: &'static str) -> Column {
    Column { name, title, kind: Kind::Number }
}

pub(super) const fn estimate(name: &'static str, title: &'static str) -> Column {
    Column { name, title, kind: Kind::Estimate }
}

impl Cell {
    pub(super) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    pub(super) fn count(count: impl Into<u64>) -> Self {
        Self::Count(Some(count.into()))
    }

    /// A probability under a hypothesis.
    pub(super) const fn p(value: Option<f64>) -> Self {
        Self::Number(value, 4)
    }

    pub(super) fn of(estimate: Option<&consilium_metrics::Estimate>) -> Self {
        Self::Estimate(estimate.map(|e| [e.value, e.interval.lower, e.interval.upper]))
    }

    /// As the page shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.map_or_else(String::new, |count| count.to_string()),
            Self::Number(None, _) | Self::Estimate(None) => "\u{2013}".to_owned(),
            Self::Number(Some(value), digits) => format!("{value:.digits$}"),
            Self::Estimate(Some([value, lower, upper])) => {
                format!("{value:.3} ({lower:.3} to {upper:.3})")
            }
        }
    }
}
