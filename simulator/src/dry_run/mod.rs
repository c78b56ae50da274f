//! A whole study in virtual time: the coordinator's and the clients' own code, QUIC and all, over a network in memory,
//! with training replaced by waiting ([`DryTraining`]).
//!
//! Hours pass in seconds, because time jumps to whatever happens next: tokio's clock is paused, and everybody's time is
//! taken from it. It is for plans (`consilium simulate --dry-train`) and for tests of bad networks. What is real: both
//! daemons, TLS, QUIC, the event log, the audit logs, the sums. What is not: the network, the clock, and the answers.
//!
//! It runs on one thread beside those that wait for the disk. The same seed draws the same network; which of two things
//! that happen at one instant comes first is the machine's to say. See docs/dry-runs.md.

mod command;
mod ether;
mod faults;
mod links;
mod outcome;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use consilium_certs::Authority;
use consilium_client::{BusyMeter, Clock, DryTraining, Ending, PolicyFile, RunOptions, TransferLimits};
use consilium_coordinator::registry::Terms;
use consilium_coordinator::weights::WeightsStore;
use consilium_coordinator::{DaemonError, EventLog, NoticeFormat, Surroundings, WallClock};
use consilium_data::{CachePrecision, CacheSettings, Layout};
use consilium_domain::{Seed, SiteId, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::Event;
use consilium_transport::{Dialler, LinkChoice, ProxyChoice, Tuning};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

pub(crate) use command::{DryArgs, plan};
pub use ether::Usage;
use ether::{COORDINATOR, Ether};
pub use faults::{Fault, Faults, Spell, UnknownFault, Whom};
pub use links::{DrySite, Line, Links};
pub use outcome::{DryOutcome, SiteOutcome};

/// When every dry run begins: a date that is easy to recognise in a log (15 January 2027, 8:00 UTC).
const BEGINNING: Timestamp = Timestamp(1_800_000_000_000);
/// How long the goodbyes of a stopped coordinator may take, and how often it is looked whether they are over.
const HELD_LONGEST: Duration = Duration::from_mins(5);
const HELD_LOOK: Duration = Duration::from_millis(100);

/// What is to be played.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// The study. Its name must end in [`consilium_client::DRY_STUDY`].
    pub study: Study,
    /// A stand-in for the pretrained backbone, where the study needs one.
    pub weights: Option<PathBuf>,
    /// The sites, in the order of their numbers.
    pub sites: Vec<DrySite>,
    /// The coordinator's own line.
    pub centre: Line,
    /// What goes wrong.
    pub faults: Faults,
    /// What the network draws from.
    pub seed: Seed,
    /// How connections behave, at both ends.
    pub tuning: Tuning,
    /// Virtual time after which the run is given up.
    pub longest: Duration,
    /// How long clients may take to end after the coordinator has.
    pub aftermath: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// Every event of the coordinator's log.
    pub events: Vec<(Timestamp, Event)>,
    /// When the study ended, counted from its beginning.
    pub makespan: Duration,
    /// What each site did.
    pub sites: Vec<SitePlayed>,
}

/// What a site did.
#[derive(Debug)]
pub struct SitePlayed {
    /// How its client ended; `None` where it still ran after the run's aftermath.
    pub ending: Option<Ending>,
    /// Time it worked.
    pub busy: Duration,
    /// What its line carried from it.
    pub up: Usage,
    /// What its line carried to it.
    pub down: Usage,
}

/// Certificates for a coordinator and its sites, in a folder.
#[derive(Debug, Clone)]
pub struct Kits(PathBuf);

