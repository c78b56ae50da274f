//! `consilium-client gain`: what this site gained by joining, on its own hold-out patients.
//!
//! Compares the predictions that a federated study left in this site's state folder with those of a study in which the site
//! trained alone, patient by patient, by DeLong's method. Both must have dealt the same hold-out, which studies of one seed do.
//! It is for the hospital's own eyes first: the table is printed and kept in the state folder, nothing is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use consilium_domain::{Arm, ChosenModel, Label, Modality, ModalityGroup};
use consilium_metrics::{Interval, PairedScore, RecordError, compare_rows};
use serde::{Deserialize, Serialize};

use crate::durable::Draft;
use crate::late_fusion::{Means, over_folds, over_modalities};
use crate::predictions::{Predictions, PredictionsError};
use crate::study_data::CaseSet;

/// Where the table is kept, in the state folder.
const KEPT: &str = "gain.json";

/// What `gain` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct GainArgs {
    /// The state folder of the client that took part in the federated study.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The state folder of the same study with this site's patients alone.
    #[arg(long, value_name = "DIR")]
    alone: PathBuf,
    /// The federated study, by the first digits of its hash; needed where the folder holds several.
    #[arg(long, value_name = "HASH")]
    study: Option<String>,
    /// The study of this site alone, likewise.
    #[arg(long, value_name = "HASH")]
    alone_study: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one arm and modality group gained at this site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The arm.
    pub arm: Arm,
    /// The modality group.
    pub group: String,
    /// Methylated hold-out patients of this site whom both models scored.
    pub positives: u32,
    /// Unmethylated ones.
    pub negatives: u32,
    /// The federated models' area under the ROC curve on them.
    pub federated: f64,
    /// That of the models this site trained alone.
    pub alone: f64,
    /// The first minus the second.
    pub difference: f64,
    /// Its 95 % interval by DeLong's method; none where the scores leave no variance.
    pub interval: Option<Interval>,
}

