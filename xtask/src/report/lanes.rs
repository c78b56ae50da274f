//! One lane of a report: its rounds in order, who contributed, and no site missing without a word.

use std::collections::BTreeSet;

use super::scores;
use crate::place::{Complaints, Place};

/// A site with fewer training cases is not asked to train.
const FEWEST_TRAINING_CASES: u64 = 2;

/// Checks a lane; the digests of its rounds' models, in order.
pub(super) fn check(root: &Place<'_>, lane: &Place<'_>, complaints: &mut Complaints) -> Vec<String> {
    let modality = lane.text("modality", complaints).unwrap_or_default();
    let fold = lane.number("fold", complaints).unwrap_or_default() as usize;
    let trainers = trainers(root, modality, fold);
    let rounds = lane.some_children("rounds", complaints);
    let planned =
        root.optional("study").and_then(|study| study.optional("training")).map(|t| t.count("rounds"));
    if planned.is_some_and(|planned| planned != rounds.len() as u64) {
        complaints.add(lane, &format!("{} rounds, the study has {}", rounds.len(), planned.unwrap_or(0)));
    }
    let mut models = Vec::new();
    for (number, round) in (1_u32..).zip(&rounds) {
        if round.number("round", complaints).is_some_and(|found| found != f64::from(number)) {
            complaints.add(round, &format!("not round {number}: rounds come in order, each once"));
        }
        models.extend(round.digest("model", complaints).map(str::to_owned));
        check_contributors(round, &trainers, complaints);
        if let Some(validation) = round.field("validation", complaints) {
            scores::check(&validation, complaints);
        }
    }
    check_choice(lane, &models, complaints);
    models
}

fn check_choice(lane: &Place<'_>, models: &[String], complaints: &mut Complaints) {
    let chosen = lane.number("chosen_round", complaints).map(|round| round as usize);
    if let Some(round) = chosen.filter(|round| !(1..=models.len()).contains(round)) {
        complaints.add(lane, &format!("chosen_round {round} is none of its rounds"));
    }
    let model = chosen.and_then(|round| models.get(round.checked_sub(1)?));
    if lane.optional("chosen_model").is_some()
        && let (Some(stated), Some(model)) = (lane.digest("chosen_model", complaints), model)
        && stated != model
    {
        complaints.add(lane, "chosen_model is not the model of chosen_round");
    }
    for set in ["validation", "holdout"] {
        if let Some(found) = lane.field(set, complaints) {
            scores::check(&found, complaints);
        }
    }
}

/// Each contributor once; each site that should have trained is a contributor or is missing with a reason.
fn check_contributors(round: &Place<'_>, trainers: &BTreeSet<String>, complaints: &mut Complaints) {
    let mut heard: BTreeSet<&str> = BTreeSet::new();
    for contributor in round.some_children("contributors", complaints) {
        let site = contributor.text("site", complaints).unwrap_or_default();
        if !heard.insert(site) {
            complaints.add(&contributor, &format!("{site} counts twice in one round"));
        }
        if contributor.number("cases", complaints) == Some(0.0) {
            complaints.add(&contributor, "an update of no cases");
        }
        contributor.digest("update", complaints);
    }
    heard.extend(round.keys("missing", complaints));
    for silent in trainers.iter().filter(|site| !heard.contains(site.as_str())) {
        complaints.add(round, &format!("{silent} neither contributed nor is it listed as missing"));
    }
}

/// The sites whose patients train in a lane, by their own counts.
fn trainers(root: &Place<'_>, modality: &str, fold: usize) -> BTreeSet<String> {
    let named: BTreeSet<&str> = root
        .optional("study")
        .and_then(|study| study.optional("federation")?.optional("training_sites"))
        .map(|sites| sites.children().iter().filter_map(Place::as_text).collect())
        .unwrap_or_default();
    let sites = root.optional("sites").map(|sites| sites.children()).unwrap_or_default();
    let trains = |site: &Place<'_>| -> Option<String> {
        let name = site.optional("site")?.as_text()?;
        let counts = site.optional("cohort")?.optional("modalities")?.optional(modality)?;
        let folds = counts.optional("folds")?.children();
        let others = folds.iter().enumerate().filter(|(index, _)| *index != fold);
        let cases: u64 = others.map(|(_, n)| n.count("methylated") + n.count("unmethylated")).sum();
        let invited = named.is_empty() || named.contains(name);
        (invited && cases >= FEWEST_TRAINING_CASES).then(|| name.to_owned())
    };
    sites.iter().filter_map(trains).collect()
}
