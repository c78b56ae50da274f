//! What a dry run tells whoever plans a consortium.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use consilium_domain::{SiteId, Study};
use consilium_protocol::Outcome;
use consilium_protocol::coordinator::{Coordinator, Event, Phase};
use serde::Serialize;

use super::{DryRun, DrySite, Played};

/// Lines of the table that is printed; the file has all sites.
const MAX_LINES: usize = 60;

/// The plan, as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryOutcome {
    /// What this is not.
    pub warning: &'static str,
    /// The study's name.
    pub study: String,
    /// `finished`, or why it was halted.
    pub ended: String,
    /// What went wrong, as it was asked for.
    pub faults: String,
    /// From the coordinator's start to the study's end, in seconds.
    pub makespan_secs: f64,
    /// Lanes of the study, and rounds of each.
    pub lanes: usize,
    /// Rounds of each lane.
    pub rounds: u16,
    /// Each site.
    pub sites: Vec<SiteOutcome>,
}

/// What a site would do, and wait for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteOutcome {
    /// Its name.
    pub site: SiteId,
    /// Patients.
    pub cases: u32,
    /// Seconds it worked.
    pub working_secs: f64,
    /// The rest of the study's time: waiting for others, for its line, and for its client to be started again.
    pub idle_secs: f64,
    /// Bytes that came to it, as UDP counts them.
    pub received_bytes: u64,
    /// Bytes that it sent.
    pub sent_bytes: u64,
    /// The share of datagrams that were lost, both ways.
    pub lost_share: f64,
    /// Updates that were taken from it, of one for each lane and round.
    pub updates: usize,
}

/// Said wherever figures of a dry run are.
const WARNING: &str = "DRY RUN: nothing was trained; times are virtual, answers are drawn and mean nothing";

impl DryOutcome {
    /// What `played` shows of `run`.
    pub fn of(run: &DryRun, played: &Played) -> Self {
        let Study { name, training, .. } = &run.study;
        let mut updates: BTreeMap<&SiteId, usize> = BTreeMap::new();
        for (_, event) in &played.events {
            if let Event::OrderAnswered { site, outcome: Outcome::Trained(_), .. } = event {
                *updates.entry(site).or_default() += 1;
            }
        }
        let site = |(site, did): (&DrySite, &super::SitePlayed)| SiteOutcome {
            site: site.id.clone(),
            cases: site.cases,
            working_secs: did.busy.as_secs_f64(),
            idle_secs: played.makespan.saturating_sub(did.busy).as_secs_f64(),
            received_bytes: did.down.bytes,
            sent_bytes: did.up.bytes,
            lost_share: (did.up.lost + did.down.lost) as f64
                / (did.up.datagrams + did.down.datagrams).max(1) as f64,
            updates: updates.get(&site.id).copied().unwrap_or_default(),
        };
        Self {
            warning: WARNING,
            study: name.clone(),
            ended: ended(played),
            faults: run.faults.to_string(),
            makespan_secs: played.makespan.as_secs_f64(),
            lanes: run.study.lanes().len(),
            rounds: training.rounds,
            sites: run.sites.iter().zip(&played.sites).map(site).collect(),
        }
    }
}

fn ended(played: &Played) -> String {
    let state = Coordinator::replay(played.events.iter().cloned());
    match state.as_ref().map(Coordinator::phase) {
        Some(Phase::Finished { .. }) => "finished".to_owned(),
        Some(Phase::Halted { reason, .. }) => format!("halted: {reason}"),
        _ => "not over".to_owned(),
    }
}

impl fmt::Display for DryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.warning)?;
        let Self { study, ended, lanes, rounds, sites, .. } = self;
        let makespan = Shown(self.makespan_secs);
        writeln!(
            f,
            "{study}: {ended} after {makespan}; {} sites, {lanes} lanes of {rounds} rounds",
            sites.len()
        )?;
        if !self.faults.is_empty() {
            writeln!(f, "faults: {}", self.faults)?;
        }
        let all: u64 = sites.iter().map(|site| site.sent_bytes + site.received_bytes).sum();
        writeln!(f, "{:.1} MB over the coordinator's line\n", all as f64 / 1e6)?;
        writeln!(
            f,
            "{:<12} {:>6} {:>12} {:>12} {:>6} {:>13} {:>9} {:>7} {:>8}",
            "site", "cases", "working", "idle", "idle", "received, MB", "sent, MB", "lost", "updates"
        )?;
        for site in sites.iter().take(MAX_LINES) {
            writeln!(
                f,
                "{:<12} {:>6} {:>12} {:>12} {:>4.0} % {:>13.1} {:>9.1} {:>5.1} % {:>8}",
                site.site.as_str(),
                site.cases,
                Shown(site.working_secs).to_string(),
                Shown(site.idle_secs).to_string(),
                100.0 * site.idle_secs / self.makespan_secs.max(f64::MIN_POSITIVE),
                site.received_bytes as f64 / 1e6,
                site.sent_bytes as f64 / 1e6,
                100.0 * site.lost_share,
                format!("{}/{}", site.updates, lanes * usize::from(*rounds)),
            )?;
        }
        if sites.len() > MAX_LINES {
            writeln!(f, "and {} more sites", sites.len() - MAX_LINES)?;
        }
        Ok(())
    }
}

/// Seconds as people say them.
struct Shown(f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_secs_f64(self.0.max(0.0)).as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{:.1} s", self.0),
            (0, 0, _) => write!(f, "{minutes} min {:02} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {minutes:02} min"),
            _ => write!(f, "{days} d {hours:02} h"),
        }
    }
}
