//! What is predicted: the methylation of the MGMT promoter.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// The label of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// The negative class, 0.
    Unmethylated,
    /// The positive class, 1.
    Methylated,
}

impl Label {
    /// Both labels, negative first.
    pub const ALL: [Self; 2] = [Self::Unmethylated, Self::Methylated];

    /// 0 or 1, as the loss wants it.
    pub const fn as_target(self) -> f32 {
        match self {
            Self::Unmethylated => 0.0,
            Self::Methylated => 1.0,
        }
    }
}

/// How many cases of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassCounts {
    /// Cases labelled methylated.
    pub methylated: u32,
    /// Cases labelled unmethylated.
    pub unmethylated: u32,
}

impl ClassCounts {
    /// Counts one more case.
    pub fn count(&mut self, label: Label) {
        match label {
            Label::Methylated => self.methylated += 1,
            Label::Unmethylated => self.unmethylated += 1,
        }
    }

    /// Cases of both classes.
    pub const fn total(self) -> u32 {
        self.methylated.saturating_add(self.unmethylated)
    }
}

impl Add for ClassCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            methylated: self.methylated.saturating_add(other.methylated),
            unmethylated: self.unmethylated.saturating_add(other.unmethylated),
        }
    }
}

impl AddAssign for ClassCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for ClassCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}
