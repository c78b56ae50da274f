//! Waiting for the same kind of answer from several sites, once each.
//!
//! A gathering closes when nobody is left to wait for and enough have answered. Whoever is missing then is
//! written down with the reason: there are no silent subsets.
//!
//! A site that is connected holds a lease of `deadline_secs`, which every progress with its work renews: it may be as
//! slow as it is, as long as batches are computed or bytes move. Where enough have answered, the lease also ends when
//! the order in hand has taken several times as long as the site's longest before: it is late then, and the next round
//! has it again. One whose connection is gone is waited for `absence_grace_secs`, unless too few would be left. Then a
//! site that comes back gets its `deadline_secs` anew, a few times; otherwise only progress or a reply does that, or a
//! client that crashes at its work and comes back, again and again, would hold everybody up for ever. The time while
//! the coordinator itself was away is nobody's delay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use consilium_domain::{Federation, SiteId};

use super::{InHand, Member, Presence, Roster};
use crate::{Progress, Timestamp};

/// Deadlines without progress after which nobody is waited for any longer, however often the site came back: one for the
/// work, two for outages in it.
const MOST_DEADLINES: u32 = 3;

/// A site is late when an order takes so many times as long as its longest before: folds, arms and rounds differ by less.
const LATE_AFTER: u32 = 3;

/// An answer and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<T> {
    /// When the coordinator recorded it.
    pub at: Timestamp,
    /// What the site answered.
    pub value: T,
}

/// How a gathering ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// When.
    pub at: Timestamp,
    /// Expected sites that did not answer, and why.
    pub missing: BTreeMap<SiteId, String>,
}

/// The answers of the expected sites.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathering<T> {
    opened: Timestamp,
    needed: usize,
    expected: BTreeSet<SiteId>,
    answers: BTreeMap<SiteId, Answered<T>>,
    failures: BTreeMap<SiteId, Failure>,
    closing: Option<Closing>,
}

/// Why no answer of a site will come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// It says so.
    Failed(String),
    /// It left the study.
    Withdrew(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => write!(f, "the site could not do it: {reason}"),
            Self::Withdrew(reason) => write!(f, "the site withdrew: {reason}"),
        }
    }
}

/// What a gathering should do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait; look again at that time at the latest.
    Wait(Timestamp),
    /// Go on with the answers that are there.
    Close {
        /// Who did not answer, and why.
        missing: BTreeMap<SiteId, String>,
    },
    /// Too few can or will answer.
    Hopeless(String),
}

impl<T> Gathering<T> {
    /// Waits for `expected`, of whom `needed` must answer.
    pub(super) fn open(at: Timestamp, expected: BTreeSet<SiteId>, needed: usize) -> Self {
        Self {
            opened: at,
            needed,
            expected,
            answers: BTreeMap::new(),
            failures: BTreeMap::new(),
            closing: None,
        }
    }

    /// When it was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Who was asked.
    pub const fn expected(&self) -> &BTreeSet<SiteId> {
        &self.expected
    }

    /// The answers, by site.
    pub const fn answers(&self) -> &BTreeMap<SiteId, Answered<T>> {
        &self.answers
    }

    /// How it ended, if it has.
    pub const fn closing(&self) -> Option<&Closing> {
        self.closing.as_ref()
    }

    /// Whether the answer of `site` is still wanted.
    pub fn awaits(&self, site: &SiteId) -> bool {
        self.closing.is_none() && self.expected.contains(site) && !self.has_replied(site)
    }

    pub(super) fn has_replied(&self, site: &SiteId) -> bool {
        self.answers.contains_key(site) || self.failures.contains_key(site)
    }

    pub(super) fn answer(&mut self, site: SiteId, at: Timestamp, value: T) {
        self.answers.insert(site, Answered { at, value });
    }

    pub(super) fn fail(&mut self, site: SiteId, reason: String) {
        self.failures.insert(site, Failure::Failed(reason));
    }

