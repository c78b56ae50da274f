//! Which side of the consortium a certificate speaks for, and how the certificate says so.
//!
//! The text form is the URI in the certificate's subject alternative name: the authority writes it, the transport
//! reads it, so it is defined once, here.

use std::fmt;
use std::str::FromStr;

use crate::SiteId;

const COORDINATOR: &str = "consilium:coordinator";
const SITE_PREFIX: &str = "consilium:site:";
const ADMIN_PREFIX: &str = "consilium:admin:";
const OBSERVER_PREFIX: &str = "consilium:observer:";

/// What the holder of a certificate is. Written as `consilium:coordinator`, or `consilium:site:`,
/// `consilium:admin:` or `consilium:observer:` and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The coordinator of the consortium: the only role a client talks to.
    Coordinator,
    /// A hospital: takes part in studies.
    Site(SiteId),
    /// A person who runs the consortium: submits studies, invites and revokes sites. Named as sites are.
    Admin(SiteId),
    /// A person who may look at studies and sites and change nothing. Named as sites are.
    Observer(SiteId),
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no role: expected `{COORDINATOR}`, or `{SITE_PREFIX}`, `{ADMIN_PREFIX}` or `{OBSERVER_PREFIX}` and a name"
)]
pub struct UnknownRole(String);

impl Role {
    /// The DNS name every coordinator certificate carries and every client asks for, wherever the coordinator
    /// runs: a consortium's own authority vouches for it, so the address may change without a new certificate.
    pub const COORDINATOR_HOST: &str = "coordinator.consilium.internal";

    /// The site this role stands for, if it is one.
    pub const fn site(&self) -> Option<&SiteId> {
        match self {
            Self::Site(site) => Some(site),
            Self::Coordinator | Self::Admin(_) | Self::Observer(_) => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str(COORDINATOR),
            Self::Site(site) => write!(f, "{SITE_PREFIX}{site}"),
            Self::Admin(name) => write!(f, "{ADMIN_PREFIX}{name}"),
            Self::Observer(name) => write!(f, "{OBSERVER_PREFIX}{name}"),
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == COORDINATOR {
            return Ok(Self::Coordinator);
        }
        let named = |prefix: &str| text.strip_prefix(prefix)?.parse::<SiteId>().ok();
        named(SITE_PREFIX)
            .map(Self::Site)
            .or_else(|| named(ADMIN_PREFIX).map(Self::Admin))
            .or_else(|| named(OBSERVER_PREFIX).map(Self::Observer))
            .ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_round_trips() {
        let name = || "st-elsewhere".parse().unwrap();
        for (role, text) in [
            (Role::Coordinator, "consilium:coordinator"),
            (Role::Site(name()), "consilium:site:st-elsewhere"),
            (Role::Admin(name()), "consilium:admin:st-elsewhere"),
            (Role::Observer(name()), "consilium:observer:st-elsewhere"),
        ] {
            assert_eq!(role.to_string(), text);
            assert_eq!(text.parse(), Ok(role));
        }
    }

    #[test]
    fn near_misses_are_refused() {
        let texts = [
            "",
            "coordinator",
            "consilium:coordinator ",
            "consilium:site:",
            "consilium:site:A",
            "consilium:admin:",
            "consilium:observer",
            "CONSILIUM:site:a",
        ];
        for text in texts {
            assert!(text.parse::<Role>().is_err(), "{text}");
        }
    }
}