/// Why there is no comparison. The texts name folders, never a patient.
#[derive(Debug, thiserror::Error)]
pub enum GainError {
    /// The folder of predictions cannot be listed.
    #[error("{} holds no predictions ({source}): name the state folder of a client that has finished a study", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No study, or several.
    #[error("{} holds the predictions of {found}: name one study by the first digits of its hash", folder.display())]
    Study {
        /// Which folder.
        folder: PathBuf,
        /// What is there.
        found: String,
    },
    /// No patient was scored by both.
    #[error(
        "no arm scored the same hold-out patients in both studies: they must have the same seed, hold-out, arms and modalities"
    )]
    NothingInCommon,
    /// A file of predictions.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// A score is no probability.
    #[error("the predictions cannot be compared: {0}")]
    Compare(#[from] RecordError),
    /// The table cannot be kept.
    #[error("{} cannot be written: {source}; check the disk's space", path.display())]
    Keep {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Carries out `args`.
pub(crate) fn gain(args: &GainArgs) -> anyhow::Result<ExitCode> {
    let gains = compare_states(&args.state, args.study.as_deref(), &args.alone, args.alone_study.as_deref())?;
    let text = serde_json::to_string_pretty(&gains)?;
    if args.json {
        println!("{text}");
    } else {
        print!("{}", table(&gains));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the site gained, by arm and modality group, kept in `state` as well. A study is named by the first digits of its hash,
/// where a state folder holds several.
///
/// # Errors
/// When a folder holds no such predictions, or the two studies have no hold-out patient in common.
pub fn compare_states(
    state: &Path,
    study: Option<&str>,
    alone: &Path,
    alone_study: Option<&str>,
) -> Result<Vec<Gain>, GainError> {
    let federated = predictions(state, study)?;
    let gains = compare(&federated, &predictions(alone, alone_study)?)?;
    let path = state.join(KEPT);
    let write = || -> io::Result<()> {
        let mut draft = Draft::begin(&path)?;
        serde_json::to_writer_pretty(&mut draft, &gains)?;
        draft.keep()
    };
    write().map_err(|source| GainError::Keep { path: path.clone(), source })?;
    Ok(gains)
}

/// The predictions of the one study in a state folder, or of the one that is named.
fn predictions(state: &Path, study: Option<&str>) -> Result<Predictions, GainError> {
    let folder = state.join("predictions");
    let failed = |source| GainError::Folder { folder: folder.clone(), source };
    let mut studies = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        // Folders are named by the short form of the hash; what was typed may be longer or shorter.
        if study.is_none_or(|study| name.starts_with(study) || study.starts_with(&name)) {
            studies.insert(name);
        }
    }
    let only = studies.pop_first().filter(|_| studies.is_empty());
    let Some(name) = only else {
        let found =
            if studies.is_empty() { "no such study".to_owned() } else { "several studies".to_owned() };
        return Err(GainError::Study { folder, found });
    };
    Ok(Predictions::open(&folder.join(name))?)
}

fn compare(federated: &Predictions, alone: &Predictions) -> Result<Vec<Gain>, GainError> {
    let mut gains = Vec::new();
    for arm in Arm::ALL {
        let (Some(ours), Some(theirs)) = (federated.fused(arm)?, alone.fused(arm)?) else { continue };
        let holdout = |predictions: &Predictions, models: &[ChosenModel]| {
            over_folds(predictions, models, CaseSet::Holdout)
        };
        let (first, second) = (holdout(federated, &ours)?, holdout(alone, &theirs)?);
        for group in ModalityGroup::of_study(&modalities(&ours)) {
            let rows = in_common(&first, &second, &group.members);
            let Some(compared) = compare_rows(&rows)? else { continue };
            let positives = rows.iter().filter(|row| row.positive).count() as u32;
            gains.push(Gain {
                arm,
                group: group.name,
                positives,
                negatives: rows.len() as u32 - positives,
                federated: compared.first,
                alone: compared.second,
                difference: compared.difference,
                interval: compared.interval,
            });
        }
    }
    if gains.is_empty() { Err(GainError::NothingInCommon) } else { Ok(gains) }
}

/// The modalities of the fused models, in their order.
fn modalities(models: &[ChosenModel]) -> Vec<Modality> {
    let mut modalities = Vec::new();
    for model in models {
        if !modalities.contains(&model.lane.modality) {
            modalities.push(model.lane.modality);
        }
    }
    modalities
}

/// The patients whom both scored.
fn in_common(first: &Means, second: &Means, members: &[Modality]) -> Vec<PairedScore> {
    let theirs: BTreeMap<String, (Label, f32)> = over_modalities(second, members);
    let paired = over_modalities(first, members).into_iter().filter_map(|(patient, (label, first))| {
        let &(_, second) = theirs.get(&patient)?;
        Some(PairedScore { first, second, positive: label == Label::Methylated })
    });
    paired.collect()
}

fn table(gains: &[Gain]) -> String {
    let mut text = format!(
        "What this site gained by joining, on its own hold-out patients (AUC)\n\n{:<11} {:<12} {:>5} {:>10} {:>7}  {}\n",
        "arm", "modalities", "n", "federated", "alone", "gained (95 % interval)"
    );
    for gain in gains {
        let interval = gain.interval.map_or_else(
            || "unknown".to_owned(),
            |interval| format!("{:+.3} to {:+.3}", interval.lower, interval.upper),
        );
        text += &format!(
            "{:<11} {:<12} {:>5} {:>10.3} {:>7.3}  {:+.3} ({interval})\n",
            gain.arm,
            gain.group,
            gain.positives + gain.negatives,
            gain.federated,
            gain.alone,
            gain.difference
        );
    }
    text + "\nThe interval is about patients like these at this site; one that holds 0 shows no gain.\n"
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Fold, Lane, Round};

    use super::*;
    use crate::predictions::Scored;

    /// A state folder with the hold-out's scores of one arm.
    fn state(dir: &Path, study: &str, scores: &[(&str, bool, f32)]) {
        let predictions = Predictions::open(&dir.join("predictions").join(study)).unwrap();
        let lane = Lane { arm: Arm::Random, modality: Modality::T1, fold: Fold(0) };
        let model = ChosenModel { lane, round: Round(1) };
        let scored = scores.iter().map(|&(patient, positive, probability)| {
            let label = if positive { Label::Methylated } else { Label::Unmethylated };
            (patient.to_owned(), Scored { label, probability })
        });
        predictions.keep(model, CaseSet::Holdout, &scored.collect()).unwrap();
        predictions.keep_fused(Arm::Random, &[model]).unwrap();
    }

    #[test]
    fn both_models_are_compared_on_the_patients_they_share() {
        let (joined, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        state(
            joined.path(),
            "aa",
            &[("a", true, 0.9), ("b", true, 0.6), ("c", false, 0.5), ("d", false, 0.1), ("e", true, 0.0)],
        );
        state(
            alone.path(),
            "bb",
            &[("a", true, 0.9), ("b", true, 0.4), ("c", false, 0.5), ("d", false, 0.1), ("z", false, 1.0)],
        );
        let [gain] = &compare_states(joined.path(), None, alone.path(), None).unwrap()[..] else {
            panic!("one arm")
        };
        assert_eq!((gain.arm, gain.positives, gain.negatives), (Arm::Random, 2, 2));
        assert_eq!((gain.federated, gain.alone, gain.difference), (1.0, 0.75, 0.25));
        assert!(gain.interval.is_some_and(|interval| interval.contains(0.25)));
        let kept: Vec<Gain> =
            serde_json::from_slice(&std::fs::read(joined.path().join(KEPT)).unwrap()).unwrap();
        assert_eq!(kept, std::slice::from_ref(gain));
        let text = table(std::slice::from_ref(gain));
        assert!(text.contains("+0.250") && !text.contains(" a "), "{text}");
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let (joined, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let compare = |study| compare_states(joined.path(), study, alone.path(), None);
        assert!(matches!(compare(None), Err(GainError::Folder { .. })));
        state(joined.path(), "aa11", &[("a", true, 0.9), ("b", false, 0.6)]);
        state(joined.path(), "bb22", &[("a", true, 0.9), ("b", false, 0.6)]);
        state(alone.path(), "cc33", &[("y", true, 0.9), ("z", false, 0.6)]);
        assert!(matches!(compare(None), Err(GainError::Study { found, .. }) if found == "several studies"));
        assert!(
            matches!(compare(Some("dd")), Err(GainError::Study { found, .. }) if found == "no such study")
        );
        assert!(matches!(compare(Some("aa")), Err(GainError::NothingInCommon)));
        assert!(
            matches!(compare(Some("aa11ffff")), Err(GainError::NothingInCommon)),
            "a longer hash names it too"
        );
    }
}
