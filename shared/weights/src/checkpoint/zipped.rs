//! The container of PyTorch since 1.6: a zip archive with the pickle in `data.pkl` and each storage in `data/KEY`.

use std::borrow::Cow;

use super::CheckpointError;
use super::archive::Archive;
use super::callable::shown;
use super::limits::{MAX_NOTE_BYTES, MAX_PICKLE_BYTES};
use super::value::Heap;

/// Versions of the container that PyTorch's own reader accepts.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=10;

/// A checked archive, whose pickle is not read yet.
pub(super) struct Zipped<'f> {
    archive: Archive<'f>,
    /// The folder that everything lies in, with its slash.
    folder: String,
}

impl<'f> Zipped<'f> {
    /// Opens `file` and checks that it is a checkpoint rather than a program or an archive of something else.
    pub(super) fn open(file: &'f [u8]) -> Result<Self, CheckpointError> {
        let archive = Archive::open(file)?;
        let folder = folder(&archive)?;
        let zipped = Self { archive, folder };
        zipped.check_kind()?;
        if let Some(order) = zipped.note("byteorder")?.filter(|order| order != "little") {
            return Err(CheckpointError::ByteOrder { found: shown(&order) });
        }
        let version = zipped.note("version")?.ok_or(CheckpointError::EntryMissing("version"))?;
        if !version.parse().is_ok_and(|version: u32| VERSIONS.contains(&version)) {
            return Err(CheckpointError::Version { found: shown(&version), expected: "1 to 10" });
        }
        Ok(zipped)
    }

    /// The bytes of the pickle.
    pub(super) fn pickle(&self) -> Result<Cow<'f, [u8]>, CheckpointError> {
        let pickle = self.archive.read(&self.path("data.pkl"), MAX_PICKLE_BYTES)?;
        pickle.ok_or(CheckpointError::EntryMissing("data.pkl"))
    }

    /// Checks that every storage of `heap` is there and has its size.
    pub(super) fn check_storages(&self, heap: &Heap<'_>) -> Result<(), CheckpointError> {
        for spec in &heap.storages {
            let found = self.archive.unpacked_bytes(&self.path(&format!("data/{}", spec.key)));
            let found = found.ok_or_else(|| CheckpointError::StorageMissing { key: shown(&spec.key) })?;
            let expected = spec.bytes().expect("sizes were checked when they were read");
            if found != expected {
                return Err(CheckpointError::StorageSize { key: shown(&spec.key), expected, found });
            }
        }
        Ok(())
    }

    /// The bytes of the storage called `key`, at most `limit`.
    pub(super) fn storage(&self, key: &str, limit: u64) -> Result<Cow<'f, [u8]>, CheckpointError> {
        let bytes = self.archive.read(&self.path(&format!("data/{key}")), limit)?;
        bytes.ok_or_else(|| CheckpointError::StorageMissing { key: shown(key) })
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    /// The trimmed text of a small file.
    fn note(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let bytes = self.archive.read(&self.path(name), MAX_NOTE_BYTES)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    fn check_kind(&self) -> Result<(), CheckpointError> {
        let is_program = |name: &str| {
            let inner = name.strip_prefix(&self.folder).unwrap_or(name);
            inner.starts_with("code/") || inner == "constants.pkl"
        };
        if self.archive.names().any(is_program) {
            return Err(CheckpointError::OtherArchive(
                "is a TorchScript program, and programs are not run: save its weights with torch.save(module.state_dict(), FILE)",
            ));
        }
        if let Some(name) = self.archive.names().find(|name| !name.starts_with(&self.folder)) {
            return Err(CheckpointError::EntryName(shown(name)));
        }
        Ok(())
    }
}

/// The one folder that has a `data.pkl`.
fn folder(archive: &Archive<'_>) -> Result<String, CheckpointError> {
    let has_pickle = |name: &&str| name.split_once('/').is_some_and(|(_, inner)| inner == "data.pkl");
    let mut found = archive.names().filter(has_pickle);
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name[..name.len() - "data.pkl".len()].to_owned()),
        (Some(_), Some(_)) => {
            Err(CheckpointError::OtherArchive("holds several checkpoints: unpack it and import one of them"))
        }
        (None, _) if archive.names().any(|name| name.ends_with(".pth")) => {
            Err(CheckpointError::OtherArchive(
                "holds checkpoints rather than being one: unpack it and import one of its .pth files",
            ))
        }
        (None, _) => Err(CheckpointError::EntryMissing("data.pkl")),
    }
}
