//! The coordinator's end: somebody without a certificate has asked to join and waits for the answer.

use std::net::SocketAddr;

use consilium_domain::SiteId;
use quinn::SendStream;
use rustls::pki_types::CertificateDer;

use super::message::{JoinRefusal, JoinReply, JoinRequest, PATIENCE, exporter, is_proven, receive, send};
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
    quic: quinn::Connection,
    stream: SendStream,
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

    async fn answer(mut self, reply: JoinReply) {
        let told = async {
            send(&mut self.stream, &reply).await?;
            // The applicant hangs up when it has heard; until then a lost packet must be sent again.
            self.quic.closed().await;
            Ok::<_, super::message::Unheard>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, told).await {
            tracing::info!(address = %self.address, %error, "an applicant did not hear its answer");
        }
        self.quic.close(CloseCode::JOIN_OVER.into(), b"answered");
    }
}

/// Hears the one question that a connection for joining is for.
pub(crate) async fn hear(quic: quinn::Connection, address: SocketAddr) -> Result<Applicant, JoinFault> {
    let heard = async {
        let (stream, mut receiver) =
            quic.accept_bi().await.map_err(|error| JoinFault::Unheard(error.to_string()))?;
        match receive::<JoinRequest>(&mut receiver).await {
            Ok(question) => Ok((stream, question)),
            Err(error) => Err(JoinFault::Unheard(error.to_string())),
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await.map_err(|_| JoinFault::Silent).and_then(|it| it);
    let (stream, question) = heard.inspect_err(|fault| {
        quic.close(CloseCode::JOIN_OVER.into(), fault.to_string().as_bytes());
    })?;
    let secret = TokenSecret::from_bytes(question.secret);
    let is_bound = is_proven(&secret, &exporter(&quic), &question.request, &question.proof);
    let claim = JoinClaim { token: TokenId(question.token), secret, is_bound, request: question.request };
    Ok(Applicant { quic, stream, address, claim })
}
