//! The card of a package: what the models are and what they are worth (schema `consilium-model-card/1`).
//!
//! Counts and pooled figures only. The study's own text names the invited sites, because its hash covers them;
//! nothing else says anything about one site or one patient.

use std::path::PathBuf;

use consilium_domain::network::NetworkSpec;
use consilium_domain::{Arm, ClassCounts, Digest, Fold, Modality, NormMode, Preprocessing, Round, StudyHash};
use serde::{Deserialize, Serialize};

use crate::Figures;

/// The value of [`Card::schema`] that this release writes and reads.
pub const CARD_SCHEMA: &str = "consilium-model-card/1";

/// The card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Name and version of this layout.
    pub schema: String,
    /// The program that wrote it, with its version.
    pub software: String,
    /// The day of the export (YYYY-MM-DD), where somebody gave it: the same study exports to the same card.
    pub date: Option<String>,
    /// The study's name.
    pub name: String,
    /// The study's hash.
    pub study_hash: StudyHash,
    /// The study's canonical text, of which `study_hash` is the BLAKE3 digest.
    pub study: String,
    /// Which arm of the study.
    pub arm: Arm,
    /// The residual network.
    pub network: NetworkSpec,
    /// How the fine-tuned path was normalised in training.
    pub norm: NormMode,
    /// Of how many drawn routings the probabilities behind the figures are the mean; 0: each block took the path that
    /// the policy prefers. Of meaning for the arm spottune only.
    pub route_samples: u16,
    /// What the networks expect as input.
    pub input: InputCard,
    /// The modalities, one single-channel network a modality and fold.
    pub modalities: Vec<Modality>,
    /// How many folds, and so models of each modality.
    pub folds: u8,
    /// The sites in numbers.
    pub sites: SiteCounts,
    /// The patients of all sites together, one entry a modality.
    pub cohort: Vec<CohortCard>,
    /// What is known of the pretrained backbone; `None` where the arm has none.
    pub base: Option<BaseNote>,
    /// The models: modality by modality, fold by fold.
    pub models: Vec<ModelCard>,
    /// The figures of late fusion, one entry a modality group.
    pub groups: Vec<GroupCard>,
    /// What the models are for.
    pub intended_use: String,
    /// What they are not for, and what is not known of them.
    pub limits: Vec<String>,
    /// Every file of the package but `card.json` and `signature.json`.
    pub files: Vec<FileCard>,
}

/// What the networks expect as input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCard {
    /// The named transform from a scan and its tumour mask. The name is its version.
    pub preprocessing: Preprocessing,
    /// Depth, height and width (z, y, x), in voxels.
    pub shape: [usize; 3],
    /// The same in words.
    pub description: String,
}

/// The sites in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteCounts {
    /// How many were invited.
    pub invited: u32,
    /// How many took part.
    pub took_part: u32,
    /// Pieces of work that went on without a site that was asked for it; the study's report names them.
    pub work_without_a_site: u32,
}

/// Patients by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientCounts {
    /// Patients labelled methylated.
    pub methylated: u32,
    /// Patients labelled unmethylated.
    pub unmethylated: u32,
}

impl From<ClassCounts> for PatientCounts {
    fn from(counts: ClassCounts) -> Self {
        Self { methylated: counts.methylated, unmethylated: counts.unmethylated }
    }
}

/// The patients of all sites with one modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortCard {
    /// Which modality.
    pub modality: Modality,
    /// Patients of all folds: each trained all models but one, and validated that one.
    pub cross_validation: PatientCounts,
    /// Patients set aside for the final evaluation.
    pub holdout: PatientCounts,
}

/// What is known of the pretrained backbone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseNote {
    /// What it is called.
    pub name: Option<String>,
    /// Under what terms it may be used, and the trained tensors that come from it.
    pub licence: Option<String>,
}

/// One model: the lane's chosen round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// What it sees.
    pub modality: Modality,
    /// The fold it was not trained on.
    pub fold: Fold,
    /// The round that was chosen by its figures on that fold.
    pub round: Round,
    /// Those figures.
    pub validation: Option<Figures>,
}

/// Late fusion: the mean probability over the fold models of each modality, then over the modalities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCard {
    /// Its name in reports.
    pub name: String,
    /// Its modalities.
    pub members: Vec<Modality>,
    /// The probability at and above which a patient is called methylated: the largest Youden's J on the pooled
    /// out-of-fold validation.
    pub threshold: Option<f64>,
    /// Figures of the out-of-fold validation.
    pub validation: Figures,
    /// Figures of the hold-out.
    pub holdout: Figures,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCard {
    /// Its path in the package, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 digest: the one by which the study's report knows the model.
    pub blake3: Digest,
    /// Its SHA-256, which everybody can compute.
    pub sha256: Digest,
}

impl Card {
    /// The model of `modality` and `fold`.
    pub fn model(&self, modality: Modality, fold: Fold) -> Option<&ModelCard> {
        self.models.iter().find(|model| model.modality == modality && model.fold == fold)
    }

    /// The figures of the group called `name`.
    pub fn group(&self, name: &str) -> Option<&GroupCard> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The figures of the group of exactly `modalities`, in any order.
    pub fn group_of(&self, modalities: &[Modality]) -> Option<&GroupCard> {
        let same = |group: &&GroupCard| {
            group.members.len() == modalities.len() && modalities.iter().all(|m| group.members.contains(m))
        };
        self.groups.iter().find(same)
    }

    /// What is said of the file at `path`.
    pub fn file(&self, path: &str) -> Option<&FileCard> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The text that is signed: JSON with two spaces a level and one line feed at the end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a card has only text keys");
        text.push('\n');
        text
    }
}

/// Where the card says a file is, below `folder`.
pub(crate) fn place(folder: &std::path::Path, path: &str) -> PathBuf {
    path.split('/').fold(folder.to_owned(), |place, part| place.join(part))
}