    /// `site` left the study: unless it has replied, it is missing from here on.
    pub(super) fn withdraw(&mut self, site: &SiteId, reason: &str) {
        if self.awaits(site) {
            self.failures.insert(site.clone(), Failure::Withdrew(reason.to_owned()));
        }
    }

    pub(super) fn close(&mut self, at: Timestamp, missing: BTreeMap<SiteId, String>) {
        self.closing = Some(Closing { at, missing });
    }

    pub(super) fn verdict(&self, roster: &Roster, rules: &Federation, now: Timestamp) -> Verdict {
        let awaited: Vec<&SiteId> = self.expected.iter().filter(|site| !self.has_replied(site)).collect();
        if self.answers.len() + awaited.len() < self.needed {
            return Verdict::Hopeless(self.shortage(roster));
        }
        let enough = self.answers.len() >= self.needed;
        let until = awaited.iter().map(|site| self.patience(site, enough, roster, rules)).max();
        match until {
            Some(until) if until > now => Verdict::Wait(until),
            _ if enough => Verdict::Close { missing: self.missing(roster, rules) },
            _ => Verdict::Hopeless(self.shortage(roster)),
        }
    }

    /// Until when `site` is waited for. The absent and the late are only given up early when enough have answered.
    fn patience(&self, site: &SiteId, enough: bool, roster: &Roster, rules: &Federation) -> Timestamp {
        let Some(member) = roster.member(site) else { return self.opened };
        let moved = member.last_progress().max(self.opened).max(roster.listening_since());
        let lease = moved.plus_secs(rules.deadline_secs);
        if !enough {
            let heard = member.last_heard.max(moved);
            let last = moved.plus_secs(rules.deadline_secs.saturating_mul(MOST_DEADLINES));
            return heard.plus_secs(rules.deadline_secs).min(last);
        }
        let lease = self.late_at(member, roster, rules).map_or(lease, |late| lease.min(late));
        match &member.presence {
            Presence::Gone { since, .. } => lease.min(since.plus_secs(rules.absence_grace_secs)),
            Presence::Awaited | Presence::Connected => lease,
        }
    }

    /// When the order that the site has in hand is late; never before the first was done. The site may be at an order of
    /// another lane, which is why its longest counts and not its longest of this kind.
    fn late_at(&self, member: &Member, roster: &Roster, rules: &Federation) -> Option<Timestamp> {
        let began = member.last_reply.max(self.opened).max(roster.listening_since());
        let longest = member.longest_order_secs.saturating_mul(LATE_AFTER);
        (longest > 0).then(|| began.plus_secs(longest.max(rules.deadline_secs)))
    }

    fn missing(&self, roster: &Roster, rules: &Federation) -> BTreeMap<SiteId, String> {
        let reason = |site: &SiteId| match (self.failures.get(site), roster.member(site)) {
            (Some(failure), _) => failure.to_string(),
            (None, Some(member)) => self.delay(member, roster, rules),
            (None, None) => "not invited".to_owned(),
        };
        let silent = self.expected.iter().filter(|site| !self.answers.contains_key(*site));
        silent.map(|site| (site.clone(), reason(site))).collect()
    }

    /// Why `member` is not waited for any longer.
    fn delay(&self, member: &Member, roster: &Roster, rules: &Federation) -> String {
        let deadline = rules.deadline_secs;
        match (&member.presence, member.in_hand) {
            (Presence::Gone { reason, .. }, _) => format!("connection gone: {reason}"),
            (_, Some(InHand { progress, at, .. }))
                if at > member.last_reply.max(roster.listening_since()) =>
            {
                let Progress { steps, of, .. } = progress;
                let longest = member.longest_order_secs;
                format!(
                    "late, at step {steps} of {of}: no progress within {deadline} s, or {LATE_AFTER} times the \
                     {longest} s of its longest order"
                )
            }
            _ => format!("no answer and no progress within {deadline} s"),
        }
    }

