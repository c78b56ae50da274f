//! Reaching the coordinator, again and again: a client runs for weeks and outlives any network.

use std::time::Duration;

use consilium_domain::{RandomStream, Seed, SiteId};
use consilium_transport::{Connection, Identity, LinkMemory, Sockets};

use crate::config::Config;

/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: a restarted coordinator has all sites back within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pauses that double, each drawn evenly between nothing and the current limit ("full jitter"), so that sites which
/// lost the coordinator together do not come back together.
pub(crate) struct Pauses {
    limit: Duration,
    jitter: RandomStream,
}

impl Pauses {
    /// Pauses of this site. Different sites pause differently.
    pub(crate) fn new(site: &SiteId) -> Self {
        let seed = Seed::from_number(u64::from(std::process::id())).derive(site.as_str());
        Self { limit: FIRST_PAUSE, jitter: seed.stream() }
    }

    /// The coordinator was reached.
    pub(crate) fn reset(&mut self) {
        self.limit = FIRST_PAUSE;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.limit.mul_f64(self.jitter.uniform());
        self.limit = (self.limit * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// Connects, however often it takes.
pub(crate) async fn reach(
    config: &Config,
    sockets: &Sockets,
    identity: &Identity,
    pauses: &mut Pauses,
) -> Connection {
    let memory = LinkMemory::open(&config.state);
    loop {
        match config.dialler.connect_over(sockets, identity, &memory).await {
            Ok(connection) => {
                tracing::info!(link = %connection.kind(), "connected");
                return connection;
            }
            Err(reason) => {
                let pause = pauses.next();
                tracing::warn!(
                    coordinator = config.coordinator,
                    ?pause,
                    "not connected: {reason}; trying again"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut pauses = Pauses::new(&"a".parse().unwrap());
        assert!(pauses.next() <= FIRST_PAUSE);
        for _ in 0..50 {
            assert!(pauses.next() <= LONGEST_PAUSE);
        }
        assert_eq!(pauses.limit, LONGEST_PAUSE);
        pauses.reset();
        assert!(pauses.next() <= FIRST_PAUSE);
    }
}
