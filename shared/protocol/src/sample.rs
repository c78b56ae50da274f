//! Studies and fingerprints for tests.

use consilium_domain::network::{Depth, NetworkSpec, StemMode, Transfer};
use consilium_domain::*;

/// One site, one lane a fold.
pub(crate) fn study() -> Study {
    Study {
        name: "test".into(),
        seed: 1,
        arms: vec![Arm::Random],
        modalities: vec![Modality::Flair],
        evaluation: Evaluation {
            folds: 2,
            holdout_fraction: 0.3,
            bins: 8,
            selection: Selection::Auc,
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        },
        preprocessing: Preprocessing::TumourCrop { side: 8 },
        network: NetworkSpec { depth: Depth::D10, width: 1 },
        training: Training {
            rounds: 1,
            local_epochs: 1,
            batch_size: 2,
            learning_rate: 0.1,
            policy_learning_rate: 0.1,
            weight_decay: 0.0,
            temperature: 1.0,
            norm: NormMode::Batch,
            class_balance: ClassBalance::None,
            schedule: Schedule::Constant,
            transfer: Transfer::All,
            stem: StemMode::Frozen,
            augmentation: AugmentationSpec::default(),
            precision: Precision::F32,
        },
        federation: Federation {
            sites: vec!["a".parse().unwrap()],
            training_sites: vec![],
            quorum: 1,
            enrolment_secs: 1,
            deadline_secs: 1,
            absence_grace_secs: 1,
            fixed_point: FixedPoint { clip: 64, fraction_bits: 24 },
            duplicates: Duplicates::Ignore,
            wire: Wire::F32,
        },
    }
}

/// A study of these sites that excludes duplicates.
pub(crate) fn excluding(sites: &[&str], quorum: u16) -> Study {
    let sites = sites.iter().map(|site| site.parse().unwrap()).collect();
    let plain = study();
    let federation = Federation {
        sites,
        quorum,
        enrolment_secs: 1_000,
        deadline_secs: 100,
        duplicates: Duplicates::Exclude,
        ..plain.federation
    };
    Study { federation, ..plain }
}

/// So many different patients, known by names: of two lists the shorter is the beginning of the longer.
pub(crate) fn fingerprints(cases: usize) -> Vec<Fingerprint> {
    let named = |case: usize| FingerprintToken((case as u64).to_le_bytes());
    (0..cases).map(|case| Fingerprint { aliases: vec![named(case)], ..Fingerprint::default() }).collect()
}
