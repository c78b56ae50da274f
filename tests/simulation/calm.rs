//! An undisturbed world: connections come back, messages arrive, work ends, and time passes only when nothing
//! else does. A paused study is continued when nothing else is left to happen. Whatever happened before, a study must then reach its end.

use consilium_protocol::coordinator::Effect;

use crate::invariants::{Checker, must};
use crate::violation::{Checked, Violation};
use crate::world::World;

/// How long each piece of work takes; all sites work at the same time.
const WORK_SECS: u32 = 7;

/// More steps than the largest scene needs: 5 sites, 4 lanes and 3 rounds make some 1,000, a crash-looping
/// client adds some 1,000 for each of the 24 gatherings that wait out a deadline for it.
const MOST_STEPS: usize = 30_000;

impl World {
    /// Runs to the end and checks that it is one.
    pub(crate) fn end(&mut self) -> Checked {
        let mut steps = 0;
        while self.calm_step()? {
            steps += 1;
            must(steps < MOST_STEPS, || Violation::NeverEnds { steps })?;
        }
        let dismissed = self.sites.iter().all(|site| !site.is_active());
        must(self.coordinator.is_over() && dismissed, || Violation::NeverEnds { steps })?;
        let last = self.effects.last();
        let last_words = matches!(last, Some(Effect::Finish | Effect::Halt { .. }));
        must(last_words, || Violation::ActsAfterTheEnd)?;
        Checker::replay(&self.log, &self.coordinator)
    }

    /// The next thing that happens when nothing is disturbed; whether there was one.
    pub(crate) fn calm_step(&mut self) -> Result<bool, Violation> {
        if let Some(site) = (0..self.sites.len()).find(|&site| self.sites[site].held) {
            self.hold(site, false)?;
            return Ok(true);
        }
        let away = |site: &usize| self.sites[*site].is_active() && self.sites[*site].session.is_none();
        if let Some(site) = (0..self.sites.len()).find(away) {
            self.connect(site)?;
            return Ok(true);
        }
        if self.deliver(0)? {
            return Ok(true);
        }
        let at_work = |site: &usize| self.sites[*site].is_active() && !self.sites[*site].jobs.is_empty();
        let shift: Vec<usize> = (0..self.sites.len()).filter(at_work).collect();
        if !shift.is_empty() {
            self.now = self.now.plus_secs(WORK_SECS);
            self.fire_timer()?;
            shift.into_iter().try_for_each(|site| self.finish_work(site))?;
            return Ok(true);
        }
        if self.coordinator.pause().is_some() {
            self.let_continue()?;
            return Ok(true);
        }
        let Some(due) = self.coordinator.next_timeout() else { return Ok(false) };
        self.now = self.now.max(due);
        self.fire_timer()?;
        Ok(true)
    }
}
