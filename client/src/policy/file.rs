//! `policy.toml` as written, and how it is checked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hours::HoursFile;
use super::{
    Approval, DataLimits, DetailLimits, HistogramLimits, Hours, Requirements, SitePolicy, StudyLimits,
};

/// The file. Unknown keys are refused; what is left out is not limited.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Who agrees to a study that is within the policy.
    #[serde(default)]
    pub approval: Approval,
    /// What a study may ask for.
    #[serde(default)]
    pub study: StudyLimits,
    /// On the site's own cases.
    #[serde(default)]
    pub data: DataLimits,
    /// On score histograms.
    #[serde(default)]
    pub histograms: HistogramLimits,
    /// On sums beyond the histograms.
    #[serde(default)]
    pub details: DetailLimits,
    /// When the client may work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<HoursFile>,
    /// Protection that a study must have.
    #[serde(default)]
    pub require: Requirements,
}

/// Why a file is not a policy. Without one the client does not start: a policy that is misread protects nobody.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error(
        "the policy {path} cannot be read: {source}; mend it, or take `policy` out of the configuration to decide on \
         every study by hand"
    )]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("the policy {path} is not valid:\n{source}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// Values are impossible; one line a problem.
    #[error("the policy {path} has {} problem(s):\n  {}", problems.len(), problems.join("\n  "))]
    Values {
        /// Which.
        path: PathBuf,
        /// Each with its key.
        problems: Vec<String>,
    },
}

impl SitePolicy {
    /// Reads and checks a policy; all problems are reported at once.
    ///
    /// # Errors
    /// With the line or the keys that are wrong.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        let file: PolicyFile = toml::from_str(&text)
            .map_err(|source| PolicyError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        file.check().map_err(|problems| PolicyError::Values { path: path.to_owned(), problems })
    }
}

impl PolicyFile {
    /// A policy without limits that agrees to everything by itself: for simulations, where no hospital is asked.
    pub fn of_simulation() -> Self {
        let data = DataLimits { most_duplicates_share: 1.0, ..DataLimits::default() };
        let histograms = HistogramLimits { fewest_per_score: 1, ..HistogramLimits::default() };
        Self { approval: Approval::Rule, data, histograms, ..Self::default() }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// A line with the key for each problem.
    pub fn check(self) -> Result<SitePolicy, Vec<String>> {
        let mut problems = Vec::new();
        let StudyLimits { arms, modalities, depths, .. } = &self.study;
        let empty = [
            ("arms", arms.as_ref().is_some_and(Vec::is_empty)),
            ("modalities", modalities.as_ref().is_some_and(Vec::is_empty)),
            ("depths", depths.as_ref().is_some_and(Vec::is_empty)),
        ];
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            problems
                .push(format!("study.{key}: an empty list allows nothing; leave it out to allow everything"));
        }
        if !(0.0..=1.0).contains(&self.data.most_duplicates_share) {
            problems.push("data.most_duplicates_share: must be 0 to 1".into());
        }
        if self.histograms.fewest_per_score == 0 {
            problems.push(
                "histograms.fewest_per_score: must be at least 1, which tells every score where it is".into(),
            );
        }
        let hours = match self.hours.as_ref().map(Hours::check).transpose() {
            Ok(hours) => hours,
            Err(wrong) => {
                problems.extend(wrong);
                None
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let Self { approval, study, data, histograms, details, require, .. } = self;
        Ok(SitePolicy { approval, study, data, histograms, details, hours, require })
    }
}
