//! An admin's pause: no work is handed out and no patience runs out, while answers under way are taken in.
//!
//! A pause is not an outage: sites stay connected and keep what they do. It does not say why; people do.

use super::{Coordinator, Event};
use crate::{Rejection, Timestamp};

/// A time in which the study stood still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The admin who paused it.
    pub by: String,
    /// From when.
    pub since: Timestamp,
    /// Until when; `None` when nobody has let it continue.
    pub until: Option<Timestamp>,
}

impl Coordinator {
    /// The pause the study is in, if it is paused.
    pub fn pause(&self) -> Option<&Pause> {
        self.pauses.last().filter(|pause| pause.until.is_none() && !self.is_over())
    }

    /// Every pause so far, the last one perhaps without an end.
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    pub(super) fn admit_pausing(&self, event: &Event) -> Result<(), Rejection> {
        match (event, self.pause()) {
            (Event::Paused { .. }, Some(pause)) => {
                Err(Rejection::OutOfTurn(format!("the study was paused by {} already", pause.by)))
            }
            (Event::Continued { .. }, None) => Err(Rejection::OutOfTurn("the study is not paused".into())),
            _ => Ok(()),
        }
    }

    pub(super) fn pause_for(&mut self, by: String) {
        self.pauses.push(Pause { by, since: self.now, until: None });
    }

    pub(super) fn continue_after_pause(&mut self) {
        let now = self.now;
        if let Some(pause) = self.pauses.last_mut() {
            pause.until = Some(now);
        }
        self.roster.continued(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{FirstModels, Opening, Phase};
    use crate::sample;

    const START: Timestamp = Timestamp(1_000);

    fn opened() -> Coordinator {
        Coordinator::open(START, Opening { study: sample::study(), models: FirstModels::default() })
    }

    fn paused() -> Event {
        Event::Paused { by: "alice".into() }
    }

    fn continued() -> Event {
        Event::Continued { by: "bob".into() }
    }

    #[test]
    fn no_patience_runs_out_in_a_pause_and_all_of_it_begins_anew_after_it() {
        let mut state = opened();
        // One second for the enrolment, and one for a piece of work.
        assert_eq!(state.next_timeout(), Some(START.plus_secs(1)));
        state.handle(START, paused()).unwrap();
        assert_eq!(state.next_timeout(), None);
        let late = START.plus_secs(1_000);
        assert!(state.handle(late, Event::TimePassed).is_err());
        let back = Event::SiteConnected { site: "a".parse().unwrap(), software: String::new() };
        assert!(state.handle(late, back).unwrap().is_empty());
        assert_eq!(*state.phase(), Phase::Enrolling);
        state.handle(late, continued()).unwrap();
        assert_eq!(state.next_timeout(), Some(late.plus_secs(1)));
        let pause = Pause { by: "alice".into(), since: START, until: Some(late) };
        assert_eq!(state.pauses(), [pause]);
    }

    #[test]
    fn a_pause_survives_a_restart_and_is_neither_begun_nor_ended_twice() {
        let mut state = opened();
        assert!(matches!(state.handle(START, continued()), Err(Rejection::OutOfTurn(_))));
        state.handle(START, paused()).unwrap();
        let again = state.handle(START, paused()).unwrap_err().to_string();
        assert!(again.contains("alice"), "{again}");
        state.handle(START.plus_secs(5), Event::Resumed).unwrap();
        assert!(state.pause().is_some());
    }

    #[test]
    fn a_paused_study_can_be_ended() {
        let mut state = opened();
        state.handle(START, paused()).unwrap();
        state.handle(START, Event::Aborted { reason: "enough".into() }).unwrap();
        assert!(state.is_over() && state.was_aborted() && state.pause().is_none());
        assert_eq!(state.handle(START, continued()), Err(Rejection::Over));
    }
}
