//! Finding patients that several sites hold, before anybody enlists.
//!
//! ```text
//! Collecting --everybody's fingerprints are there, or enrolment is over--> Compared
//! ```
//!
//! A site sends its fingerprints in parts, from the first to the last; a part 0 starts it over. Once they are
//! compared the fingerprints are forgotten and only case numbers stay. A site without a complete set by then does
//! not take part: its patients could be anybody's.

use std::collections::BTreeMap;

use consilium_domain::{Digest, Duplicates, Fingerprint, MAX_ALIASES, MAX_FINGERPRINTS, SiteId};

use super::{Coordinator, Phase};
use crate::duplicates::to_exclude;
use crate::{MAX_PART_CASES, Rejection, Standing, Timestamp};

/// How often a site may start over. A connection that breaks during the seconds of sending is rare; without a
/// limit, one site could fill the log.
const MAX_STARTS: u32 = 100;

/// What a site is told after the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The fingerprints whose numbers are meant ([`Fingerprint::digest_of`]).
    pub of: Digest,
    /// Numbers of the site's cases to leave out, ascending.
    pub cases: Vec<u32>,
    /// How many fingerprints the site sent.
    pub compared: u32,
}

/// Where the comparison stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparison {
    /// The study ignores duplicates.
    Unwanted,
    /// Fingerprints are coming in.
    Collecting(BTreeMap<SiteId, Submission>),
    /// It is known who leaves out what.
    Compared { at: Timestamp, exclusions: BTreeMap<SiteId, Exclusion> },
}

/// What a site has sent so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Submission {
    fingerprints: Vec<Fingerprint>,
    parts: u32,
    starts: u32,
    /// Of all of them, once the last part is there.
    complete: Option<Digest>,
}

impl Comparison {
    pub(super) const fn of(duplicates: Duplicates) -> Self {
        match duplicates {
            Duplicates::Ignore => Self::Unwanted,
            Duplicates::Exclude => Self::Collecting(BTreeMap::new()),
        }
    }

    pub(super) fn take(&mut self, site: SiteId, part: u32, last: bool, cases: Vec<Fingerprint>) {
        let Self::Collecting(submissions) = self else { return };
        let starts = submissions.get(&site).map_or(0, |before| before.starts);
        if part == 0 {
            let new = Submission { fingerprints: Vec::new(), parts: 0, starts: starts + 1, complete: None };
            submissions.insert(site.clone(), new);
        }
        let Some(submission) = submissions.get_mut(&site) else { return };
        submission.fingerprints.extend(cases);
        submission.parts += 1;
        submission.complete = last.then(|| Fingerprint::digest_of(&submission.fingerprints));
    }

    /// Forgets what a site sent that takes no part: its copies must not keep those of others out.
    pub(super) fn forget(&mut self, site: &SiteId) {
        if let Self::Collecting(submissions) = self {
            submissions.remove(site);
        }
    }

    /// Compares what is complete.
    pub(super) fn conclude(&mut self, at: Timestamp) {
        let Self::Collecting(submissions) = self else { return };
        let complete = submissions.iter().filter(|(_, submission)| submission.complete.is_some());
        let cases = complete.map(|(site, sent)| (site.clone(), &sent.fingerprints[..])).collect();
        let excluded = to_exclude(&cases).into_iter().filter_map(|(site, cases)| {
            let sent = &submissions[&site];
            let compared = u32::try_from(sent.fingerprints.len()).unwrap_or(u32::MAX);
            Some((site, Exclusion { of: sent.complete?, cases, compared }))
        });
        let exclusions = excluded.collect();
        *self = Self::Compared { at, exclusions };
    }
}

impl Coordinator {
    /// What `site` leaves out so that no other site holds the same patients; `None` before the comparison, for a
    /// site that was not compared, and in a study that ignores duplicates. To be told to every session of the
    /// site, once, after its welcome: a client that restarted has forgotten it.
    pub fn exclusion(&self, site: &SiteId) -> Option<&Exclusion> {
        match &self.comparison {
            Comparison::Compared { exclusions, .. } => exclusions.get(site),
            Comparison::Unwanted | Comparison::Collecting(_) => None,
        }
    }

    /// Whether it is known what each site leaves out.
    pub const fn has_compared(&self) -> bool {
        matches!(self.comparison, Comparison::Compared { .. })
    }

    /// Where `site` stands, for its welcome.
    pub fn standing(&self, site: &SiteId) -> Standing {
        if self.roster.member(site).is_some_and(|member| member.cohort.is_some()) {
            return Standing::Enlisted;
        }
        let of = match &self.comparison {
            Comparison::Unwanted => return Standing::Invited,
            Comparison::Collecting(submissions) => submissions.get(site).and_then(|sent| sent.complete),
            Comparison::Compared { exclusions, .. } => exclusions.get(site).map(|exclusion| exclusion.of),
        };
        of.map_or(Standing::Awaited, |of| Standing::Fingerprinted { of })
    }

