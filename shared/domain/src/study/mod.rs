//! The agreed plan of a federated comparison, and its hash.
//!
//! A study is data, never code. It is read from `study.toml` with unknown keys refused, checked as a whole, and
//! then immutable: [`StudyHash`] names it in every work order.

mod augmentation;
mod check;
mod design;
mod schedule;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use augmentation::{AugmentationSpec, Elastic, Flip};
pub use check::StudyError;
pub use design::{ClinicalBaseline, Design, UnknownDesign};
pub use schedule::{Plateau, Schedule};

use crate::network::{NetworkSpec, StemMode, TensorSpec, Transfer, Tuning};
use crate::{Arm, Digest, Fold, Lane, Modality, Seed, SiteId};

/// A study as agreed. `Study::check` has passed for every value that came through [`Study::from_json`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// A name for people.
    pub name: String,
    /// The number every random choice of the study derives from.
    pub seed: u64,
    /// The arms to compare.
    pub arms: Vec<Arm>,
    /// The modalities to train on.
    pub modalities: Vec<Modality>,
    /// Folds, hold-out and histograms.
    pub evaluation: Evaluation,
    /// How a scan becomes a network's input.
    pub preprocessing: Preprocessing,
    /// The residual network.
    pub network: NetworkSpec,
    /// The local training.
    pub training: Training,
    /// Who takes part and how their updates become one.
    pub federation: Federation,
}

/// How the cohort is divided and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Number of cross-validation folds, 2 to 20.
    pub folds: u8,
    /// Share of each class that is set aside for the final evaluation, in (0, 0.9].
    pub holdout_fraction: f64,
    /// Bins of the score histograms, 2 to 128. The grid divides [0, 1] evenly.
    pub bins: u16,
    /// Which round's model represents a lane.
    #[serde(default)]
    pub selection: Selection,
    /// How `spottune` routes a patient when it is scored: 0 takes the path that the policy prefers in each block,
    /// N averages the probabilities of N routings drawn from the policy, at N times the cost.
    #[serde(default)]
    pub route_samples: u16,
    /// Who is set aside and left out.
    #[serde(default, skip_serializing_if = "Design::is_default")]
    pub design: Design,
    /// What the arms are measured against beside chance.
    #[serde(default, skip_serializing_if = "ClinicalBaseline::is_default")]
    pub baseline: ClinicalBaseline,
}

impl Evaluation {
    /// Most routings that are drawn: the mean of so many probabilities has a standard error of at most 0.05.
    pub const MAX_ROUTE_SAMPLES: u16 = 100;
}

/// Which round's model represents a lane, judged on the pooled validation fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The largest AUC; of equals the smaller mean loss, then the earlier round.
    #[default]
    Auc,
    /// The largest M = 0.6 sensitivity + 0.4 specificity at a threshold of 0.5 among the rounds in which both
    /// exceed 0.5 (arXiv:2310.12373); of equals, and where there is no such round, as [`Selection::Auc`].
    PaperM,
}

/// A named transform from a scan and its tumour mask to a network's input.
///
/// The name is the version: it is part of the study's hash, so the numbers behind a name never change and a
/// changed transform gets a new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "profile", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Preprocessing {
    /// The window of Schmitz, Guo and Wang (arXiv:2310.12373): 240x240x155 in, 70x86x86 out.
    Schmitz2024,
    /// The box around the tumour mask, resized to a cube, z-scored over its non-zero voxels.
    TumourCrop {
        /// Edge of the cube in voxels, 8 to 256.
        side: u16,
    },
}

impl Preprocessing {
    /// Depth, height and width (z, y, x) of the network's input, in voxels.
    pub const fn input_shape(self) -> [usize; 3] {
        match self {
            Self::Schmitz2024 => [70, 86, 86],
            Self::TumourCrop { side } => [side as usize; 3],
        }
    }
}

/// How the fine-tuned path normalises. The frozen path always uses its stored statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormMode {
    /// Batch statistics in training; running statistics are averaged over sites like weights.
    Batch,
    /// The stored statistics; only scale and shift train.
    Fixed,
}

