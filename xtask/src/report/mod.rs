//! Whether a report holds everything a reader may ask for: who contributed to what, which models, how good, at what
//! cost. Fields beyond that are nobody's business here.

mod lanes;
mod scores;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::place::{Complaints, Place};

/// The layout this check knows.
const SCHEMA: &str = "consilium-report/2";
const PHASES: [&str; 5] = ["enrolment", "cross_validation", "holdout", "fusion", "total"];
const WORK: [&str; 4] = ["train", "validate", "predict_holdout", "fuse"];

/// A complete report in one line.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    study: String,
    sites: usize,
    arms: usize,
    lanes: usize,
    rounds: usize,
    models: BTreeSet<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { study, sites, arms, lanes, rounds, models } = self;
        let models = models.len();
        write!(
            f,
            "study `{study}` finished; sites {sites}, arms {arms}, lanes {lanes}, rounds {rounds}, models {models}"
        )
    }
}

/// The summary of a complete report.
///
/// # Errors
/// What is missing or contradicts itself, with its JSON path.
pub(crate) fn check(report: &Value) -> Result<Summary, Complaints> {
    let mut complaints = Complaints::default();
    let root = Place::root(report);
    let mut summary = Summary::default();
    check_head(&root, &mut summary, &mut complaints);
    for site in root.some_children("sites", &mut complaints) {
        summary.sites += 1;
        check_site(&site, &mut complaints);
    }
    for arm in root.some_children("arms", &mut complaints) {
        summary.arms += 1;
        check_arm(&root, &arm, &mut summary, &mut complaints);
    }
    if complaints.is_empty() { Ok(summary) } else { Err(complaints) }
}

fn check_head(root: &Place<'_>, summary: &mut Summary, complaints: &mut Complaints) {
    if root.text("schema", complaints).is_some_and(|schema| schema != SCHEMA) {
        complaints.add(root, &format!("schema is not {SCHEMA}"));
    }
    root.digest("study_hash", complaints);
    if let Some(study) = root.field("study", complaints) {
        summary.study = study.text("name", complaints).unwrap_or_default().to_owned();
    }
    if let Some(outcome) = root.field("outcome", complaints) {
        let status = outcome.text("status", complaints).unwrap_or_default();
        if status != "finished" {
            let reason =
                outcome.optional("reason").and_then(|reason| reason.as_text()).unwrap_or("no reason");
            complaints.add(&outcome, &format!("the study is {status}, not finished: {reason}"));
        }
    }
    if let Some(seconds) = root.field("seconds", complaints) {
        for phase in PHASES {
            seconds.number(phase, complaints);
        }
    }
}

fn check_site(site: &Place<'_>, complaints: &mut Complaints) {
    site.text("site", complaints);
    let took_part = site.optional("cohort").is_some();
    for direction in ["bytes_sent", "bytes_received"] {
        if site.number(direction, complaints) == Some(0.0) && took_part {
            complaints.add(site, &format!("{direction} is 0, and the site took part"));
        }
    }
    if let Some(busy) = site.field("busy_seconds", complaints) {
        for work in WORK {
            busy.number(work, complaints);
        }
    }
}

fn check_arm(root: &Place<'_>, arm: &Place<'_>, summary: &mut Summary, complaints: &mut Complaints) {
    let pretrained = arm.text("arm", complaints).is_some_and(|name| name != "random");
    if pretrained {
        summary.models.extend(root.digest("base_model", complaints).map(str::to_owned));
    }
    summary.models.extend(arm.digest("initial_model", complaints).map(str::to_owned));
    let lanes = arm.some_children("lanes", complaints);
    if let Some(expected) = lanes_of_an_arm(root).filter(|expected| *expected != lanes.len()) {
        complaints.add(arm, &format!("{} lanes, the study has {expected} an arm", lanes.len()));
    }
    for lane in lanes {
        summary.lanes += 1;
        let models = lanes::check(root, &lane, complaints);
        summary.rounds += models.len();
        summary.models.extend(models);
    }
    for group in arm.some_children("groups", complaints) {
        scores::check_group(&group, complaints);
    }
}

/// Modalities times folds, where the study says both.
fn lanes_of_an_arm(root: &Place<'_>) -> Option<usize> {
    let study = root.optional("study")?;
    let folds = study.optional("evaluation")?.count("folds");
    Some(study.optional("modalities")?.children().len() * usize::try_from(folds).ok()?)
}
