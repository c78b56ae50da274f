//! The command line of `consilium`. Without a command it simulates with the defaults.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use consilium_coordinator::weights::DEFAULT_STORE;
use consilium_data::Layout;
use consilium_domain::{Arm, ClassBalance, Design, Modality, Precision, Wire};
use consilium_process::describe;

use crate::baselines::Baseline;
use crate::dry_run::DryArgs;
use crate::preset::Preset;
use crate::{phantom, simulate};

/// Simulate a federation of hospitals that predict MGMT methylation from MRI.
#[derive(Debug, Parser)]
#[command(name = "consilium", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    simulate: SimulateArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole study: a coordinator and its sites as processes on this machine.
    Simulate(SimulateArgs),
    /// Write synthetic hospitals as folders in the UPENN-GBM layout.
    Phantom(PhantomArgs),
    /// What `simulate` starts as the coordinator.
    #[command(hide = true)]
    CoordinatorProcess(consilium_coordinator::cli::RunArgs),
    /// What `simulate` starts as a site.
    #[command(hide = true)]
    ClientProcess(consilium_client::cli::RunArgs),
    /// What a hospital says to its site while it runs.
    #[command(hide = true, subcommand)]
    ClientControl(consilium_client::cli::ControlCommand),
    /// `consilium-coordinator site`, for tests of whole consortia with one program.
    #[command(hide = true)]
    CoordinatorSite(consilium_coordinator::site_command::SiteArgs),
    /// `consilium-client join`, likewise.
    #[command(hide = true)]
    ClientJoin(consilium_client::JoinArgs),
}

/// Options of `consilium simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    /// Sizes and settings to start from; every other option overrides one of them.
    #[arg(long, value_enum, default_value = "demo")]
    pub(crate) preset: Preset,
    /// Number of synthetic hospitals.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=500), conflicts_with = "site_data")]
    pub(crate) sites: Option<u16>,
    /// Patients of each synthetic hospital.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=9999), conflicts_with = "site_data")]
    pub(crate) cases: Option<u16>,
    /// How clearly methylation shows in synthetic images: the d' between the classes (2.33: ideal AUC 0.95).
    #[arg(long, conflicts_with = "site_data")]
    pub(crate) signal: Option<f64>,
    /// A real hospital's folder, once for each site, instead of synthetic ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) site_data: Vec<PathBuf>,
    /// The layout of those folders: once for all, or once for each --site-data.
    #[arg(long, default_value = "upenn-gbm")]
    pub(crate) layout: Vec<Layout>,
    /// Arms to compare: spottune, medicalnet, random.
    #[arg(long, value_delimiter = ',')]
    pub(crate) arms: Option<Vec<Arm>>,
    /// Modalities, one network each: t1, t1gd, t2, flair, dti-*, dsc-*.
    #[arg(long, value_delimiter = ',')]
    pub(crate) modalities: Option<Vec<Modality>>,
    /// Cross-validation folds.
    #[arg(long)]
    pub(crate) folds: Option<u8>,
    /// Who is left out: k-fold, leave-one-site-out (as many folds as sites) or temporal (docs/designs.md).
    #[arg(long)]
    pub(crate) design: Option<Design>,
    /// Fit no logistic regression on age and sex at the end, which the presets demo and small do.
    #[arg(long)]
    pub(crate) no_clinical_baseline: bool,
    /// Rounds of every lane.
    #[arg(long)]
    pub(crate) rounds: Option<u16>,
    /// Passes over a site's patients in each round.
    #[arg(long)]
    pub(crate) local_epochs: Option<u16>,
    /// Pretrained MedicalNet backbone: a name or digest of imported weights (docs/weights.md), or a safetensors file.
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) weights: Option<PathBuf>,
    /// Folder of imported weights.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STORE)]
    pub(crate) weights_store: PathBuf,
    /// What trains: cpu, auto, or in a build with the feature gpu also wgpu and wgpu:INDEX.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Precision of the factors in training: f32, or bf16 for 16 bits.
    #[arg(long)]
    pub(crate) precision: Option<Precision>,
    /// What is done where one class has more patients: none, pos-weight or undersample.
    #[arg(long)]
    pub(crate) class_balance: Option<ClassBalance>,
    /// At evaluation, average so many sampled routings instead of taking the preferred one.
    #[arg(long)]
    pub(crate) route_samples: Option<u16>,
    /// Do not look for patients who are at several sites, or several times at one.
    #[arg(long)]
    pub(crate) keep_duplicates: bool,
    /// How exactly updates are told: f32 (without loss), bf16 or int8.
    #[arg(long)]
    pub(crate) wire: Option<Wire>,
    /// Train with less memory and more time; the result is the same.
    #[arg(long)]
    pub(crate) checkpointing: bool,

    /// Write where each process's time and memory go to profile/ of the output, for ui.perfetto.dev (docs/profiling.md)
    #[arg(long)]
    pub(crate) profile: bool,
    /// The number every random choice derives from.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Folder for everything the run writes; must not hold a run yet. By default the next free consilium-out/run-N.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What the models are compared with: every site trained alone, all patients pooled, the regression on age and sex, the
    /// majority class. Without names all that apply.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0..=1, value_name = "LIST")]
    pub(crate) baselines: Option<Vec<Baseline>>,
    #[command(flatten)]
    pub(crate) dry: DryArgs,
}

/// Options of `consilium phantom`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PhantomArgs {
    /// Folder to write site-1, site-2, ... into.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Number of hospitals.
    #[arg(long, default_value_t = 3)]
    pub(crate) sites: u16,
    /// Patients of each.
    #[arg(long, default_value_t = 60)]
    pub(crate) cases: u16,
    /// The d' between the classes; 2.33 is an ideal AUC of 0.95, 0 no signal at all.
    #[arg(long, default_value_t = 2.33)]
    pub(crate) signal: f64,
    /// The number every random choice derives from.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Modalities to write.
    #[arg(long, value_delimiter = ',', default_values_t = [Modality::T1gd, Modality::Flair])]
    pub(crate) modalities: Vec<Modality>,
    /// 240x240x155 voxels of 1 mm, as real scans have, instead of a small grid.
    #[arg(long)]
    pub(crate) full: bool,
}

/// The program.
pub fn main() -> ExitCode {
    let Cli { command, simulate } = Cli::parse();
    let result = match command.unwrap_or(Command::Simulate(simulate)) {
        Command::Simulate(args) => simulate::main(args),
        Command::Phantom(args) => phantom::main(&args),
        Command::CoordinatorProcess(args) => return consilium_coordinator::cli::run_process(args),
        Command::ClientControl(command) => return consilium_client::cli::control_process(command),
        Command::ClientProcess(args) => return consilium_client::cli::run_process(&args),
        Command::CoordinatorSite(command) => return consilium_coordinator::cli::site_process(command),
        Command::ClientJoin(args) => return consilium_client::cli::join_process(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", describe(error.as_ref()));
        ExitCode::FAILURE
    })
}
