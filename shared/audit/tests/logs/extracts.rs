//! What is given to somebody else can be verified by them, and holds what it should.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::consortium::Consortium;
use consilium_audit::{Decider, Extract, Finding, Inspection, PolicyVerdict, Record, Verdict};
use consilium_domain::StudyHash;

fn study(byte: &str) -> StudyHash {
    serde_json::from_value(byte.repeat(32).into()).unwrap()
}

fn decision(byte: &str) -> Record {
    let reason = consilium_audit::Code::new("max-rounds");
    Record::PolicyDecision {
        study: Some(study(byte)),
        verdict: PolicyVerdict::Declined,
        by: Decider::Rule,
        reason,
    }
}

fn lived() -> Consortium {
    let consortium = Consortium::new();
    consortium.site.log.append(decision("aa")).unwrap();
    consortium.site.log.append(decision("bb")).unwrap();
    consortium.live(1);
    consortium
}

fn extract(consortium: &Consortium, extract: &Extract, folder: &Path) -> PathBuf {
    let out = folder.join("extract.jsonl");
    extract.write(&consortium.site.path(), &consortium.authorities, &out).unwrap();
    out
}

fn inspect(consortium: &Consortium, path: &Path) -> Verdict {
    let other = Inspection::of(&consortium.coordinator.path(), &consortium.authorities).unwrap();
    Inspection::of(path, &consortium.authorities).unwrap().beside(&other)
}

#[test]
fn an_extract_holds_what_was_asked_for_and_can_be_verified() {
    let (consortium, folder) = (lived(), tempfile::tempdir().unwrap());
    let lines = consortium.site.lines();
    let whole = extract(&consortium, &Extract::default(), folder.path());
    let text = std::fs::read_to_string(&whole).unwrap();
    assert!(text.starts_with("{\"extract\":") && text.ends_with(&lines.concat()));
    assert!(inspect(&consortium, &whole).is_sound());

    let of_study = Extract { study: Some(study("aa")), since: None };
    let some = extract(&consortium, &of_study, folder.path());
    let text = std::fs::read_to_string(&some).unwrap();
    assert!(text.contains(&"aa".repeat(32)) && !text.contains(&"bb".repeat(32)));
    let verdict = inspect(&consortium, &some);
    assert!(verdict.is_sound(), "{verdict}");
    assert_eq!((verdict.omitted, verdict.receipts), (2, 1));

    let later = Extract { study: None, since: Some("2999-01-01".to_owned()) };
    let none = extract(&consortium, &later, folder.path());
    assert!(!std::fs::read_to_string(&none).unwrap().contains("policy-decision"));
    assert!(inspect(&consortium, &none).is_sound());
    let nonsense = Extract { study: None, since: Some("yesterday".to_owned()) };
    assert!(nonsense.write(&consortium.site.path(), &consortium.authorities, &none).is_err());
}

#[test]
fn an_altered_extract_is_found() {
    let (consortium, folder) = (lived(), tempfile::tempdir().unwrap());
    let of_study = Extract { study: Some(study("aa")), since: None };
    let path = extract(&consortium, &of_study, folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let at = text.find("{\"omitted\":").unwrap();
    let end = at + text[at..].find('\n').unwrap() + 1;
    for altered in [
        text.replacen("declined", "approved", 1),
        text.replacen(&text[at..end], "", 1),
        text.replacen("\"hash\":\"", "\"hash\":\"0", 1),
    ] {
        assert_ne!(altered, text);
        std::fs::write(&path, &altered).unwrap();
        assert!(!inspect(&consortium, &path).is_sound());
    }
    // Only an extract may leave lines out.
    std::fs::write(&path, text.split_once('\n').unwrap().1).unwrap();
    let verdict = inspect(&consortium, &path);
    assert!(verdict.findings.iter().any(|finding| matches!(finding, Finding::Line { .. })), "{verdict}");
}

/// The script of docs/audit.md, with nothing of ours in it.
#[test]
fn thirty_lines_of_python_come_to_the_same_verdict() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/verify_audit.py");
    let consortium = lived();
    let run = |path: &Path| Command::new("python3").arg(&script).arg(path).output();
    let Ok(output) = run(&consortium.site.path()) else {
        println!("skipped: python3 is absent");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let head = consortium.site.log.head();
    assert!(said.contains(&head.sha256.to_string()) && said.contains(&format!("{} lines", head.records)));
    let lines = consortium.site.lines();
    for altered in [
        lines.concat().replacen("declined", "approved", 1),
        lines[1..].concat(),
        [&lines[..2], &lines[3..]].concat().concat(),
        lines.concat().trim_end().to_owned(),
    ] {
        consortium.site.overwrite(altered);
        assert!(!run(&consortium.site.path()).unwrap().status.success());
    }
}
