//! What the site's files contained when they were last read.
//!
//! A file of the same size and times as before is not read again. Losing this index costs the time to hash the
//! files once more and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use consilium_domain::Digest;

use super::private;

/// Larger files are no scan of at most [`MAX_VOXELS`](crate::MAX_VOXELS) voxels, and are not hashed.
const MAX_SOURCE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// A file may change twice within one tick of its file system's clock (two seconds on FAT) and look the same.
/// What was read so soon after its last change is hashed again the next time.
const TICK_NS: i128 = 2_000_000_000;

/// New digests until the index is written: a crash costs hashing so many files again.
const SAVE_EVERY: usize = 64;

/// Most files remembered, about 30 MB of index. Beyond it, files that this process has not seen are forgotten.
const MAX_KNOWN: usize = 200_000;

const SECOND_NS: i128 = 1_000_000_000;

/// What tells without reading whether a file is still the same. The time of the last change of its attributes
/// catches tools that copy the time of the last modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * SECOND_NS + i128::from(rest);
        Self {
            bytes: metadata.len(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file at `path` still has this stamp.
    pub(super) fn still_fits(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| Self::of(&metadata) == *self)
    }

    /// Whether a later change will show, seen from a reading at `now_ns`.
    const fn is_settled(&self, now_ns: i128) -> bool {
        self.modified_ns + TICK_NS < now_ns
    }
}

/// A file as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) digest: Digest,
    pub(super) stamp: Stamp,
}

/// How a sighting came about, for the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The stamp said enough.
    Remembered,
    /// The file was read.
    Hashed,
    /// The file was read, and is not what it was.
    Changed,
}

/// The index of one cache.
pub(super) struct Sources {
    index: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    records: BTreeMap<PathBuf, Record>,
    unsaved: usize,
}

#[derive(Clone, Copy)]
struct Record {
    sighting: Sighting,
    /// False where the file was read within a tick of its change.
    settled: bool,
    /// Whether this process has asked for it.
    asked: bool,
}

impl Sources {
    /// Reads the index where there is one; a damaged one is as good as none.
    pub(super) fn open(index: PathBuf) -> Self {
        let records = fs::read(&index).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        Self { index, known: Mutex::new(Known { records, unsaved: 0 }) }
    }

    /// The content of `path`, read only where its stamp is new; `None` where it was written to meanwhile.
    pub(super) fn sight(&self, path: &Path) -> io::Result<Option<(Sighting, Way)>> {
        let path = std::path::absolute(path)?;
        let metadata = fs::metadata(&path)?;
        let stamp = Stamp::of(&metadata);
        if let Some(record) = self.known().records.get_mut(&path) {
            record.asked = true;
            if record.settled && record.sighting.stamp == stamp {
                return Ok(Some((record.sighting, Way::Remembered)));
            }
        }
        if !metadata.is_file() || stamp.bytes > MAX_SOURCE_BYTES {
            return Err(io::Error::other("it is no file of at most 2 GiB"));
        }
        let settled = stamp.is_settled(now_ns());
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path)?)?;
        if !stamp.still_fits(&path) {
            return Ok(None);
        }
        let sighting = Sighting { digest: Digest::from_bytes(*hasher.finalize().as_bytes()), stamp };
        let record = Record { sighting, settled, asked: true };
        let mut known = self.known();
        let former = known.records.insert(path, record).map(|former| former.sighting.digest);
        known.unsaved += 1;
        if known.unsaved >= SAVE_EVERY {
            // A lost index costs time only; `flush` at the end reports what is wrong.
            let _ = known.save(&self.index);
        }
        let way =
            if former.is_some_and(|former| former != sighting.digest) { Way::Changed } else { Way::Hashed };
        Ok(Some((sighting, way)))
    }

    /// Writes what is new.
    pub(super) fn save(&self) -> io::Result<()> {
        let mut known = self.known();
        if known.unsaved == 0 { Ok(()) } else { known.save(&self.index) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics with the index locked")
    }
}

impl Known {
    /// Adds what another process wrote since, which costs nothing to keep.
    fn save(&mut self, index: &Path) -> io::Result<()> {
        let others = fs::read(index).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        for (path, record) in others {
            self.records.entry(path).or_insert(record);
        }
        if self.records.len() > MAX_KNOWN {
            self.records.retain(|_, record| record.asked);
        }
        private::put(index, |file| io::Write::write_all(file, &render(&self.records)))?;
        self.unsaved = 0;
        Ok(())
    }
}

