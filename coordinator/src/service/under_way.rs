//! What the live page and the metrics look at, beyond what an admin is answered.

use std::path::PathBuf;

use consilium_domain::Digest;
use consilium_protocol::admin::{StudyState, StudySummary, StudyView};

use super::Service;
use super::carrying::Life;
use crate::auditing::Audit;
use crate::notice::Teller;
use crate::report::page_beside;
use crate::web::Traffics;

impl Service {
    pub(crate) const fn teller(&self) -> &Teller {
        &self.teller
    }

    pub(crate) const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The study of `summary` in detail, unless it is over (then its report tells more) or cannot be carried on.
    pub(crate) async fn view_under_way(&self, summary: &StudySummary) -> Option<StudyView> {
        match summary.state {
            StudyState::Submitted | StudyState::Running | StudyState::Paused => {
                self.show(&summary.hash.to_string()).await.ok()
            }
            StudyState::Finished | StudyState::Halted | StudyState::Aborted | StudyState::Failed => None,
        }
    }

    /// The page of the report of `study`, where it is written.
    pub(crate) async fn finished_report(&self, study: Digest) -> Option<PathBuf> {
        let entries = self.entries.lock().await;
        let entry = entries.iter().find(|entry| entry.name == study)?;
        let report = entry.folder.report();
        let page = page_beside(&report);
        // The report comes after its page: where it is, both are whole.
        (matches!(entry.life, Life::Over(_)) && report.exists() && page.exists()).then_some(page)
    }

    /// The bytes of every site's ended connections, in studies under way.
    pub(crate) async fn traffics(&self) -> Traffics {
        let mut running = Vec::new();
        for entry in self.entries.lock().await.iter() {
            if let Life::Running(sessions) = &entry.life {
                running.push((entry.name, sessions.clone()));
            }
        }
        let mut traffics = Vec::new();
        for (study, sessions) in running {
            // One that ends just now is not counted.
            let accounts = sessions.desk().accounts().await.unwrap_or_default();
            traffics.extend(accounts.into_iter().map(|(site, traffic)| (study, site, traffic)));
        }
        traffics
    }
}
