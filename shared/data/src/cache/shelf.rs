//! Which entries are kept: as many as fit, the longest unused go first.
//!
//! When an entry was last used is its file's time of modification, so that it outlives the process and other
//! processes see it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use consilium_domain::Digest;

use super::{CacheError, private};

/// The ending of entries.
pub(super) const ENTRY: &str = "input";

/// The folder is listed again after storing this part of the cap: so far may each further process that uses the
/// folder at the same time exceed it, before somebody notices.
const LISTED_EACH: u64 = 16;

/// The entries of one folder.
pub(super) struct Shelf {
    folder: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Digest, Item>,
    /// Of all `entries`.
    bytes: u64,
    /// Room promised to entries that are being written.
    promised: u64,
    /// Bytes stored since the folder was listed.
    unlisted: u64,
}

#[derive(Clone, Copy)]
struct Item {
    bytes: u64,
    used: SystemTime,
}

/// Whether an entry may be stored, and how many others went for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) granted: bool,
    pub(super) evicted: u64,
}

impl State {
    fn insert(&mut self, key: Digest, item: Item) {
        self.bytes += item.bytes;
        self.bytes -= self.entries.insert(key, item).map_or(0, |former| former.bytes);
    }

    fn remove(&mut self, key: Digest) {
        self.bytes -= self.entries.remove(&key).map_or(0, |former| former.bytes);
    }

    /// Two of one moment go by their keys, so that the order is the same everywhere.
    fn longest_unused(&self) -> Option<Digest> {
        self.entries.iter().min_by_key(|(key, item)| (item.used, **key)).map(|(key, _)| *key)
    }
}

impl Shelf {
    /// Lists what is there, sweeps up after writers that died, and evicts what exceeds the cap.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> Result<(Self, Room), CacheError> {
        let shelf = Self { folder: folder.to_owned(), max_bytes, state: Mutex::default() };
        let failed = CacheError::io("listed", folder);
        for entry in fs::read_dir(folder).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            if path.extension().is_some_and(|ending| ending == private::DRAFT) {
                private::sweep(&path).map_err(CacheError::io("removed", &path))?;
            }
        }
        let room = {
            let mut state = shelf.state();
            shelf.list(&mut state).map_err(&failed)?;
            shelf.evict_down_to(&mut state, max_bytes)?
        };
        Ok((shelf, room))
    }

    /// Where the entry of `key` lies or would lie.
    pub(super) fn path(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{key}.{ENTRY}"))
    }

    /// Promises room for an entry, evicting others; a promise is followed by `stored` or `given_up`.
    pub(super) fn make_room(&self, bytes: u64) -> Result<Room, CacheError> {
        if bytes > self.max_bytes {
            return Ok(Room { granted: false, evicted: 0 });
        }
        let mut state = self.state();
        state.unlisted += bytes;
        if state.unlisted > self.max_bytes / LISTED_EACH {
            self.list(&mut state).map_err(CacheError::io("listed", &self.folder))?;
        }
        let room = self.evict_down_to(&mut state, self.max_bytes - bytes)?;
        if room.granted {
            state.promised += bytes;
        }
        Ok(room)
    }

    /// The entry lies where it belongs.
    pub(super) fn stored(&self, key: Digest, bytes: u64) {
        let mut state = self.state();
        state.promised -= bytes;
        state.insert(key, Item { bytes, used: SystemTime::now() });
    }

    /// The entry could not be written.
    pub(super) fn given_up(&self, bytes: u64) {
        self.state().promised -= bytes;
    }

    /// The entry was read just now.
    pub(super) fn used(&self, key: Digest, bytes: u64) {
        let used = SystemTime::now();
        let marked = File::open(self.path(key)).and_then(|file| file.set_modified(used));
        if marked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // It was evicted while it was read.
            self.gone(key);
        } else {
            // Where the mark cannot be set, the order holds in this process all the same.
            self.state().insert(key, Item { bytes, used });
        }
    }

    /// Nothing lies there.
    pub(super) fn gone(&self, key: Digest) {
        self.state().remove(key);
    }

    /// Removes a damaged entry.
    pub(super) fn discard(&self, key: Digest) -> Result<(), CacheError> {
        let path = self.path(key);
        private::remove(&path).map_err(CacheError::io("removed", &path))?;
        self.gone(key);
        Ok(())
    }

    /// Evicts until the entries and the promises take `most` bytes; not granted where promises alone exceed it.
    fn evict_down_to(&self, state: &mut State, most: u64) -> Result<Room, CacheError> {
        let mut evicted = 0;
        while state.bytes + state.promised > most {
            let Some(key) = state.longest_unused() else { return Ok(Room { granted: false, evicted }) };
            let path = self.path(key);
            private::remove(&path).map_err(CacheError::io("removed", &path))?;
            state.remove(key);
            evicted += 1;
        }
        Ok(Room { granted: true, evicted })
    }

    fn list(&self, state: &mut State) -> io::Result<()> {
        let mut listed = State { promised: state.promised, ..State::default() };
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(key) = key_of(&entry.path()) else { continue };
            // Another process may have evicted it since the folder was opened.
            let Ok(metadata) = entry.metadata() else { continue };
            listed.insert(key, Item { bytes: metadata.len(), used: metadata.modified()? });
        }
        *state = listed;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with the shelf locked")
    }
}