/// What may be multiplied in training. Sums, weights and everything else stay in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit factors.
    #[default]
    F32,
    /// Factors rounded to 16 bits, of the kind that the device has: bfloat16 by a processor's own kernels, half the time
    /// where the processor multiplies them and slower elsewhere; 16-bit floats (more digits, less range, each tensor scaled to
    /// them) on a graphics card.
    Bf16,
}

/// A text that names no way to balance classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way to balance classes: use `none`, `pos-weight` or `undersample`")]
pub struct UnknownClassBalance(String);

impl FromStr for ClassBalance {
    type Err = UnknownClassBalance;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "pos-weight" => Ok(Self::PosWeight),
            "undersample" => Ok(Self::Undersample),
            other => Err(UnknownClassBalance(other.to_owned())),
        }
    }
}

/// A text that names no precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a precision: use `f32` or `bf16`")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => Err(UnknownPrecision(other.to_owned())),
        }
    }
}

/// What is done where one class has more cases than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassBalance {
    /// Nothing: every case counts the same.
    #[default]
    None,
    /// Methylated cases weigh n(unmethylated)/n(methylated) in the loss, counted over the federation's training
    /// cases.
    PosWeight,
    /// An epoch uses all cases of the smaller class and a fresh draw, equally many, of the larger one.
    Undersample,
}

/// The local training of one work order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Rounds of every lane.
    pub rounds: u16,
    /// Passes over the site's training cases in each round.
    pub local_epochs: u16,
    /// Cases a step; the last step of an epoch may hold fewer, but never one alone with `norm = "batch"`.
    pub batch_size: u16,
    /// Adam's step size for the network.
    pub learning_rate: f64,
    /// Adam's step size for the policy network.
    pub policy_learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Temperature of the Gumbel-softmax; changes the policy's gradient only.
    pub temperature: f64,
    /// Normalisation of the fine-tuned path.
    pub norm: NormMode,
    /// Of the convolutions in training. Evaluation always computes in 32 bits.
    #[serde(default)]
    pub precision: Precision,
    /// Against classes of unequal size.
    #[serde(default)]
    pub class_balance: ClassBalance,
    /// How the learning rates fall.
    #[serde(default)]
    pub schedule: Schedule,
    /// Which blocks the arm `medicalnet` fine-tunes.
    #[serde(default)]
    pub transfer: Transfer,
    /// Whether the pretrained arms fine-tune the stem.
    #[serde(default)]
    pub stem: StemMode,
    /// Random changes to the training inputs.
    #[serde(default)]
    pub augmentation: AugmentationSpec,
}

impl Training {
    /// Most rounds of a lane: far beyond any training, and few enough to list in a report.
    pub const MAX_ROUNDS: u16 = 10_000;

    /// What the arms train of the backbone.
    pub const fn tuning(&self) -> Tuning {
        Tuning { transfer: self.transfer, stem: self.stem }
    }
}

/// The fixed-point arithmetic of the aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedPoint {
    /// Largest absolute change of one weight in one round; more is saturated and counted. A power of two, at most 2^(30 - fraction_bits).
    pub clip: u32,
    /// Binary digits after the point: the resolution is 2^-fraction_bits.
    pub fraction_bits: u8,
}

impl FixedPoint {
    /// The largest error of one quantised coordinate: half a unit in the last place.
    pub fn half_unit(self) -> f64 {
        0.5 / self.scale()
    }

    /// Units per one.
    pub fn scale(self) -> f64 {
        f64::from(1u32 << self.fraction_bits)
    }
}

/// What becomes of a patient that several sites hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Nobody looks for them: one site's hold-out may be another's training.
    #[default]
    Ignore,
    /// Before they enlist, sites compare keyed fingerprints of their cases, and one copy of each stays.
    Exclude,
}

/// How exactly updates are told on the wire. Models always arrive bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// Without loss: every unit of the fixed point, compressed. The model is the same as if nothing had been.
    #[default]
    F32,
    /// Rounded at the site to eight significant bits, the numbers of bfloat16.
    Bf16,
    /// Eight bits with a scale for every 256 coordinates; what a site could not tell it adds to its next update.
    Int8,
}

