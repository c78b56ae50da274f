//! What is shown of a coordinator that serves.

use std::sync::Arc;

use consilium_web::{Page, Source};

use super::{Shown, Traffics, metrics, page};
use crate::service::Service;

/// A service as a website's source.
pub(crate) struct Consortium(pub(crate) Arc<Service>);

impl Consortium {
    async fn shown(&self) -> Shown {
        let service = &self.0;
        let list = service.list().await;
        let mut shown = Shown {
            refused: list.refused,
            told: service.teller().recent().lines(),
            certificate_until: Some(service.audit().signer().certificate().not_after),
            audit_lines: service.audit().lines().await,
            // A database that does not answer is in the log; the page does without the hospitals' programs.
            registered: service.registered().await.unwrap_or_default(),
            ..Shown::default()
        };
        for summary in list.studies {
            if let Some(view) = service.view_under_way(&summary).await {
                shown.views.push(view);
            }
            let reported = summary.state.is_over() && service.finished_report(summary.hash).await.is_some();
            shown.studies.push((summary, reported));
        }
        shown
    }

    async fn traffics(&self) -> Traffics {
        self.0.traffics().await
    }
}

impl Source for Consortium {
    async fn page(&self) -> Page {
        page::page(&self.shown().await)
    }

    async fn metrics(&self) -> String {
        metrics::text(&self.shown().await, &self.traffics().await)
    }

    async fn report(&self, study: String) -> Option<String> {
        let page = self.0.finished_report(study.parse().ok()?).await?;
        tokio::fs::read_to_string(page).await.ok()
    }
}
