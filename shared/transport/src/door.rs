//! Who may stand at the door, and how many of them: what a flood of callers can take from the others.
//!
//! A *handshake* has proven nothing yet, so one address gets few of the places. A *connection* is somebody with a
//! certificate of the consortium, so its holder is counted too. All callers behind one address translation share an
//! address: the limits leave room for a whole consortium behind one.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consilium_domain::Role;

use crate::refusals::RefusalCause;

/// Handshakes at once. A consortium has at most some fifty sites; the rest keeps the door open to them while eight
/// addresses are hostile.
pub(crate) const MAX_HANDSHAKES: usize = 256;

/// Handshakes at once from one address: a hospital group behind one address has a handful of clients, and a refused
/// one tries again within a second.
const HANDSHAKES_PER_ADDRESS: usize = 32;

/// From here on, QUIC callers must first prove that they own their address: it can be forged in the first packet,
/// and a forger must fill neither the places of all nor those of the address it forged.
const PROVE_ADDRESS_FROM: usize = 16;

/// As [`PROVE_ADDRESS_FROM`], for one address.
const PROVE_ADDRESS_FROM_PER_ADDRESS: usize = 4;

/// Connections from one address: a whole consortium, simulated on one machine or behind one proxy.
const CONNECTIONS_PER_ADDRESS: usize = 512;

/// Connections of one certificate's holder: one at work, a few that broke off and were not yet found dead, and a
/// doctor. An admin runs some commands beside each other.
const CONNECTIONS_PER_PEER: usize = 16;

/// The books of one listener. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    handshakes: Tally<IpAddr>,
    connections: Tally<IpAddr>,
    peers: Tally<Role>,
}

/// How many of each there are. Holds no entry for what there is none of, so it is as small as what it counts.
#[derive(Debug)]
struct Tally<K> {
    counts: HashMap<K, usize>,
    total: usize,
}

/// What to do with a caller who has shown nothing yet.
#[derive(Debug)]
pub(crate) enum Knock {
    /// Shake hands.
    Come(Handshake),
    /// Ask it to prove its address, and to come again.
    Prove,
    /// Too many.
    Full(RefusalCause),
}

/// The place of one handshake. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Handshake {
    door: Door,
    address: IpAddr,
}

/// The place of one connection. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    door: Door,
    address: IpAddr,
    peer: Role,
}

impl Door {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A caller at `address`, which is `proven` where it has answered from there (as over TCP every caller has).
    pub(crate) fn knock(&self, address: IpAddr, proven: bool) -> Knock {
        let address = one_party(address);
        let handshakes = &mut self.books().handshakes;
        let of_address = handshakes.of(&address);
        if handshakes.total >= MAX_HANDSHAKES {
            return Knock::Full(RefusalCause::TOO_MANY_HANDSHAKES);
        }
        if !proven && (handshakes.total >= PROVE_ADDRESS_FROM || of_address >= PROVE_ADDRESS_FROM_PER_ADDRESS)
        {
            return Knock::Prove;
        }
        if of_address >= HANDSHAKES_PER_ADDRESS {
            return Knock::Full(RefusalCause::TOO_MANY_HANDSHAKES_FROM_ADDRESS);
        }
        handshakes.add(address);
        Knock::Come(Handshake { door: self.clone(), address })
    }

    /// `peer` has shown its certificate.
    pub(crate) fn enter(&self, address: IpAddr, peer: &Role) -> Result<Place, RefusalCause> {
        let address = one_party(address);
        let mut books = self.books();
        if books.connections.of(&address) >= CONNECTIONS_PER_ADDRESS {
            return Err(RefusalCause::TOO_MANY_FROM_ADDRESS);
        }
        if books.peers.of(peer) >= CONNECTIONS_PER_PEER {
            return Err(RefusalCause::TOO_MANY_OF_PEER);
        }
        books.connections.add(address);
        books.peers.add(peer.clone());
        Ok(Place { door: self.clone(), address, peer: peer.clone() })
    }
}

/// The address that stands for whoever calls from `address`: IPv6 is given out in networks of 64 bits, and whoever
/// has one of its addresses has them all.
fn one_party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { counts: HashMap::new(), total: 0 }
    }
}

impl<K: Eq + Hash> Tally<K> {
    fn of(&self, key: &K) -> usize {
        self.counts.get(key).copied().unwrap_or(0)
    }

    fn add(&mut self, key: K) {
        *self.counts.entry(key).or_default() += 1;
        self.total += 1;
    }

    fn remove(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.counts.remove(key);
            }
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.door.books().handshakes.remove(&self.address);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut books = self.door.books();
        books.connections.remove(&self.address);
        books.peers.remove(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn come(door: &Door, text: &str) -> Handshake {
        match door.knock(address(text), true) {
            Knock::Come(handshake) => handshake,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_address_takes_its_share_of_the_places_and_no_more() {
        let door = Door::default();
        let hostile: Vec<Handshake> =
            (0..HANDSHAKES_PER_ADDRESS).map(|_| come(&door, "203.0.113.9")).collect();
        let full = door.knock(address("203.0.113.9"), true);
        let cause = RefusalCause::TOO_MANY_HANDSHAKES_FROM_ADDRESS;
        assert!(matches!(full, Knock::Full(found) if found == cause), "{full:?}");
        come(&door, "198.51.100.7");
        drop(hostile);
        come(&door, "203.0.113.9");
        assert_eq!(door.books().handshakes.counts.len(), 0, "nothing is remembered of who is gone");
    }

    #[test]
    fn all_addresses_together_have_a_limit() {
        let door = Door::default();
        let handshakes: Vec<Handshake> =
            (0..MAX_HANDSHAKES).map(|n| come(&door, &format!("10.0.{}.1", n / 8))).collect();
        let full = door.knock(address("192.0.2.1"), true);
        assert!(matches!(full, Knock::Full(cause) if cause == RefusalCause::TOO_MANY_HANDSHAKES), "{full:?}");
        drop(handshakes);
        come(&door, "192.0.2.1");
    }

    #[test]
    fn a_forged_address_leaves_places_to_its_owner() {
        let door = Door::default();
        let mut forged = Vec::new();
        while let Knock::Come(handshake) = door.knock(address("203.0.113.9"), false) {
            forged.push(handshake);
        }
        assert_eq!(forged.len(), PROVE_ADDRESS_FROM_PER_ADDRESS);
        assert!(matches!(door.knock(address("203.0.113.9"), false), Knock::Prove));
        come(&door, "203.0.113.9");
    }

    #[test]
    fn an_ipv6_network_is_one_party_and_a_mapped_address_is_the_one_it_maps() {
        assert_eq!(one_party(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
        assert_ne!(one_party(address("2001:db8:1:3::")), one_party(address("2001:db8:1:2::")));
        assert_eq!(one_party(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn one_certificate_takes_few_places_wherever_it_calls_from() {
        let door = Door::default();
        let peer = Role::Site("a".parse().unwrap());
        let place = |n: usize| door.enter(address(&format!("10.0.0.{n}")), &peer);
        let places: Vec<Place> = (0..CONNECTIONS_PER_PEER).map(|n| place(n).unwrap()).collect();
        assert_eq!(place(99).unwrap_err(), RefusalCause::TOO_MANY_OF_PEER);
        door.enter(address("10.0.0.1"), &Role::Site("b".parse().unwrap())).unwrap();
        drop(places);
        place(99).unwrap();
    }
}
