//! Many sites at once on one machine: hundreds that are connected and idle beside a study of many that work.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use consilium_coordinator::Notice;
use consilium_domain::{SiteId, Wire};

use crate::plan::{self, Size};
use crate::stage::{GLANCE, Process, Stage};

/// How long the idle may take to come, and the active to finish.
const PATIENCE: Duration = Duration::from_mins(10);
/// Clients in one process: each holds a socket and some open files.
const SITES_A_PROCESS: usize = 50;
/// What a pass over one patient takes at an active site.
const TRAINING: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Sites that are enlisted and wait: one more is invited and never comes.
    #[arg(long, default_value_t = 499, value_parser = clap::value_parser!(u16).range(1..500))]
    idle: u16,
    /// Sites whose study runs to its end meanwhile.
    #[arg(long, default_value_t = 64)]
    active: u16,
    /// Rounds of each of its two lanes.
    #[arg(long, default_value_t = 5)]
    rounds: u16,
}

/// One study under way.
struct Crowd {
    coordinator: Process,
    sites: Vec<Process>,
}

impl Crowd {
    fn start(stage: &Stage, names: &[SiteId]) -> Result<Self> {
        let (coordinator, address) = stage.start_coordinator("127.0.0.1:0".parse()?)?;
        let groups = names.chunks(SITES_A_PROCESS);
        let sites = groups.map(|group| stage.start_sites(group, address, TRAINING)).collect::<Result<_>>()?;
        Ok(Self { coordinator, sites })
    }

    /// Sites that are enlisted, and that are connected.
    fn there(&self) -> Result<(u32, u32)> {
        let shown = self.coordinator.notices()?.into_iter().rev().find_map(|notice| match notice {
            Notice::Progress(progress) => Some((progress.enlisted, progress.connected)),
            _ => None,
        });
        Ok(shown.unwrap_or_default())
    }

    fn is_alive(&mut self) -> Result<()> {
        for process in self.sites.iter_mut().chain([&mut self.coordinator]) {
            ensure!(process.has_ended()?.is_none(), "a process has ended: {}", process.log());
        }
        Ok(())
    }
}

/// Runs both; prints what they took.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (idle, active) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let invited = plan::names(options.idle + 1);
    let idle = Stage::set(idle.path(), &plan::study(&invited, Size::Tiny, 1, Wire::F32)?)?;
    let names = plan::names(options.active);
    let active = Stage::set(active.path(), &plan::study(&names, Size::Tiny, options.rounds, Wire::F32)?)?;

    let began = Instant::now();
    let mut waiting = Crowd::start(&idle, &invited[..usize::from(options.idle)])?;
    while waiting.there()? != (options.idle.into(), options.idle.into()) {
        waiting.is_alive()?;
        ensure!(began.elapsed() < PATIENCE, "{:?} of {} came", waiting.there()?, options.idle);
        std::thread::sleep(GLANCE);
    }
    let came = began.elapsed();
    let began = Instant::now();
    let mut working = Crowd::start(&active, &names)?;
    working.coordinator.finish(PATIENCE)?;
    for site in &mut working.sites {
        site.finish(PATIENCE)?;
    }
    let worked = began.elapsed();
    waiting.is_alive()?;
    ensure!(waiting.there()?.1 == u32::from(options.idle), "an idle site was lost: {:?}", waiting.there()?);
    println!(
        "{} idle sites were enlisted after {:.1} s and are connected still; {} active ones finished {} rounds in {:.1} s; peak \
         memory of the coordinators {} and {} MiB",
        options.idle,
        came.as_secs_f64(),
        options.active,
        2 * options.rounds,
        worked.as_secs_f64(),
        waiting.coordinator.peak_mebibytes(),
        working.coordinator.peak_mebibytes()
    );
    Ok(())
}
