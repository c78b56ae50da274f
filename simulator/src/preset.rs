//! Studies to start from: a demonstration, something for an afternoon, and the paper's.

use consilium_domain::network::{Depth, NetworkSpec, StemMode, Transfer};
use consilium_domain::{
    Arm, AugmentationSpec, ClassBalance, ClinicalBaseline, Design, Duplicates, Elastic, Evaluation,
    Federation, FixedPoint, Flip, Modality, NormMode, Plateau, Precision, Preprocessing, Schedule, Selection,
    SiteId, Study, Training, Wire,
};

use consilium_data::phantom::Grid;

/// Where a study's settings come from before options change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Preset {
    /// Three synthetic hospitals and a tiny network: minutes on two cores.
    Demo,
    /// Four larger synthetic hospitals and a larger network: for an evening.
    Small,
    /// The study of Schmitz, Guo and Wang (docs/paper.md): for real data and much time.
    Paper,
}

impl Preset {
    /// Synthetic hospitals and their patients.
    pub(crate) const fn cohort(self) -> (u16, u16) {
        match self {
            Self::Demo => (3, 60),
            Self::Small => (4, 120),
            Self::Paper => (3, 90),
        }
    }

    /// The voxels of synthetic scans.
    pub(crate) const fn grid(self) -> Grid {
        match self {
            Self::Demo | Self::Small => Grid::Small,
            Self::Paper => Grid::Full,
        }
    }

    /// The study over `sites`.
    pub(crate) fn study(self, seed: u64, sites: Vec<SiteId>) -> Study {
        let quorum = u16::try_from(sites.len().min(2)).unwrap_or(2);
        Study {
            name: self.name().to_owned(),
            seed,
            arms: Arm::ALL.to_vec(),
            modalities: self.modalities(),
            evaluation: self.evaluation(),
            preprocessing: self.preprocessing(),
            network: self.network(),
            training: self.training(),
            federation: Federation {
                sites,
                training_sites: Vec::new(),
                quorum,
                enrolment_secs: self.enrolment_secs(),
                deadline_secs: self.deadline_secs(),
                absence_grace_secs: 5,
                fixed_point: FixedPoint { clip: 64, fraction_bits: 24 },
                duplicates: Duplicates::Exclude,
                wire: Wire::F32,
            },
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Small => "small",
            Self::Paper => "schmitz2024",
        }
    }

    fn modalities(self) -> Vec<Modality> {
        match self {
            Self::Demo | Self::Small => vec![Modality::T1gd, Modality::Flair],
            Self::Paper => Modality::ALL.to_vec(),
        }
    }

    const fn evaluation(self) -> Evaluation {
        let (selection, baseline) = match self {
            Self::Demo | Self::Small => (Selection::Auc, ClinicalBaseline::AgeSex),
            Self::Paper => (Selection::PaperM, ClinicalBaseline::None),
        };
        Evaluation {
            folds: 5,
            holdout_fraction: 0.3,
            bins: 64,
            selection,
            route_samples: 0,
            design: Design::KFold,
            baseline,
        }
    }

    const fn preprocessing(self) -> Preprocessing {
        match self {
            Self::Demo => Preprocessing::TumourCrop { side: 24 },
            Self::Small => Preprocessing::TumourCrop { side: 32 },
            Self::Paper => Preprocessing::Schmitz2024,
        }
    }

    const fn network(self) -> NetworkSpec {
        match self {
            Self::Demo => NetworkSpec { depth: Depth::D10, width: 8 },
            Self::Small => NetworkSpec { depth: Depth::D18, width: 16 },
            Self::Paper => NetworkSpec { depth: Depth::D50, width: 64 },
        }
    }

    fn training(self) -> Training {
        let demo = Training {
            rounds: 8,
            local_epochs: 2,
            batch_size: 8,
            learning_rate: 1e-3,
            policy_learning_rate: 1e-3,
            weight_decay: 1e-4,
            temperature: 5.0,
            norm: NormMode::Batch,
            precision: Precision::F32,
            class_balance: ClassBalance::None,
            schedule: Schedule::Constant,
            transfer: Transfer::All,
            stem: StemMode::Frozen,
            augmentation: AugmentationSpec {
                flips: vec![Flip::Depth, Flip::Height, Flip::Width],
                ..AugmentationSpec::default()
            },
        };
        match self {
            Self::Demo => demo,
            Self::Small => Training { rounds: 15, ..demo },
            // The paper's 90 epochs, spread over 30 rounds of 3, and a patience of its 20 epochs. The study file in
            // docs/samples explains every number.
            Self::Paper => Training {
                rounds: 30,
                local_epochs: 3,
                batch_size: 12,
                learning_rate: 1e-5,
                policy_learning_rate: 1e-4,
                weight_decay: 1e-8,
                temperature: 100.0,
                class_balance: ClassBalance::Undersample,
                schedule: Schedule::Plateau(Plateau { factor: 0.1, patience: 6 }),
                transfer: Transfer::Layer4,
                augmentation: AugmentationSpec {
                    rotation_degrees: 15.0,
                    noise: 0.5,
                    elastic: Some(Elastic { sigma: 5.0, amplitude: 1.0 }),
                    ..demo.augmentation
                },
                ..demo
            },
        }
    }

    /// Every site is on this machine: only reading its scans takes time.
    const fn enrolment_secs(self) -> u32 {
        match self {
            Self::Demo => 120,
            Self::Small => 600,
            Self::Paper => 7_200,
        }
    }

    const fn deadline_secs(self) -> u32 {
        match self {
            Self::Demo => 600,
            Self::Small => 3_600,
            Self::Paper => 86_400,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_preset_is_a_study() {
        for preset in Preset::value_variants() {
            preset.study(1, vec!["a".parse().unwrap(), "b".parse().unwrap()]).check().unwrap();
        }
    }

    /// Only who takes part, and how long anybody waits for them, is another matter on one machine.
    #[test]
    fn the_papers_preset_is_the_shipped_study() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study-schmitz2024.toml");
        let shipped: Study = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let preset = Preset::Paper.study(shipped.seed, shipped.federation.sites.clone());
        let federation = Federation {
            enrolment_secs: shipped.federation.enrolment_secs,
            deadline_secs: shipped.federation.deadline_secs,
            absence_grace_secs: shipped.federation.absence_grace_secs,
            ..preset.federation
        };
        assert_eq!(Study { federation, ..preset }, shipped);
    }
}
