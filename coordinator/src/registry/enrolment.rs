//! Issuing certificates: to who has a token, and again to who has a certificate.
//!
//! Names are written here. Of a request, the public key is taken and nothing else.

use std::net::IpAddr;
use std::sync::PoisonError;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use consilium_audit::CertificateChange;
use consilium_domain::{Role, SiteId};
use consilium_pki::{
    CertificateFacts, Issued, Issuer, IssuerError, PublicKey, RequestError, certificates_of, pem_of,
};
use consilium_protocol::Timestamp;
use consilium_transport::{JoinClaim, JoinRefusal};
use rustls_pki_types::CertificateDer;

use super::database::{KeptToken, NewCertificate, RegistryError};
use super::{Registry, moment, timestamp};

/// A site may renew again after this part of a certificate's life: a day of thirty. Less often than a fault could ask,
/// more often than a lost answer costs.
const RENEWAL_PAUSES: u32 = 30;

/// A site that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub site: SiteId,
    /// Its certificate, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The consortium's root.
    pub root: CertificateDer<'static>,
}

/// Why a certificate is not renewed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenewalRefusal {
    /// There is nothing to issue it with.
    #[error(
        "this coordinator issues no certificates: ask the consortium's admin for a new kit before yours expires"
    )]
    CannotIssue,
    /// The site was revoked.
    #[error("this certificate was revoked: ask the consortium's administrator")]
    Revoked,
    /// One was issued a moment ago.
    #[error("a certificate was issued to this site a moment ago: try again later")]
    TooSoon,
    /// The request is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Our own failure.
    #[error("the coordinator cannot issue certificates now: try again later, and tell its operator")]
    Unavailable,
}

impl RenewalRefusal {
    /// A stable word for counters.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CannotIssue => "renewal-cannot-issue",
            Self::Revoked => "renewal-revoked",
            Self::TooSoon => "renewal-too-soon",
            Self::Request(_) => "renewal-malformed",
            Self::Unavailable => "renewal-unavailable",
        }
    }
}

impl Registry {
    /// Gives the holder of a token its certificate. The token is used up before this returns; the same key with the same
    /// token gets the same certificate again, because the first answer may have been lost.
    ///
    /// # Errors
    /// With what the applicant is told. Each refusal is logged and counted.
    pub async fn enrol(
        &self,
        claim: &JoinClaim,
        from: IpAddr,
        at: Timestamp,
    ) -> Result<Enrolled, JoinRefusal> {
        let outcome = self.try_enrol(claim, from, at).await;
        match &outcome {
            Ok(enrolled) => {
                tracing::info!(site = %enrolled.site, token = %claim.token, %from, "site joined");
                let serial = enrolled.chain.first().and_then(|der| CertificateFacts::of(der).ok());
                let serial = serial.map(|facts| facts.serial);
                let holder = Some(Role::Site(enrolled.site.clone()));
                self.record(holder, serial.as_deref(), CertificateChange::Joined).await;
            }
            Err(refusal) => {
                self.count(refusal.code());
                tracing::warn!(token = %claim.token, %from, reason = refusal.code(), "nobody joined: {refusal}");
                self.record_refusal(None, refusal.code()).await;
            }
        }
        outcome
    }

