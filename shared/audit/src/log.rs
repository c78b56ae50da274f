//! The log of one party: opened once, appended to, never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use consilium_domain::{Digest, Role, StudyHash};
use consilium_protocol::AuditHead;

use crate::chain::{Chain, ChainError, next_line};
use crate::line::compose;
use crate::moment::now;
use crate::record::{PeerLog, Record};
use crate::torn;
use crate::words::{Party, Serial};

/// The log's file in its folder.
pub const LOG_FILE: &str = "log.jsonl";
/// The layout of lines that this release writes.
const FORMAT: u16 = 1;

/// An open log. Clones share it; every call waits for the disk, so call it from threads that may wait.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    owner: Role,
    head: AuditHead,
    /// A line may be half written: nothing can be appended until the log was opened again.
    broken: Option<AppendError>,
    /// The last head of each other side's log.
    peers: BTreeMap<Party, AuditHead>,
    /// The chains of certificates that the log holds already.
    chains: BTreeSet<Digest>,
    /// The owner's own certificates that the log tells of.
    certificates: BTreeSet<Serial>,
    /// How long the event log of each study was last, and its hash then.
    event_logs: BTreeMap<StudyHash, (u64, Digest)>,
}

/// Why a log cannot be opened. Nothing was changed, unless the last line was torn by a crash.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refuses.
    #[error("the audit log {path} cannot be opened: {source}; check the disk's space and permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another process writes the audit log {0}: stop it first, or name another state folder")]
    InUse(PathBuf),
    /// Somebody altered it.
    #[error(
        "the audit log {path} was altered at line {line}: {problem}. Nothing was overwritten. Keep the file, find out \
         with `audit verify` what is wrong, tell whoever answers for the hospital's data, and restore the file from a \
         backup or move its folder away: the other side holds receipts that show what is missing"
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The log of another site.
    #[error("the audit log {path} is {found}'s, this is {expected}: name another state folder")]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who opens it.
        expected: Role,
    },
    /// The first line cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why nothing can be written down, so that nothing may leave or happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the audit log {path} cannot be written: {problem}. What cannot be written down must not happen: make space or mend \
     the permissions, then start again"
)]
pub struct AppendError {
    path: PathBuf,
    problem: String,
}

