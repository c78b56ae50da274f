//! The studies of trials: one modality, one arm, two folds, and a network of the size that is asked for.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use consilium_client::DRY_STUDY;
use consilium_coordinator::read_study;
use consilium_domain::network::{Depth, NetworkSpec};
use consilium_domain::{Arm, Duplicates, Modality, SiteId, Study, Wire};

/// How long invited sites may take: trials start them all at once.
const ENROLMENT_SECS: u32 = 600;
/// How long a site may be silent, and away: longer than any trial stops or cuts it off.
const PATIENCE_SECS: u32 = 1_800;

/// A network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// ResNet-50 as wide as MedicalNet's: 46 million values, all of which travel.
    Large,
    /// ResNet-10 with one channel: some hundred values.
    Tiny,
}

/// The names of `count` sites.
pub(crate) fn names(count: u16) -> Vec<SiteId> {
    (1..=count).map(|number| format!("site-{number}").parse().expect("a name")).collect()
}

/// A study of `sites` with so many rounds in each of two lanes.
pub(crate) fn study(sites: &[SiteId], size: Size, rounds: u16, wire: Wire) -> anyhow::Result<Study> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study = read_study(&sample).context("the sample study")?;
    study.name = format!("trial{DRY_STUDY}");
    study.arms = vec![Arm::Random];
    study.modalities = vec![Modality::T1gd];
    study.network = match size {
        Size::Large => NetworkSpec { depth: Depth::D50, width: 64 },
        Size::Tiny => NetworkSpec { depth: Depth::D10, width: 1 },
    };
    study.training.rounds = rounds;
    study.training.local_epochs = 1;
    study.evaluation.folds = 2;
    let federation = &mut study.federation;
    federation.sites = sites.to_vec();
    federation.training_sites.clear();
    // Nobody may be missing: then every calm run has the same models.
    federation.quorum = u16::try_from(sites.len())?;
    federation.duplicates = Duplicates::Ignore;
    federation.enrolment_secs = ENROLMENT_SECS;
    federation.deadline_secs = PATIENCE_SECS;
    federation.absence_grace_secs = PATIENCE_SECS;
    federation.wire = wire;
    study.check()?;
    Ok(study)
}

/// Bytes of the model that travels, as 32-bit floats.
pub(crate) fn payload(study: &Study) -> usize {
    study.trainable_tensors(Arm::Random).iter().map(|tensor| 4 * tensor.values()).sum()
}
