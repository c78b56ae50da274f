//! The connections that stand, so that a revocation can end them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use consilium_domain::{Role, SiteId};
use consilium_transport::{CloseCode, Connection};

use super::Registry;

/// What a revoked site is told.
const REVOKED: &str = "this certificate was revoked: ask the consortium's administrator";

#[derive(Default)]
pub(super) struct Live(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// A connection's place among the live ones, given up when dropped.
pub struct Attendance {
    registry: Registry,
    number: u64,
}

impl Live {
    pub(super) fn enter(&self, registry: Registry, connection: &Connection) -> Attendance {
        let mut standing = self.lock();
        let number = standing.next;
        standing.next += 1;
        standing.connections.insert(number, connection.clone());
        Attendance { registry, number }
    }

    /// Closes those that `is_meant` picks by role and serial; how many.
    pub(super) fn close(&self, is_meant: impl Fn(&Role, &str) -> bool) -> usize {
        let standing = self.lock();
        let meant = standing.connections.values().filter(|it| is_meant(it.peer(), it.peer_serial()));
        meant.map(hang_up).count()
    }

    pub(super) fn count(&self, site: &SiteId) -> usize {
        self.lock().connections.values().filter(|connection| connection.peer().site() == Some(site)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn hang_up(connection: &Connection) {
    connection.close(CloseCode::REVOKED, REVOKED);
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.registry.0.live.lock().connections.remove(&self.number);
    }
}
