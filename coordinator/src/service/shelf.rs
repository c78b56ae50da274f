//! The folders of all studies: `studies/<hash>/` with `study.toml`, `submission.json`, `events.sqlite`, `blobs/` and,
//! at the end, `report.json`.
//!
//! A study is prepared under another name and appears by one rename, so that a crash leaves it whole or not at all.
//! Where it stands is not written here: its log says that.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use consilium_domain::{Digest, Study};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::FirstModels;
use serde::{Deserialize, Serialize};

use crate::config::{StudyFileError, read_study};
use crate::report::page_beside;
use crate::whole_file::write_whole;

/// Where a study is prepared. A crash leaves it behind; the next submission clears it.
const PREPARING: &str = ".preparing";
const STUDY: &str = "study.toml";
const SUBMISSION: &str = "submission.json";
const REPORT: &str = "report.json";

/// Why the studies of a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The file system refuses.
    #[error("{path}: {source}; check the disk's space and permissions")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A submission's record cannot be read.
    #[error("{path} is damaged: {source}; restore it from a backup, or move the study's folder away")]
    Submission {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The state folder is that of `run`.
    #[error(
        "{0} holds the one study of `consilium-coordinator run`: name another folder for a consortium's studies"
    )]
    OneStudy(PathBuf),
}

/// What is written down of a study that was taken in, beside its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    /// Its place in the order of submission, from 1.
    pub(super) number: u32,
    /// When.
    pub(super) at: Timestamp,
    /// The admin.
    pub(super) by: String,
    /// The weights the admin named.
    pub(super) weights: Option<String>,
    /// What it starts from; the blobs are in its folder.
    pub(super) models: FirstModels,
}

/// A study's folder.
#[derive(Debug, Clone)]
pub(super) struct StudyFolder(PathBuf);

impl StudyFolder {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn report(&self) -> PathBuf {
        self.0.join(REPORT)
    }

    /// Writes the report whole or not at all.
    pub(super) fn write_report(&self, text: &str) -> Result<(), ShelfError> {
        let path = self.report();
        write_whole(&path, text).map_err(|source| ShelfError::Io { path, source })
    }

    /// Writes the report's page whole or not at all.
    pub(super) fn write_page(&self, page: &str) -> Result<(), ShelfError> {
        let path = page_beside(&self.report());
        write_whole(&path, page).map_err(|source| ShelfError::Io { path, source })
    }
}

/// A study found on the shelf.
pub(super) struct Kept {
    pub(super) folder: StudyFolder,
    /// The hash by which its folder is called.
    pub(super) name: Digest,
    pub(super) submission: Submission,
    /// Its plan, or why this release cannot read it.
    pub(super) study: Result<Study, StudyFileError>,
}

/// All folders.
pub(super) struct Shelf {
    root: PathBuf,
}

impl Shelf {
    /// Finds every study below the state folder `state`, in the order of submission.
    pub(super) fn open(state: &Path) -> Result<(Self, Vec<Kept>), ShelfError> {
        if state.join("events.sqlite").exists() {
            return Err(ShelfError::OneStudy(state.to_owned()));
        }
        let root = state.join("studies");
        let io = |source| ShelfError::Io { path: root.clone(), source };
        fs::create_dir_all(&root).map_err(io)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&root).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            // Whatever else lies there is not ours: a folder moved away by hand, or one being prepared.
            let Some(name) = name else { continue };
            found.push(kept(path, name)?);
        }
        found.sort_by_key(|kept| kept.submission.number);
        Ok((Self { root }, found))
    }

    /// An empty folder in which to prepare a study.
    pub(super) fn prepare(&self) -> Result<StudyFolder, ShelfError> {
        let path = self.root.join(PREPARING);
        let io = |source| ShelfError::Io { path: path.clone(), source };
        if path.exists() {
            fs::remove_dir_all(&path).map_err(io)?;
        }
        fs::create_dir(&path).map_err(io)?;
        Ok(StudyFolder(path))
    }

    /// Puts a prepared study on the shelf: when this returns, it survives a crash.
    pub(super) fn put(
        &self,
        prepared: &StudyFolder,
        name: Digest,
        text: &str,
        submission: &Submission,
    ) -> Result<StudyFolder, ShelfError> {
        write_durably(&prepared.0.join(STUDY), text)?;
        let record = serde_json::to_string_pretty(submission).expect("a submission has only text keys");
        write_durably(&prepared.0.join(SUBMISSION), &record)?;
        sync_folder(&prepared.0)?;
        let path = self.root.join(name.to_string());
        fs::rename(&prepared.0, &path).map_err(|source| ShelfError::Io { path: path.clone(), source })?;
        sync_folder(&self.root)?;
        Ok(StudyFolder(path))
    }
}

