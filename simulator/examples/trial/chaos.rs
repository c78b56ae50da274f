//! Studies under everything that goes wrong at once: daemons killed and stopped, lines cut, a disk that fills up. Each
//! must end with the models of the calm study, to the bit.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use consilium_domain::{Digest, Lane, RandomStream, Round, Seed, SiteId, Study, Wire};
use consilium_protocol::coordinator::Event;

use crate::plan::{self, Size};
use crate::relay::Relay;
use crate::stage::{GLANCE, Process, Stage};

/// A study under chaos that takes longer stands still.
const PATIENCE: Duration = Duration::from_mins(15);
/// What a pass over one patient takes, so that a study lasts long enough to be disturbed.
const TRAINING: Duration = Duration::from_millis(100);
/// How long clients may go on after the coordinator has ended. One that was on its way back waits for the next study.
const FAREWELL: Duration = Duration::from_secs(5);
/// The disk of all daemons, where one can be mounted.
const DISK_BYTES: u64 = 64 << 20;
/// Seconds between two faults, and of one.
const BETWEEN: (f64, f64) = (0.3, 4.0);
const LASTING: (f64, f64) = (0.2, 12.0);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long it goes on: a study that is under way is brought to its end.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Sites.
    #[arg(long, default_value_t = 3)]
    sites: u16,
    /// What the faults are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The models of a study.
type Models = BTreeMap<(Lane, Round), Digest>;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillCoordinator,
    KillSite,
    StopCoordinator,
    StopSite,
    Cut,
    FillDisk,
}

/// Plays the calm study, then disturbed ones.
pub(crate) fn run(options: &Options) -> Result<()> {
    let names = plan::names(options.sites);
    let study = plan::study(&names, Size::Tiny, 6, Wire::Int8)?;
    let disk = Disk::mount()?;
    let began = Instant::now();
    let mut quiet = Play::begin(&study, &disk, None)?;
    let expected = quiet.play()?;
    drop(quiet);
    println!("the calm study has {} models and took {:.0} s", expected.len(), began.elapsed().as_secs_f64());
    let (mut studies, mut counts) = (0, BTreeMap::<Fault, u32>::new());
    while began.elapsed() < Duration::from_mins(options.minutes) {
        studies += 1;
        let seed = Seed::from_number(options.seed).derive(&format!("chaos {studies}"));
        let mut play = Play::begin(&study, &disk, Some(seed.stream()))?;
        let models = play.play().with_context(|| format!("study {studies} of seed {}", options.seed))?;
        let other = expected.iter().find(|(place, model)| models.get(place) != Some(model));
        if let Some(((lane, round), _)) = other {
            let (kept, notices) = (play.keep_logs()?, play.coordinator_notices());
            bail!(
                "study {studies} of seed {} has another model of {lane} round {round}, or none; see {}\n{notices}",
                options.seed,
                kept.display()
            );
        }
        for (fault, count) in &play.counts {
            *counts.entry(*fault).or_default() += count;
        }
        println!(
            "{studies} disturbed studies ended with the calm one's models after {:.1} minutes; faults so far: {counts:?}",
            began.elapsed().as_secs_f64() / 60.0
        );
    }
    Ok(())
}

/// A small disk of its own, where the system lets us mount one.
struct Disk {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl Disk {
    fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: no small disk can be mounted here, so that none will be full");
        }
        Ok(Self { folder, is_mounted })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Takes all space that is left.
    fn fill(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        let piece = vec![1; 64 << 10];
        // Until it is full.
        while std::io::Write::write_all(&mut ballast, &piece).is_ok() {}
        Ok(())
    }

    fn make_space(&self) -> Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg(self.folder.path()).status();
        }
    }
}

