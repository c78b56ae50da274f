//! What happens to certificates, in the coordinator's audit log.

use consilium_audit::{CertificateChange, Code, Party, Record};
use consilium_domain::{Role, SiteId};

use super::Registry;
use crate::auditing::Audit;

impl Registry {
    /// Writes down from here on what happens to certificates. Once; a registry without a log is one that no daemon
    /// keeps.
    pub(crate) fn recorded_in(&self, audit: Audit) {
        let _ = self.0.audit.set(audit);
    }

    /// Writes down a change. Where it cannot be written, whoever watches the log ends the coordinator.
    pub(super) async fn record(&self, holder: Option<Role>, serial: Option<&str>, change: CertificateChange) {
        let serial = serial.and_then(|serial| serial.parse().ok());
        self.write(Record::Certificate { holder: holder.map(Party), serial, change }).await;
    }

    /// Writes down that somebody got no certificate.
    pub(super) async fn record_refusal(&self, holder: Option<&SiteId>, reason: &'static str) {
        let holder = holder.map(|site| Party(Role::Site(site.clone())));
        self.write(Record::CertificateRefused { holder, reason: Code::new(reason) }).await;
    }

    async fn write(&self, record: Record) {
        if let Some(audit) = self.0.audit.get() {
            let _ = audit.write(record).await;
        }
    }
}