impl Wire {
    /// The default, which is not written down: studies of before have the hash they had.
    const fn is_default(&self) -> bool {
        matches!(self, Self::F32)
    }

    /// Its name in a study.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

/// A text that names no wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no wire: use `f32`, `bf16` or `int8`")]
pub struct UnknownWire(String);

impl FromStr for Wire {
    type Err = UnknownWire;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            other => Err(UnknownWire(other.to_owned())),
        }
    }
}

/// Who takes part, and when a round is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    /// The invited sites.
    pub sites: Vec<SiteId>,
    /// Sites whose patients train; the others only evaluate. Empty means all.
    #[serde(default)]
    pub training_sites: Vec<SiteId>,
    /// Fewest contributions a model may be aggregated from, and fewest sites the study starts with.
    pub quorum: u16,
    /// How long to wait for invited sites before starting with those that came, in seconds. With
    /// `duplicates = "exclude"` also how long to wait for everybody's fingerprints.
    pub enrolment_secs: u32,
    /// How long a connected site may be without progress on a work order (steps done, bytes moved) before rounds stop
    /// waiting for it, in seconds; also the least that a site has for an order, however quick it was before.
    pub deadline_secs: u32,
    /// How long a round waits for a site whose connection is gone, in seconds.
    pub absence_grace_secs: u32,
    /// The arithmetic of updates.
    pub fixed_point: FixedPoint,
    /// Patients that several sites hold.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// How exactly updates are told.
    #[serde(default, skip_serializing_if = "Wire::is_default")]
    pub wire: Wire,
}

impl Study {
    /// Reads and checks the canonical text.
    pub fn from_json(text: &str) -> Result<Self, StudyError> {
        let study: Self =
            serde_json::from_str(text).map_err(|error| StudyError::Syntax(error.to_string()))?;
        study.check()?;
        Ok(study)
    }

    /// The canonical text: fields in the order of this file, no white space. The hash covers exactly this.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a study has only text keys")
    }

    /// Names the study.
    pub fn hash(&self) -> StudyHash {
        StudyHash(Digest::of(self.to_json().as_bytes()))
    }

    /// The root of all random choices.
    pub fn seed(&self) -> Seed {
        Seed::from_number(self.seed)
    }

    /// Every lane, in the order in which a site prefers work: fold by fold, so that early folds finish first.
    pub fn lanes(&self) -> Vec<Lane> {
        (0..self.evaluation.folds)
            .flat_map(|fold| {
                self.modalities.iter().flat_map(move |&modality| {
                    self.arms.iter().map(move |&arm| Lane { arm, modality, fold: Fold(fold) })
                })
            })
            .collect()
    }

    /// The fold that all training patients of `site` are in, where the study leaves sites out one after the other.
    pub fn fold_of(&self, site: &SiteId) -> Option<Fold> {
        if self.evaluation.design != Design::LeaveOneSiteOut {
            return None;
        }
        let place = self.federation.sites.iter().position(|other| other == site)?;
        u8::try_from(place).ok().map(Fold)
    }

    /// Whether the patients of `site` train.
    pub fn trains(&self, site: &SiteId) -> bool {
        self.federation.training_sites.is_empty() || self.federation.training_sites.contains(site)
    }

    /// Every tensor of an arm that changes in training, in the order it travels.
    pub fn trainable_tensors(&self, arm: Arm) -> Vec<TensorSpec> {
        self.network.trainable_tensors(arm, self.training.tuning())
    }

    /// Whether any arm needs pretrained weights.
    pub fn needs_base(&self) -> bool {
        self.arms.iter().any(|arm| arm.is_pretrained())
    }
}

/// The digest of a study's canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StudyHash(Digest);

impl StudyHash {
    /// The digest.
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

impl fmt::Display for StudyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_round_trips_and_names_the_study() {
        let study = sample::study();
        let again = Study::from_json(&study.to_json()).unwrap();
        assert_eq!(again, study);
        assert_eq!(again.hash(), study.hash());
        let other = Study { seed: study.seed + 1, ..study.clone() };
        assert_ne!(other.hash(), study.hash());
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = sample::study().to_json().replacen("\"seed\"", "\"sead\":1,\"seed\"", 1);
        assert!(
            matches!(Study::from_json(&text), Err(StudyError::Syntax(message)) if message.contains("sead"))
        );
    }

