//! Who has called, and where the call belongs: to a study, to the bench, to the admins' desk.

use std::sync::Arc;

use consilium_domain::{Role, SiteId};
use consilium_protocol::{Rejection, ToCoordinator, ToSite};
use consilium_transport::{CloseCode, Connection, ControlError};
use tokio::sync::watch;

use super::Service;
use super::caller::Caller;
use super::carrying::Place;
use crate::auditing::SessionAudit;
use crate::greeting::{FAREWELL_TIMEOUT, GreetedSite, greet_site};
use crate::renewing::renewed;
use crate::session::Sessions;

/// Closes the connection of a site whose study cannot be carried on at present: it keeps its work and comes back.
const FAILED: &str = "the study cannot be carried on at present: the consortium's admin sees why";

impl Service {
    /// Serves one connection to its end.
    pub(super) async fn receive(self: Arc<Self>, connection: Connection) {
        // Where something cannot be written down, `serve` hears of it.
        let Ok(session) = self.audit.connected(&connection).await else { return };
        self.direct(&session, connection.clone()).await;
        let _ = session.disconnected(connection.traffic()).await;
    }

    async fn direct(self: Arc<Self>, audit: &SessionAudit, connection: Connection) {
        if let Some(caller) = Caller::of(connection.peer()) {
            return self.attend(audit, connection, caller).await;
        }
        let Role::Site(site) = connection.peer().clone() else { return };
        let Some(greeted) = greet_site(&connection, &site, &self.registry, audit).await else { return };
        let mut turns = self.turns.subscribe();
        let (sessions, greeted) = match self.place_of(&site).await {
            Place::Study(sessions) => (sessions, greeted),
            Place::Failed => return connection.close(CloseCode::DONE, FAILED),
            Place::Nowhere => match self.wait(&connection, &site, greeted, &mut turns).await {
                Some(place) => place,
                None => return,
            },
        };
        sessions.serve(connection, site, greeted).await;
    }

    /// Keeps a site connected until a study needs it. `None` when its connection has ended.
    async fn wait(
        &self,
        connection: &Connection,
        site: &SiteId,
        mut greeted: GreetedSite,
        turns: &mut watch::Receiver<u64>,
    ) -> Option<(Sessions, GreetedSite)> {
        if ToSite::Waiting.since() > greeted.agreed.version {
            let refused = ToSite::Rejected { order: None, rejection: Rejection::NotInvited };
            if greeted.voice.say(&refused).await.is_ok() {
                let _ = tokio::time::timeout(FAREWELL_TIMEOUT, connection.closed()).await;
            }
            connection.close(CloseCode::DONE, &Rejection::NotInvited.to_string());
            return None;
        }
        tracing::info!(%site, "no study needs the site: it waits");
        if greeted.voice.say(&ToSite::Waiting).await.is_err() {
            return None;
        }
        loop {
            tokio::select! {
                said = greeted.receiver.receive::<ToCoordinator>() => {
                    if let Ok(Some(message)) = &said {
                        // Where it cannot be written, `serve` hears of it.
                        let _ = greeted.voice.audit().arrived(message, |_| None).await;
                    }
                    if let Ok(Some(ToCoordinator::Renew { request })) = &said {
                        let answer = renewed(&self.registry, site, connection, request).await;
                        if greeted.voice.say(&answer).await.is_ok() {
                            continue;
                        }
                        return None;
                    }
                    let reason = reason_to_leave(said.map(|message| message.is_some()));
                    tracing::info!(%site, reason, "a waiting site's session ended");
                    connection.close(CloseCode::DONE, &reason);
                    return None;
                }
                // The sender lives as long as the service, of which this is a part.
                _ = turns.changed() => match self.place_of(site).await {
                    Place::Study(sessions) => return Some((sessions, greeted)),
                    Place::Failed => {
                        connection.close(CloseCode::DONE, FAILED);
                        return None;
                    }
                    Place::Nowhere => {}
                },
            }
        }
    }
}

fn reason_to_leave(said: Result<bool, ControlError>) -> String {
    match said {
        Ok(true) => "there is nothing to say before a study needs the site".to_owned(),
        Ok(false) => "the site hung up".to_owned(),
        Err(error) => error.to_string(),
    }
}