/// One study.
struct Play<'a> {
    stage: Stage,
    folder: PathBuf,
    disk: &'a Disk,
    listen: SocketAddr,
    coordinator: Daemon,
    sites: Vec<(SiteId, Relay, Daemon)>,
    /// What goes wrong is drawn from it; nothing does where it is none.
    random: Option<RandomStream>,
    next: Instant,
    counts: BTreeMap<Fault, u32>,
    /// Whose line is cut, or that the disk is full, until when.
    mending: Vec<(Instant, Mend)>,
}

/// How something that went wrong is put right.
#[derive(Debug, Clone, Copy)]
enum Mend {
    Line(usize),
    Space,
    WakeCoordinator,
    WakeSite(usize),
}

/// A process, or the time at which it is started again.
enum Daemon {
    Running(Process),
    Down(Instant),
    Finished,
}

impl<'a> Play<'a> {
    fn begin(study: &Study, disk: &'a Disk, random: Option<RandomStream>) -> Result<Self> {
        disk.make_space()?;
        let folder = disk.folder.path().join("study");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        let stage = Stage::set(&folder, study)?;
        let (process, listen) = stage.start_coordinator("127.0.0.1:0".parse()?)?;
        let mut play = Self {
            stage,
            folder,
            disk,
            listen,
            coordinator: Daemon::Running(process),
            sites: Vec::new(),
            random,
            next: Instant::now(),
            counts: BTreeMap::new(),
            mending: Vec::new(),
        };
        for name in &study.federation.sites {
            let relay = Relay::start(listen)?;
            let process = play.start_site(name, &relay)?;
            play.sites.push((name.clone(), relay, Daemon::Running(process)));
        }
        Ok(play)
    }

    fn start_site(&self, name: &SiteId, relay: &Relay) -> Result<Process> {
        self.stage.start_sites(std::slice::from_ref(name), relay.address(), TRAINING)
    }

    /// Lets it go on, disturbs it, and starts what has ended, until the coordinator is done.
    fn play(&mut self) -> Result<Models> {
        let began = Instant::now();
        while !matches!(self.coordinator, Daemon::Finished) {
            ensure!(
                began.elapsed() < PATIENCE,
                "the study stands still; see {}",
                self.keep_logs()?.display()
            );
            self.mend(Instant::now())?;
            self.start_what_is_down()?;
            self.disturb()?;
            std::thread::sleep(GLANCE);
        }
        self.mending.iter_mut().for_each(|(until, _)| *until = began);
        self.mend(Instant::now())?;
        let parting = Instant::now() + FAREWELL;
        while Instant::now() < parting {
            std::thread::sleep(GLANCE);
        }
        self.sites.clear();
        let models = self.stage.events()?.into_iter().filter_map(|(_, event)| match event {
            Event::RoundAggregated { lane, round, model, .. } => Some(((lane, round), model.digest)),
            _ => None,
        });
        Ok(models.collect())
    }

    /// Copies the logs to where they stay.
    fn keep_logs(&self) -> Result<PathBuf> {
        let kept = tempfile::tempdir()?.keep();
        copy(&self.folder.join("logs"), &kept)?;
        Ok(kept)
    }

    /// What the last coordinator has told.
    fn coordinator_notices(&self) -> String {
        fs::read_to_string(self.stage.logs().join("coordinator.stdout")).unwrap_or_default()
    }

    fn mend(&mut self, now: Instant) -> Result<()> {
        let (due, later) = self.mending.drain(..).partition(|(until, _)| *until <= now);
        self.mending = later;
        let due: Vec<(Instant, Mend)> = due;
        for (_, mend) in due {
            match mend {
                Mend::Line(site) => self.sites[site].1.cut(false),
                Mend::Space => self.disk.make_space()?,
                Mend::WakeCoordinator => wake(&self.coordinator),
                Mend::WakeSite(site) => wake(&self.sites[site].2),
            }
        }
        Ok(())
    }