    fn shortage(&self, roster: &Roster) -> String {
        let failures: Vec<String> =
            self.failures.iter().map(|(site, failure)| format!("; {site}: {failure}")).collect();
        let before = roster.withdrawn().filter(|(site, _)| !self.expected.contains(site));
        let withdrawn: Vec<String> =
            before.map(|(site, left)| format!("; {site} withdrew before: {}", left.reason)).collect();
        format!(
            "{} of {} sites answered, {} are needed{}{}",
            self.answers.len(),
            self.expected.len(),
            self.needed,
            failures.concat(),
            withdrawn.concat()
        )
    }
}

#[cfg(test)]
mod tests {
    use consilium_domain::{Digest, OrderId};

    use super::*;

    const START: Timestamp = Timestamp(1_000);

    fn rules() -> Federation {
        Federation {
            sites: vec!["a".parse().unwrap(), "b".parse().unwrap(), "c".parse().unwrap()],
            training_sites: vec![],
            quorum: 2,
            enrolment_secs: 10,
            deadline_secs: 100,
            absence_grace_secs: 10,
            fixed_point: consilium_domain::FixedPoint { clip: 64, fraction_bits: 24 },
            duplicates: consilium_domain::Duplicates::Ignore,
            wire: consilium_domain::Wire::F32,
        }
    }

    fn site(name: &str) -> SiteId {
        name.parse().unwrap()
    }

    fn scene() -> (Gathering<u8>, Roster, Federation) {
        let rules = rules();
        let mut roster = Roster::invite(&rules.sites, START);
        rules.sites.iter().for_each(|site| roster.connected(site, String::new(), START));
        (Gathering::open(START, rules.sites.iter().cloned().collect(), 2), roster, rules)
    }

    #[test]
    fn all_answers_close_it_at_once() {
        let (mut gathering, roster, rules) = scene();
        for name in ["a", "b", "c"] {
            assert!(gathering.awaits(&site(name)));
            gathering.answer(site(name), START, 0);
        }
        assert_eq!(gathering.verdict(&roster, &rules, START), Verdict::Close { missing: BTreeMap::new() });
    }

    #[test]
    fn the_absent_are_waited_for_briefly_once_enough_have_answered() {
        let (mut gathering, mut roster, rules) = scene();
        roster.gone(&site("c"), "reset".into(), START);
        gathering.answer(site("a"), START, 0);
        assert_eq!(gathering.verdict(&roster, &rules, START), Verdict::Wait(START.plus_secs(100)));
        gathering.answer(site("b"), START, 0);
        assert_eq!(gathering.verdict(&roster, &rules, START), Verdict::Wait(START.plus_secs(10)));
        let Verdict::Close { missing } = gathering.verdict(&roster, &rules, START.plus_secs(10)) else {
            panic!("must close");
        };
        assert_eq!(missing[&site("c")], "connection gone: reset");
    }

    #[test]
    fn too_few_answers_never_close_it() {
        let (mut gathering, roster, rules) = scene();
        gathering.answer(site("a"), START, 0);
        let late = START.plus_secs(1_000);
        assert!(matches!(gathering.verdict(&roster, &rules, late), Verdict::Hopeless(_)));
        gathering.fail(site("b"), "no disk".into());
        gathering.fail(site("c"), "no disk".into());
        let Verdict::Hopeless(reason) = gathering.verdict(&roster, &rules, START) else { panic!("hopeless") };
        assert!(reason.contains("no disk"));
    }

