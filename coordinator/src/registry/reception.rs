//! Answers those who want to join, one after the other.

use consilium_transport::Applicant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Registry;
use crate::surroundings::now;

/// Applicants who are being answered at once: the answer waits for their good-bye.
const MAX_ANSWERING: usize = 8;

impl Registry {
    /// Answers applicants until there are none any more.
    pub async fn receive(self, mut applicants: mpsc::Receiver<Applicant>) {
        let mut answering = JoinSet::new();
        while let Some(applicant) = applicants.recv().await {
            if answering.len() >= MAX_ANSWERING {
                answering.join_next().await;
            }
            let registry = self.clone();
            answering.spawn(async move { registry.answer(applicant).await });
        }
    }

    async fn answer(&self, applicant: Applicant) {
        let from = applicant.address().ip();
        match self.enrol(applicant.claim(), from, now()).await {
            Ok(enrolled) => applicant.welcome(&enrolled.site, &enrolled.chain, &enrolled.root).await,
            Err(refusal) => applicant.refuse(refusal).await,
        }
    }
}
