//! `consilium phantom`: synthetic hospitals on the disk.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use consilium_data::phantom::{Grid, PhantomCohort, PhantomReport};
use consilium_domain::Seed;

use crate::cli::PhantomArgs;

pub(crate) fn main(args: &PhantomArgs) -> anyhow::Result<ExitCode> {
    let cohort = PhantomCohort {
        sites: args.sites.into(),
        cases_per_site: args.cases.into(),
        signal: args.signal,
        seed: Seed::from_number(args.seed),
        grid: if args.full { Grid::Full } else { Grid::Small },
        modalities: args.modalities.clone(),
    };
    let report = write(&cohort, &args.out)?;
    for site in &report.sites {
        println!(
            "{}: {} methylated, {} unmethylated",
            site.folder.display(),
            site.counts.methylated,
            site.counts.unmethylated
        );
    }
    println!("{}", ideal(&report));
    Ok(ExitCode::SUCCESS)
}

/// Writes the sites, as many at a time as there are processors.
pub(crate) fn write(cohort: &PhantomCohort, out: &Path) -> anyhow::Result<PhantomReport> {
    cohort.write(out).with_context(|| format!("the phantoms cannot be written to {}", out.display()))
}

/// What nobody can beat on these patients.
pub(crate) fn ideal(report: &PhantomReport) -> String {
    let observed =
        report.observed_auc.map_or(String::new(), |auc| format!(" ({auc:.3} on these very patients)"));
    format!("an ideal observer reaches an AUC of {:.3}{observed}", report.ideal_auc)
}
