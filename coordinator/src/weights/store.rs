//! A folder of imported weights: `DIGEST/backbone.safetensors` and `DIGEST/manifest.json`.
//!
//! An entry appears whole, by a rename, or not at all. Nothing is removed by this program; an entry is deleted by
//! deleting its folder. One process writes at a time.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use consilium_domain::Digest;

use super::Record;

/// The weights of an entry.
const WEIGHTS: &str = "backbone.safetensors";
/// What is known of them.
const MANIFEST: &str = "manifest.json";
/// Digits of a digest that name an entry if no other begins with them.
const FEWEST_DIGITS: usize = 8;
/// Characters of a name: it stands in tables and file names.
const MOST_NAME_BYTES: usize = 64;

/// The folder.
#[derive(Debug, Clone)]
pub struct WeightsStore {
    folder: PathBuf,
}

/// Weights in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is known of them.
    pub record: Record,
    /// Their safetensors file.
    pub path: PathBuf,
}

/// What of a record a person chose, and the program must not drop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chosen {
    /// The name.
    pub name: bool,
    /// The licence.
    pub licence: bool,
}

/// Why the folder does not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A manifest that cannot be read.
    #[error("{path} is no manifest of weights ({what}): delete its folder and import the weights again")]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A file that is not what its manifest says.
    #[error(
        "{path} has the digest {found}, and its manifest says {expected}: delete its folder and import the weights again"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// As computed.
        found: Digest,
        /// As written down.
        expected: Digest,
    },
    /// Nothing of that name.
    #[error(
        "no weights are called `{name}` in {folder}: `consilium-coordinator weights list` tells what is there, `weights import` adds to it"
    )]
    Unknown {
        /// As asked.
        name: String,
        /// Where.
        folder: PathBuf,
    },
    /// Several begin that way.
    #[error("the digests of several weights in {folder} begin with `{name}`: give more digits")]
    Ambiguous {
        /// As asked.
        name: String,
        /// Where.
        folder: PathBuf,
    },
    /// A name of other weights.
    #[error("other weights are called `{name}` ({digest}): choose another name with --name")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        digest: Digest,
    },
    /// The weights have another name already.
    #[error("the same weights are here as `{found}`: leave --name out, or delete {path} first")]
    OtherName {
        /// Their name.
        found: String,
        /// Their folder.
        path: PathBuf,
    },
    /// The weights have another licence already.
    #[error(
        "the same weights are here with the licence `{found}`: leave --licence out, or delete {path} first"
    )]
    OtherLicence {
        /// Their licence.
        found: String,
        /// Their folder.
        path: PathBuf,
    },
    /// Something that is no name.
    #[error("`{0}` is no name: use 1 to 64 of a-z, A-Z, 0-9, `_`, `-` and `.`, and begin with a letter")]
    Name(String),
}

impl WeightsStore {
    /// The store in `folder`, which is created when something is added.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every entry, by name.
    ///
    /// # Errors
    /// When the folder or a manifest cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let listing = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing.map_err(|source| refused(&self.folder, source))?,
        };
        let mut entries = Vec::new();
        for item in listing {
            let item = item.map_err(|source| refused(&self.folder, source))?;
            // What is not called by a digest is not the store's: leftovers of an import that was interrupted.
            if let Some(digest) = item.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()) {
                entries.push(read_entry(&item.path(), digest)?);
            }
        }
        entries.sort_by(|a, b| {
            (&a.record.name, a.record.digest.as_bytes()).cmp(&(&b.record.name, b.record.digest.as_bytes()))
        });
        Ok(entries)
    }

    /// The entry called `name`, or whose digest is or begins with it.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, name: &str) -> Result<Entry, StoreError> {
        let entries = self.entries()?;
        if let Some(entry) = entries.iter().find(|entry| entry.record.name == name) {
            return Ok(entry.clone());
        }
        let begins =
            |entry: &&Entry| name.len() >= FEWEST_DIGITS && entry.record.digest.to_string().starts_with(name);
        let mut found = entries.iter().filter(begins);
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(entry.clone()),
            (None, _) => Err(StoreError::Unknown { name: name.into(), folder: self.folder.clone() }),
            (Some(_), Some(_)) => {
                Err(StoreError::Ambiguous { name: name.into(), folder: self.folder.clone() })
            }
        }
    }

    /// Adds the safetensors file `weights`, described by `record`. Where the same weights are there already, their
    /// sources become more, and a licence that was unknown becomes known.
    ///
    /// # Errors
    /// When the name is taken, what a person chose is not what the store has, or the file system refuses. What was
    /// there is as it was.
    pub fn add(&self, record: Record, chosen: Chosen, weights: &[u8]) -> Result<Entry, StoreError> {
        check_name(&record.name)?;
        let place = self.folder.join(record.digest.to_string());
        let entries = self.entries()?;
        if let Some(known) = entries.iter().find(|entry| entry.record.digest == record.digest) {
            return add_source(known.clone(), record, chosen, &place);
        }
        if let Some(other) = entries.iter().find(|entry| entry.record.name == record.name) {
            return Err(StoreError::NameTaken { name: record.name, digest: other.record.digest });
        }
        let unfinished = self.folder.join(format!("{}.unfinished-{}", record.digest, std::process::id()));
        fs::create_dir_all(&unfinished).map_err(|source| refused(&unfinished, source))?;
        write(&unfinished.join(WEIGHTS), weights)?;
        write(&unfinished.join(MANIFEST), record.to_json().as_bytes())?;
        fs::rename(&unfinished, &place).map_err(|source| refused(&place, source))?;
        Ok(Entry { record, path: place.join(WEIGHTS) })
    }
}