/// A digest of the rest, then a record a file. Paths end it, closed by the one byte that no path holds.
fn render(records: &BTreeMap<PathBuf, Record>) -> Vec<u8> {
    let mut rest = Vec::new();
    for (path, Record { sighting: Sighting { digest, stamp }, settled, .. }) in records {
        if *settled {
            let Stamp { bytes, modified_ns, changed_ns } = stamp;
            rest.extend(format!("{digest} {bytes} {modified_ns} {changed_ns} ").into_bytes());
            rest.extend(path.as_os_str().as_bytes());
            rest.push(0);
        }
    }
    [format!("{}\n", Digest::of(&rest)).as_bytes(), &rest].concat()
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<PathBuf, Record>> {
    let (digest, rest) = bytes.split_at_checked(64)?;
    let rest = rest.strip_prefix(b"\n")?;
    if std::str::from_utf8(digest).ok()?.parse::<Digest>().ok()? != Digest::of(rest) {
        return None;
    }
    rest.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(parse_record).collect()
}

fn parse_record(line: &[u8]) -> Option<(PathBuf, Record)> {
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let digest = text()?.parse().ok()?;
    let stamp = Stamp {
        bytes: text()?.parse().ok()?,
        modified_ns: text()?.parse().ok()?,
        changed_ns: text()?.parse().ok()?,
    };
    let path = PathBuf::from(OsStr::from_bytes(fields.next()?));
    Some((path, Record { sighting: Sighting { digest, stamp }, settled: true, asked: false }))
}

/// A clock set before 1970 makes every file look unsettled, which costs time only.
fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).expect("nanoseconds since 1970 fit for ever")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hours_ago(path: &Path, hours: u64) {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn way(sources: &Sources, path: &Path) -> Way {
        sources.sight(path).unwrap().expect("nobody writes").1
    }

    #[test]
    fn a_file_is_hashed_once_until_it_changes_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        // Any byte but 0 may be in a path.
        let (index, file) = (dir.path().join("index"), dir.path().join("a b\n\u{e9}"));
        fs::write(&file, "one").unwrap();
        hours_ago(&file, 2);
        let sources = Sources::open(index.clone());
        assert_eq!([way(&sources, &file), way(&sources, &file)], [Way::Hashed, Way::Remembered]);
        sources.save().unwrap();
        let sources = Sources::open(index.clone());
        assert_eq!(way(&sources, &file), Way::Remembered);
        hours_ago(&file, 1);
        assert_eq!([way(&sources, &file), way(&sources, &file)], [Way::Hashed, Way::Remembered]);
        fs::write(&file, "two").unwrap();
        hours_ago(&file, 1);
        assert_eq!([way(&sources, &file), way(&sources, &file)], [Way::Changed, Way::Remembered]);
    }

    #[test]
    fn a_file_that_changed_this_moment_is_hashed_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let sources = Sources::open(dir.path().join("index"));
        assert_eq!([way(&sources, &file), way(&sources, &file)], [Way::Hashed; 2]);
    }

    #[test]
    fn a_damaged_index_is_as_good_as_none_and_two_processes_share_one() {
        let dir = tempfile::tempdir().unwrap();
        let [index, a, b] = ["index", "a", "b"].map(|name| dir.path().join(name));
        for file in [&a, &b] {
            fs::write(file, "same").unwrap();
            hours_ago(file, 1);
        }
        let [first, second] = [0; 2].map(|_| Sources::open(index.clone()));
        way(&first, &a);
        way(&second, &b);
        first.save().unwrap();
        second.save().unwrap();
        let both = Sources::open(index.clone());
        assert_eq!([way(&both, &a), way(&both, &b)], [Way::Remembered; 2]);
        let mut bytes = fs::read(&index).unwrap();
        bytes[70] ^= 1;
        fs::write(&index, bytes).unwrap();
        assert_eq!(way(&Sources::open(index), &a), Way::Hashed);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::open(dir.path().join("index"));
        assert!(sources.sight(dir.path()).is_err());
        assert!(sources.sight(&dir.path().join("absent")).is_err());
    }
}
