//! What a round takes: the coordinator and its sites over loopback, as fast as they can, without any training.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use consilium_coordinator::EventLog;
use consilium_domain::{SiteId, Wire};
use consilium_protocol::coordinator::Event;
use serde_json::json;

use crate::plan::{self, Size};
use crate::stage::{GLANCE, Process, Stage};

/// A round that takes longer is none.
const PATIENCE: Duration = Duration::from_mins(20);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Sites, each a process.
    #[arg(long, default_value_t = 2)]
    sites: u16,
    /// Rounds of each of two lanes.
    #[arg(long, default_value_t = 4)]
    rounds: u16,
    /// The network.
    #[arg(long, value_enum, default_value = "large")]
    model: Size,
    /// How updates travel.
    #[arg(long, value_enum, default_value = "f32")]
    wire: WireChoice,
    /// Where the daemons keep their state; else in the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WireChoice {
    F32,
    Bf16,
    Int8,
}

impl From<WireChoice> for Wire {
    fn from(choice: WireChoice) -> Self {
        match choice {
            WireChoice::F32 => Self::F32,
            WireChoice::Bf16 => Self::Bf16,
            WireChoice::Int8 => Self::Int8,
        }
    }
}

/// Measures, and prints one line of JSON.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = match &options.scratch {
        Some(scratch) => tempfile::tempdir_in(scratch)?,
        None => tempfile::tempdir()?,
    };
    let names = plan::names(options.sites);
    let wire = Wire::from(options.wire);
    let study = plan::study(&names, options.model, options.rounds, wire)?;
    let stage = Stage::set(folder.path(), &study)?;
    let began = Instant::now();
    let (mut coordinator, address) = stage.start_coordinator("127.0.0.1:0".parse()?)?;
    let start = |name: &SiteId| stage.start_sites(std::slice::from_ref(name), address, Duration::ZERO);
    let mut sites = names.iter().map(start).collect::<Result<Vec<_>>>()?;
    wait_for_models(&stage, &names, &mut coordinator)?;
    let first_model = began.elapsed().as_secs_f64();
    // All are looked at: what has ended tells nothing of its memory any more.
    while coordinator.has_ended()?.is_none() {
        ensure!(began.elapsed() < PATIENCE, "the rounds do not end: {}", coordinator.log());
        sites.iter_mut().try_for_each(|site| site.has_ended().map(drop))?;
        std::thread::sleep(GLANCE);
    }
    coordinator.finish(PATIENCE)?;
    for site in &mut sites {
        site.finish(PATIENCE)?;
    }
    let rounds = rounds(&stage)?;
    let (first, last) = rounds.first().zip(rounds.last()).context("no round was closed")?;
    let seconds_per_round = (last - first) / (rounds.len() - 1).max(1) as f64;
    let (payload, bytes) = (plan::payload(&study), bytes(&stage, &names)?);
    // Every round of every lane moves the model down and an update up at every site; the model of the last round goes down
    // too, for the hold-out, and those before stay in the site's cache from round to validation.
    let ideal = payload as f64 * 2.0 * f64::from(options.sites) * rounds.len() as f64;
    println!(
        "{}",
        json!({
            "peer": "consilium", "sites": options.sites, "model": format!("{:?}", options.model).to_lowercase(),
            "wire": wire.name(), "payload_MB": payload as f64 / 1e6, "rounds": rounds.len(),
            "s_per_round": seconds_per_round, "startup_to_all_first_model_s": first_model,
            "coordinator_peak_MiB": coordinator.peak_mebibytes(),
            "site_peak_MiB": sites.iter().map(Process::peak_mebibytes).max(),
            "wire_x_ideal": bytes as f64 / ideal,
        })
    );
    Ok(())
}

/// Waits until every site holds a model.
fn wait_for_models(stage: &Stage, names: &[SiteId], coordinator: &mut Process) -> Result<()> {
    let holds_one = |name: &SiteId| {
        let folders = std::fs::read_dir(stage.site(name).join("blobs")).into_iter().flatten().flatten();
        // The waiting room has a longer name.
        let mut finished = folders.filter(|folder| folder.file_name().len() == 2);
        finished.any(|folder| std::fs::read_dir(folder.path()).is_ok_and(|mut files| files.next().is_some()))
    };
    while !names.iter().all(holds_one) {
        ensure!(coordinator.has_ended()?.is_none(), "the coordinator has ended: {}", coordinator.log());
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

/// When rounds were closed with their model, in seconds.
fn rounds(stage: &Stage) -> Result<Vec<f64>> {
    let closed = |event: &Event| matches!(event, Event::RoundAggregated { .. });
    let events = stage.events()?;
    Ok(events.iter().filter(|(_, event)| closed(event)).map(|(at, _)| at.0 as f64 / 1e3).collect())
}

/// Bytes of UDP payload that the coordinator exchanged with its sites.
fn bytes(stage: &Stage, names: &[SiteId]) -> Result<u64> {
    let accounts = tokio::runtime::Runtime::new()?.block_on(async {
        let (log, _) = EventLog::open(&stage.coordinator().join("events.sqlite")).await?;
        log.accounts(names).await
    })?;
    Ok(accounts.values().map(|traffic| traffic.bytes_sent + traffic.bytes_received).sum())
}
