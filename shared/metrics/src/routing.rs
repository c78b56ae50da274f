//! How many patients a policy sends through the fine-tuned copy of each block, by class.
//!
//! A patient may be routed several times (sampled routing); every draw is counted. Counts add up over sites.

use serde::{Deserialize, Serialize};

use crate::{ScoreHistogram, Totals};
use consilium_domain::Bounded;

/// Draws through the fine-tuned copy of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlockRouting {
    /// Of positive patients.
    pub positives: u32,
    /// Of negative patients.
    pub negatives: u32,
}

/// Counts over a set of patients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct RoutingCounts {
    draws: u16,
    patients: Totals,
    blocks: Vec<BlockRouting>,
}

/// Counts that no patients can have, or two that do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    /// No block, or more than any network has.
    #[error("{blocks} blocks: a network has 1 to {max}", max = RoutingCounts::MAX_BLOCKS)]
    Blocks {
        /// Blocks counted.
        blocks: usize,
    },
    /// A patient is routed at least once.
    #[error("{draws} routings a patient: use 1 to {max}", max = RoutingCounts::MAX_DRAWS)]
    Draws {
        /// Routings a patient.
        draws: u16,
    },
    /// More draws through a block than there are.
    #[error("block {block} was taken more often than so many patients can take it: check how it was counted")]
    Impossible {
        /// The block, from 0.
        block: usize,
    },
    /// Another network, or another number of draws.
    #[error("counts of {theirs} blocks cannot be added to counts of {ours}, nor of other draws")]
    Mismatch {
        /// Blocks here.
        ours: usize,
        /// Blocks there.
        theirs: usize,
    },
    /// More patients than the arithmetic is exact for.
    #[error("more than {max} patients: check how they were counted", max = RoutingCounts::MAX_PATIENTS)]
    TooManyCases,
    /// A share that is none.
    #[error("not a share for each block")]
    NotShares,
}

/// What the shares of a policy say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutingShares {
    /// Share of all draws through the fine-tuned copy, by block.
    pub all: Vec<f64>,
    /// The same of positive patients; none without any.
    pub positives: Option<Vec<f64>>,
    /// The same of negative patients; none without any.
    pub negatives: Option<Vec<f64>>,
    /// Mean over the blocks of the entropy of the choice, in bits: 1 where both copies are taken equally often, 0
    /// where every block always takes the same.
    pub entropy: f64,
    /// Whether every block sends (nearly) everybody the same way: the policy chooses nothing.
    pub collapsed: bool,
}

impl RoutingCounts {
    /// ResNet-200 has 66 blocks; nothing deeper is pretrained.
    pub const MAX_BLOCKS: usize = 128;
    /// What a study may ask for.
    pub const MAX_DRAWS: u16 = 100;
    /// As of histograms; the draws of all of them fit a `u32`.
    pub const MAX_PATIENTS: u32 = ScoreHistogram::MAX_CASES;
    /// A block is settled when at most this share of draws takes its rarer copy.
    pub const SETTLED: f64 = 0.02;

    /// Nobody yet, in a network of `blocks`, each patient routed `draws` times.
    pub fn new(blocks: usize, draws: u16) -> Result<Self, RoutingError> {
        Self::checked(draws, Totals { positives: 0, negatives: 0 }, vec![BlockRouting::default(); blocks])
    }

    /// Counts one patient by the share of its draws through each block's fine-tuned copy.
    pub fn record(&mut self, tuned: &[f32], positive: bool) -> Result<(), RoutingError> {
        let sound = tuned.iter().all(|share| (0.0..=1.0).contains(share));
        if tuned.len() != self.blocks.len() || !sound {
            return Err(RoutingError::NotShares);
        }
        if self.patients.positives + self.patients.negatives == Self::MAX_PATIENTS {
            return Err(RoutingError::TooManyCases);
        }
        for (block, share) in self.blocks.iter_mut().zip(tuned) {
            let draws = libm::rint(f64::from(*share) * f64::from(self.draws)) as u32;
            *(if positive { &mut block.positives } else { &mut block.negatives }) += draws;
        }
        *(if positive { &mut self.patients.positives } else { &mut self.patients.negatives }) += 1;
        Ok(())
    }

    /// Adds the patients of `other`.
    pub fn merge(&mut self, other: &Self) -> Result<(), RoutingError> {
        let (ours, theirs) = (self.blocks.len(), other.blocks.len());
        if ours != theirs || self.draws != other.draws {
            return Err(RoutingError::Mismatch { ours, theirs });
        }
        let patients = Totals {
            positives: self.patients.positives + other.patients.positives,
            negatives: self.patients.negatives + other.patients.negatives,
        };
        let add = |(a, b): (&BlockRouting, &BlockRouting)| BlockRouting {
            positives: a.positives.saturating_add(b.positives),
            negatives: a.negatives.saturating_add(b.negatives),
        };
        let blocks = self.blocks.iter().zip(&other.blocks).map(add).collect();
        *self = Self::checked(self.draws, patients, blocks)?;
        Ok(())
    }

    /// Blocks of the network.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Routings a patient.
    pub fn draws(&self) -> u16 {
        self.draws
    }

    /// Patients by class.
    pub fn class_counts(&self) -> Totals {
        self.patients
    }