    async fn try_enrol(
        &self,
        claim: &JoinClaim,
        from: IpAddr,
        at: Timestamp,
    ) -> Result<Enrolled, JoinRefusal> {
        let admitted = self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner).admit(from, at);
        admitted.map_err(|wait_secs| JoinRefusal::TooMany { wait_secs })?;
        let identity = self.0.identity.as_ref().ok_or(JoinRefusal::CannotIssue)?;
        let root = identity.root().clone();
        let _writing = self.0.writing.lock().await;
        let kept = self.0.database.token(claim.token).await.map_err(unavailable)?;
        let kept = proven(kept, claim)?;
        let key = PublicKey::from_request(&claim.request)
            .map_err(|error| JoinRefusal::Malformed(error.to_string()))?;
        if kept.used.as_ref().is_some_and(|(used_by, _)| used_by != key.der()) {
            return Err(JoinRefusal::Used);
        }
        if at >= kept.expires {
            return Err(JoinRefusal::Expired);
        }
        let site = kept.site;
        if let Some((_, chain)) = kept.used {
            return Ok(Enrolled { site, chain: certificates_of(&chain).map_err(unavailable)?, root });
        }
        let issuer = self.issuer().map_err(unavailable)?.ok_or(JoinRefusal::CannotIssue)?;
        let issued = self.issue(&issuer, &site, &key, at).map_err(unavailable)?;
        let certificate = noted(&site, &issued);
        let chain = pem_of(&issued.chain);
        let joined = self.0.database.join(claim.token, key.der(), &chain, certificate, at).await;
        if !joined.map_err(unavailable)? {
            return Err(JoinRefusal::Used);
        }
        self.standing_mut(|standing| standing.issued(&site, &issued.facts.serial));
        Ok(Enrolled { site, chain: issued.chain, root })
    }

    /// Gives `site`, which asks over a connection of its own, a certificate for the key in `request`, as PEM with its
    /// issuer's. `serial` is that of the certificate it has shown.
    ///
    /// # Errors
    /// With what the site is told. Each refusal is logged and counted.
    pub async fn renew(
        &self,
        site: &SiteId,
        serial: &str,
        request: &[u8],
        at: Timestamp,
    ) -> Result<String, RenewalRefusal> {
        let outcome = self.try_renew(site, serial, request, at).await;
        match &outcome {
            Ok(issued) => {
                tracing::info!(%site, serial = issued.facts.serial, "certificate renewed");
                let holder = Some(Role::Site(site.clone()));
                self.record(holder, Some(&issued.facts.serial), CertificateChange::Renewed).await;
            }
            Err(refusal) => {
                self.count(refusal.code());
                tracing::warn!(%site, reason = refusal.code(), "certificate not renewed: {refusal}");
                self.record_refusal(Some(site), refusal.code()).await;
            }
        }
        outcome.map(|issued| pem_of(&issued.chain))
    }

    async fn try_renew(
        &self,
        site: &SiteId,
        serial: &str,
        request: &[u8],
        at: Timestamp,
    ) -> Result<Issued, RenewalRefusal> {
        use consilium_transport::Doorkeeper as _;
        let log = |error: RegistryError| {
            tracing::error!(%error, "the registry cannot be used");
            RenewalRefusal::Unavailable
        };
        let _writing = self.0.writing.lock().await;
        if self.is_revoked(&Role::Site(site.clone()), serial) {
            return Err(RenewalRefusal::Revoked);
        }
        let key = PublicKey::from_request(request)?;
        let issuer = self.issuer().map_err(|error| {
            tracing::error!(%error, "the issuing certificate cannot be used");
            RenewalRefusal::Unavailable
        })?;
        let issuer = issuer.ok_or(RenewalRefusal::CannotIssue)?;
        let pause = self.0.terms.certificate_life.duration() / RENEWAL_PAUSES;
        let last = self.0.database.last_issued(site).await.map_err(log)?;
        if last.is_some_and(|last| u128::from(at.0.saturating_sub(last.0)) < pause.as_millis()) {
            return Err(RenewalRefusal::TooSoon);
        }
        let issued = self.issue(&issuer, site, &key, at).map_err(|error| {
            tracing::error!(%error, "no certificate can be issued");
            RenewalRefusal::Unavailable
        })?;
        self.0.database.renewed(noted(site, &issued), at).await.map_err(log)?;
        self.standing_mut(|standing| standing.issued(site, &issued.facts.serial));
        Ok(issued)
    }

    /// Read at each use, so that a new issuing certificate needs no restart.
    pub(super) fn issuer(&self) -> Result<Option<Issuer>, IssuerError> {
        self.0.identity.as_ref().map_or(Ok(None), |identity| Issuer::load(identity.dir()))
    }

    fn issue(
        &self,
        issuer: &Issuer,
        site: &SiteId,
        key: &PublicKey,
        at: Timestamp,
    ) -> Result<Issued, IssuerError> {
        issuer.issue(&Role::Site(site.clone()), &[], key, self.0.terms.certificate_life, moment(at))
    }
}

/// The token, if the applicant has shown that it holds it. What is wrong with the token is only told to its holder.
fn proven(kept: Option<KeptToken>, claim: &JoinClaim) -> Result<KeptToken, JoinRefusal> {
    let kept = kept.ok_or(JoinRefusal::Wrong)?;
    verify_slices_are_equal(&kept.secret_hash, &claim.secret.sha256()).map_err(|_| JoinRefusal::Wrong)?;
    if !claim.is_bound {
        return Err(JoinRefusal::NotBound);
    }
    if kept.withdrawn { Err(JoinRefusal::Withdrawn) } else { Ok(kept) }
}

fn noted<'a>(site: &'a SiteId, issued: &'a Issued) -> NewCertificate<'a> {
    NewCertificate { site, serial: &issued.facts.serial, expires: timestamp(issued.facts.not_after) }
}

/// Our own failures are ours: the log has the reason.
fn unavailable(error: impl std::fmt::Display) -> JoinRefusal {
    tracing::error!(%error, "an applicant could not be answered");
    JoinRefusal::Unavailable
}
