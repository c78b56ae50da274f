//! Which side of the consortium a certificate speaks for, and how the certificate says so.
//!
//! The text form is the URI in the certificate's subject alternative name: the authority writes it, the transport
//! reads it, so it is defined once, here.

use std::fmt;
use std::str::FromStr;

use crate::SiteId;

const COORDINATOR: &str = "consilium:coordinator";
const SITE_PREFIX: &str = "consilium:site:";

/// What the holder of a certificate is. Written as `consilium:coordinator` or `consilium:site:<site id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// The coordinator of the consortium: the only role a client talks to.
    Coordinator,
    /// A hospital: the only role the coordinator talks to.
    Site(SiteId),
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no role: expected `{COORDINATOR}` or `{SITE_PREFIX}<site id>`")]
pub struct UnknownRole(String);

impl Role {
    /// The DNS name every coordinator certificate carries and every client asks for, wherever the coordinator
    /// runs: a consortium's own authority vouches for it, so the address may change without a new certificate.
    pub const COORDINATOR_HOST: &str = "coordinator.consilium.internal";

    /// The site this role stands for, if it is one.
    pub const fn site(&self) -> Option<&SiteId> {
        match self {
            Self::Coordinator => None,
            Self::Site(site) => Some(site),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str(COORDINATOR),
            Self::Site(site) => write!(f, "{SITE_PREFIX}{site}"),
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == COORDINATOR {
            return Ok(Self::Coordinator);
        }
        text.strip_prefix(SITE_PREFIX)
            .and_then(|site| site.parse().ok())
            .map(Self::Site)
            .ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roles_round_trip() {
        let site = Role::Site("st-elsewhere".parse().unwrap());
        assert_eq!(site.to_string(), "consilium:site:st-elsewhere");
        assert_eq!(Role::Coordinator.to_string(), "consilium:coordinator");
        for role in [site, Role::Coordinator] {
            assert_eq!(role.to_string().parse(), Ok(role));
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
            "CONSILIUM:site:a",
        ];
        for text in texts {
            assert!(text.parse::<Role>().is_err(), "{text}");
        }
    }
}
