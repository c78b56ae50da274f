//! Which way worked last, kept over restarts in one small file.
//!
//! It is a hint and no more: a file that is lost, old or nonsense costs three seconds.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The file in the state folder.
const FILE: &str = "link.json";

/// More than the file ever has.
const MAX_FILE_BYTES: u64 = 4096;

/// While another way is in use, QUIC is tried first again after this long.
const QUIC_AGAIN: Duration = Duration::from_secs(3600);

/// A way to the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP.
    Tcp,
    /// TLS over TCP, through an HTTP proxy.
    Proxy,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "QUIC",
            Self::Tcp => "TCP",
            Self::Proxy => "proxy",
        })
    }
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    /// The way that worked last.
    way: Option<Way>,
    /// When QUIC was last tried, in seconds since 1970.
    quic_tried: Option<u64>,
}

/// The memory of one client.
#[derive(Debug)]
pub struct LinkMemory {
    /// None: nothing is kept.
    file: Option<PathBuf>,
    remembered: Mutex<Remembered>,
}

impl LinkMemory {
    /// The memory in `state`, the client's state folder.
    pub fn open(state: &Path) -> Self {
        let file = state.join(FILE);
        let remembered = match read(&file) {
            Ok(remembered) => remembered,
            Err(error) => {
                tracing::debug!(file = %file.display(), %error, "no way to the coordinator is remembered");
                Remembered::default()
            }
        };
        Self { file: Some(file), remembered: Mutex::new(remembered) }
    }

    /// A memory that ends with the process.
    pub fn of_this_process() -> Self {
        Self { file: None, remembered: Mutex::default() }
    }

    /// The way that worked last.
    pub fn way(&self) -> Option<Way> {
        self.lock().way
    }

    /// `allowed` in the order in which to try them.
    pub(super) fn order(&self, allowed: &[Way]) -> Vec<Way> {
        order(*self.lock(), now(), allowed)
    }

    pub(super) fn quic_is_tried(&self) {
        self.change(|remembered| remembered.quic_tried = Some(now()));
    }

    pub(super) fn won(&self, way: Way) {
        self.change(|remembered| remembered.way = Some(way));
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Remembered)) {
        let mut remembered = self.lock();
        let before = *remembered;
        change(&mut remembered);
        if *remembered != before
            && let Some(file) = &self.file
            && let Err(error) = write(file, *remembered)
        {
            // It costs three seconds at the next start, nothing else.
            tracing::warn!(file = %file.display(), %error, "the way to the coordinator cannot be remembered");
        }
    }
}

fn order(remembered: Remembered, now: u64, allowed: &[Way]) -> Vec<Way> {
    let mut ways = allowed.to_vec();
    let due = remembered.quic_tried.is_none_or(|tried| {
        // A time to come is of a clock that was set back since: it says nothing.
        now.checked_sub(tried).is_none_or(|ago| ago >= QUIC_AGAIN.as_secs())
    });
    if let Some(best) = remembered.way
        && !(due && ways.contains(&Way::Quic))
        && let Some(place) = ways.iter().position(|way| *way == best)
    {
        ways[..=place].rotate_right(1);
    }
    ways
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn read(file: &Path) -> io::Result<Remembered> {
    if fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other("the file is too long"));
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// Whole or not at all, whatever happens meanwhile.
fn write(file: &Path, remembered: Remembered) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(&serde_json::to_vec(&remembered)?)?;
    fresh.as_file().sync_all()?;
    fresh.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Way; 3] = [Way::Quic, Way::Tcp, Way::Proxy];

    #[test]
    fn the_last_winner_comes_first_and_quic_once_an_hour() {
        let at = |way, quic_tried| Remembered { way, quic_tried };
        let hour = QUIC_AGAIN.as_secs();
        assert_eq!(order(Remembered::default(), 0, &ALL), ALL);
        let recent = at(Some(Way::Proxy), Some(1_000));
        assert_eq!(order(recent, 1_000 + hour - 1, &ALL), [Way::Proxy, Way::Quic, Way::Tcp]);
        assert_eq!(order(recent, 1_000 + hour, &ALL), ALL);
        assert_eq!(order(recent, 999, &ALL), ALL, "the clock was set back");
        assert_eq!(order(at(Some(Way::Tcp), Some(1_000)), 1_000, &ALL), [Way::Tcp, Way::Quic, Way::Proxy]);
        assert_eq!(order(at(Some(Way::Quic), Some(1_000)), 1_000, &ALL), ALL);
        // What the settings forbid is not tried, whatever is remembered.
        assert_eq!(order(at(Some(Way::Quic), Some(1_000)), 1_000, &ALL[1..]), ALL[1..]);
        assert_eq!(order(at(Some(Way::Proxy), None), 1_000, &ALL[1..]), [Way::Proxy, Way::Tcp]);
    }

    #[test]
    fn it_outlives_the_process_and_nonsense_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let memory = LinkMemory::open(state.path());
        assert_eq!(memory.way(), None);
        memory.quic_is_tried();
        memory.won(Way::Tcp);
        assert_eq!(LinkMemory::open(state.path()).order(&ALL)[0], Way::Tcp);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
        for nonsense in ["", "{\"way\":\"pigeon\"}", &" ".repeat(5_000)] {
            fs::write(state.path().join(FILE), nonsense).unwrap();
            assert_eq!(LinkMemory::open(state.path()).way(), None);
        }
    }
}