impl Entry {
    /// The bytes of the safetensors file, once their digest was compared.
    ///
    /// # Errors
    /// When the file cannot be read or was changed.
    pub fn read(&self) -> Result<Vec<u8>, StoreError> {
        let bytes = fs::read(&self.path).map_err(|source| refused(&self.path, source))?;
        let (found, expected) = (Digest::of(&bytes), self.record.digest);
        if found != expected {
            return Err(StoreError::Damaged { path: self.path.clone(), found, expected });
        }
        Ok(bytes)
    }
}

/// Writes the weights and their record to `folder` under the record's name.
pub(super) fn write_plain(
    folder: &Path,
    record: &Record,
    weights: &[u8],
) -> Result<[PathBuf; 2], StoreError> {
    check_name(&record.name)?;
    fs::create_dir_all(folder).map_err(|source| refused(folder, source))?;
    let paths = ["safetensors", "json"].map(|ending| folder.join(format!("{}.{ending}", record.name)));
    for path in &paths {
        if path.exists() {
            let source =
                std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it exists: move it away first");
            return Err(refused(path, source));
        }
    }
    write(&paths[0], weights)?;
    write(&paths[1], record.to_json().as_bytes())?;
    Ok(paths)
}

fn read_entry(folder: &Path, digest: Digest) -> Result<Entry, StoreError> {
    let path = folder.join(MANIFEST);
    let json = fs::read_to_string(&path).map_err(|source| refused(&path, source))?;
    let record = Record::parse(&json).map_err(|what| StoreError::Manifest { path: path.clone(), what })?;
    if record.digest != digest {
        let what = format!("it describes {}", record.digest);
        return Err(StoreError::Manifest { path, what });
    }
    Ok(Entry { record, path: folder.join(WEIGHTS) })
}

fn add_source(mut known: Entry, record: Record, chosen: Chosen, place: &Path) -> Result<Entry, StoreError> {
    if chosen.name && known.record.name != record.name {
        return Err(StoreError::OtherName { found: known.record.name, path: place.to_owned() });
    }
    if let Some(found) = &known.record.licence
        && chosen.licence
        && record.licence.as_ref() != Some(found)
    {
        return Err(StoreError::OtherLicence { found: found.clone(), path: place.to_owned() });
    }
    let before = known.record.clone();
    for source in record.sources {
        if known.record.sources.iter().all(|seen| seen.sha256 != source.sha256) {
            known.record.sources.push(source);
        }
    }
    known.record.licence = known.record.licence.or(record.licence);
    if known.record != before {
        write(&place.join(MANIFEST), known.record.to_json().as_bytes())?;
    }
    Ok(known)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = name.len() <= MOST_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain);
    // A digest would hide the weights that it is of.
    if is_name && name.parse::<Digest>().is_err() { Ok(()) } else { Err(StoreError::Name(name.to_owned())) }
}

