//! What the study was and which models came of it: seeds, settings, digests.

use super::{Cell, Table, text};
use crate::report::Report;

pub(super) fn models(report: &Report) -> Table {
    let mut rows = Vec::new();
    let mut row = |what: String, digest: Option<String>| {
        rows.push(vec![Cell::text(what), Cell::text(digest.unwrap_or_default())]);
    };
    row("study".into(), Some(report.study_hash.to_string()));
    row("pretrained backbone".into(), report.base_model.map(|digest| digest.to_string()));
    for arm in &report.arms {
        row(format!("{}, round 0", arm.arm), arm.initial_model.map(|digest| digest.to_string()));
        for lane in &arm.lanes {
            for round in &lane.rounds {
                let chosen = if lane.chosen_round == Some(round.round) { " (chosen)" } else { "" };
                row(
                    format!("{} {} fold {} round {}{chosen}", arm.arm, lane.modality, lane.fold, round.round),
                    round.model.map(|digest| digest.to_string()),
                );
            }
        }
    }
    Table {
        name: "digests",
        caption: "Digests (BLAKE3) of the study's canonical text and of every model. Those of updates are in the table \
                  of contributions."
            .into(),
        columns: vec![text("what", "what"), text("digest", "digest")],
        rows,
    }
}

/// Every setting of the study, by its key.
pub(super) fn settings(report: &Report) -> Table {
    let mut rows = vec![
        vec![Cell::text("report"), Cell::text(&report.schema)],
        vec![Cell::text("software"), Cell::text(&report.software)],
    ];
    let study = serde_json::to_value(&report.study).expect("a study has only text keys");
    flatten(String::new(), &study, &mut rows);
    Table {
        name: "settings",
        caption: "The study's settings: seed, evaluation, preprocessing, network, training, federation."
            .into(),
        columns: vec![text("key", "key"), text("value", "value")],
        rows,
    }
}

fn flatten(key: String, value: &serde_json::Value, rows: &mut Vec<Vec<Cell>>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(key, value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push(vec![Cell::text(key), Cell::text(text)]),
        other => rows.push(vec![Cell::text(key), Cell::text(other)]),
    }
}
