//! Heads are stated, countersigned and kept; what is not from the other side is refused and noted.

use std::sync::Arc;

use crate::consortium::{Consortium, KitSigner, work};
use consilium_audit::{AuditLog, Finding, Witness, WitnessError};
use consilium_certs::Authority;
use consilium_domain::Role;
use consilium_protocol::SignedHead;

#[test]
fn both_logs_hold_receipts_of_the_other_side() {
    let consortium = Consortium::new();
    consortium.live(2);
    for side in [&consortium.site, &consortium.coordinator] {
        let verdict = consortium.verify(side);
        assert!(verdict.is_sound(), "{verdict}");
        assert_eq!(verdict.receipts, 2);
        let chains = side.lines().iter().filter(|line| line.contains("certificate-chain")).count();
        assert_eq!(chains, 1, "a chain is kept once");
    }
    assert!(consortium.verify_both().is_sound());
}

/// What happens to the receipt of the site's head when it was `altered` on the way.
fn refused(consortium: &Consortium, alter: impl FnOnce(&mut SignedHead)) -> String {
    let stated = consortium.site.witness.state().unwrap();
    let mut receipt = consortium.coordinator.witness.countersign(&stated).unwrap();
    alter(&mut receipt);
    let before = consortium.verify(&consortium.site).receipts;
    let error = consortium.site.witness.keep_receipt(&receipt).unwrap_err();
    assert!(matches!(error, WitnessError::Refused(_)), "{error}");
    assert_eq!(consortium.verify(&consortium.site).receipts, before);
    let last = consortium.site.lines().pop().unwrap();
    assert!(last.contains("receipt-refused"), "{last}");
    last
}

#[test]
fn receipts_of_others_and_of_other_heads_are_refused() {
    let consortium = Consortium::new();
    let foreign = Authority::create("South").unwrap().issue_coordinator::<&str>(&[]).unwrap();
    let other_site = consortium.authority.issue_site(&"b".parse().unwrap()).unwrap();
    let chain = |kit| consilium_signing::Sign::certificates(&KitSigner::of(kit));
    assert!(refused(&consortium, |receipt| receipt.head.records += 1).contains("not-the-stated-head"));
    assert!(refused(&consortium, |receipt| receipt.at.0 += 1).contains("bad-signature"));
    assert!(refused(&consortium, |receipt| receipt.signature[9] ^= 1).contains("bad-signature"));
    assert!(refused(&consortium, |receipt| receipt.signature = vec![0; 100]).contains("oversized"));
    assert!(refused(&consortium, |receipt| receipt.certificates = chain(&foreign)).contains("untrusted"));
    assert!(
        refused(&consortium, |receipt| receipt.certificates = chain(&other_site)).contains("other-signer")
    );
    // A statement of one's own head is no receipt, and a receipt is given once.
    let statement = consortium.coordinator.witness.state().unwrap();
    assert!(matches!(consortium.site.witness.keep_receipt(&statement), Err(WitnessError::Refused(_))));
    let receipt =
        consortium.coordinator.witness.countersign(&consortium.site.witness.state().unwrap()).unwrap();
    consortium.site.witness.keep_receipt(&receipt).unwrap();
    assert!(matches!(consortium.site.witness.keep_receipt(&receipt), Err(WitnessError::Refused(_))));
    assert!(consortium.verify_both().is_sound());
}

#[test]
fn a_restored_backup_is_told_for_ever() {
    let consortium = Consortium::new();
    consortium.live(1);
    let backup = consortium.site.bytes();
    consortium.live(2);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(consilium_audit::LOG_FILE), backup).unwrap();
    let site = consortium.authority.issue_site(&"a".parse().unwrap()).unwrap();
    let role = Role::Site("a".parse().unwrap());
    let log = AuditLog::open(folder.path(), &role).unwrap();
    let signer = Arc::new(KitSigner::of(&site));
    let witness = Witness::new(log, consortium.authorities.clone(), signer, Role::Coordinator);
    // The hospital goes on, and the coordinator's log says what happened.
    let receipt = consortium.coordinator.witness.countersign(&witness.state().unwrap()).unwrap();
    witness.keep_receipt(&receipt).unwrap();
    let verdict = consortium.verify(&consortium.coordinator);
    let told = |finding: &Finding| matches!(finding, Finding::PeerLogChanged { peer, .. } if *peer == role);
    assert!(verdict.findings.iter().any(told), "{verdict}");
    consortium.coordinator.log.append(work()).unwrap();
    assert!(!consortium.verify(&consortium.coordinator).is_sound());
}
