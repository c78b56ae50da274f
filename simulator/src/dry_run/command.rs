//! `consilium simulate --dry-train`: from options to a plan.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use consilium_client::DRY_STUDY;
use consilium_domain::network::{TensorSpec, initial_values};
use consilium_domain::{Duplicates, Seed, Study};
use consilium_transport::Tuning;
use consilium_weights::Weights;

use super::{DryOutcome, DryRun, Faults, Kits, Links};

/// Virtual time after which a plan is given up: nobody runs a study for three years.
const LONGEST: Duration = Duration::from_hours(3 * 365 * 24);
/// How long clients of a plan may take to hear that its study is over: those that do not are not planned for.
const AFTERMATH: Duration = Duration::from_mins(2);
/// Patience of a plan's study with sites that are late or away: on real lines orders take hours.
const ENROLMENT_SECS: u32 = 7 * 86_400;
const DEADLINE_SECS: u32 = 86_400;
const ABSENCE_GRACE_SECS: u32 = 1_800;
/// A file system in memory, where nothing waits for a disk.
const MEMORY: &str = "/dev/shm";

/// Options of a dry run.
#[derive(Debug, Clone, Args)]
pub(crate) struct DryArgs {
    /// Do not train: play the study in virtual time, over a network in memory, to plan a consortium.
    #[arg(long, conflicts_with_all = ["site_data", "baselines", "weights", "checkpointing", "signal"])]
    pub(crate) dry_train: bool,
    /// With --dry-train: which lines, sizes and speeds the sites have.
    #[arg(long, value_enum, default_value = "fets", requires = "dry_train")]
    pub(crate) links: Links,
    /// With --dry-train: what goes wrong and when, as in `cut:3@10m+6m,loss:all@0s+1h=2%` (docs/dry-runs.md).
    #[arg(long, value_name = "FAULTS", requires = "dry_train")]
    pub(crate) faults: Option<Faults>,
    /// With --dry-train: where the daemons keep their state while it runs. By default in memory, where the system allows.
    #[arg(long, value_name = "DIR", requires = "dry_train")]
    pub(crate) scratch: Option<PathBuf>,
}

/// Plays `study` dry; `cases` overrides the sizes of the mix. What it shows is printed and written into `out`.
pub(crate) fn plan(
    args: &DryArgs,
    mut study: Study,
    cases: Option<u16>,
    out: &Path,
) -> anyhow::Result<ExitCode> {
    let plain = study.name.trim_end_matches("-phantoms").to_owned();
    study.name = format!("{plain}{DRY_STUDY}");
    study.federation.duplicates = Duplicates::Ignore;
    study.federation.enrolment_secs = ENROLMENT_SECS;
    study.federation.deadline_secs = DEADLINE_SECS;
    study.federation.absence_grace_secs = ABSENCE_GRACE_SECS;
    study.check()?;
    let scratch = scratch(args.scratch.as_deref())?;
    let seed = study.seed().derive("dry run");
    let mut sites = Vec::new();
    for (number, id) in (1..).zip(study.federation.sites.clone()) {
        let mut site = args.links.site(number, id, &seed);
        site.cases = cases.map_or(site.cases, u32::from);
        sites.push(site);
    }
    let kits = Kits::issue(&scratch.path().join("identities"), &study.federation.sites)?;
    let weights = stand_in(&study, &seed, scratch.path())?;
    let faults = args.faults.clone().unwrap_or_default();
    let centre = args.links.centre();
    let tuning = Tuning::default();
    let (longest, aftermath) = (LONGEST, AFTERMATH);
    let run = DryRun { study, weights, sites, centre, faults, seed, tuning, longest, aftermath };
    let played = run.play(&kits, &scratch.path().join("state"))?;
    let outcome = DryOutcome::of(&run, &played);
    let path = out.join("dry-run.json");
    let text = serde_json::to_string_pretty(&outcome).context("the plan cannot be expressed in JSON")?;
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("{outcome}\nplan: {}", path.display());
    Ok(if outcome.ended == "finished" { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// A folder that goes away at the end.
fn scratch(named: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let memory = Path::new(MEMORY);
    let made = match named {
        Some(folder) => tempfile::tempdir_in(folder),
        None if memory.is_dir() => tempfile::tempdir_in(memory),
        None => tempfile::tempdir(),
    };
    made.context("there is no place for the daemons' state: name one with --scratch")
}

/// A backbone of drawn numbers, as long as the real one, where the study fetches one.
fn stand_in(study: &Study, seed: &Seed, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !study.needs_base() {
        return Ok(None);
    }
    let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
    let values = manifest.iter().flat_map(|tensor| initial_values(tensor, seed)).collect();
    let path = folder.join("drawn-backbone.safetensors");
    std::fs::write(&path, Weights::new(manifest, values)?.to_safetensors())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Some(path))
}