    #[test]
    fn the_ways_to_balance_classes_have_names() {
        let names = ["none", "pos-weight", "undersample"];
        let ways = [ClassBalance::None, ClassBalance::PosWeight, ClassBalance::Undersample];
        for (name, way) in names.into_iter().zip(ways) {
            assert_eq!(serde_json::to_string(&way).unwrap(), format!("\"{name}\""));
            assert_eq!(name.parse(), Ok(way));
        }
        let text = sample::study().to_json().replace(r#""class_balance":"none","#, "");
        assert_eq!(Study::from_json(&text).unwrap(), sample::study());
        let misspelt = text.replace(r#""precision":"#, r#""class_balance":"oversample","precision":"#);
        assert!(
            matches!(Study::from_json(&misspelt), Err(StudyError::Syntax(message)) if message.contains("pos-weight"))
        );
    }

    #[test]
    fn what_an_older_study_does_not_say_stays_as_it_was() {
        let text = sample::study().to_json();
        let mut silent = text.clone();
        for said in [r#","selection":"auc","route_samples":0"#, r#","transfer":"all","stem":"frozen""#] {
            assert!(silent.contains(said), "{said} is missing from {silent}");
            silent = silent.replace(said, "");
        }
        assert_eq!(Study::from_json(&silent).unwrap(), sample::study());
        let paper = text.replace(r#""auc""#, r#""paper-m""#).replace(r#""all""#, r#""layer4""#);
        let paper = Study::from_json(&paper).unwrap();
        assert_eq!(paper.evaluation.selection, Selection::PaperM);
        assert_eq!(paper.training.tuning(), Tuning { transfer: Transfer::Layer4, stem: StemMode::Frozen });
        assert!(Study::from_json(&text.replace(r#""all""#, r#""layer3""#)).is_err());
    }

    #[test]
    fn duplicates_are_ignored_unless_the_study_says_otherwise() {
        let text = sample::study().to_json();
        let silent = text.replace(",\"duplicates\":\"ignore\"", "");
        assert_ne!(silent, text);
        assert_eq!(Study::from_json(&silent).unwrap().federation.duplicates, Duplicates::Ignore);
        let exclude = Study::from_json(&text.replace("\"ignore\"", "\"exclude\"")).unwrap();
        assert_eq!(exclude.federation.duplicates, Duplicates::Exclude);
        assert!(Study::from_json(&text.replace("\"ignore\"", "\"maybe\"")).is_err());
    }

    #[test]
    fn a_lossless_wire_is_not_written_down_and_the_others_are() {
        let study = sample::study();
        assert!(!study.to_json().contains("wire"), "the hash of older studies must not change");
        for (wire, name) in [(Wire::F32, "f32"), (Wire::Bf16, "bf16"), (Wire::Int8, "int8")] {
            assert_eq!((wire.name(), name.parse()), (name, Ok(wire)));
            let mut said = study.clone();
            said.federation.wire = wire;
            assert_eq!(Study::from_json(&said.to_json()).unwrap(), said);
            assert_eq!(said.to_json().contains(&format!(r#""wire":"{name}""#)), wire != Wire::F32);
        }
        let unknown = study.to_json().replace(r#""duplicates":"#, r#""wire":"f16","duplicates":"#);
        assert!(matches!(Study::from_json(&unknown), Err(StudyError::Syntax(text)) if text.contains("bf16")));
    }

    #[test]
    fn lanes_are_the_product_of_folds_modalities_and_arms() {
        let study = sample::study();
        let lanes = study.lanes();
        assert_eq!(lanes.len(), 2 * 2 * 3);
        assert_eq!(lanes.iter().collect::<std::collections::BTreeSet<_>>().len(), lanes.len());
        assert!(lanes[..6].iter().all(|lane| lane.fold == Fold(0)));
    }
}
