//! Who is invited, who takes part, and who is there.

use std::collections::BTreeMap;

use consilium_domain::{CohortSummary, OrderId, SiteId};

use crate::{Progress, Timestamp};

/// Whether a site's session is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Never seen.
    Awaited,
    /// Its session is up.
    Connected,
    /// Its session ended.
    Gone {
        /// When.
        since: Timestamp,
        /// What the transport said.
        reason: String,
    },
}

/// That a site declined the study or left it, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub reason: String,
}

/// What a site said of the order it is working on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHand {
    /// The order.
    pub order: OrderId,
    /// How far the site is.
    pub progress: Progress,
    /// When it said so.
    pub at: Timestamp,
}

/// Programs of a site that are kept: more releases than one study sees, and few enough for a table.
const MOST_PROGRAMS: usize = 8;

/// One invited site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its cohort, once it has enlisted.
    pub cohort: Option<CohortSummary>,
    /// Name and version of the programs it came with, in the order of their coming.
    pub programs: Vec<String>,
    /// Whether its session is up.
    pub presence: Presence,
    /// When it last did something the study noticed.
    pub last_heard: Timestamp,
    /// When it last replied to an order; the opening of the study before that.
    pub last_reply: Timestamp,
    /// The order it last said to be further with.
    pub in_hand: Option<InHand>,
    /// How far it ever was with each order that it has not replied to.
    furthest: BTreeMap<OrderId, Progress>,
    /// Seconds that its longest order took so far, as the coordinator saw it; 0 before the first.
    pub longest_order_secs: u32,
    /// Whether it declined the study (it has no cohort then) or left it. Nothing is expected of it any more.
    pub withdrawal: Option<Withdrawal>,
}

impl Member {
    /// How far it ever was with `order`, as far as it has said.
    pub fn progress_with(&self, order: OrderId) -> Option<Progress> {
        self.furthest.get(&order).copied()
    }

    /// When it last was further with its work than before.
    pub(super) fn last_progress(&self) -> Timestamp {
        self.in_hand.map_or(self.last_reply, |in_hand| in_hand.at.max(self.last_reply))
    }
}

/// The invited sites. Pinned once lanes exist: nobody enlists after that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    members: BTreeMap<SiteId, Member>,
    listening_since: Timestamp,
}

impl Roster {
    pub(super) fn invite(sites: &[SiteId], at: Timestamp) -> Self {
        let member = Member {
            cohort: None,
            programs: Vec::new(),
            presence: Presence::Awaited,
            last_heard: at,
            last_reply: at,
            in_hand: None,
            furthest: BTreeMap::new(),
            longest_order_secs: 0,
            withdrawal: None,
        };
        let members = sites.iter().map(|site| (site.clone(), member.clone())).collect();
        Self { members, listening_since: at }
    }

    /// Since when sites are waited for: the opening, or the last time the coordinator took up the study again or an
    /// admin let it continue. Nobody was late before that.
    pub const fn listening_since(&self) -> Timestamp {
        self.listening_since
    }

    /// The member called `site`, if it is invited.
    pub fn member(&self, site: &SiteId) -> Option<&Member> {
        self.members.get(site)
    }

    /// Every invited site, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&SiteId, &Member)> {
        self.members.iter()
    }

    /// The names of every invited site.
    pub fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.members.keys()
    }

    /// Whether `site` declined the study or left it.
    pub fn has_withdrawn(&self, site: &SiteId) -> bool {
        self.members.get(site).is_some_and(|member| member.withdrawal.is_some())
    }

    /// The sites that declined the study or left it, and what they say.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&SiteId, &Withdrawal)> {
        self.members.iter().filter_map(|(site, member)| Some((site, member.withdrawal.as_ref()?)))
    }

    /// The sites that take part or did until they left, with their cohorts.
    pub fn enlisted(&self) -> impl Iterator<Item = (&SiteId, &CohortSummary)> {
        self.members.iter().filter_map(|(site, member)| Some((site, member.cohort.as_ref()?)))
    }

    pub(super) fn enlist(&mut self, site: &SiteId, cohort: CohortSummary, at: Timestamp) {
        self.update(site, |member| {
            member.cohort = Some(cohort);
            member.last_heard = at;
        });
    }

    pub(super) fn connected(&mut self, site: &SiteId, software: String, at: Timestamp) {
        self.update(site, |member| {
            member.presence = Presence::Connected;
            member.last_heard = at;
            let known = software.is_empty() || member.programs.contains(&software);
            if !known && member.programs.len() < MOST_PROGRAMS {
                member.programs.push(software);
            }
        });
    }

    pub(super) fn heard(&mut self, site: &SiteId, at: Timestamp) {
        self.update(site, |member| member.last_heard = at);
    }

    pub(super) fn gone(&mut self, site: &SiteId, reason: String, at: Timestamp) {
        self.update(site, |member| member.presence = Presence::Gone { since: at, reason });
    }

    pub(super) fn progressed(&mut self, site: &SiteId, order: OrderId, progress: Progress, at: Timestamp) {
        self.update(site, |member| {
            member.last_heard = at;
            let furthest = member.furthest.entry(order).or_default();
            *furthest = progress.furthest(*furthest);
            member.in_hand = Some(InHand { order, progress, at });
        });
    }

    /// `site` replied to an order of a gathering that was opened at `asked`.
    pub(super) fn replied(&mut self, site: &SiteId, order: OrderId, asked: Timestamp, at: Timestamp) {
        let listening_since = self.listening_since;
        self.update(site, |member| {
            let began = asked.max(member.last_reply).max(listening_since);
            let took = at.secs_since(began).ceil() as u32;
            member.longest_order_secs = member.longest_order_secs.max(took);
            member.furthest.remove(&order);
            member.in_hand = member.in_hand.filter(|in_hand| in_hand.order != order);
            member.last_heard = at;
            member.last_reply = at;
        });
    }

    pub(super) fn withdraw(&mut self, site: &SiteId, reason: String, at: Timestamp) {
        self.update(site, |member| {
            member.last_heard = at;
            member.withdrawal = Some(Withdrawal { at, reason });
        });
    }

    /// The coordinator was away until `at`, and every session ended with it.
    pub(super) fn resume(&mut self, at: Timestamp) {
        self.listening_since = at;
        for member in self.members.values_mut() {
            member.presence = match std::mem::replace(&mut member.presence, Presence::Awaited) {
                Presence::Awaited => Presence::Awaited,
                Presence::Connected => {
                    Presence::Gone { since: at, reason: "the coordinator restarted".into() }
                }
                Presence::Gone { reason, .. } => Presence::Gone { since: at, reason },
            };
        }
    }

    /// The study was paused until `at`: that time is nobody's delay.
    pub(super) fn continued(&mut self, at: Timestamp) {
        self.listening_since = at;
        for member in self.members.values_mut() {
            if let Presence::Gone { since, .. } = &mut member.presence {
                *since = at;
            }
        }
    }

    fn update(&mut self, site: &SiteId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(site) {
            change(member);
        }
    }
}
