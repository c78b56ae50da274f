//! What was offered and decided, in `decisions.json` of the state folder.
//!
//! One process at a time holds it: the daemon, or a command while no daemon runs. Every change is on the disk before
//! it counts. It names studies and people's reasons, no patient.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use consilium_domain::{Arm, Modality, SiteId, Study, StudyHash};
use consilium_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::Ruling;

/// Studies that are remembered: more than a site takes part in over its life. A coordinator that offers study after
/// study does not fill the disk; the oldest offer on which nobody decided by hand goes first.
const MAX_RECORDS: usize = 500;

/// Why decisions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsError {
    /// The folder or a file in it.
    #[error("the decisions in {path} cannot be {action}: {source}; check the disk's space and permissions")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file was not written by this program.
    #[error(
        "the decisions {path} are damaged: {source}; restore the file from a backup, or move it away and decide anew"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// Another process holds the folder.
    #[error("another consilium-client works in {path}: one client at a time uses a state folder")]
    Held {
        /// Which folder.
        path: PathBuf,
    },
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    /// Since when everything is stopped by hand.
    paused_since: Option<Timestamp>,
    /// In the order in which they were first heard of.
    studies: Vec<Record>,
}

/// One study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) hash: StudyHash,
    /// `None` when a person decided before the coordinator offered it.
    pub(crate) offer: Option<Offer>,
    /// What the policy said when it was offered last.
    pub(crate) ruling: Option<WrittenRuling>,
    pub(crate) decided: Option<Decided>,
}

/// What a study is, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) arms: Vec<Arm>,
    pub(crate) modalities: Vec<Modality>,
    pub(crate) depth: u16,
    pub(crate) rounds: u16,
    pub(crate) local_epochs: u16,
    pub(crate) sites: Vec<SiteId>,
    pub(crate) first_offered: Timestamp,
}

/// [`Ruling`] as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum WrittenRuling {
    Approve,
    Ask,
    Decline { reasons: Vec<String> },
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decided {
    pub(crate) verdict: Verdict,
    pub(crate) by: DecidedBy,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Approved,
    Declined,
    /// Approved first, and no longer.
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecidedBy {
    Rule,
    Hand,
}

/// The file, held.
#[derive(Debug)]
pub(crate) struct Decisions {
    folder: PathBuf,
    book: Book,
    _lock: File,
}

impl From<Ruling> for WrittenRuling {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Approve => Self::Approve,
            Ruling::Ask => Self::Ask,
            Ruling::Decline(reasons) => Self::Decline { reasons },
        }
    }
}

impl WrittenRuling {
    /// The policy's objections, if it has any.
    pub(crate) fn objections(&self) -> Option<&[String]> {
        if let Self::Decline { reasons } = self { Some(reasons) } else { None }
    }
}

impl Record {
    /// The coordinator offers it, for the first time or again.
    pub(crate) fn offer(&mut self, study: &Study, at: Timestamp) {
        let first_offered = self.offer.as_ref().map_or(at, |offer| offer.first_offered);
        self.offer = Some(Offer {
            name: study.name.clone(),
            arms: study.arms.clone(),
            modalities: study.modalities.clone(),
            depth: study.network.depth.layers(),
            rounds: study.training.rounds,
            local_epochs: study.training.local_epochs,
            sites: study.federation.sites.clone(),
            first_offered,
        });
    }

    fn is_decided_by_hand(&self) -> bool {
        self.decided.as_ref().is_some_and(|decided| decided.by == DecidedBy::Hand)
    }
}

impl Book {
    /// The record of `hash`, new if need be.
    pub(crate) fn record_of(&mut self, hash: StudyHash) -> &mut Record {
        let index = self.studies.iter().position(|record| record.hash == hash).unwrap_or_else(|| {
            if self.studies.len() >= MAX_RECORDS {
                let oldest = self.studies.iter().position(|record| !record.is_decided_by_hand());
                self.studies.remove(oldest.unwrap_or(0));
            }
            self.studies.push(Record { hash, offer: None, ruling: None, decided: None });
            self.studies.len() - 1
        });
        &mut self.studies[index]
    }

    pub(crate) fn pause(&mut self, since: Option<Timestamp>) {
        self.paused_since = since;
    }
}

impl Decisions {
    /// Holds and reads the decisions in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self, DecisionsError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DecisionsError::Io { action, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("made", folder))?;
        let lock_path = folder.join("decisions.lock");
        let lock = private(&lock_path).map_err(failed("locked", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => DecisionsError::Held { path: folder.to_owned() },
            std::fs::TryLockError::Error(source) => failed("locked", &lock_path)(source),
        })?;
        let path = folder.join("decisions.json");
        let book = match std::fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| DecisionsError::Damaged { path, source })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::default(),
            Err(source) => return Err(failed("read", &path)(source)),
        };
        Ok(Self { folder: folder.to_owned(), book, _lock: lock })
    }

    /// Changes the book. It counts once it is on the disk; on an error nothing has changed.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), DecisionsError> {
        let mut book = self.book.clone();
        change(&mut book);
        if book == self.book {
            return Ok(());
        }
        let path = self.folder.join("decisions.json");
        let text = serde_json::to_vec_pretty(&book).expect("decisions are plain data");
        write_durably(&path, &text).map_err(|source| DecisionsError::Io {
            action: "written",
            path,
            source,
        })?;
        self.book = book;
        Ok(())
    }

    pub(crate) const fn paused_since(&self) -> Option<Timestamp> {
        self.book.paused_since
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.book.studies
    }

    pub(crate) fn find(&self, hash: &StudyHash) -> Option<&Record> {
        self.book.studies.iter().find(|record| record.hash == *hash)
    }
}

/// Replaces the file in one step: after a power cut it holds the old text or the new one.
fn write_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = private(&draft)?;
    file.set_len(0)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// A file for the owner's eyes only.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}
