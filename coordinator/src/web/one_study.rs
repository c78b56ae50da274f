//! What is shown of a coordinator that runs one study.

use consilium_domain::SiteId;
use consilium_transport::{Refusals, Traffic};
use consilium_web::{Page, Source};

use super::{Shown, Traffics, metrics, page};
use crate::auditing::Audit;
use crate::conductor::Desk;
use crate::notice::Teller;
use crate::registry::Registry;
use crate::service::overview;
use crate::service::sites::registered;

/// One study as a website's source. It ends with its study: then the report is a file.
pub(crate) struct OneStudy {
    pub(crate) desk: Desk,
    pub(crate) registry: Registry,
    pub(crate) refusals: Refusals,
    pub(crate) audit: Audit,
    pub(crate) teller: Teller,
}

impl OneStudy {
    async fn shown(&self) -> Shown {
        let view =
            self.desk.read(|state| overview::view(overview::summary_of(state), state.study(), Some(state)));
        let at_the_door = self.refusals.snapshot().into_iter().map(|(cause, count)| (cause.word(), count));
        let refused = at_the_door.chain(self.registry.refusals());
        Shown {
            studies: vec![(view.summary.clone(), false)],
            views: vec![view],
            registered: registered(&self.registry).await.unwrap_or_default(),
            refused: refused.map(|(cause, count)| (cause.to_owned(), count)).collect(),
            told: self.teller.recent().lines(),
            certificate_until: Some(self.audit.signer().certificate().not_after),
            audit_lines: self.audit.lines().await,
        }
    }

    async fn traffics(&self) -> Traffics {
        let study = self.desk.read(|state| state.hash().digest());
        // Where nobody conducts any more there is nothing to count.
        let accounts = self.desk.accounts().await.unwrap_or_default();
        accounts.into_iter().map(|(site, traffic): (SiteId, Traffic)| (study, site, traffic)).collect()
    }
}

impl Source for OneStudy {
    async fn page(&self) -> Page {
        page::page(&self.shown().await)
    }

    async fn metrics(&self) -> String {
        metrics::text(&self.shown().await, &self.traffics().await)
    }

    async fn report(&self, _: String) -> Option<String> {
        None
    }
}