    fn start_what_is_down(&mut self) -> Result<()> {
        let is_full = self.mending.iter().any(|(_, mend)| matches!(mend, Mend::Space));
        let random = &mut self.random;
        let mut rest = || random.as_mut().map_or(0.0, |random| random.between(0.0, 2.0));
        settle(&mut self.coordinator, &mut rest)?;
        for (_, _, daemon) in &mut self.sites {
            settle(daemon, &mut rest)?;
        }
        // On a full disk they would end again at once, as a supervisor would find out.
        if is_full {
            return Ok(());
        }
        if matches!(self.coordinator, Daemon::Down(until) if until <= Instant::now()) {
            self.coordinator = Daemon::Running(self.stage.start_coordinator(self.listen)?.0);
        }
        for site in 0..self.sites.len() {
            if matches!(self.sites[site].2, Daemon::Down(until) if until <= Instant::now()) {
                let process = self.start_site(&self.sites[site].0, &self.sites[site].1)?;
                self.sites[site].2 = Daemon::Running(process);
            }
        }
        Ok(())
    }

    fn disturb(&mut self) -> Result<()> {
        let now = Instant::now();
        // The coordinator may wait for sites that it has forgotten to have told: struck again and again it would for ever.
        if self.sites.iter().all(|(_, _, daemon)| matches!(daemon, Daemon::Finished)) {
            return Ok(());
        }
        let Some(mut random) = self.random.take() else { return Ok(()) };
        if now >= self.next {
            self.next = now + Duration::from_secs_f64(random.between(BETWEEN.0, BETWEEN.1));
            let site = random.below(self.sites.len());
            let until = now + Duration::from_secs_f64(random.between(LASTING.0, LASTING.1));
            let fault = match random.below(12) {
                0 | 1 => Fault::KillCoordinator,
                2..=4 => Fault::KillSite,
                5 => Fault::StopCoordinator,
                6 | 7 => Fault::StopSite,
                8..=10 => Fault::Cut,
                _ => Fault::FillDisk,
            };
            self.strike(fault, site, until)?;
        }
        self.random = Some(random);
        Ok(())
    }

    fn strike(&mut self, fault: Fault, site: usize, until: Instant) -> Result<()> {
        match (fault, &mut self.coordinator) {
            (Fault::KillCoordinator, Daemon::Running(process)) => {
                process.kill()?;
                self.coordinator = Daemon::Down(until.min(Instant::now() + Duration::from_secs(3)));
            }
            (Fault::StopCoordinator, Daemon::Running(process)) => {
                process.signal("STOP")?;
                self.mending.push((until, Mend::WakeCoordinator));
            }
            (Fault::KillSite, _) => {
                let Daemon::Running(process) = &mut self.sites[site].2 else { return Ok(()) };
                process.kill()?;
                self.sites[site].2 = Daemon::Down(until.min(Instant::now() + Duration::from_secs(3)));
            }
            (Fault::StopSite, _) => {
                let Daemon::Running(process) = &self.sites[site].2 else { return Ok(()) };
                process.signal("STOP")?;
                self.mending.push((until, Mend::WakeSite(site)));
            }
            (Fault::Cut, _) => {
                self.sites[site].1.cut(true);
                self.mending.push((until, Mend::Line(site)));
            }
            (Fault::FillDisk, _) if self.disk.is_mounted => {
                self.disk.fill()?;
                self.mending.push((until, Mend::Space));
            }
            _ => return Ok(()),
        }
        *self.counts.entry(fault).or_default() += 1;
        Ok(())
    }
}

/// Takes note of a daemon's end: a good one is its last, after any other it is started again.
fn settle(daemon: &mut Daemon, rest: &mut impl FnMut() -> f64) -> Result<()> {
    let Daemon::Running(process) = daemon else { return Ok(()) };
    if let Some(status) = process.has_ended()? {
        *daemon = if status.success() {
            Daemon::Finished
        } else {
            Daemon::Down(Instant::now() + Duration::from_secs_f64(rest()))
        };
    }
    Ok(())
}

/// A stopped process goes on; one that is gone does not mind.
fn wake(daemon: &Daemon) {
    if let Daemon::Running(process) = daemon {
        let _ = process.signal("CONT");
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