    /// The shares; `None` without patients.
    pub fn shares(&self) -> Option<RoutingShares> {
        let Totals { positives, negatives } = self.patients;
        let of = |patients: u32, taken: fn(&BlockRouting) -> u32| -> Option<Vec<f64>> {
            let total = f64::from(patients) * f64::from(self.draws);
            (patients > 0).then(|| self.blocks.iter().map(|block| f64::from(taken(block)) / total).collect())
        };
        let all = of(positives + negatives, |block| block.positives + block.negatives)?;
        let entropy = all.iter().copied().map(entropy).sum::<f64>() / all.len() as f64;
        // A share of exactly 2 % may be a rounding above it.
        let settled = |share: &f64| share.min(1.0 - share) <= Self::SETTLED + 1e-9;
        let collapsed = all.iter().all(settled);
        Some(RoutingShares {
            positives: of(positives, |block| block.positives),
            negatives: of(negatives, |block| block.negatives),
            all,
            entropy,
            collapsed,
        })
    }

    fn checked(draws: u16, patients: Totals, blocks: Vec<BlockRouting>) -> Result<Self, RoutingError> {
        if blocks.is_empty() || blocks.len() > Self::MAX_BLOCKS {
            return Err(RoutingError::Blocks { blocks: blocks.len() });
        }
        if draws == 0 || draws > Self::MAX_DRAWS {
            return Err(RoutingError::Draws { draws });
        }
        let patients_in_all = u64::from(patients.positives) + u64::from(patients.negatives);
        if patients_in_all > u64::from(Self::MAX_PATIENTS) {
            return Err(RoutingError::TooManyCases);
        }
        let within = |block: &BlockRouting| {
            block.positives <= patients.positives * u32::from(draws)
                && block.negatives <= patients.negatives * u32::from(draws)
        };
        match blocks.iter().position(|block| !within(block)) {
            Some(block) => Err(RoutingError::Impossible { block }),
            None => Ok(Self { draws, patients, blocks }),
        }
    }
}

/// In bits, of a choice between two.
fn entropy(share: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * libm::log2(p) } else { 0.0 };
    part(share) + part(1.0 - share)
}

#[derive(Deserialize)]
struct Unchecked {
    draws: u16,
    patients: Totals,
    blocks: Bounded<BlockRouting, { RoutingCounts::MAX_BLOCKS }>,
}

impl TryFrom<Unchecked> for RoutingCounts {
    type Error = RoutingError;

    fn try_from(sent: Unchecked) -> Result<Self, Self::Error> {
        Self::checked(sent.draws, sent.patients, sent.blocks.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_by_class_and_add_up_over_sites() {
        let mut here = RoutingCounts::new(2, 4).unwrap();
        here.record(&[1.0, 0.25], true).unwrap();
        here.record(&[0.0, 0.5], false).unwrap();
        let mut there = RoutingCounts::new(2, 4).unwrap();
        there.record(&[1.0, 0.75], false).unwrap();
        here.merge(&there).unwrap();
        let shares = here.shares().unwrap();
        assert_eq!(shares.all, [8.0 / 12.0, 0.5]);
        assert_eq!(shares.positives.unwrap(), [1.0, 0.25]);
        assert_eq!(shares.negatives.unwrap(), [0.5, 5.0 / 8.0]);
        assert!(!shares.collapsed && shares.entropy > 0.9 && shares.entropy < 1.0);
        assert_eq!(RoutingCounts::new(2, 4).unwrap().shares(), None);
    }

    /// Of 100 patients, two took the rarer copy of each block: 98 % is settled, 97 % is not.
    #[test]
    fn a_policy_that_sends_everybody_the_same_way_has_collapsed() {
        let mut counts = RoutingCounts::new(2, 1).unwrap();
        (0..98).for_each(|_| counts.record(&[1.0, 0.0], true).unwrap());
        (0..2).for_each(|_| counts.record(&[0.0, 1.0], false).unwrap());
        assert!(counts.shares().unwrap().collapsed);
        counts.record(&[0.0, 0.0], false).unwrap();
        assert!(!counts.shares().unwrap().collapsed);
    }

    #[test]
    fn what_no_patients_can_have_is_refused() {
        assert_eq!(RoutingCounts::new(0, 1), Err(RoutingError::Blocks { blocks: 0 }));
        assert_eq!(RoutingCounts::new(1, 0), Err(RoutingError::Draws { draws: 0 }));
        let mut counts = RoutingCounts::new(2, 1).unwrap();
        for wrong in [&[1.0][..], &[f32::NAN, 0.0], &[1.5, 0.0]] {
            assert_eq!(counts.record(wrong, true), Err(RoutingError::NotShares));
        }
        let other = RoutingCounts::new(3, 1).unwrap();
        assert_eq!(counts.merge(&other), Err(RoutingError::Mismatch { ours: 2, theirs: 3 }));
        let sent = |text: &str| serde_json::from_str::<RoutingCounts>(text).unwrap_err().to_string();
        let block = r#"{"draws":2,"patients":{"positives":1,"negatives":0},"blocks":[{"positives":3,"negatives":0}]}"#;
        assert!(sent(block).contains("block 0"));
        let crowd = r#"{"draws":2,"patients":{"positives":4294967295,"negatives":4294967295},"blocks":[{"positives":0,"negatives":0}]}"#;
        assert!(sent(crowd).contains("patients"));
    }
}
