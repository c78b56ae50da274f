//! `consilium-client predict`: a finished study's models on new scans, on the command line.
//!
//! Only arguments and printing; who asks the models is `forecasting`. Connects to nothing.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use consilium_data::{Layout, Subject};
use consilium_domain::Seed;
use consilium_model::{ComputeDevice, Routes};
use consilium_package::Package;

use crate::forecasting::{Forecast, Predictor, RESEARCH_ONLY, write_inputs, write_table};

/// Sampled routings derive from this number, so that the same scan gets the same answer.
const ROUTE_SEED: u64 = 1;

/// What `predict` needs.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("scans").required(true).args(["case", "data"])))]
pub(crate) struct PredictArgs {
    /// The model package: the folder that `consilium-coordinator model export` wrote.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder of one scan.
    #[arg(long, value_name = "DIR")]
    case: Option<PathBuf>,
    /// A folder with many scans; the answers are comma-separated values.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How files are named; recognised where it is not given. See docs/layouts.md.
    #[arg(long)]
    layout: Option<Layout>,
    /// Where the values of --data go; standard output where it is not given.
    #[arg(long, value_name = "FILE", requires = "data")]
    csv: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, conflicts_with = "data")]
    json: bool,
    /// Also write the networks' inputs of the scan to this new safetensors file, for other programs. They are the
    /// patient's images.
    #[arg(long, value_name = "FILE", requires = "case")]
    save_inputs: Option<PathBuf>,
    /// Average so many sampled routings instead of taking the preferred one; by default as in the study.
    #[arg(long, value_name = "N")]
    route_samples: Option<NonZeroU16>,
    /// The processor to compute on.
    #[arg(long, default_value = "auto")]
    device: ComputeDevice,
}

/// Carries out `args`.
pub(crate) fn predict(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let routes = args
        .route_samples
        .map_or(Routes::Preferred, |count| Routes::Sampled { count, seed: Seed::from_number(ROUTE_SEED) });
    let package = Package::open(&args.model)?;
    let predictor = Predictor::new(package, args.device.clone(), routes)?;
    match (&args.case, &args.data) {
        (Some(case), _) => {
            let subject = Subject::in_folder(case, args.layout)?;
            if let Some(path) = &args.save_inputs {
                write_inputs(path, &predictor.inputs(&subject)?)
                    .with_context(|| format!("{} cannot be written: name a new file", path.display()))?;
            }
            one(&predictor, subject, args.json)
        }
        (None, Some(data)) => many(&predictor, data, args),
        (None, None) => bail!("name a scan with --case, or a folder of scans with --data"),
    }
}

fn one(predictor: &Predictor, subject: Subject, json: bool) -> anyhow::Result<ExitCode> {
    let mut answers = predictor.predict(&[subject])?;
    let forecast = answers.pop().context("one scan has one answer")??;
    if json {
        println!("{}", serde_json::to_string_pretty(&forecast)?);
    } else {
        println!("Study {}, arm {}", predictor.card().name, predictor.card().arm);
        println!("{forecast}");
    }
    Ok(ExitCode::SUCCESS)
}

fn many(predictor: &Predictor, data: &std::path::Path, args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let subjects = Subject::all_in(data, args.layout)?;
    let answers = predictor.predict(&subjects.found)?;
    let asked = subjects.found.iter().zip(&answers).map(|(subject, answer)| {
        let answer: Result<&Forecast, String> = answer.as_ref().map_err(ToString::to_string);
        (subject.name.reveal(), answer)
    });
    let left_out = subjects.left_out.iter().map(|scan| (scan.name.reveal(), Err(scan.reason.to_string())));
    let rows: Vec<_> = asked.chain(left_out).collect();
    let modalities = &predictor.card().modalities;
    match &args.csv {
        Some(path) => {
            let file = std::fs::File::create_new(path)
                .with_context(|| format!("{} cannot be made: name a new file", path.display()))?;
            write_table(file, modalities, rows)?;
            println!("{} scans in {}", subjects.found.len() + subjects.left_out.len(), path.display());
        }
        None => write_table(std::io::stdout().lock(), modalities, rows)?,
    }
    eprintln!("{RESEARCH_ONLY}");
    let failed = subjects.left_out.len() + answers.iter().filter(|answer| answer.is_err()).count();
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
