//! `consilium simulate`: from options to a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use consilium_coordinator::report::{page_beside, write_page};
use consilium_coordinator::weights::{WeightsStore, given_weights};
use consilium_domain::network::TensorSpec;
use consilium_domain::{Design, Duplicates, Study};
use consilium_model::ComputeDevice;
use consilium_process::shutdown_signal;
use consilium_weights::Weights;

use crate::baselines::{Baseline, Choice};
use crate::cli::SimulateArgs;
use crate::consortium::Consortium;
use crate::report::{PretrainedWeights, Simulation, SimulationReport};
use crate::{baselines, dry_run, sites, stand_in};

/// Runs the simulation; Ctrl-C stops it with every process it started.
pub(crate) fn main(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    if args.dry.dry_train {
        let (study, _) = study(&args)?;
        let out = create_out(args.out.as_deref())?;
        return dry_run::plan(&args.dry, study, args.cases, &out);
    }
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let code = runtime.block_on(async {
        tokio::select! {
            result = simulate(args) => result,
            () = shutdown_signal(false) => {
                eprintln!("\ninterrupted; every process was stopped");
                Ok(ExitCode::from(130))
            }
        }
    });
    runtime.shutdown_background();
    code
}

async fn simulate(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (study, choice) = study(&args)?;
    study.check()?;
    let device: ComputeDevice = args.device.parse()?;
    // Everything that can be refused is refused before anything is written.
    let folders = sites::named_folders(&args, choice.has(Baseline::Pooled))?;
    let given = pretrained_file(&args, &study)?;
    let out = create_out(args.out.as_deref())?;
    println!("everything this run writes is in {}", out.display());
    println!("device: {device}");
    let prepared = {
        let (args, study, out) = (args.clone(), study.clone(), out.clone());
        tokio::task::spawn_blocking(move || {
            let (sites, phantoms) = sites::prepare(&args, folders, &study, &out)?;
            let weights = weights(given, &study, &out, &device)?;
            anyhow::Ok((sites, phantoms, weights))
        })
    };
    let (sites, phantoms, (weights, source)) = prepared.await??;
    let lanes = study.lanes().len();
    println!("{} sites, {lanes} lanes of {} rounds", sites.len(), study.training.rounds);
    let consortium = Consortium {
        folder: out.clone(),
        study,
        sites,
        weights,
        device: args.device,
        checkpointing: args.checkpointing,
        profile: args.profile,
    };
    let federated = consortium.run("federated training").await?;
    let finished = federated.outcome.status == "finished";
    let baselines = match finished {
        true => baselines::run(&consortium, &choice).await?,
        false => None,
    };
    let simulation = Simulation {
        weights: source,
        ideal_auc: phantoms.as_ref().map(|phantoms| phantoms.ideal_auc),
        ideal_auc_on_these_patients: phantoms.and_then(|phantoms| phantoms.observed_auc),
        baselines,
        seconds: began.elapsed().as_secs_f64(),
    };
    let report = SimulationReport { federated, simulation };
    let path = out.join("report.json");
    let text = serde_json::to_string_pretty(&report).context("the report cannot be expressed in JSON")?;
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    let page = page_beside(&path);
    write_page(&report.federated, &page)?;
    println!("{report}\nreport: {}, {:.0} s in all", path.display(), report.simulation.seconds);
    println!("page: {}", page.display());
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The preset with the options' changes, and what its models are compared with.
fn study(args: &SimulateArgs) -> anyhow::Result<(Study, Choice)> {
    if args.seed > i64::MAX as u64 {
        bail!("--seed must be at most {}: study files cannot hold more", i64::MAX);
    }
    let mut study = args.preset.study(args.seed, sites::names(args));
    if args.site_data.is_empty() {
        // The name is on the report and on every model package: nobody shall take phantoms for patients.
        study.name.push_str("-phantoms");
    }
    if let Some(arms) = &args.arms {
        study.arms.clone_from(arms);
    }
    if let Some(modalities) = &args.modalities {
        study.modalities.clone_from(modalities);
    }
    study.evaluation.folds = args.folds.unwrap_or(study.evaluation.folds);
    if let Some(design) = args.design {
        study.evaluation.design = design;
        if design == Design::LeaveOneSiteOut {
            study.evaluation.folds = u8::try_from(study.federation.sites.len()).unwrap_or(u8::MAX);
        }
    }
    let choice = baselines::chosen(args, &mut study)?;
    study.training.rounds = args.rounds.unwrap_or(study.training.rounds);
    study.training.local_epochs = args.local_epochs.unwrap_or(study.training.local_epochs);
    study.training.precision = args.precision.unwrap_or(study.training.precision);
    study.training.class_balance = args.class_balance.unwrap_or(study.training.class_balance);
    study.evaluation.route_samples = args.route_samples.unwrap_or(study.evaluation.route_samples);
    study.federation.wire = args.wire.unwrap_or(study.federation.wire);
    if args.keep_duplicates {
        study.federation.duplicates = Duplicates::Ignore;
    }
    Ok((study, choice))
}

/// The file that `--weights` means, once it is known to fit. `None` where no arm needs it, or where a stand-in can
/// take its place.
fn pretrained_file(args: &SimulateArgs, study: &Study) -> anyhow::Result<Option<PathBuf>> {
    if !study.needs_base() {
        return match &args.weights {
            Some(_) => bail!(
                "--weights is of no use: no pretrained arm is compared; leave it out, or name other --arms"
            ),
            None => Ok(None),
        };
    }
    let Some(given) = &args.weights else {
        stand_in::input_side(study)?;
        return Ok(None);
    };
    let path = given_weights(given, &WeightsStore::new(&args.weights_store), study.network)?;
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest: Arc<[TensorSpec]> = study.network.backbone_tensors().into();
    Weights::from_safetensors(&bytes, manifest)
        .with_context(|| format!("{} does not fit the preset's network", path.display()))?;
    let path = path.canonicalize().with_context(|| format!("{} cannot be opened", path.display()))?;
    Ok(Some(path))
}

/// The pretrained backbone as a file, and where it came from.
fn weights(
    given: Option<PathBuf>,
    study: &Study,
    out: &Path,
    device: &ComputeDevice,
) -> anyhow::Result<(Option<PathBuf>, PretrainedWeights)> {
    if !study.needs_base() {
        return Ok((None, PretrainedWeights::None));
    }
    if given.is_some() {
        return Ok((given, PretrainedWeights::File));
    }
    println!(
        "no MedicalNet file was given (--weights FILE): a small stand-in backbone is pretrained on phantoms;"
    );
    println!("it shows how transfer works, and says nothing about MedicalNet");
    let path = out.join("stand-in-backbone.safetensors");
    let weights = stand_in::pretrain(study, device)?;
    std::fs::write(&path, weights.to_safetensors())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok((Some(path), PretrainedWeights::StandIn))
}

/// The folder of this run: the one named, which must not hold a run, or the next free `consilium-out/run-N`.
fn create_out(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = match named {
        Some(folder) if folder.join("study.toml").exists() => {
            bail!("{} holds a run already: name another folder with --out", folder.display())
        }
        Some(folder) => folder.to_owned(),
        None => (1u32..)
            .map(|number| Path::new("consilium-out").join(format!("run-{number}")))
            .find(|folder| !folder.exists())
            .context("no free folder under consilium-out")?,
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))
}