impl AuditLog {
    /// Opens or begins the log of `owner` in `folder`, and follows it from the first line to the last.
    ///
    /// # Errors
    /// When it was altered, is somebody else's, in use, or the disk refuses.
    pub fn open(folder: &Path, owner: &Role) -> Result<Self, OpenError> {
        let path = folder.join(LOG_FILE);
        let io = |source| OpenError::Io { path: path.clone(), source };
        make_private(folder).map_err(io)?;
        let mut file = private().open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut open = Open::unread(path.clone(), file.try_clone().map_err(io)?, owner.clone());
        let sound_bytes = open.follow()?;
        let length = file.metadata().map_err(io)?.len();
        if length > sound_bytes {
            let record = torn::move_aside(&mut file, sound_bytes, folder).map_err(io)?;
            open.file.seek(SeekFrom::Start(sound_bytes)).map_err(io)?;
            let end = open.append(&open.beginning().into_iter().chain([record]).collect::<Vec<_>>())?;
            // Only now: a crash before leaves an unfinished line again, and nothing that looks like a whole one.
            open.file.set_len(end).and_then(|()| open.file.sync_all()).map_err(io)?;
            tracing::warn!(path = %path.display(), "the last line of the audit log was torn; it is moved aside");
        } else {
            open.file.seek(SeekFrom::Start(length)).map_err(io)?;
        }
        if let Some(begun) = open.beginning() {
            open.append(&[begun])?;
        }
        sync_folder(folder).map_err(io)?;
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// Whose log it is.
    pub fn owner(&self) -> Role {
        self.lock().owner.clone()
    }

    /// Its length and last hash.
    pub fn head(&self) -> AuditHead {
        self.lock().head
    }

    /// Entries that the event log of `study` had when this log last told of it, and the hash of the last.
    pub fn event_log_of(&self, study: &StudyHash) -> Option<(u64, Digest)> {
        self.lock().event_logs.get(study).copied()
    }

    /// Writes one line; when this returns, it survives a crash. The head with it.
    ///
    /// # Errors
    /// When the disk refuses. From then on nothing can be appended until the log is opened again.
    pub fn append(&self, record: Record) -> Result<AuditHead, AppendError> {
        self.append_all(&[record])
    }

    /// Writes several lines and waits for the disk once.
    ///
    /// # Errors
    /// As [`AuditLog::append`].
    pub fn append_all(&self, records: &[Record]) -> Result<AuditHead, AppendError> {
        let mut open = self.lock();
        open.append(records)?;
        Ok(open.head)
    }

    /// Whether the log holds the chain whose first certificate has that SHA-256.
    pub(crate) fn holds_chain(&self, certificate_sha256: &Digest) -> bool {
        self.lock().chains.contains(certificate_sha256)
    }

    /// Whether a line tells of the owner's certificate with that serial number.
    pub(crate) fn tells_of(&self, serial: &Serial) -> bool {
        self.lock().certificates.contains(serial)
    }

    /// How `head` fits what the other side stated before.
    pub(crate) fn compare(&self, peer: &Party, head: AuditHead) -> PeerLog {
        compare(self.lock().peers.get(peer), head)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

/// How `head` fits the one before of the same log.
pub(crate) fn compare(before: Option<&AuditHead>, head: AuditHead) -> PeerLog {
    match before {
        None => PeerLog::New,
        Some(before) if head.records < before.records => PeerLog::Shrunk,
        Some(before) if head.records == before.records && head != *before => PeerLog::Rewritten,
        Some(_) => PeerLog::Grown,
    }
}

impl Open {
    fn unread(path: PathBuf, file: File, owner: Role) -> Self {
        let head = Chain::new().head();
        let (peers, chains, certificates) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let event_logs = BTreeMap::new();
        Self { path, file, owner, head, broken: None, peers, chains, certificates, event_logs }
    }

    /// Follows the lines; how many bytes of the file are whole lines.
    fn follow(&mut self) -> Result<u64, OpenError> {
        let path = self.path.clone();
        let io = |source| OpenError::Io { path: path.clone(), source };
        let mut reader = BufReader::new(self.file.try_clone().map_err(io)?);
        let (mut chain, mut bytes) = (Chain::new(), 0);
        while let Some(line) = next_line(&mut reader).map_err(io)? {
            let Some(text) = line.strip_suffix(b"\n") else {
                if line.len() > crate::line::MAX_LINE_BYTES {
                    return Err(self.altered(chain, &crate::line::LineError::TooLong.into()));
                }
                break;
            };
            let entry = chain.take(text).map_err(|error| self.altered(chain, &error))?;
            bytes += line.len() as u64;
            match &entry.record {
                Record::LogBegun { owner, .. } if owner.0 != self.owner => {
                    let (found, expected) = (owner.to_string(), self.owner.clone());
                    return Err(OpenError::OtherOwner { path: self.path.clone(), found, expected });
                }
                record => self.note(record),
            }
        }
        self.head = chain.head();
        Ok(bytes)
    }

    fn altered(&self, chain: Chain, problem: &ChainError) -> OpenError {
        let (path, line) = (self.path.clone(), chain.head().records + 1);
        OpenError::Altered { path, line, problem: problem.to_string() }
    }

    /// The first line, where there is none.
    fn beginning(&self) -> Option<Record> {
        let begun = Record::LogBegun { owner: self.owner.clone().into(), format: FORMAT };
        (self.head.records == 0).then_some(begun)
    }

    /// Appends and syncs; where the file ends then.
    fn append(&mut self, records: &[Record]) -> Result<u64, AppendError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let (mut text, mut head) = (String::new(), self.head);
        for record in records {
            let (line, next) = compose(head, now(), record);
            text.push_str(&line);
            head = next;
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        let end = written.and_then(|()| self.file.stream_position()).map_err(|error| {
            let error = AppendError { path: self.path.clone(), problem: error.to_string() };
            self.broken.insert(error).clone()
        })?;
        self.head = head;
        for record in records {
            self.note(record);
        }
        Ok(end)
    }

    /// Remembers what later lines are compared with.
    fn note(&mut self, record: &Record) {
        match record {
            Record::HeadReceived { peer, head, .. } => {
                self.peers.insert(peer.clone(), *head);
            }
            Record::Study { study, events, event_log, .. } => {
                self.event_logs.insert(*study, (*events, *event_log));
            }
            Record::CertificateChain { certificate_sha256, .. } => {
                self.chains.insert(*certificate_sha256);
            }
            Record::Certificate { holder: Some(holder), serial: Some(serial), .. }
                if holder.0 == self.owner =>
            {
                self.certificates.insert(serial.clone());
            }
            _ => {}
        }
    }
}

fn private() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A folder that other users of the machine cannot look into, where it is new.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the log's name durable, not only its content.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems offer no such call for folders.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Code;

    #[test]
    fn after_a_line_that_could_not_be_written_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path(), &Role::Coordinator).unwrap();
        let work = || Record::ProcessStopped { reason: Code::new("asked-to") };
        let path = folder.path().join(LOG_FILE);
        let writable = std::mem::replace(&mut log.lock().file, File::open(&path).unwrap());
        let head = log.head();
        let error = log.append(work()).unwrap_err().to_string();
        assert!(error.contains("cannot be written") && error.contains("must not happen"), "{error}");
        // Nobody knows how much of it is on the disk, so that the disk's being well again is not enough.
        log.lock().file = writable;
        assert_eq!(log.append(work()).unwrap_err().to_string(), error, "and what was wrong is said again");
        assert_eq!(log.head(), head);
    }
}
