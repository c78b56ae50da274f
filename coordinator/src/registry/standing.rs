//! What was revoked, in memory: a handshake cannot wait for a disk.

use std::collections::{BTreeMap, BTreeSet};

use consilium_domain::{Role, SiteId};

/// Mirrors the database; see there for what it means that a site was once revoked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) revoked_serials: BTreeSet<String>,
    /// Sites that were ever revoked, with the serials issued to them since: the only ones that are good.
    pub(super) once_revoked: BTreeMap<SiteId, BTreeSet<String>>,
}

impl Standing {
    pub(super) fn is_revoked(&self, role: &Role, serial: &str) -> bool {
        let good = role.site().and_then(|site| self.once_revoked.get(site));
        self.revoked_serials.contains(serial) || good.is_some_and(|good| !good.contains(serial))
    }

    pub(super) fn revoke(&mut self, site: &SiteId) {
        self.once_revoked.insert(site.clone(), BTreeSet::new());
    }

    pub(super) fn revoke_serial(&mut self, serial: &str) {
        self.revoked_serials.insert(serial.to_owned());
    }

    pub(super) fn issued(&mut self, site: &SiteId, serial: &str) {
        if let Some(good) = self.once_revoked.get_mut(site) {
            good.insert(serial.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_revocation_only_what_was_issued_since_is_good() {
        let mut standing = Standing::default();
        let site: SiteId = "a".parse().unwrap();
        let role = Role::Site(site.clone());
        standing.issued(&site, "01");
        assert!(!standing.is_revoked(&role, "01") && !standing.is_revoked(&role, "unknown"));
        standing.revoke(&site);
        assert!(standing.is_revoked(&role, "01") && standing.is_revoked(&role, "unknown"));
        assert!(!standing.is_revoked(&Role::Admin(site.clone()), "01"), "a site's name is not a person's");
        standing.issued(&site, "02");
        assert!(!standing.is_revoked(&role, "02") && standing.is_revoked(&role, "01"));
        standing.revoke_serial("02");
        assert!(standing.is_revoked(&role, "02"));
        standing.revoke(&site);
        assert!(standing.is_revoked(&role, "02") && standing.is_revoked(&role, "01"));
    }
}
