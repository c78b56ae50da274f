//! `consilium-coordinator report render`: the page and the tables of a report that is there already.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::report::{page_beside, read, write_csv, write_page, write_tensorboard};

/// What can be made of a report.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ReportCommand {
    /// Make the page (HTML) of a report.json, and its tables as CSV where --csv says so. Needs no network.
    Render(RenderArgs),
}

/// What `render` needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct RenderArgs {
    /// A report.json of a coordinator or a simulation.
    report: PathBuf,
    /// Where the page goes; by default beside the report, as .html.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Folder for every table as CSV; created where absent.
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Folder for the curves of every lane as TensorBoard's event files; created where absent.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
}

impl ReportCommand {
    /// Carries the command out.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Render(RenderArgs { report: path, html, csv, tensorboard }) = self;
        let report = read(&path)?;
        let page = html.unwrap_or_else(|| page_beside(&path));
        write_page(&report, &page)?;
        println!("{}", page.display());
        if let Some(folder) = csv {
            for table in write_csv(&report, &folder)? {
                println!("{}", table.display());
            }
        }
        if let Some(folder) = tensorboard {
            let lanes = write_tensorboard(&report, &folder)?.len();
            println!("{lanes} event files in {}", folder.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