/// Writes `bytes` durably, then puts them at `path` at once.
fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let unfinished = path.with_extension("unfinished");
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&unfinished, path)).map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use consilium_domain::network::{Depth, NetworkSpec};

    use super::*;

    const NETWORK: NetworkSpec = NetworkSpec { depth: Depth::D10, width: 2 };

    const NAMED: Chosen = Chosen { name: true, licence: false };

    fn record(name: &str, weights: &[u8]) -> Record {
        Record::example(name, NETWORK, weights)
    }

    fn store() -> (WeightsStore, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (WeightsStore::new(&dir.path().join("weights")), dir)
    }

    #[test]
    fn entries_are_listed_by_name_and_read_back() {
        let (store, _dir) = store();
        assert_eq!(store.entries().unwrap(), []);
        store.add(record("b", b"1"), NAMED, b"1").unwrap();
        store.add(record("a", b"2"), NAMED, b"2").unwrap();
        let entries = store.entries().unwrap();
        assert_eq!(entries.iter().map(|entry| entry.record.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(entries[0].read().unwrap(), b"2");
        assert_eq!(store.find("a").unwrap(), entries[0]);
    }

    #[test]
    fn the_same_weights_from_another_file_add_a_source() {
        let (store, _dir) = store();
        store.add(record("a", b"1"), Chosen::default(), b"1").unwrap();
        store.add(record("other", b"1"), Chosen::default(), b"1").unwrap();
        store.add(record("other", b"1"), Chosen::default(), b"1").unwrap();
        let entries = store.entries().unwrap();
        assert_eq!((entries.len(), entries[0].record.sources.len()), (1, 2));
        assert_eq!(entries[0].record.name, "a", "the first name stays");
        let refused = store.add(record("other", b"1"), NAMED, b"1");
        assert!(matches!(refused, Err(StoreError::OtherName { .. })));
    }

    #[test]
    fn a_licence_is_learnt_once_and_not_replaced() {
        let (store, _dir) = store();
        let chosen = Chosen { licence: true, ..Chosen::default() };
        let licensed = |licence: &str| Record { licence: Some(licence.into()), ..record("a", b"1") };
        store.add(record("a", b"1"), NAMED, b"1").unwrap();
        store.add(licensed("MIT"), chosen, b"1").unwrap();
        let entry = store.add(record("a", b"1"), NAMED, b"1").unwrap();
        assert_eq!(entry.record.licence.as_deref(), Some("MIT"));
        assert_eq!(store.entries().unwrap(), [entry]);
        assert!(matches!(store.add(licensed("other"), chosen, b"1"), Err(StoreError::OtherLicence { .. })));
    }

    #[test]
    fn a_name_belongs_to_one_set_of_weights() {
        let (store, _dir) = store();
        store.add(record("a", b"1"), NAMED, b"1").unwrap();
        assert!(matches!(store.add(record("a", b"2"), NAMED, b"2"), Err(StoreError::NameTaken { .. })));
        for name in ["", "1a", "../a", "a/b", "a b", &"a".repeat(65), &"a".repeat(64)] {
            let refused = store.add(record(name, b"3"), NAMED, b"3");
            assert!(matches!(refused, Err(StoreError::Name(_))), "{name}");
        }
        assert_eq!(store.entries().unwrap().len(), 1);
    }

    #[test]
    fn damaged_manifests_are_named_and_leftovers_ignored() {
        let (store, _dir) = store();
        let entry = store.add(record("a", b"1"), NAMED, b"1").unwrap();
        fs::create_dir(store.folder().join("0.unfinished-1")).unwrap();
        assert_eq!(store.entries().unwrap().len(), 1);
        let manifest = entry.path.with_file_name(MANIFEST);
        let newer = Record { format: 2, ..entry.record };
        for json in ["{}".to_owned(), record("a", b"2").to_json(), newer.to_json()] {
            fs::write(&manifest, json).unwrap();
            assert!(matches!(store.entries(), Err(StoreError::Manifest { .. })));
        }
    }

    #[test]
    fn files_of_an_earlier_export_are_not_replaced() {
        let (_, dir) = store();
        let record = record("a", b"1");
        let [weights, manifest] = write_plain(dir.path(), &record, b"1").unwrap();
        assert_eq!(fs::read(&weights).unwrap(), b"1");
        assert_eq!(Record::parse(&fs::read_to_string(manifest).unwrap()), Ok(record.clone()));
        assert!(matches!(write_plain(dir.path(), &record, b"2"), Err(StoreError::Io { .. })));
        assert_eq!(fs::read(&weights).unwrap(), b"1");
    }
}
