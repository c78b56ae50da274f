//! How often strangers may try to join: a token cannot be guessed, and guessing shall cost us nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use consilium_protocol::Timestamp;

/// The span in which attempts are counted.
const SPAN_SECS: u32 = 60;
/// Attempts of one address in a span: a person who mistypes, and a hospital whose machines share an address.
const MAX_OF_ADDRESS: u32 = 10;
/// Attempts of everybody in a span: whole consortia join in minutes, and the work stays below a hundredth of a core.
const MAX_OF_ALL: u32 = 60;

/// Attempts of the present span.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    began: Timestamp,
    all: u32,
    /// At most [`MAX_OF_ALL`] entries.
    of: BTreeMap<IpAddr, u32>,
}

impl Attempts {
    /// Counts an attempt; the error is in how many seconds to come back.
    pub(super) fn admit(&mut self, address: IpAddr, at: Timestamp) -> Result<(), u32> {
        let end = self.began.plus_secs(SPAN_SECS);
        if at >= end || at < self.began {
            *self = Self { began: at, ..Self::default() };
        }
        let of_address = self.of.get(&place(address)).copied().unwrap_or(0);
        if self.all >= MAX_OF_ALL || of_address >= MAX_OF_ADDRESS {
            let left = self.began.plus_secs(SPAN_SECS).0 - at.0;
            return Err(u32::try_from(left.div_ceil(1_000)).unwrap_or(SPAN_SECS));
        }
        self.all += 1;
        self.of.insert(place(address), of_address + 1);
        Ok(())
    }
}

/// Whom an address stands for: of IPv6 a machine has as many as it likes, a network has a /64.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_try_without_end_and_does_not_shut_out_others() {
        let mut attempts = Attempts::default();
        let (guesser, hospital) = (address("192.0.2.1"), address("192.0.2.2"));
        let at = Timestamp(1_000_000);
        for _ in 0..MAX_OF_ADDRESS {
            assert_eq!(attempts.admit(guesser, at), Ok(()));
        }
        assert_eq!(attempts.admit(guesser, at.plus_secs(20)), Err(40));
        assert_eq!(attempts.admit(address("::ffff:192.0.2.1"), at), Err(60), "the same machine");
        assert_eq!(attempts.admit(hospital, at), Ok(()));
        assert_eq!(attempts.admit(guesser, at.plus_secs(60)), Ok(()));
    }

    #[test]
    fn all_together_are_bounded_whatever_addresses_they_have() {
        let mut attempts = Attempts::default();
        let at = Timestamp(1_000_000);
        for host in 0..MAX_OF_ALL {
            let network = Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(host) << 64));
            assert_eq!(attempts.admit(network.into(), at), Ok(()));
        }
        assert!(attempts.admit(address("192.0.2.9"), at).is_err());
        assert!(attempts.of.len() <= MAX_OF_ALL as usize);
        assert_eq!(
            attempts.admit(address("192.0.2.9"), Timestamp(0)),
            Ok(()),
            "a clock set back locks nobody out"
        );
    }

    #[test]
    fn a_network_is_one_place() {
        assert_eq!(place(address("2001:db8::1")), place(address("2001:db8::2:3")));
        assert_ne!(place(address("2001:db8::1")), place(address("2001:db8:0:1::1")));
    }
}
