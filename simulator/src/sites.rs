//! The hospitals of a simulation: synthetic ones, or folders that were named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use consilium_data::Cohort;
use consilium_data::phantom::{PhantomCohort, PhantomReport};
use consilium_domain::{Seed, SiteId, Study};

use crate::cli::SimulateArgs;
use crate::phantom;

/// Signal of synthetic hospitals unless another is asked for: an ideal AUC of 0.95.
const DEFAULT_SIGNAL: f64 = 2.33;

/// One hospital.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) folders: Vec<PathBuf>,
}

/// The names of the sites: `site-1`, `site-2`, ...
pub(crate) fn names(args: &SimulateArgs) -> Vec<SiteId> {
    let (sites, _) = args.preset.cohort();
    let count =
        if args.site_data.is_empty() { args.sites.unwrap_or(sites).into() } else { args.site_data.len() };
    (1..=count)
        .map(|number| format!("site-{number}").parse().expect("a name of letters and digits"))
        .collect()
}

/// The folders given with `--site-data`, once each is known to be in the layout. Only names are looked at.
///
/// A client would find out too, but the others would wait for it until the end of the enrolment.
pub(crate) fn named_folders(args: &SimulateArgs) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for folder in &args.site_data {
        if !args.layout.admits(folder) {
            bail!("--site-data {} is not a folder", folder.display());
        }
        folders
            .push(folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?);
    }
    // The baselines pool all folders at one site, which may not hold a patient twice.
    let folders_a_site = if args.baselines { folders.len().max(1) } else { 1 };
    for folders in folders.chunks(folders_a_site) {
        Cohort::open(args.layout, folders)?;
    }
    Ok(folders)
}

/// The sites over `folders`, or synthetic ones, which are written to `out`, with the word on what an ideal observer
/// reaches.
pub(crate) fn prepare(
    args: &SimulateArgs,
    folders: Vec<PathBuf>,
    study: &Study,
    out: &Path,
) -> anyhow::Result<(Vec<Site>, Option<PhantomReport>)> {
    let names = study.federation.sites.iter().cloned();
    if !folders.is_empty() {
        let sites = names.zip(folders).map(|(id, folder)| Site { id, folders: vec![folder] });
        return Ok((sites.collect(), None));
    }
    let cohort = PhantomCohort {
        sites: study.federation.sites.len(),
        cases_per_site: args.cases.unwrap_or(args.preset.cohort().1).into(),
        signal: args.signal.unwrap_or(DEFAULT_SIGNAL),
        seed: Seed::from_number(study.seed),
        grid: args.preset.grid(),
        modalities: study.modalities.clone(),
    };
    println!("writing {} synthetic hospitals of {} patients", cohort.sites, cohort.cases_per_site);
    let report = phantom::write(&cohort, &out.join("phantoms"))?;
    println!("{}", phantom::ideal(&report));
    let sites = names.zip(&report.sites).map(|(id, site)| Site { id, folders: vec![site.folder.clone()] });
    Ok((sites.collect(), Some(report)))
}
