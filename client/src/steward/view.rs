//! What people are shown of studies and of the client.

use std::fmt;

use consilium_domain::{Arm, Modality, SiteId, StudyHash};
use consilium_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::decisions::WrittenRuling;
use super::{Decided, DecidedBy, Record, Steward, Verdict};

/// A study that was offered, or decided on before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StudyView {
    pub(crate) hash: StudyHash,
    pub(crate) name: Option<String>,
    pub(crate) arms: Vec<Arm>,
    pub(crate) modalities: Vec<Modality>,
    pub(crate) rounds: Option<u16>,
    pub(crate) local_epochs: Option<u16>,
    pub(crate) depth: Option<u16>,
    pub(crate) sites: Vec<SiteId>,
    /// Milliseconds since 1970-01-01 UTC, like every time here.
    pub(crate) first_offered: Option<Timestamp>,
    /// `approve`, `ask` or `decline`; none before it was offered.
    pub(crate) policy: Option<String>,
    pub(crate) policy_reasons: Vec<String>,
    /// `approved`, `declined`, `left` or `pending`.
    pub(crate) decision: String,
    /// `rule` or `hand`.
    pub(crate) decided_by: Option<String>,
    pub(crate) decided_at: Option<Timestamp>,
    pub(crate) reason: Option<String>,
}

/// The client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusView {
    /// Whether the daemon runs.
    pub(crate) running: bool,
    pub(crate) paused_since: Option<Timestamp>,
    /// Whether the policy's hours allow work now.
    pub(crate) within_hours: bool,
    /// Whether a connection to the coordinator stands.
    pub(crate) connected: bool,
    /// Since when the coordinator is looked for and not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) out_of_reach_since: Option<Timestamp>,
    /// The study it is about, if any.
    pub(crate) study: Option<StudyHash>,
    /// The order that is worked on.
    pub(crate) order: Option<String>,
}

impl Steward {
    pub(super) fn study_views(&self) -> Vec<StudyView> {
        self.decisions.records().iter().map(StudyView::of).collect()
    }

    pub(super) fn status_view(&self) -> StatusView {
        let doing = &self.now_doing;
        StatusView {
            running: doing.daemon,
            paused_since: self.decisions.paused_since(),
            within_hours: self.is_within_hours(),
            connected: doing.connected,
            out_of_reach_since: doing.out_of_reach_since.filter(|_| !self.is_paused()),
            study: doing.study,
            order: doing.order.clone(),
        }
    }
}

impl StudyView {
    fn of(record: &Record) -> Self {
        let offer = record.offer.as_ref();
        let (policy, reasons) = match &record.ruling {
            None => (None, Vec::new()),
            Some(WrittenRuling::Approve) => (Some("approve"), Vec::new()),
            Some(WrittenRuling::Ask) => (Some("ask"), Vec::new()),
            Some(WrittenRuling::Decline { reasons }) => (Some("decline"), reasons.clone()),
        };
        let decided = record.decided.as_ref();
        Self {
            hash: record.hash,
            name: offer.map(|offer| offer.name.clone()),
            arms: offer.map_or(Vec::new(), |offer| offer.arms.clone()),
            modalities: offer.map_or(Vec::new(), |offer| offer.modalities.clone()),
            rounds: offer.map(|offer| offer.rounds),
            local_epochs: offer.map(|offer| offer.local_epochs),
            depth: offer.map(|offer| offer.depth),
            sites: offer.map_or(Vec::new(), |offer| offer.sites.clone()),
            first_offered: offer.map(|offer| offer.first_offered),
            policy: policy.map(str::to_owned),
            policy_reasons: reasons,
            decision: decided.map_or("pending", |decided| verdict(decided.verdict)).to_owned(),
            decided_by: decided.map(|decided| by(decided).to_owned()),
            decided_at: decided.map(|decided| decided.at),
            reason: decided.and_then(|decided| decided.reason.clone()),
        }
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approved => "approved",
        Verdict::Declined => "declined",
        Verdict::Left => "left",
    }
}

const fn by(decided: &Decided) -> &'static str {
    match decided.by {
        DecidedBy::Rule => "rule",
        DecidedBy::Hand => "hand",
    }
}

impl fmt::Display for StudyView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("(not offered yet)");
        writeln!(
            f,
            "{}  {}  {}",
            &self.hash.to_string()[..16],
            self.decision.to_uppercase(),
            printable(name)
        )?;
        if let (Some(rounds), Some(epochs), Some(depth)) = (self.rounds, self.local_epochs, self.depth) {
            let (arms, modalities, sites) = (words(&self.arms), words(&self.modalities), words(&self.sites));
            writeln!(f, "  arms        {arms}; depth {depth}; {rounds} rounds of {epochs} epochs")?;
            writeln!(f, "  modalities  {modalities}")?;
            writeln!(f, "  sites       {}: {sites}", self.sites.len())?;
        }
        match self.policy.as_deref() {
            Some("approve") => writeln!(f, "  policy      within it; it approves by rule")?,
            Some("ask") => writeln!(f, "  policy      within it; a person decides")?,
            Some(_) => writeln!(f, "  policy      declines it: {}", self.policy_reasons.join("; "))?,
            None => {}
        }
        if let (Some(by), Some(at)) = (&self.decided_by, self.decided_at) {
            write!(f, "  decided     by {by} at {}", utc(at))?;
            match &self.reason {
                Some(reason) => writeln!(f, ": {}", printable(reason))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for StatusView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        writeln!(f, "daemon running      {}", yes(self.running))?;
        let paused = self.paused_since.map_or("no".to_owned(), |since| format!("since {}", utc(since)));
        writeln!(f, "paused              {paused}")?;
        writeln!(f, "within its hours    {}", yes(self.within_hours))?;
        let out_of_reach = self.out_of_reach_since.map_or(String::new(), |since| {
            format!(", the coordinator has not been reached since {}; it is tried again", utc(since))
        });
        writeln!(f, "connected           {}{out_of_reach}", yes(self.connected))?;
        let study = self.study.map_or_else(
            || if self.connected { "none; the next one is waited for" } else { "none" }.to_owned(),
            |study| study.to_string()[..16].to_owned(),
        );
        writeln!(f, "study               {study}")?;
        writeln!(f, "working on          {}", self.order.as_deref().unwrap_or("nothing"))
    }
}

fn words<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A study's name comes from outside: it must not move the cursor of whoever reads it.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// `2026-11-23 17:05 UTC` (civil date of a day number: H. Hinnant, "chrono-compatible low-level date algorithms").
pub(crate) fn utc(at: Timestamp) -> String {
    let minutes = at.0 / 60_000;
    let (days, minute) = (minutes / 1_440 + 719_468, minutes % 1_440);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}