    #[test]
    fn coming_back_without_an_answer_buys_time_only_for_a_needed_site() {
        let (mut gathering, mut roster, rules) = scene();
        gathering.answer(site("a"), START, 0);
        let back = START.plus_secs(90);
        roster.gone(&site("c"), "crashed".into(), back);
        roster.connected(&site("c"), String::new(), back);
        assert_eq!(gathering.verdict(&roster, &rules, back), Verdict::Wait(back.plus_secs(100)));
        let last = START.plus_secs(MOST_DEADLINES * 100);
        roster.connected(&site("c"), String::new(), START.plus_secs(290));
        assert_eq!(gathering.verdict(&roster, &rules, back), Verdict::Wait(last), "but not for ever");
        gathering.answer(site("b"), START, 0);
        assert_eq!(gathering.verdict(&roster, &rules, START), Verdict::Wait(START.plus_secs(100)));
    }

    fn order() -> OrderId {
        OrderId(Digest::of(b"an order"))
    }

    fn at_work(roster: &mut Roster, name: &str, steps: u32, secs: u32) {
        let progress = Progress { steps, of: 100, mebibytes: 0 };
        roster.progressed(&site(name), order(), progress, START.plus_secs(secs));
    }

    #[test]
    fn progress_renews_the_lease_of_a_slow_site_for_ever() {
        let (mut gathering, mut roster, rules) = scene();
        gathering.answer(site("a"), START, 0);
        gathering.answer(site("b"), START, 0);
        for (steps, secs) in [(1, 90), (2, 180), (3, 270), (4, 3_600)] {
            at_work(&mut roster, "c", steps, secs);
            let now = START.plus_secs(secs);
            assert_eq!(gathering.verdict(&roster, &rules, now), Verdict::Wait(now.plus_secs(100)), "{secs}");
        }
        let Verdict::Close { missing } = gathering.verdict(&roster, &rules, START.plus_secs(3_700)) else {
            panic!("it has stopped");
        };
        assert!(missing[&site("c")].contains("at step 4 of 100"), "{missing:?}");
    }

    #[test]
    fn progress_buys_a_needed_site_its_outages_anew() {
        let (mut gathering, mut roster, rules) = scene();
        gathering.answer(site("a"), START, 0);
        at_work(&mut roster, "c", 1, 290);
        let last = START.plus_secs(290 + MOST_DEADLINES * 100);
        roster.connected(&site("c"), String::new(), last);
        assert_eq!(gathering.verdict(&roster, &rules, START.plus_secs(300)), Verdict::Wait(last));
    }

    #[test]
    fn an_order_that_takes_several_times_the_longest_is_late_where_enough_have_answered() {
        let (mut gathering, mut roster, rules) = scene();
        let replied = START.plus_secs(60);
        roster.replied(&site("c"), order(), START, replied);
        assert_eq!(roster.member(&site("c")).unwrap().longest_order_secs, 60);
        at_work(&mut roster, "c", 1, 200);
        gathering.answer(site("a"), START, 0);
        let now = START.plus_secs(200);
        assert_eq!(gathering.verdict(&roster, &rules, now), Verdict::Wait(now.plus_secs(100)), "needed");
        gathering.answer(site("b"), START, 0);
        assert_eq!(
            gathering.verdict(&roster, &rules, now),
            Verdict::Wait(replied.plus_secs(LATE_AFTER * 60))
        );
        // Never before the deadline, however quick the site was.
        let (mut gathering, mut roster, rules) = scene();
        roster.replied(&site("c"), order(), START, START.plus_secs(1));
        at_work(&mut roster, "c", 1, 50);
        gathering.answer(site("a"), START, 0);
        gathering.answer(site("b"), START, 0);
        let late = START.plus_secs(1 + 100);
        assert_eq!(gathering.verdict(&roster, &rules, START.plus_secs(50)), Verdict::Wait(late));
    }

    #[test]
    fn the_coordinators_absence_is_nobodys_delay() {
        let (gathering, mut roster, rules) = scene();
        let back = START.plus_secs(10_000);
        roster.resume(back);
        assert_eq!(gathering.verdict(&roster, &rules, back), Verdict::Wait(back.plus_secs(100)));
        let presence = &roster.member(&site("a")).unwrap().presence;
        assert!(matches!(presence, Presence::Gone { since, .. } if *since == back));
    }
}
