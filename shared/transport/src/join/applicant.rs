//! The coordinator's end: somebody without a certificate has asked to join and waits for the answer.

use std::net::SocketAddr;

use consilium_domain::SiteId;
use rustls::pki_types::CertificateDer;

use super::line::JoinLine;
use super::message::{JoinRefusal, JoinReply, JoinRequest, PATIENCE, is_proven};
use super::token::{TokenId, TokenSecret};
use crate::closed::CloseCode;

/// What an applicant claims. Its proof was verified under the secret it gave; whether that is the token's, whoever
/// keeps the tokens must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinClaim {
    /// Which token.
    pub token: TokenId,
    /// The secret that came with it.
    pub secret: TokenSecret,
    /// Whether the request was made on this very channel by somebody who knows that secret.
    pub is_bound: bool,
    /// The request for a certificate (PKCS #10, DER), not read yet.
    pub request: Vec<u8>,
}

/// Somebody who waits for an answer. Dropping it hangs up.
#[derive(Debug)]
pub struct Applicant {
    line: JoinLine,
    address: SocketAddr,
    claim: JoinClaim,
}

/// A caller that wanted to join and did not keep to the conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JoinFault {
    #[error("nothing was asked within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("{0}")]
    Unheard(String),
}

impl Applicant {
    /// Where the applicant calls from.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it claims.
    pub const fn claim(&self) -> &JoinClaim {
        &self.claim
    }

    /// Tells the applicant that it is `site` now, waits until it has heard, and hangs up.
    pub async fn welcome(self, site: &SiteId, chain: &[CertificateDer<'_>], root: &CertificateDer<'_>) {
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        self.answer(JoinReply::Joined { site: site.clone(), chain, root: root.to_vec() }).await;
    }

    /// Tells the applicant why not, and hangs up.
    pub async fn refuse(self, refusal: JoinRefusal) {
        self.answer(JoinReply::Refused(refusal)).await;
    }

    /// Sends the applicant away before it was looked at: there are too many.
    pub(crate) async fn turn_away(self, refusal: JoinRefusal, problem: &str) {
        self.line.turn_away(refusal, problem).await;
    }

    async fn answer(mut self, reply: JoinReply) {
        let told = async {
            self.line.say(&reply).await?;
            // The applicant hangs up when it has heard; until then a lost packet must be sent again.
            self.line.gone().await;
            Ok::<_, super::message::Unheard>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, told).await {
            tracing::info!(address = %self.address, %error, "an applicant did not hear its answer");
        }
        self.line.hang_up(CloseCode::JOIN_OVER, "answered").await;
    }
}

/// Hears the one question that a line for joining is for. Who asks something else is sent away.
pub(crate) async fn hear(mut line: JoinLine, address: SocketAddr) -> Result<Applicant, JoinFault> {
    let heard = tokio::time::timeout(PATIENCE, line.hear::<JoinRequest>()).await;
    let heard = heard.map_err(|_| JoinFault::Silent);
    let heard = heard.and_then(|heard| heard.map_err(|error| JoinFault::Unheard(error.to_string())));
    match heard {
        Ok(question) => {
            let secret = TokenSecret::from_bytes(question.secret);
            let is_bound = is_proven(&secret, line.exporter(), &question.request, &question.proof);
            let (token, request) = (TokenId(question.token), question.request);
            Ok(Applicant { line, address, claim: JoinClaim { token, secret, is_bound, request } })
        }
        Err(fault) => {
            let problem = fault.to_string();
            line.turn_away(JoinRefusal::Malformed(problem.clone()), &problem).await;
            Err(fault)
        }
    }
}
