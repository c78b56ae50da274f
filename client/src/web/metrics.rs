//! The client's metrics. Every family is documented in `docs/metrics.md`, and a test holds both together.

use std::time::UNIX_EPOCH;

use consilium_audit::Tally;
use consilium_data::check::Severity;
use consilium_process::Memory;
use consilium_web::metrics::Kind::{Counter, Gauge};
use consilium_web::metrics::{Exposition, Family, family};

use super::Shown;

/// Every decision on a study.
const DECISIONS: [&str; 4] = ["approved", "declined", "left", "pending"];

const BUILD: Family =
    family("consilium_client_build_info", Gauge, &["version"], "1, with the release as a label.");
const ANSWERS: Family =
    family("consilium_client_answers", Gauge, &[], "Whether the daemon answered its own page in time.");
const CONNECTED: Family =
    family("consilium_client_connected", Gauge, &[], "Whether a connection to the coordinator stands.");
const PAUSED: Family =
    family("consilium_client_paused", Gauge, &[], "Whether people have stopped everything.");
const HOURS: Family =
    family("consilium_client_within_hours", Gauge, &[], "Whether the policy's hours allow work.");
const WORKING: Family = family("consilium_client_working", Gauge, &[], "Whether there is an order in hand.");
const STUDIES: Family =
    family("consilium_client_studies", Gauge, &["decision"], "Studies that were offered, by decision.");
const SENT: Family =
    family("consilium_client_sent_total", Counter, &["kind"], "Messages and updates that left.");
const SENT_BYTES: Family =
    family("consilium_client_sent_bytes_total", Counter, &["kind"], "Bytes that left.");
const RECEIVED: Family =
    family("consilium_client_received_total", Counter, &["kind"], "Messages and models that came.");
const RECEIVED_BYTES: Family =
    family("consilium_client_received_bytes_total", Counter, &["kind"], "Bytes that came.");
const AUDIT: Family = family("consilium_client_audit_lines_total", Counter, &[], "Lines of the audit log.");
const PROBLEMS: Family =
    family("consilium_client_data_problems", Gauge, &["severity"], "What the last data check found.");
const CERTIFICATE: Family = family(
    "consilium_client_certificate_expiry_seconds",
    Gauge,
    &[],
    "When this site's certificate ends, in seconds since 1970.",
);
const MEMORY: Family = family("consilium_client_resident_bytes", Gauge, &[], "Memory that the process has.");

/// The text of one scrape.
pub(super) fn text(shown: &Shown) -> String {
    let mut told = Exposition::default();
    told.values(&BUILD, [(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]);
    told.value(&ANSWERS, one_if(shown.answers));
    itself(&mut told, shown);
    for (family, tallies, value) in [
        (&SENT, &shown.ledger.sent, (|tally| tally.count) as fn(&Tally) -> u64),
        (&SENT_BYTES, &shown.ledger.sent, |tally| tally.bytes),
        (&RECEIVED, &shown.ledger.received, |tally| tally.count),
        (&RECEIVED_BYTES, &shown.ledger.received, |tally| tally.bytes),
    ] {
        told.values(family, tallies.iter().map(|(kind, tally)| (vec![kind.clone()], value(tally) as f64)));
    }
    told.value(&AUDIT, shown.audit_lines as f64);
    let severities = [Severity::Error, Severity::Warning, Severity::Note];
    let problems = shown.checked.iter().flat_map(|checked| {
        severities.map(|severity| (vec![severity.name().to_owned()], checked.count(severity) as f64))
    });
    told.values(&PROBLEMS, problems);
    let until = shown.certificate_until.duration_since(UNIX_EPOCH).unwrap_or_default();
    told.value(&CERTIFICATE, until.as_secs() as f64);
    let memory = Memory::of_this_process().map(|memory| (memory.resident_mib * 1024 * 1024) as f64);
    told.values(&MEMORY, memory.map(|bytes| (Vec::new(), bytes)));
    told.text()
}

/// What the daemon says of itself.
fn itself(told: &mut Exposition, shown: &Shown) {
    let said = shown.said.as_ref();
    let status = said.map(|said| &said.status);
    let one = |yes: Option<bool>| yes.map(|yes| (Vec::new(), one_if(yes)));
    told.values(&CONNECTED, one(status.map(|status| status.connected)));
    told.values(&PAUSED, one(status.map(|status| status.paused_since.is_some())));
    told.values(&HOURS, one(status.map(|status| status.within_hours)));
    told.values(&WORKING, one(status.map(|status| status.order.is_some())));
    let decided = said.into_iter().flat_map(|said| {
        DECISIONS.map(|decision| {
            let count = said.studies.iter().filter(|study| study.decision == decision).count();
            (vec![decision.to_owned()], count as f64)
        })
    });
    told.values(&STUDIES, decided);
}

const fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_name_is_documented_and_every_documented_name_is_exported() {
        let shown = Shown {
            said: None,
            answers: false,
            ledger: Default::default(),
            audit_lines: 0,
            certificate_until: UNIX_EPOCH,
            site: String::new(),
            checked: None,
        };
        let text = text(&shown);
        let names: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        let documented: BTreeSet<&str> =
            page.split('`').filter(|word| word.starts_with("consilium_client_")).collect();
        assert_eq!(documented, names);
    }
}
