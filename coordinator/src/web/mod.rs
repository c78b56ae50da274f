//! The coordinator's live page and metrics: what admins see, drawn for a browser, and counted for Prometheus.
//!
//! ```text
//! serve: Service --+
//!                  +--> Shown --> page | metrics
//! run:   Desk -----+
//! ```
//!
//! What is shown are the very documents that admins are answered ([`StudyView`]) and the counters that exist: there is no
//! second truth here, and no request that changes anything.

mod args;
mod consortium;
mod lanes;
mod metrics;
mod one_study;
mod page;
mod sites;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use consilium_domain::{Digest, SiteId};
use consilium_protocol::admin::{RegisteredSite, StudySummary, StudyView};
use consilium_transport::{Identity, Traffic};
use consilium_web::{Source, Trust, WebError, WebSettings, Website};

use crate::notice::{Notice, Teller};
use crate::recent::Told;
use crate::registry::Registry;

pub(crate) use args::{WebArgs, WebTokenArgs};
pub(crate) use consortium::Consortium;
pub(crate) use one_study::OneStudy;

/// The hash of the access token, in the state folder.
const TOKEN_FILE: &str = "web-token";

/// Everything that is shown.
#[derive(Default)]
struct Shown {
    /// Every study, and whether its report can be read.
    studies: Vec<(StudySummary, bool)>,
    /// Those that are under way, or paused.
    views: Vec<StudyView>,
    /// The hospitals of the consortium.
    registered: Vec<RegisteredSite>,
    /// How often whom was refused.
    refused: BTreeMap<String, u64>,
    /// The log's end.
    told: Vec<Told>,
    /// Until when the coordinator's own certificate is valid.
    certificate_until: Option<SystemTime>,
    /// Lines of the audit log.
    audit_lines: u64,
}

/// Bytes of ended connections, by study and site.
pub(crate) type Traffics = Vec<(Digest, SiteId, Traffic)>;

/// Opens the website of `source`, if one is asked for, and tells where it is.
pub(crate) async fn open(
    settings: Option<WebSettings>,
    (identity, registry): (&Identity, &Registry),
    state: &Path,
    teller: &Teller,
    source: impl Source,
) -> Result<Option<Website>, WebError> {
    let Some(settings) = settings else { return Ok(None) };
    let trust = Trust {
        identity: identity.clone(),
        doorkeeper: Arc::new(registry.clone()),
        token_file: state.join(TOKEN_FILE),
    };
    let website = Website::open(settings, Some(trust), source).await?;
    teller.tell(Notice::Page(website.url()));
    Ok(Some(website))
}
