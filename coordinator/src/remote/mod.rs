//! The admin's side: connects to a coordinator with the kit of an admin or an observer, asks, shows the answer.
//!
//! Knows nothing of the coordinator's files: it works from any machine that reaches the coordinator's port.

pub(crate) mod site_command;
mod study_command;
mod table;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use consilium_domain::Role;
use consilium_protocol::admin::{AdminRefusal, AdminReply, AdminRequest, MAX_DOCUMENT_BYTES};
use consilium_protocol::{Features, ToCoordinator, VersionRange};
use consilium_transport::{
    CloseCode, Connection, ControlReceiver, ControlSender, Dialler, Identity, LinkChoice, LinkMemory,
    ProxyChoice, Tuning,
};

pub(crate) use study_command::StudyCommand;
pub(crate) use study_command::report;
pub(crate) use table::{in_hand, time_of, work_left};
pub(crate) use watch::WatchArgs;

/// What this program calls itself.
const SOFTWARE: &str = concat!("consilium-coordinator ", env!("CARGO_PKG_VERSION"));
/// How long the coordinator may take to answer: reading a large network's weights takes it seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which coordinator to ask, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoteArgs {
    /// The coordinator, as in coordinator.example.org:4433.
    #[arg(long, global = true, value_name = "HOST:PORT", env = "CONSILIUM_CONNECT")]
    pub(crate) connect: Option<String>,
    /// Folder with ca.pem, cert.pem and key.pem of an admin or an observer.
    #[arg(long, global = true, value_name = "KIT", env = "CONSILIUM_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,
}

/// What came of a request.
pub(crate) enum Answer {
    /// The document that answers it.
    Document(String),
    /// It changed nothing.
    Refused(AdminRefusal),
}

/// A connection to a coordinator.
pub(crate) struct Remote {
    connection: Connection,
    sender: ControlSender,
    receiver: ControlReceiver,
}

impl RemoteArgs {
    /// Asks the coordinator one thing.
    pub(crate) async fn ask(&self, request: &AdminRequest) -> anyhow::Result<Answer> {
        let mut remote = match self.reach().await? {
            Ok(remote) => remote,
            Err(refusal) => return Ok(Answer::Refused(refusal)),
        };
        let answer = remote.ask(request).await;
        remote.leave().await;
        answer
    }

    async fn reach(&self) -> anyhow::Result<Result<Remote, AdminRefusal>> {
        let Some(name) = &self.connect else {
            bail!("which coordinator? pass --connect HOST:PORT or set CONSILIUM_CONNECT");
        };
        let Some(folder) = &self.identity else {
            bail!("as whom? pass --identity KIT or set CONSILIUM_IDENTITY");
        };
        let identity = Identity::load(folder)?;
        if !matches!(identity.role(), Role::Admin(_) | Role::Observer(_)) {
            bail!(
                "the kit in {} is for `{}`: commands need the kit of an admin or an observer (`consilium-certs \
                 issue-admin`)",
                folder.display(),
                identity.role()
            );
        }
        // One command is one connection: nothing is worth remembering.
        let memory = LinkMemory::of_this_process();
        greet(dialler(name)?.connect(&identity, &memory).await?).await
    }
}

/// The ways to the coordinator at `name`, as a site has them: QUIC, then TCP at the same port, then a proxy of the
/// environment.
fn dialler(name: &str) -> anyhow::Result<Dialler> {
    let place = name.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let Some((host, port)) = place.and_then(|(host, port)| Some((host, port.parse().ok()?))) else {
        bail!("`{name}` is no HOST:PORT");
    };
    let (link, proxy, tuning) = (LinkChoice::Auto, ProxyChoice::Environment, Tuning::default());
    Ok(Dialler { host: host.to_owned(), port, tcp_port: port, link, proxy, tuning })
}

/// Says hello and hears who we are; the inner error is the coordinator's refusal.
async fn greet(connection: Connection) -> anyhow::Result<Result<Remote, AdminRefusal>> {
    let (mut sender, receiver) = connection.open_control().await?;
    let hello = ToCoordinator::Hello {
        versions: VersionRange::OURS,
        features: Features::OURS,
        software: SOFTWARE.to_owned(),
    };
    let mut remote = match sender.send(&hello).await {
        Ok(()) => Remote { connection, sender, receiver },
        Err(_) => bail!("the coordinator hung up: {}", connection.closed().await),
    };
    Ok(match remote.hear().await? {
        AdminReply::Welcome { name, may_change, software, .. } => {
            tracing::info!(%name, may_change, ?software, "connected");
            Ok(remote)
        }
        AdminReply::Refused(refusal) => Err(refusal),
        AdminReply::Page { .. } => {
            bail!("the coordinator answered before it was asked: update both programs")
        }
    })
}

impl Remote {
    /// Says good-bye, and waits until that has left.
    async fn leave(self) {
        self.connection.close(CloseCode::DONE, "good-bye");
        self.connection.drained().await;
    }

    async fn ask(&mut self, request: &AdminRequest) -> anyhow::Result<Answer> {
        self.sender.send(request).await?;
        let mut document = String::new();
        loop {
            match self.hear().await? {
                AdminReply::Page { text, last } => {
                    document.push_str(&text);
                    if document.len() > MAX_DOCUMENT_BYTES {
                        bail!("the coordinator's answer has more than {MAX_DOCUMENT_BYTES} bytes");
                    }
                    if last {
                        return Ok(Answer::Document(document));
                    }
                }
                AdminReply::Refused(refusal) => return Ok(Answer::Refused(refusal)),
                AdminReply::Welcome { .. } => bail!("the coordinator greeted twice: update both programs"),
            }
        }
    }

    async fn hear(&mut self) -> anyhow::Result<AdminReply> {
        let reply = tokio::time::timeout(PATIENCE, self.receiver.receive::<AdminReply>()).await;
        let Ok(reply) = reply else { bail!("no answer within {} s", PATIENCE.as_secs()) };
        match reply {
            Ok(Some(reply)) => Ok(reply),
            // The reason with which the coordinator hung up says more than that it did.
            Ok(None) => bail!("the coordinator hung up: {}", self.connection.closed().await),
            Err(error) => match self.connection.close_reason() {
                Some(closed) => bail!("the coordinator hung up: {closed}"),
                None => Err(error.into()),
            },
        }
    }
}
