//! A site's side of the comparison: send the fingerprints, learn which cases to leave out.
//!
//! Numbers of cases mean nothing without the list they count in, so the coordinator names the fingerprints that
//! it means by their digest. A client that restarted makes its fingerprints anew and finds out whether its
//! folder is still the one that was compared.

use consilium_domain::{Digest, Duplicates, Fingerprint, MAX_FINGERPRINTS, Study, StudyHash};

use super::{Action, Participant, Session, Step};
use crate::{MAX_PART_CASES, Standing, ToCoordinator};

const CHANGED: &str = "the site's cases changed after their fingerprints were compared with the other sites': \
                       restore the folder as it was, or take part in the next study";

/// What a site knows of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparing {
    asked: bool,
    fingerprints: Option<(Digest, Vec<Fingerprint>)>,
    /// Whether the fingerprints were sent over this connection.
    pub(super) sent: bool,
    told: Option<(Digest, Vec<u32>)>,
}

impl Comparing {
    pub(super) const fn new() -> Self {
        Self { asked: false, fingerprints: None, sent: false, told: None }
    }
}

impl Participant {
    /// The cases to leave out; `None` before that is known and verified.
    pub(super) fn to_leave_out(&self, study: &Study) -> Option<Vec<u32>> {
        if study.federation.duplicates == Duplicates::Ignore {
            return Some(Vec::new());
        }
        self.comparing.fingerprints.as_ref()?;
        self.comparing.told.as_ref().map(|(_, exclude)| exclude.clone())
    }

    /// The next step towards knowing it. Over each connection the fingerprints are sent at most once.
    pub(super) fn compare(&mut self, session: Session) -> Vec<Action> {
        self.step = Step::Comparing;
        let Some((ours, fingerprints)) = &self.comparing.fingerprints else {
            let first = !std::mem::replace(&mut self.comparing.asked, true);
            return if first { vec![Action::Fingerprint(Box::new(session.study))] } else { Vec::new() };
        };
        let wanted = match session.standing {
            Standing::Awaited => true,
            Standing::Fingerprinted { of } => of != *ours,
            Standing::Invited | Standing::Enlisted => false,
        };
        let first = wanted && !std::mem::replace(&mut self.comparing.sent, true);
        if first { parts(session.hash, fingerprints) } else { Vec::new() }
    }

    pub(super) fn fingerprinted(&mut self, fingerprints: Vec<Fingerprint>) -> Vec<Action> {
        if fingerprints.len() > MAX_FINGERPRINTS {
            let found = fingerprints.len();
            return self.stop(format!(
                "the site has {found} cases and a study that excludes duplicates compares at most \
                 {MAX_FINGERPRINTS} of each site: enlist with a part of the folder"
            ));
        }
        self.comparing.fingerprints = Some((Fingerprint::digest_of(&fingerprints), fingerprints));
        self.verify()
    }

    /// The news comes once a session; only the first time it is any.
    pub(super) fn compared(&mut self, of: Digest, exclude: Vec<u32>) -> Vec<Action> {
        let told = (of, exclude);
        match &self.comparing.told {
            Some(before) if *before == told => Vec::new(),
            Some(_) => self.stop("the coordinator changed its mind on the duplicates".into()),
            None => {
                self.comparing.told = Some(told);
                self.verify()
            }
        }
    }

    /// Goes on if what is known fits together.
    fn verify(&mut self) -> Vec<Action> {
        if let (Some((ours, fingerprints)), Some((of, exclude))) =
            (&self.comparing.fingerprints, &self.comparing.told)
        {
            let ascending = exclude.windows(2).all(|pair| pair[0] < pair[1]);
            let known = exclude.last().is_none_or(|&last| (last as usize) < fingerprints.len());
            if ours != of {
                return self.stop(CHANGED.into());
            }
            if !(ascending && known) {
                return self.stop("the coordinator named duplicates that are no cases of this site".into());
            }
        }
        if self.step == Step::Comparing { self.go_on() } else { Vec::new() }
    }
}

/// All fingerprints, in messages that fit a frame. A site without a case says so in one.
fn parts(study: StudyHash, fingerprints: &[Fingerprint]) -> Vec<Action> {
    let count = fingerprints.len().div_ceil(MAX_PART_CASES).max(1);
    let part = |part: usize| {
        let rest = &fingerprints[part * MAX_PART_CASES..];
        let cases = rest[..rest.len().min(MAX_PART_CASES)].to_vec();
        let number = u32::try_from(part).expect("there are fewer parts than cases");
        Action::Send(ToCoordinator::Fingerprints { study, part: number, last: part + 1 == count, cases })
    };
    (0..count).map(part).collect()
}