/// The key that an entry's name says, `None` for other files.
pub(super) fn key_of(path: &Path) -> Option<Digest> {
    let is_entry = path.extension().is_some_and(|ending| ending == ENTRY);
    is_entry.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        shelf: Shelf,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        fn new(max_bytes: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (shelf, _) = Shelf::open(dir.path(), max_bytes).unwrap();
            Self { shelf, _dir: dir }
        }

        fn put(&self, name: &str, bytes: u64) -> Room {
            let room = self.shelf.make_room(bytes).unwrap();
            if room.granted {
                fs::write(self.shelf.path(key(name)), vec![0; bytes as usize]).unwrap();
                self.shelf.stored(key(name), bytes);
            }
            room
        }

        fn holds(&self, names: &str) -> bool {
            let found = fs::read_dir(&self.shelf.folder).unwrap().count();
            found == names.len() && names.chars().all(|name| self.shelf.path(key(&name.to_string())).exists())
        }
    }

    fn key(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn the_longest_unused_goes_first_and_the_cap_holds() {
        let bench = Bench::new(100);
        assert!(["a", "b", "c"].iter().all(|name| bench.put(name, 30).granted));
        bench.shelf.used(key("a"), 30);
        assert_eq!(bench.put("d", 30), Room { granted: true, evicted: 1 });
        assert!(bench.holds("acd"));
        assert_eq!(bench.put("e", 70), Room { granted: true, evicted: 2 });
        assert!(bench.holds("de"));
        assert_eq!(bench.put("f", 101), Room { granted: false, evicted: 0 });
        assert!(bench.holds("de"));
    }

    #[test]
    fn use_is_remembered_by_the_next_process_and_a_lower_cap_holds_at_once() {
        let bench = Bench::new(100);
        assert!(["a", "b", "c"].iter().all(|name| bench.put(name, 30).granted));
        bench.shelf.used(key("a"), 30);
        let (_, room) = Shelf::open(&bench.shelf.folder, 60).unwrap();
        assert_eq!(room, Room { granted: true, evicted: 1 });
        assert!(bench.holds("ac"));
    }

    #[test]
    fn what_others_store_and_remove_is_noticed() {
        let bench = Bench::new(100);
        bench.put("a", 30);
        fs::write(bench.shelf.path(key("b")), [0; 60]).unwrap();
        fs::remove_file(bench.shelf.path(key("a"))).unwrap();
        assert_eq!(bench.put("c", 40), Room { granted: true, evicted: 0 });
        assert!(bench.holds("bc"));
    }

    #[test]
    fn promised_room_is_taken() {
        let bench = Bench::new(100);
        assert!(bench.shelf.make_room(60).unwrap().granted);
        assert!(!bench.shelf.make_room(60).unwrap().granted);
        bench.shelf.given_up(60);
        assert!(bench.shelf.make_room(60).unwrap().granted);
    }
}
