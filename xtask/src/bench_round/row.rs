//! One run, and all of them as a table.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What one run of one system took.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    system: String,
    model: String,
    sites: u64,
    seconds_per_round: f64,
    first_model_seconds: Option<f64>,
    coordinator_mebibytes: Option<f64>,
    /// Bytes moved, as a multiple of the model once down and once up for each site and round.
    bytes_x_ideal: Option<f64>,
}

impl Row {
    /// What our trial tells.
    pub(super) fn of_ours(told: &Value) -> Result<Self> {
        let number = |key: &str| told[key].as_f64().with_context(|| format!("our trial tells no {key}"));
        Ok(Self {
            system: format!("ours, {}", told["wire"].as_str().context("our trial tells no wire")?),
            model: told["model"].as_str().context("our trial tells no model")?.to_owned(),
            sites: told["sites"].as_u64().context("our trial tells no sites")?,
            seconds_per_round: number("s_per_round")?,
            first_model_seconds: Some(number("startup_to_all_first_model_s")?),
            coordinator_mebibytes: Some(number("coordinator_peak_MiB")?),
            bytes_x_ideal: Some(number("wire_x_ideal")?),
        })
    }

    /// What the script of another system tells.
    pub(super) fn of_peer(system: &str, told: &Value) -> Result<Self> {
        let median = |value: &Value| {
            let mut numbers: Vec<f64> = value.as_array()?.iter().filter_map(Value::as_f64).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied()
        };
        let model = if told["arch"] == "tiny" { "tiny" } else { "large" };
        Ok(Self {
            system: system.to_owned(),
            model: model.to_owned(),
            sites: told["clients"].as_u64().context("it tells no clients")?,
            seconds_per_round: told["s_per_round_median"].as_f64().context("it closed no two rounds")?,
            first_model_seconds: told["startup_to_all_first_model_s"].as_f64(),
            coordinator_mebibytes: told["peak_rss_sum_MiB"]["server"].as_f64(),
            bytes_x_ideal: median(&told["lo_x_ideal"]),
        })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "system": self.system, "model": self.model, "sites": self.sites, "seconds_per_round": self.seconds_per_round,
            "first_model_seconds": self.first_model_seconds, "coordinator_mebibytes": self.coordinator_mebibytes,
            "bytes_x_ideal": self.bytes_x_ideal,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |n| format!("{n:.digits$}"));
        write!(
            f,
            "{:6} {:>5}  {:14} {:>9.3} {:>12} {:>16} {:>11}",
            self.model,
            self.sites,
            self.system,
            self.seconds_per_round,
            shown(self.first_model_seconds, 2),
            shown(self.coordinator_mebibytes, 0),
            shown(self.bytes_x_ideal, 3)
        )
    }
}

/// All runs, those of one kind together; of several of one kind the quickest, which other work on the machine disturbed
/// least.
pub(super) fn table(rows: &[Row]) -> String {
    let mut best: BTreeMap<(&str, u64, &str), &Row> = BTreeMap::new();
    for row in rows {
        let kept = best.entry((&row.model, row.sites, &row.system)).or_insert(row);
        if row.seconds_per_round < kept.seconds_per_round {
            *kept = row;
        }
    }
    let mut text = format!(
        "{:6} {:>5}  {:14} {:>9} {:>12} {:>16} {:>11}",
        "model", "sites", "system", "s a round", "first model", "coordinator MiB", "bytes x"
    );
    for row in best.values() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{row}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_all_systems_are_read_and_the_quickest_is_shown() {
        let ours = |seconds: f64| {
            let told = json!({
                "wire": "f32", "model": "large", "sites": 2, "s_per_round": seconds, "startup_to_all_first_model_s": 1.0,
                "coordinator_peak_MiB": 250, "wire_x_ideal": 0.9,
            });
            Row::of_ours(&told).unwrap()
        };
        let floor = json!({
            "arch": "resnet50", "clients": 2, "s_per_round_median": 0.9, "startup_to_all_first_model_s": 2.0,
            "peak_rss_sum_MiB": { "server": 780 }, "lo_x_ideal": [1.0, 1.1, 1.0],
        });
        let text = table(&[ours(1.5), Row::of_peer("floor", &floor).unwrap(), ours(1.25)]);
        assert!(text.contains("1.250") && !text.contains("1.500"), "{text}");
        assert!(text.contains("floor") && text.contains("780") && text.contains("1.000"), "{text}");
        assert!(Row::of_ours(&json!({})).is_err() && Row::of_peer("flower", &json!({})).is_err());
    }
}