fn kept(path: PathBuf, name: Digest) -> Result<Kept, ShelfError> {
    let file = path.join(SUBMISSION);
    let text = fs::read_to_string(&file).map_err(|source| ShelfError::Io { path: file.clone(), source })?;
    let submission =
        serde_json::from_str(&text).map_err(|source| ShelfError::Submission { path: file, source })?;
    let study = read_study(&path.join(STUDY));
    Ok(Kept { folder: StudyFolder(path), name, submission, study })
}

fn write_durably(path: &Path, text: &str) -> Result<(), ShelfError> {
    let io = |source| ShelfError::Io { path: path.to_owned(), source };
    let mut file = File::create(path).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

fn sync_folder(path: &Path) -> Result<(), ShelfError> {
    let io = |source| ShelfError::Io { path: path.to_owned(), source };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::study;

    fn submission(number: u32) -> Submission {
        let models = FirstModels::default();
        Submission { number, at: Timestamp(5), by: "alice".into(), weights: None, models }
    }

    fn put(shelf: &Shelf, seed: u64, number: u32) -> Digest {
        let study = Study { seed, ..study() };
        let text = toml::to_string(&study).unwrap();
        let name = study.hash().digest();
        shelf.put(&shelf.prepare().unwrap(), name, &text, &submission(number)).unwrap();
        name
    }

    #[test]
    fn studies_come_back_in_the_order_of_submission() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, found) = Shelf::open(dir.path()).unwrap();
        assert!(found.is_empty());
        let names: Vec<Digest> = (1..=5).map(|number| put(&shelf, u64::from(number) * 7, number)).collect();
        let (_, found) = Shelf::open(dir.path()).unwrap();
        assert!(found.iter().map(|kept| kept.name).eq(names));
        for kept in &found {
            assert_eq!(kept.study.as_ref().unwrap().hash().digest(), kept.name);
        }
        assert_eq!(found[2].submission, submission(3));
    }

    #[test]
    fn a_study_that_was_cut_off_while_it_was_prepared_does_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, _) = Shelf::open(dir.path()).unwrap();
        let half = shelf.prepare().unwrap();
        fs::write(half.path().join(STUDY), "half").unwrap();
        let (shelf, found) = Shelf::open(dir.path()).unwrap();
        assert!(found.is_empty());
        put(&shelf, 1, 1);
        assert_eq!(Shelf::open(dir.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn the_folder_of_a_single_study_is_not_taken_for_a_consortiums() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("events.sqlite"), b"").unwrap();
        assert!(matches!(Shelf::open(dir.path()), Err(ShelfError::OneStudy(_))));
    }

    #[test]
    fn a_damaged_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, _) = Shelf::open(dir.path()).unwrap();
        let name = put(&shelf, 1, 1);
        let path = dir.path().join("studies").join(name.to_string()).join(SUBMISSION);
        fs::write(&path, "{}").unwrap();
        let error = Shelf::open(dir.path()).err().expect("damaged").to_string();
        assert!(error.contains("submission.json") && error.contains("is damaged"), "{error}");
    }
}