impl Kits {
    /// Issues them into `folder`.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn issue<'a>(folder: &Path, sites: impl IntoIterator<Item = &'a SiteId>) -> anyhow::Result<Self> {
        let authority = Authority::create("dry run")?;
        authority.issue_coordinator::<&str>(&[])?.write(&folder.join("coordinator"))?;
        for site in sites {
            authority.issue_site(site)?.write(&folder.join(site.as_str()))?;
        }
        Ok(Self(folder.to_owned()))
    }

    fn of(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl DryRun {
    /// Plays it to its end, with all state in `folder`, which must be empty. Takes this thread; must not be called on a
    /// runtime's.
    ///
    /// # Errors
    /// Where a daemon fails, or the study does not end in [`Self::longest`].
    pub fn play(&self, kits: &Kits, folder: &Path) -> anyhow::Result<Played> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            // Nothing comes from the system: without its news a jump in time costs no call.
            .enable_time()
            .start_paused(true)
            .build()
            .context("the runtime cannot be started")?;
        let played = LocalSet::new().block_on(&runtime, self.run(kits, folder));
        runtime.shutdown_background();
        played
    }

    async fn run(&self, kits: &Kits, folder: &Path) -> anyhow::Result<Played> {
        let began = Instant::now();
        let ether = Ether::new(&self.sites, self.centre, self.faults.clone(), &self.seed);
        let mut postman = JoinSet::new();
        postman.spawn(ether.clone().deliver());
        let (mut clients, mut meters) = (JoinSet::new(), Vec::new());
        for (number, site) in (1u16..).zip(&self.sites) {
            let meter = BusyMeter::default();
            meters.push(meter.clone());
            let client = Client {
                config: self.client_config(site, kits, folder)?,
                options: self.run_options(number, site, meter, &ether, began),
                stops: self.faults.stops_of_site(number),
                began,
            };
            clients.spawn_local(async move { (number, client.live().await) });
        }
        let state = folder.join("coordinator");
        let conducted = timeout_at(began + self.longest, self.conduct(kits, folder, &state, &ether, began));
        conducted
            .await
            .map_err(|_| anyhow::anyhow!("the study has not ended after {:?}", self.longest))??;
        let mut endings: Vec<Option<Ending>> = vec![None; self.sites.len()];
        let parting = Instant::now() + self.aftermath;
        while let Ok(Some(ended)) = timeout_at(parting, clients.join_next()).await {
            let (number, ending) = ended.context("a client ended abnormally")?;
            endings[usize::from(number) - 1] = Some(ending?);
        }
        clients.shutdown().await;
        let (_, events) = EventLog::open(&state.join("events.sqlite")).await?;
        let last = events.last().map_or(BEGINNING, |(at, _)| *at);
        let sites = (1u16..).zip(endings).zip(meters).map(|((number, ending), meter)| {
            let [up, down] = ether.usage(number);
            SitePlayed { ending, busy: meter.spent(), up, down }
        });
        let sites = sites.collect();
        let makespan = Duration::from_millis(last.0.saturating_sub(BEGINNING.0));
        Ok(Played { events, makespan, sites })
    }

    /// Runs the coordinator, and again after each stop, until the study is over.
    async fn conduct(
        &self,
        kits: &Kits,
        folder: &Path,
        state: &Path,
        ether: &Ether,
        began: Instant,
    ) -> anyhow::Result<()> {
        let mut stops = self.faults.stops_of_coordinator().into_iter();
        let (mut again, mut held_until) = (None, Instant::now());
        loop {
            let stop = again.take().unwrap_or_else(|| stops.next());
            let shutdown = async move {
                match stop {
                    Some(stop) => sleep_until(began + stop.from).await,
                    None => std::future::pending().await,
                }
            };
            let config = consilium_coordinator::Config {
                study: self.study.clone(),
                state_dir: state.to_owned(),
                identity_dir: kits.of("coordinator"),
                listen: COORDINATOR,
                listen_tcp: None,
                weights: self.weights.clone(),
                weights_store: WeightsStore::new(folder),
                report: folder.join("report.json"),
                notices: NoticeFormat::Silent,
                tuning: self.tuning,
                certificate_life: Terms::default().certificate_life,
                web: None,
            };
            let clock = WallClock::new(move || wall_time(began));
            let surroundings = Surroundings { clock, sockets: ether.of_coordinator() };
            match (consilium_coordinator::run_in(surroundings, config, shutdown).await, stop) {
                (Ok((_, Some(_))), _) => return Ok(()),
                (Ok((_, None)), Some(stop)) => sleep_until(began + stop.end()).await,
                (Ok((_, None)), None) => bail!("the coordinator ended before the study did"),
                // A stopped process is gone with all it held. Here the goodbyes that QUIC has still to say hold its socket
                // and its log a little longer.
                (Err(DaemonError::Audit(_) | DaemonError::Door(_)), _) if Instant::now() < held_until => {
                    sleep(HELD_LOOK).await;
                    again = Some(stop);
                    continue;
                }
                (Err(error), _) => return Err(error.into()),
            }
            held_until = Instant::now() + HELD_LONGEST;
        }
    }

    fn client_config(
        &self,
        site: &DrySite,
        kits: &Kits,
        folder: &Path,
    ) -> anyhow::Result<consilium_client::Config> {
        let policy = PolicyFile::of_simulation().check();
        let policy = policy.map_err(|problems| anyhow::anyhow!("the policy: {}", problems.join("; ")))?;
        let state = folder.join(site.id.as_str());
        std::fs::create_dir_all(&state).with_context(|| format!("{} cannot be made", state.display()))?;
        Ok(consilium_client::Config {
            coordinator: COORDINATOR.to_string(),
            dialler: Dialler {
                host: COORDINATOR.ip().to_string(),
                port: COORDINATOR.port(),
                tcp_port: COORDINATOR.port(),
                link: LinkChoice::Quic,
                proxy: ProxyChoice::None,
                tuning: self.tuning,
            },
            identity: kits.of(site.id.as_str()),
            state,
            data: Vec::new(),
            layout: Layout::UpennGbm,
            device: "cpu".parse()?,
            cache: CacheSettings { max_bytes: 1 << 30, precision: CachePrecision::F32 },
            tuning: self.tuning,
            transfers: TransferLimits::default(),
            policy,
        })
    }

    fn run_options(
        &self,
        number: u16,
        site: &DrySite,
        busy: BusyMeter,
        ether: &Ether,
        began: Instant,
    ) -> RunOptions {
        let slowdown = self.faults.slowdown(number);
        let mut pace = site.pace;
        pace.preparing *= slowdown;
        pace.training *= slowdown;
        pace.scoring *= slowdown;
        RunOptions {
            once: true,
            clock: Clock::new(move || wall_time(began)),
            sockets: ether.of_site(number),
            web: None,
            dry_training: Some(DryTraining { cases: site.cases, pace, busy }),
        }
    }
}

/// A site's client with its stops.
struct Client {
    config: consilium_client::Config,
    options: RunOptions,
    stops: Vec<Spell>,
    began: Instant,
}

impl Client {
    async fn live(self) -> anyhow::Result<Ending> {
        let Self { config, options, stops, began } = self;
        let mut stops = stops.into_iter();
        loop {
            let stop = stops.next();
            let shutdown = async move {
                match stop {
                    Some(stop) => sleep_until(began + stop.from).await,
                    None => std::future::pending().await,
                }
            };
            let ending = consilium_client::run(config.clone(), options.clone(), shutdown).await?;
            match (&ending, stop) {
                (Ending::Interrupted, Some(stop)) => sleep_until(began + stop.end()).await,
                _ => return Ok(ending),
            }
        }
    }
}

/// The time of day in a run that `began`.
fn wall_time(began: Instant) -> Timestamp {
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Timestamp(BEGINNING.0.saturating_add(millis))
}
