//! The last lines that the coordinator told, for the live page. Memory only: what must last is in the logs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use consilium_domain::StudyHash;
use consilium_protocol::Timestamp;

use crate::notice::Notice;
use crate::surroundings::now;

/// Lines that are kept: some screens full.
const MOST: usize = 100;

/// One line and when it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// The lines, the oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recent(Arc<Mutex<VecDeque<Told>>>);

impl Recent {
    /// Remembers `notice`, unless it is of a kind that is seen elsewhere or names a file of this machine.
    pub(crate) fn note(&self, study: Option<StudyHash>, notice: &Notice) {
        let words = match notice {
            Notice::Progress(_) | Notice::Page(_) | Notice::Of { .. } => return,
            Notice::Report(_) => "the report is written".to_owned(),
            told => told.to_string(),
        };
        let text = study.map_or_else(|| words.clone(), |study| format!("{} {words}", study.digest().short()));
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back(Told { at: now(), text });
    }

    /// All of them.
    pub(crate) fn lines(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_path() {
        let recent = Recent::default();
        for number in 0..=MOST {
            recent.note(None, &Notice::Warning(number.to_string()));
        }
        recent.note(None, &Notice::Report("/srv/secret/report.json".into()));
        let lines = recent.lines();
        assert_eq!((lines.len(), lines[0].text.as_str()), (MOST, "warning: 2"));
        assert_eq!(lines[MOST - 1].text, "the report is written");
    }
}
