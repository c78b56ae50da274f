//! The hospital's own page: what was asked, what left, what waits for a decision, what the data check says. For this machine
//! alone, and read only: who decides uses the commands, as the client's own user.
//!
//! It asks the daemon as everybody does, through the requests of the control socket that change nothing, and takes what
//! left from the audit log. No patient, no file name and no path is shown: other users of the machine can open the page.

mod checked;
mod metrics;
mod page;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use consilium_audit::AuditLog;
use consilium_transport::Identity;
use consilium_web::{Page, Source, WebError, WebSettings, Website};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::control::Asked;
use crate::steward::{Answer, Request, StatusView, StudyView};

use checked::CheckedData;

/// How long the daemon may take to answer: its loop answers between two messages.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the daemon says of itself.
#[derive(Debug, Clone)]
struct Said {
    status: StatusView,
    studies: Vec<StudyView>,
}

/// Everything that is shown.
struct Shown {
    /// What the daemon said last; `None` before it has.
    said: Option<Said>,
    /// Whether it said that just now.
    answers: bool,
    ledger: consilium_audit::Ledger,
    audit_lines: u64,
    certificate_until: std::time::SystemTime,
    site: String,
    /// The data check, once it is done.
    checked: Option<CheckedData>,
}

/// The daemon as a website's source.
pub(crate) struct Window {
    asking: mpsc::Sender<Asked>,
    log: AuditLog,
    identity: Identity,
    last: Mutex<Option<Said>>,
    checked: Arc<OnceLock<CheckedData>>,
}

impl Window {
    /// A look at a daemon through its requests, its log and its certificate.
    pub(crate) fn new(asking: mpsc::Sender<Asked>, log: AuditLog, identity: Identity) -> Self {
        Self { asking, log, identity, last: Mutex::default(), checked: Arc::default() }
    }

    /// Has the data checked in the background, once: the headers only, which takes seconds.
    pub(crate) fn check_data(&self, config: &Config) {
        let (layout, folders, checked) = (config.layout, config.data.clone(), self.checked.clone());
        tokio::task::spawn_blocking(move || checked.set(CheckedData::of(layout, &folders)));
    }

    async fn ask(&self, request: Request) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.asking.send(Asked { request, answer }).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok().flatten()
    }

    async fn hear(&self) -> Option<Said> {
        let Answer::Status(status) = self.ask(Request::Status).await? else { return None };
        let Answer::Studies(studies) = self.ask(Request::Studies).await? else { return None };
        Some(Said { status, studies })
    }

    async fn shown(&self) -> Shown {
        let heard = self.hear().await;
        let answers = heard.is_some();
        let said = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = heard.or(last.take());
            last.clone()
        };
        let log = self.log.clone();
        // Asked on a thread that may wait: somebody may be writing.
        let told = tokio::task::spawn_blocking(move || (log.ledger(), log.head().records)).await;
        let (ledger, audit_lines) = told.unwrap_or_default();
        Shown {
            said,
            answers,
            ledger,
            audit_lines,
            certificate_until: self.identity.certificate().not_after,
            site: self.identity.role().site().map_or_else(String::new, ToString::to_string),
            checked: self.checked.get().cloned(),
        }
    }
}

impl Source for Window {
    async fn page(&self) -> Page {
        page::page(&self.shown().await)
    }

    async fn metrics(&self) -> String {
        metrics::text(&self.shown().await)
    }

    async fn report(&self, _: String) -> Option<String> {
        None
    }
}

/// Opens the page at `listen`, which must be on this machine, and tells where it is.
pub(crate) async fn open(listen: SocketAddr, window: Window) -> Result<Website, WebError> {
    let website = Website::open(WebSettings { listen, login: None }, None, window).await?;
    println!("{}", serde_json::json!({ "page": website.url() }));
    Ok(website)
}

#[cfg(test)]
mod tests {
    use consilium_audit::{Content, Record};
    use consilium_certs::Authority;
    use consilium_domain::{Digest, Role};

    use super::*;
    use crate::policy::SitePolicy;
    use crate::steward::{Clock, Steward};

    #[tokio::test]
    async fn the_page_tells_what_the_daemon_says_and_what_left() {
        let folder = tempfile::tempdir().unwrap();
        let kit = folder.path().join("kit");
        let site = "north".parse().unwrap();
        Authority::create("a test").unwrap().issue_site(&site).unwrap().write(&kit).unwrap();
        let log = AuditLog::open(&folder.path().join("audit"), &Role::Site(site)).unwrap();
        let content = Content::Ready {};
        let record =
            Record::Sent { peer: Role::Coordinator.into(), bytes: 41, blake3: Digest::of(b"x"), content };
        log.append(record).unwrap();
        let mut steward = Steward::open(folder.path(), SitePolicy::default(), Clock::system()).unwrap();
        let study = crate::policy::tests::study();
        steward.offered(&study).unwrap();
        let (asking, mut requests) = mpsc::channel::<Asked>(1);
        let window = Window::new(asking, log, Identity::load(&kit).unwrap());
        // Before the daemon answers.
        let silent = window.shown();
        let silent = tokio::time::timeout(3 * PATIENCE, silent).await.unwrap();
        assert!(!silent.answers && silent.said.is_none());
        while requests.try_recv().is_ok() {}
        let daemon = tokio::spawn(async move {
            while let Some(Asked { request, answer }) = requests.recv().await {
                let _ = answer.send(steward.answer(request));
            }
        });
        let page = window.page().await;
        let text: String =
            page.sections.iter().flat_map(|section| &section.content).map(|part| part.render()).collect();
        for words in
            ["state-pending", &study.hash().digest().short(), "ready", "41", "consilium-client approve"]
        {
            assert!(text.contains(words), "`{words}` is missing from {text}");
        }
        let told = window.metrics().await;
        for line in [
            "consilium_client_answers 1",
            "consilium_client_studies{decision=\"pending\"} 1",
            "consilium_client_sent_bytes_total{kind=\"ready\"} 41",
        ] {
            assert!(told.lines().any(|said| said == line), "`{line}` is missing from\n{told}");
        }
        daemon.abort();
    }
}
