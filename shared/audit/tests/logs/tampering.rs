//! Every edit of a log is found: by its chain, or beside the other side's log.

use std::sync::OnceLock;

use crate::consortium::Consortium;
use consilium_audit::{Finding, Inspection, Verdict};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// Two sound logs that know of each other, and where else to put an altered one.
fn sound() -> &'static Consortium {
    static SOUND: OnceLock<Consortium> = OnceLock::new();
    SOUND.get_or_init(|| {
        let consortium = Consortium::new();
        consortium.live(3);
        consortium
    })
}

/// What is said of an altered log of the site: alone, and beside the coordinator's.
fn verdicts(altered: &[u8]) -> [Verdict; 2] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("altered.jsonl");
    std::fs::write(&path, altered).unwrap();
    let inspect = |path| Inspection::of(path, &sound().authorities).unwrap();
    [inspect(&path).alone(), inspect(&path).beside(&inspect(&sound().coordinator.path()))]
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines.concat().into_bytes()
}

/// The log with new hashes from the first line on, as whoever owns it can make it.
fn rechained(lines: &[String]) -> Vec<u8> {
    let mut previous = "0".repeat(64);
    let mut text = String::new();
    for (seq, line) in lines.iter().enumerate() {
        let (body, _) = line.rsplit_once(",\"hash\":\"").unwrap();
        let (body, _) = body.rsplit_once("\"previous\":\"").unwrap();
        let (_, body) = body.split_once(',').unwrap();
        let body = format!("{{\"seq\":{seq},{body}\"previous\":\"{previous}\"");
        previous = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{body},\"hash\":\"{previous}\"}}\n");
    }
    text.into_bytes()
}

#[test]
fn logs_that_nobody_touched_are_sound() {
    let [alone, beside] = verdicts(&sound().site.bytes());
    assert!(alone.is_sound() && beside.is_sound(), "{beside}");
    assert_eq!((alone.receipts, alone.omitted), (3, 0));
    assert_eq!(alone.head, sound().site.log.head());
    assert_eq!(rechained(&sound().site.lines()), sound().site.bytes(), "the helper of this test is right");
}

#[test]
fn every_removed_repeated_and_swapped_line_is_found() {
    let lines = sound().site.lines();
    for at in 0..lines.len() {
        let mut removed = lines.clone();
        removed.remove(at);
        let [alone, beside] = verdicts(&joined(&removed));
        // What was at the end is missed by nobody but the other side, which saw most of it.
        assert!(!alone.is_sound() || at + 1 == lines.len(), "line {at} was removed");
        assert!(!beside.is_sound() || at as u64 >= alone_countersigned(), "line {at} was removed");
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at].clone());
        assert!(!verdicts(&joined(&repeated))[0].is_sound(), "line {at} was repeated");
        for other in at + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            assert!(!verdicts(&joined(&swapped))[0].is_sound(), "lines {at} and {other} were swapped");
        }
    }
}

/// Lines of the site's log that the coordinator has seen.
fn alone_countersigned() -> u64 {
    sound().verify(&sound().site).countersigned
}

#[test]
fn a_cut_is_found_at_every_byte_that_the_other_side_has_seen() {
    let (bytes, lines) = (sound().site.bytes(), sound().site.lines());
    let seen: usize = lines[..usize::try_from(alone_countersigned()).unwrap()].iter().map(String::len).sum();
    for length in 0..bytes.len() {
        let [alone, beside] = verdicts(&bytes[..length]);
        let at_a_line = bytes[..length].last().is_none_or(|byte| *byte == b'\n');
        assert_eq!(alone.is_sound(), at_a_line && length > 0 && receipts_hold(&alone), "{length}");
        if length < seen {
            let told = |finding: &Finding| {
                matches!(finding, Finding::CutOff { .. } | Finding::NoBeginning | Finding::Unfinished { .. })
            };
            assert!(beside.findings.iter().any(told), "{length}: {beside}");
        }
    }
}

/// A certificate chain comes before what refers to it, so no cut makes a receipt without one.
fn receipts_hold(verdict: &Verdict) -> bool {
    !verdict.findings.iter().any(|finding| matches!(finding, Finding::Signature { .. }))
}

#[test]
fn whoever_owns_a_log_cannot_rewrite_what_was_countersigned() {
    let lines = sound().site.lines();
    let work = lines.iter().position(|line| line.contains("process-stopped")).unwrap();
    // Changed, and every hash made anew: the receipts are of another log.
    let mut changed = lines.clone();
    changed[work] = changed[work].replace("asked-to", "forged");
    let [alone, beside] = verdicts(&rechained(&changed));
    assert!(alone.findings.iter().any(|finding| matches!(finding, Finding::ReceiptOfAnotherLog { .. })));
    assert!(beside.findings.iter().any(|finding| matches!(finding, Finding::Rewritten { .. })));
    // Without the receipts too: alone it looks like a log that nobody countersigned, and the other side knows better.
    let bare: Vec<String> = changed.into_iter().filter(|line| !line.contains("\"receipt\"")).collect();
    let [alone, beside] = verdicts(&rechained(&bare));
    assert_eq!((alone.is_sound(), alone.receipts, alone.countersigned), (true, 0, 0));
    assert!(beside.findings.iter().any(|finding| matches!(finding, Finding::Rewritten { .. })), "{beside}");
}

#[test]
fn nothing_is_a_log() {
    assert_eq!(verdicts(b"")[0].findings, [Finding::NoBeginning]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_is_found(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let mut bytes = sound().site.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(!verdicts(&bytes)[0].is_sound(), "byte {} with {:#04x}", at, flip);
    }

    #[test]
    fn any_inserted_byte_is_found(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = sound().site.bytes();
        bytes.insert(at.index(bytes.len()), byte);
        prop_assert!(!verdicts(&bytes)[0].is_sound());
    }

    #[test]
    fn any_removed_byte_is_found(at in any::<prop::sample::Index>()) {
        let mut bytes = sound().site.bytes();
        bytes.remove(at.index(bytes.len()));
        prop_assert!(!verdicts(&bytes)[0].is_sound());
    }

    #[test]
    fn bytes_from_elsewhere_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!verdicts(&bytes)[0].is_sound());
    }
}
