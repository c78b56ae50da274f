//! What an admin is shown of a site.

use std::fmt;

use consilium_domain::SiteId;
use consilium_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a site stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteState {
    /// It was given a token and has not joined yet.
    Invited,
    /// It has a certificate that was not revoked; whether it is still valid, its date says.
    Joined,
    /// Its certificates were revoked, and it was not invited since.
    Revoked,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteRecord {
    /// Its name.
    pub site: SiteId,
    /// Where it stands.
    pub state: SiteState,
    /// When the last token that it has not used expires or expired.
    pub token_expires: Option<Timestamp>,
    /// When its latest certificate expires.
    pub certificate_expires: Option<Timestamp>,
    /// When it last said hello.
    pub last_seen: Option<Timestamp>,
    /// The program that said hello, with its version.
    pub software: Option<String>,
    /// Connections it has now.
    pub connections: usize,
}

impl fmt::Display for SiteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Invited => "invited",
            Self::Joined => "joined",
            Self::Revoked => "revoked",
        })
    }
}
