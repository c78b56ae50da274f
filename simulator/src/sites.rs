//! The hospitals of a simulation: synthetic ones, or folders that were named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use consilium_data::phantom::{PhantomCohort, PhantomReport, PhantomSite};
use consilium_data::{Cohort, Layout};
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
    /// Of all of them.
    pub(crate) layout: Layout,
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

/// The folders given with `--site-data`, once each is known to be in its layout. Only names are looked at.
///
/// A client would find out too, but the others would wait for it until the end of the enrolment.
pub(crate) fn named_folders(args: &SimulateArgs, pooled: bool) -> anyhow::Result<Vec<(PathBuf, Layout)>> {
    let layouts = layouts(args)?;
    let mut folders = Vec::new();
    for (folder, layout) in args.site_data.iter().zip(layouts) {
        if !layout.admits(folder) {
            bail!("--site-data {} is not a folder", folder.display());
        }
        let found =
            folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
        Cohort::open(layout, std::slice::from_ref(&found))?;
        folders.push((found, layout));
    }
    if let (true, Some(&(_, layout))) = (pooled, folders.first()) {
        // The pooled baseline has all folders at one site, which may not hold a patient twice.
        let together: Vec<PathBuf> = folders.iter().map(|(folder, _)| folder.clone()).collect();
        Cohort::open(layout, &together)?;
    }
    Ok(folders)
}

/// One layout for each folder.
fn layouts(args: &SimulateArgs) -> anyhow::Result<Vec<Layout>> {
    let (folders, named) = (args.site_data.len(), args.layout.as_slice());
    match named {
        [one] => Ok(vec![*one; folders]),
        several if several.len() != folders => {
            bail!(
                "--layout is given {} times for {folders} folders: give it once, or for each",
                several.len()
            )
        }
        several => Ok(several.to_vec()),
    }
}

/// The sites over `folders`, or synthetic ones, which are written to `out`, with the word on what an ideal observer
/// reaches.
pub(crate) fn prepare(
    args: &SimulateArgs,
    folders: Vec<(PathBuf, Layout)>,
    study: &Study,
    out: &Path,
) -> anyhow::Result<(Vec<Site>, Option<PhantomReport>)> {
    let names = study.federation.sites.iter().cloned();
    if !folders.is_empty() {
        let sites =
            names.zip(folders).map(|(id, (folder, layout))| Site { id, folders: vec![folder], layout });
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
    let site = |(id, site): (SiteId, &PhantomSite)| Site {
        id,
        folders: vec![site.folder.clone()],
        layout: Layout::UpennGbm,
    };
    let sites = names.zip(&report.sites).map(site);
    Ok((sites.collect(), Some(report)))
}
