//! A site declines the study, or leaves it: the hospital's word is last.
//!
//! It is final. What the site has answered stays; whatever still waits for it goes on at once as if it had failed,
//! and nothing new is asked of it. It cannot come back into the same study: its cases were counted, and perhaps
//! compared, without knowing whether it would.

use consilium_domain::SiteId;

use super::{Coordinator, Effect};
use crate::Rejection;

impl Coordinator {
    /// Whether `site` may say anything about the study: it is invited and has not withdrawn.
    pub(super) fn admit_participant(&self, site: &SiteId) -> Result<(), Rejection> {
        let member = self.roster.member(site).ok_or(Rejection::NotInvited)?;
        if member.withdrawal.is_none() {
            return Ok(());
        }
        Err(Rejection::OutOfTurn("this site has withdrawn from the study, which is final".into()))
    }

    pub(super) fn withdraw(&mut self, site: SiteId, reason: String) -> Vec<Effect> {
        self.roster.withdraw(&site, reason.clone(), self.now);
        self.comparison.forget(&site);
        for lane in &mut self.lanes {
            for round in &mut lane.rounds {
                round.training.withdraw(&site, &reason);
                round.validation.iter_mut().for_each(|validation| validation.withdraw(&site, &reason));
            }
            lane.holdout.iter_mut().for_each(|holdout| holdout.withdraw(&site, &reason));
        }
        self.fusions.values_mut().for_each(|fusion| fusion.withdraw(&site, &reason));
        if let Some(baseline) = &mut self.baseline {
            baseline.fitting.iter_mut().for_each(|fitting| fitting.withdraw(&site, &reason));
            baseline.scoring.iter_mut().for_each(|scoring| scoring.withdraw(&site, &reason));
        }
        let mut effects = vec![Effect::SiteWithdrew { site, reason }];
        effects.extend(self.settle());
        effects
    }

    /// Whether enough sites are left that may train: nobody waits for the end of an enrolment that cannot succeed.
    pub(super) fn check_willing(&self) -> Result<(), String> {
        let quorum = usize::from(self.study.federation.quorum);
        let left = self
            .roster
            .iter()
            .filter(|(site, member)| member.withdrawal.is_none() && self.study.trains(site));
        let left = left.count();
        if left >= quorum || self.roster.withdrawn().next().is_none() {
            return Ok(());
        }
        let who: Vec<String> = self
            .roster
            .withdrawn()
            .map(|(site, withdrawal)| format!("{site}: {}", withdrawal.reason))
            .collect();
        Err(format!(
            "{left} training site(s) are left, the quorum is {quorum}; withdrawn: {}; change the study so that the \
             sites agree, or invite others",
            who.join("; ")
        ))
    }
}

#[cfg(test)]
mod tests;
