//! A small package for the tests of this crate: ResNet-10 of width 1, two modalities, two folds.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use consilium_certs::{Authority, Kit};
use consilium_domain::network::{Depth, NetworkSpec, StemMode, TensorSpec, Transfer, initial_values};
use consilium_domain::{
    Arm, AugmentationSpec, ClassBalance, ClinicalBaseline, Design, Duplicates, Evaluation, Federation,
    FixedPoint, Modality, ModalityGroup, NormMode, Precision, Preprocessing, Round, Schedule, Seed,
    Selection, Study, Training, Wire,
};
use consilium_weights::{Weights, initial_trainable};

use crate::card::{BaseNote, Card, CohortCard, GroupCard, PatientCounts, SiteCounts};
use crate::folder::model_places;
use crate::writer::{ExportedModel, PackageWriter, StudyFacts, WriteError};
use crate::{Figure, Figures, SigningKit, Verified};

/// The consortium of every sample.
static NORTH: LazyLock<(Authority, Kit)> = LazyLock::new(|| {
    let authority = Authority::create("North").unwrap();
    let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
    (authority, kit)
});

pub(crate) fn authority() -> &'static Authority {
    &NORTH.0
}

pub(crate) fn kit() -> &'static Kit {
    &NORTH.1
}

pub(crate) fn signing(kit: &Kit) -> SigningKit {
    SigningKit::from_pem(kit.ca_pem.clone(), &kit.certificate_pem, &kit.key_pem).unwrap()
}

pub(crate) fn study() -> Study {
    Study {
        name: "mgmt_pilot".into(),
        seed: 7,
        arms: vec![Arm::Spottune, Arm::Random],
        modalities: vec![Modality::T1gd, Modality::Flair],
        evaluation: Evaluation {
            folds: 2,
            holdout_fraction: 0.3,
            bins: 4,
            selection: Selection::Auc,
            route_samples: 0,
            design: Design::KFold,
            baseline: ClinicalBaseline::None,
        },
        preprocessing: Preprocessing::TumourCrop { side: 16 },
        network: NetworkSpec { depth: Depth::D10, width: 1 },
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

pub(crate) fn base() -> Weights {
    let manifest: Arc<[TensorSpec]> = study().network.backbone_tensors().into();
    let values = manifest.iter().flat_map(|t| initial_values(t, &Seed::from_number(9))).collect();
    Weights::new(manifest, values).unwrap()
}

/// The `number`-th model of an arm.
pub(crate) fn model(arm: Arm, number: u64) -> Weights {
    model_of(&study(), arm, number)
}

fn model_of(study: &Study, arm: Arm, number: u64) -> Weights {
    let tuning = study.training.tuning();
    initial_trainable(study.network, arm, tuning, &Seed::from_number(number), Some(&base())).unwrap()
}

pub(crate) fn facts() -> StudyFacts {
    let each = |each| PatientCounts { methylated: each, unmethylated: each };
    let range = Figure { value: 0.7, lower: 0.5, upper: 0.9 };
    let figures = Figures {
        patients: each(5),
        auc: Some(range),
        average_precision: None,
        threshold: Some(0.5),
        sensitivity: Some(range),
        specificity: Some(range),
        positive_predictive_value: None,
        negative_predictive_value: None,
        accuracy: None,
    };
    let cohort = |&modality: &Modality| CohortCard { modality, cross_validation: each(10), holdout: each(5) };
    let group = |ModalityGroup { name, members }| GroupCard {
        name,
        members,
        threshold: Some(0.5),
        validation: Figures { patients: each(10), ..figures },
        holdout: figures,
    };
    StudyFacts {
        software: "consilium test".into(),
        date: None,
        sites: SiteCounts { invited: 2, took_part: 2, work_without_a_site: 0 },
        cohort: study().modalities.iter().map(cohort).collect(),
        base: BaseNote { name: Some("resnet_10_23dataset".into()), licence: Some("MIT".into()) },
        groups: ModalityGroup::of_study(&study().modalities).into_iter().map(group).collect(),
    }
}

/// A writer that has everything but the facts.
pub(crate) fn filled(out: &Path, arm: Arm) -> Result<PackageWriter, WriteError> {
    filled_of(&study(), out, arm)
}

/// The same of another study.
pub(crate) fn filled_of(study: &Study, out: &Path, arm: Arm) -> Result<PackageWriter, WriteError> {
    let mut writer = PackageWriter::create(out, study, arm)?;
    if arm.is_pretrained() {
        writer.add_base(&base().to_safetensors())?;
    }
    for (number, (modality, fold)) in (0..).zip(model_places(study)) {
        let validation = (number == 0).then(|| facts().groups[0].validation);
        let safetensors = &model_of(study, arm, number).to_safetensors();
        writer.add_model(ExportedModel { modality, fold, round: Round(2), validation, safetensors })?;
    }
    Ok(writer)
}

pub(crate) fn write(out: &Path) -> Verified {
    filled(out, Arm::Spottune).unwrap().finish(facts(), &signing(kit())).unwrap()
}

/// The card of the sample.
pub(crate) fn card() -> Card {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("model")).package.card().clone()
}
