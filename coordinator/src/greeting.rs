//! The first words of a connection, whoever calls: hello, and the version both sides speak.
//!
//! What follows depends on the certificate: a site's session or an admin's. Neither is known here.

use std::time::Duration;

use consilium_domain::SiteId;
use consilium_protocol::{Features, Rejection, ToCoordinator, ToSite, VersionRange};
use consilium_transport::{CloseCode, Connection, ControlError, ControlReceiver};

use crate::auditing::SessionAudit;
use crate::conductor::Stopped;
use crate::outgoing::{Outgoing, SendError};

use crate::registry::Registry;
use crate::surroundings::now;

/// How long a fresh connection may take to say hello. Longer than any handshake, short for a silent stranger.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest name of a caller's program that is logged.
const MAX_SOFTWARE_BYTES: usize = 100;
/// How long a caller that was told the last word may take to hang up.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nobody said hello.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("no hello within {} s", HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("the caller hung up before it said hello")]
    HungUp,
}

/// What both sides speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) version: u16,
    /// What both can do beyond it.
    pub(crate) features: Features,
}

/// A caller that has spoken.
pub(crate) struct Greeting {
    pub(crate) outgoing: Outgoing,
    pub(crate) receiver: ControlReceiver,
    /// What both sides speak, or why they cannot.
    pub(crate) agreed: Result<Agreed, Rejection>,
    /// Name and version of the caller's program, of bounded length; empty where it did not say.
    pub(crate) software: String,
}

/// Hears the caller's hello. It and all that leaves from here on is written down in `audit`.
pub(crate) async fn greet(connection: &Connection, audit: &SessionAudit) -> Result<Greeting, GreetingError> {
    let hello = async {
        let (outgoing, mut receiver) = Outgoing::accept(connection, audit.clone()).await?;
        let hello = receiver.receive().await?.ok_or(GreetingError::HungUp)?;
        Ok::<_, GreetingError>((outgoing, receiver, hello))
    };
    let (outgoing, receiver, hello) =
        tokio::time::timeout(HELLO_TIMEOUT, hello).await.map_err(|_| GreetingError::Silent)??;
    audit.arrived(&hello, |_| None).await?;
    let agreed = agree(connection, &hello);
    let software = match hello {
        ToCoordinator::Hello { software, .. } if software.len() <= MAX_SOFTWARE_BYTES => software,
        _ => String::new(),
    };
    Ok(Greeting { outgoing, receiver, agreed, software })
}

fn agree(connection: &Connection, hello: &ToCoordinator) -> Result<Agreed, Rejection> {
    match hello {
        ToCoordinator::Hello { versions, features, software } if software.len() <= MAX_SOFTWARE_BYTES => {
            tracing::info!(peer = %connection.peer(), ?software, "hello");
            let version = VersionRange::OURS
                .common(*versions)
                .ok_or(Rejection::Version { ours: VersionRange::OURS.newest })?;
            Ok(Agreed { version, features: Features::OURS.common(*features) })
        }
        _ => Err(Rejection::OutOfTurn("say hello first, with a short name".into())),
    }
}

/// Our half of a conversation with a site: says only what the site's version knows.
pub(crate) struct Voice {
    outgoing: Outgoing,
    version: u16,
}

/// Why a site was not told something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VoiceError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(
        "a message of version {needed} was meant for a site that speaks {spoken}: a fault of this program"
    )]
    Newer { needed: u16, spoken: u16 },
}

impl Voice {
    /// Sends `message`, which the site's version must know.
    pub(crate) async fn say(&mut self, message: &ToSite) -> Result<(), VoiceError> {
        let (needed, spoken) = (message.since(), self.version);
        if needed > spoken {
            return Err(VoiceError::Newer { needed, spoken });
        }
        Ok(self.outgoing.send(message).await?)
    }

    /// The audit log of this connection.
    pub(crate) const fn audit(&self) -> &SessionAudit {
        self.outgoing.audit()
    }
}

/// A site that can be talked to.
pub(crate) struct GreetedSite {
    pub(crate) voice: Voice,
    pub(crate) receiver: ControlReceiver,
    pub(crate) agreed: Agreed,
    /// Name and version of its program.
    pub(crate) software: String,
}

/// Greets a site, and notes in the registry that it was there. One that cannot be talked to is told why, and its
/// connection ends.
pub(crate) async fn greet_site(
    connection: &Connection,
    site: &SiteId,
    registry: &Registry,
    audit: &SessionAudit,
) -> Option<GreetedSite> {
    let Greeting { mut outgoing, receiver, agreed, software } = match greet(connection, audit).await {
        Ok(greeting) => greeting,
        Err(error) => {
            tracing::info!(%site, reason = %error, "session ended");
            connection.close(CloseCode::DONE, &error.to_string());
            return None;
        }
    };
    registry.saw(site, connection, &software, now()).await;
    match agreed {
        Ok(agreed) => Some(GreetedSite {
            voice: Voice { outgoing, version: agreed.version },
            receiver,
            agreed,
            software,
        }),
        Err(rejection) => {
            tracing::warn!(%site, %rejection, code = rejection.code(), "refused");
            let last_word = ToSite::Rejected { order: None, rejection: rejection.clone() };
            let parting = async {
                if outgoing.send(&last_word).await.is_ok() {
                    connection.closed().await;
                }
            };
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, parting).await;
            connection.close(CloseCode::DONE, &rejection.to_string());
            None
        }
    }
}
