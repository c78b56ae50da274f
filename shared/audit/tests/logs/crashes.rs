//! A process that dies at any byte of a line leaves a log that opens again, and nothing is dropped in silence.

use std::fs;

use crate::consortium::{Consortium, work};
use consilium_audit::{AuditLog, Inspection, LOG_FILE, OpenError};
use consilium_domain::Role;
use consilium_signing::Authorities;

const OWNER: Role = Role::Coordinator;

/// Bytes of a log with three lines of work after its first.
fn written() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &OWNER).unwrap();
    log.append_all(&[work(), work(), work()]).unwrap();
    fs::read(folder.path().join(LOG_FILE)).unwrap()
}

fn authorities() -> Authorities {
    Consortium::new().authorities
}

#[test]
fn a_crash_at_any_byte_loses_nothing_that_was_whole() {
    let (whole, authorities) = (written(), authorities());
    for length in 0..=whole.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG_FILE);
        fs::write(&path, &whole[..length]).unwrap();
        let sound = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let log = AuditLog::open(folder.path(), &OWNER).unwrap();
        log.append(work()).unwrap();
        drop(log);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes[..sound], whole[..sound], "{length}");
        let torn = &whole[sound..length];
        let said = String::from_utf8_lossy(&bytes[sound..]).contains("line-torn");
        assert_eq!(said, !torn.is_empty(), "{length}");
        let aside: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
            .collect();
        assert_eq!(aside.len(), usize::from(!torn.is_empty()), "{length}");
        assert!(aside.iter().all(|path| fs::read(path).unwrap() == torn), "{length}");
        let verdict = Inspection::of(&path, &authorities).unwrap().alone();
        // A log whose very first line was torn begins after what tells of it.
        assert!(verdict.is_sound(), "{length}: {verdict}");
    }
}

#[test]
fn an_altered_log_is_not_opened_and_not_touched() {
    let whole = written();
    let text = String::from_utf8(whole).unwrap();
    let second = text.replacen("asked-to", "asked-so", 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOG_FILE);
    fs::write(&path, &second).unwrap();
    let error = AuditLog::open(folder.path(), &OWNER).unwrap_err();
    assert!(matches!(error, OpenError::Altered { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("audit verify"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), second);
}

#[test]
fn one_process_and_one_owner_write_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &OWNER).unwrap();
    assert!(matches!(AuditLog::open(folder.path(), &OWNER), Err(OpenError::InUse(_))));
    drop(log);
    let site = Role::Site("a".parse().unwrap());
    assert!(matches!(AuditLog::open(folder.path(), &site), Err(OpenError::OtherOwner { .. })));
}

#[cfg(unix)]
#[test]
fn others_cannot_read_a_log() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("state/audit");
    let _log = AuditLog::open(&inner, &OWNER).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inner), mode(&inner.join(LOG_FILE))), (0o700, 0o600));
}

#[test]
fn threads_share_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(folder.path(), &OWNER).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    log.append(work()).unwrap();
                }
            });
        }
    });
    assert_eq!(log.head().records, 41);
    let verdict = Inspection::of(&folder.path().join(LOG_FILE), &authorities()).unwrap().alone();
    assert!(verdict.is_sound(), "{verdict}");
}
