//! `consilium-client check`: the data check on the command line.
//!
//! Only arguments, progress and printing; what is checked is `consilium_data::check`'s. Connects to nothing.
//!
//! Exit codes: 0 usable, 1 usable with errors or warnings to look at, 2 not usable (or a wrong command line),
//! 3 the command itself failed.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use consilium_data::Layout;
use consilium_data::check::{
    CheckOptions, Listing, Progress, Verdict, check, render_json, render_text, write_page,
};
use consilium_domain::{Design, Modality};
use consilium_process::describe;
use indicatif::{ProgressBar, ProgressStyle};

/// The exit code of a check that could not be carried out.
const FAILED: u8 = 3;

/// What `check` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// The folders with this hospital's scans.
    #[arg(long = "data", value_name = "DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// How they are organised: upenn-gbm, ucsf-pdgm, brats2021, brats2023 or manifest; see docs/layouts.md.
    #[arg(long)]
    layout: Layout,
    /// The folds of the study.
    #[arg(long, default_value_t = 5)]
    folds: u8,
    /// The share of each class that the study sets aside.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    holdout: f64,
    /// Who the study sets aside: k-fold, leave-one-site-out or temporal (docs/designs.md).
    #[arg(long, default_value = "k-fold")]
    design: Design,
    /// Look at these modalities only, such as t1gd,flair.
    #[arg(long, value_delimiter = ',')]
    modalities: Vec<Modality>,
    /// Read headers only: fast, and blind to what the voxels hold.
    #[arg(long)]
    headers_only: bool,
    /// List every problem, not the first few of each kind.
    #[arg(long)]
    all: bool,
    /// Print JSON (docs/check.md) instead of a table.
    #[arg(long, conflicts_with = "all")]
    json: bool,
    /// Also write a page with pictures of each case. It names patients: for this site's own eyes.
    #[arg(long, value_name = "FILE", conflicts_with = "headers_only")]
    page: Option<PathBuf>,
}

/// Runs `args` as the whole process.
pub(crate) fn check_process(args: &CheckArgs) -> ExitCode {
    match check_data(args) {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) => {
            eprintln!("error: {}", describe(error.as_ref()));
            ExitCode::from(FAILED)
        }
    }
}

fn check_data(args: &CheckArgs) -> anyhow::Result<Verdict> {
    let mut options = CheckOptions::new(args.folds, args.holdout)?.with_design(args.design);
    options.modalities.clone_from(&args.modalities);
    options.headers_only = args.headers_only;
    let bar = progress_bar()?;
    let show = |progress: Progress| {
        if progress.done == 1 {
            bar.reset_elapsed();
        }
        bar.set_message(progress.pass.name());
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
    };
    let report = check(args.layout, &args.data, &options, &show);
    if let Some(page) = &args.page {
        write_page(&report, page, &show)?;
    }
    bar.finish_and_clear();
    let listing = if args.all { Listing::All } else { Listing::Short };
    let text = if args.json { render_json(&report) + "\n" } else { render_text(&report, listing) };
    io::stdout()
        .write_all(text.as_bytes())
        .context("the report cannot be printed: check where it is sent")?;
    Ok(report.verdict())
}

/// On standard error, and only where that is a terminal.
fn progress_bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:>8} {wide_bar} {pos}/{len} {per_sec:>10} {eta:>4}")?;
    Ok(ProgressBar::no_length().with_style(style))
}
