//! A valid study for tests.

use super::{
    AugmentationSpec, ClassBalance, ClinicalBaseline, Design, Duplicates, Evaluation, Federation, FixedPoint,
    NormMode, Precision, Preprocessing, Schedule, Selection, Study, Training, Wire,
};
use crate::network::{Depth, NetworkSpec, StemMode, Transfer};
use crate::{Arm, Modality};

pub(crate) fn study() -> Study {
    Study {
        name: "sample".into(),
        seed: 7,
        arms: Arm::ALL.to_vec(),
        modalities: vec![Modality::T1gd, Modality::Flair],
        evaluation: Evaluation {
            folds: 2,
            holdout_fraction: 0.3,
            bins: 64,
            selection: Selection::Auc,
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        },
        preprocessing: Preprocessing::TumourCrop { side: 16 },
        network: NetworkSpec { depth: Depth::D10, width: 4 },
        training: Training {
            rounds: 2,
            local_epochs: 1,
            batch_size: 4,
            learning_rate: 1e-3,
            policy_learning_rate: 1e-3,
            weight_decay: 0.0,
            temperature: 5.0,
            norm: NormMode::Batch,
            precision: Precision::F32,
            class_balance: ClassBalance::None,
            schedule: Schedule::Constant,
            transfer: Transfer::All,
            stem: StemMode::Frozen,
            augmentation: AugmentationSpec::default(),
        },
        federation: Federation {
            sites: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            training_sites: vec![],
            quorum: 1,
            enrolment_secs: 60,
            deadline_secs: 600,
            absence_grace_secs: 10,
            fixed_point: FixedPoint { clip: 64, fraction_bits: 24 },
            duplicates: Duplicates::Ignore,
            wire: Wire::F32,
        },
    }
}
