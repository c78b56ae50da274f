//! What a coordinator finds outside of itself: what time it is, and where its sockets come from.
//!
//! A daemon takes both from the system. A simulation in virtual time gives its own, so that the coordinator's very code
//! can be watched over hours that pass in seconds.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use consilium_protocol::Timestamp;
use consilium_transport::Sockets;
use tokio::runtime::{Handle, RuntimeFlavor};

/// What surrounds a coordinator. The default is the system.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What time it is.
    pub clock: WallClock,
    /// Where UDP sockets come from.
    pub sockets: Sockets,
}

/// A source of the time of day.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// One that shows what `read` says.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.0()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(now)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallClock({})", self.now().0)
    }
}

/// The system's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// As long as this lives, virtual time stands still.
#[must_use = "time goes on when it is dropped"]
pub(crate) struct Stillness {
    _until_dropped: Option<Sender<()>>,
}

/// Keeps a paused clock from running ahead while SQLite works.
///
/// Tokio lets a paused clock jump to the next timer whenever its own tasks and blocking threads have nothing to do.
/// SQLite's thread is sqlx's, so tokio would take a write that is under way for idleness. The daemons run on several
/// threads, where no clock can be paused: there this does nothing.
pub(crate) fn still() -> Stillness {
    let alone = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::CurrentThread);
    let until_dropped = alone.then(|| {
        let (keep, wait) = channel();
        tokio::task::spawn_blocking(move || {
            let _ = wait.recv();
        });
        keep
    });
    Stillness { _until_dropped: until_dropped }
}
