//! A lane: one independent federated training.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Modality;

/// How a network starts and what of it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// MedicalNet blocks, frozen and fine-tuned, and a policy that routes each patient between them.
    Spottune,
    /// MedicalNet weights, all residual blocks fine-tuned.
    Medicalnet,
    /// The same network from random weights.
    Random,
}

/// A text that names no arm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an arm: use spottune, medicalnet or random")]
pub struct UnknownArm(String);

impl Arm {
    /// The three arms of the comparison.
    pub const ALL: [Self; 3] = [Self::Spottune, Self::Medicalnet, Self::Random];

    /// The name used in study files, on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spottune => "spottune",
            Self::Medicalnet => "medicalnet",
            Self::Random => "random",
        }
    }

    /// Whether the arm starts from pretrained weights.
    pub const fn is_pretrained(self) -> bool {
        !matches!(self, Self::Random)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Arm {
    type Err = UnknownArm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|arm| arm.name() == text).ok_or_else(|| UnknownArm(text.to_owned()))
    }
}

/// The index of a cross-validation fold, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fold(pub u8);

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a round within a lane, from 1. Round 0 stands for the initial model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Round(pub u16);

impl Round {
    /// The round after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One independent federated training: its rounds follow each other, other lanes do not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Which kind of network.
    pub arm: Arm,
    /// Which images it sees.
    pub modality: Modality,
    /// Which fold it is validated on; it trains on the others.
    pub fold: Fold,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.arm, self.modality, self.fold)
    }
}