    /// Whether everybody who may still enlist has done so.
    pub(super) fn enrolment_is_complete(&self) -> bool {
        let awaited = |site: &SiteId| match &self.comparison {
            Comparison::Compared { exclusions, .. } => exclusions.contains_key(site),
            Comparison::Unwanted | Comparison::Collecting(_) => true,
        };
        self.roster
            .iter()
            .all(|(site, member)| member.cohort.is_some() || member.withdrawal.is_some() || !awaited(site))
    }

    /// Compares once everybody has sent everything, or time is up; whether sites may enlist.
    pub(super) fn settle_comparison(&mut self) -> Result<bool, String> {
        let Comparison::Collecting(submissions) = &self.comparison else { return Ok(true) };
        let complete = |site: &SiteId| submissions.get(site).is_some_and(|sent| sent.complete.is_some());
        let there = self.roster.iter().filter(|(site, _)| complete(site)).count();
        let awaited = self.roster.iter().filter(|(_, member)| member.withdrawal.is_none()).count();
        if self.now < self.enrolment_end() && there < awaited {
            return Ok(false);
        }
        let quorum = usize::from(self.study.federation.quorum);
        let trainers =
            self.roster.iter().filter(|(site, _)| complete(site) && self.study.trains(site)).count();
        if trainers < quorum {
            return Err(format!(
                "{trainers} training site(s) sent the fingerprints of their cases in time, the quorum is {quorum}; \
                 invite more sites, wait longer for them or lower the quorum"
            ));
        }
        self.comparison.conclude(self.now);
        Ok(true)
    }

    pub(super) fn admit_fingerprints(
        &self,
        site: &SiteId,
        part: u32,
        last: bool,
        cases: &[Fingerprint],
    ) -> Result<(), Rejection> {
        self.roster.member(site).ok_or(Rejection::NotInvited)?;
        let submissions = match &self.comparison {
            Comparison::Unwanted => {
                return Err(Rejection::OutOfTurn("this study compares no fingerprints".into()));
            }
            Comparison::Compared { exclusions, .. } if exclusions.contains_key(site) => {
                return Err(Rejection::OutOfTurn(
                    "the site's fingerprints were compared already, and its cases have changed since: restore \
                     the folder as it was and start the client again"
                        .into(),
                ));
            }
            Comparison::Collecting(submissions) if self.phase == Phase::Enrolling => submissions,
            Comparison::Compared { .. } | Comparison::Collecting(_) => return Err(Rejection::RosterPinned),
        };
        let before = submissions.get(site).filter(|_| part > 0);
        let (sent, parts) = before.map_or((0, 0), |sent| (sent.fingerprints.len(), sent.parts));
        let refuse = |reason: String| Err(Rejection::Fingerprints(reason));
        if part != parts || before.is_some_and(|sent| sent.complete.is_some()) {
            return refuse(format!("part {part} came out of turn: start again from part 0"));
        }
        if part == 0 && submissions.get(site).is_some_and(|sent| sent.starts >= MAX_STARTS) {
            return refuse(format!("they were started {MAX_STARTS} times: mend the connection first"));
        }
        if cases.len() > MAX_PART_CASES || (!last && cases.len() < MAX_PART_CASES) {
            return refuse(format!("every part but the last must have {MAX_PART_CASES} cases, none more"));
        }
        if sent + cases.len() > MAX_FINGERPRINTS {
            return refuse(format!("a site may compare at most {MAX_FINGERPRINTS} cases"));
        }
        if cases.iter().any(|case| case.aliases.len() > MAX_ALIASES) {
            return refuse(format!("a case has more than {MAX_ALIASES} names"));
        }
        let studied = |case: &Fingerprint| case.images.keys().all(|m| self.study.modalities.contains(m));
        if !cases.iter().all(studied) {
            return refuse("an image is of a modality that is not in the study".into());
        }
        Ok(())
    }

    /// Whether `site` may enlist as far as the comparison goes, with so many patients of a modality.
    pub(super) fn admit_compared(&self, site: &SiteId, patients: u32) -> Result<(), Rejection> {
        match &self.comparison {
            Comparison::Unwanted => Ok(()),
            Comparison::Collecting(_) => {
                Err(Rejection::OutOfTurn("enlist after the fingerprints were compared".into()))
            }
            Comparison::Compared { exclusions, .. } => {
                let exclusion = exclusions.get(site).ok_or(Rejection::RosterPinned)?;
                let most = exclusion.compared.saturating_sub(exclusion.cases.len() as u32);
                if patients <= most {
                    return Ok(());
                }
                Err(Rejection::Cohort(format!(
                    "{patients} patients of one modality, of {} compared cases {most} stay: leave out the duplicates",
                    exclusion.compared
                )))
            }
        }
    }

    /// Since when sites may enlist.
    pub(super) const fn compared_at(&self) -> Option<Timestamp> {
        match &self.comparison {
            Comparison::Compared { at, .. } => Some(*at),
            Comparison::Unwanted | Comparison::Collecting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
