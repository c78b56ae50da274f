//! How often an address may give a wrong token.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong tokens of one address in one period: more than a person who copies one badly.
const MOST_WRONG: u32 = 10;
/// The period.
const PERIOD: Duration = Duration::from_secs(600);
/// Addresses that are remembered: a megabyte at most. While so many have failed lately, no new one may try.
const MOST_ADDRESSES: usize = 10_000;

/// Wrong tokens by address, and when the first of them came.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<BTreeMap<IpAddr, (u32, Instant)>>);

impl Attempts {
    /// Whether `address` may try.
    pub(crate) fn may_try(&self, address: IpAddr, now: Instant) -> bool {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (_, since)| now.duration_since(*since) < PERIOD);
        match wrong.get(&address) {
            Some((count, _)) => *count < MOST_WRONG,
            None => wrong.len() < MOST_ADDRESSES,
        }
    }

    /// It tried and was wrong.
    pub(crate) fn was_wrong(&self, address: IpAddr, now: Instant) {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.entry(address).or_insert((0, now)).0 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_wrong_too_often_waits_and_others_do_not() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let [eve, alice]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..MOST_WRONG {
            assert!(attempts.may_try(eve, start));
            attempts.was_wrong(eve, start);
        }
        assert!(!attempts.may_try(eve, start) && attempts.may_try(alice, start));
        assert!(attempts.may_try(eve, start + PERIOD));
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..MOST_ADDRESSES as u32 {
            attempts.was_wrong(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(!attempts.may_try("198.51.100.7".parse().unwrap(), now));
    }
}
