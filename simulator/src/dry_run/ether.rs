//! The network of a dry run: every site's line to the coordinator, in memory and in tokio's time.
//!
//! A datagram waits its turn on the site's line and on the coordinator's, may be lost or held up, and arrives later. What
//! happens to it is drawn from one stream for each line and direction, so that what one site meets does not depend on
//! what others send. Queues are short and drop what does not fit, as routers do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consilium_domain::{RandomStream, Seed};
use consilium_transport::{Inbox, MemoryNetwork, Sockets};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::faults::Faults;
use super::links::{DrySite, Line, happens};

/// Where the coordinator listens.
pub(super) const COORDINATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1)), 4433);
/// The largest payload of an Ethernet frame's UDP datagram: larger ones are dropped.
const MTU: usize = 1_472;
/// What IP and UDP add to each datagram on the line.
const HEADERS: usize = 28;
/// How long a datagram may wait for its turn on a line: the buffer of an ordinary router.
const QUEUE: Duration = Duration::from_millis(200);
/// How much later a datagram arrives that others overtake.
const HELD_UP: [f64; 2] = [0.002, 0.020];
/// The first port that is given to whoever asks for any.
const FIRST_PORT: u16 = 10_000;

/// The network. Clones share it.
#[derive(Clone)]
pub(super) struct Ether(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// A datagram is due earlier than all others.
    sooner: Notify,
}

struct State {
    began: Instant,
    faults: Faults,
    sockets: BTreeMap<SocketAddr, Inbox>,
    next_port: u16,
    legs: Vec<Leg>,
    centre: Line,
    centre_free: [Instant; 2],
    flights: BinaryHeap<Reverse<Flight>>,
    sent: u64,
}

/// A site's line.
struct Leg {
    line: Line,
    up: Lane,
    down: Lane,
}

/// One direction of it.
struct Lane {
    free: Instant,
    last_arrival: Instant,
    draws: RandomStream,
    usage: Usage,
}

/// What one direction of a line carried: payload of UDP, as connections count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes that were sent.
    pub bytes: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Datagrams that were lost on the way.
    pub lost: u64,
}

/// A datagram on its way; ordered by when it arrives, then by when it was sent.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    datagram: Vec<u8>,
}

/// The sockets at one address.
struct House {
    ether: Ether,
    address: IpAddr,
}

impl Ether {
    /// A network of `sites`, numbered from 1, that begins now.
    pub(super) fn new(sites: &[DrySite], centre: Line, faults: Faults, seed: &Seed) -> Self {
        let began = Instant::now();
        let lane = |purpose: String| Lane {
            free: began,
            last_arrival: began,
            draws: seed.derive(&purpose).stream(),
            usage: Usage::default(),
        };
        let leg = |site: &DrySite| Leg {
            line: site.line,
            up: lane(format!("up/{}", site.id)),
            down: lane(format!("down/{}", site.id)),
        };
        let state = State {
            began,
            faults,
            sockets: BTreeMap::new(),
            next_port: FIRST_PORT,
            legs: sites.iter().map(leg).collect(),
            centre,
            centre_free: [began; 2],
            flights: BinaryHeap::new(),
            sent: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), sooner: Notify::new() }))
    }

    /// The sockets of the coordinator.
    pub(super) fn of_coordinator(&self) -> Sockets {
        Sockets::within(Arc::new(House { ether: self.clone(), address: COORDINATOR.ip() }))
    }

    /// The sockets of the site numbered `site`, from 1.
    pub(super) fn of_site(&self, site: u16) -> Sockets {
        Sockets::within(Arc::new(House { ether: self.clone(), address: address_of(site) }))
    }

    /// What the line of `site` carried from and to it.
    pub(super) fn usage(&self, site: u16) -> [Usage; 2] {
        let state = self.lock();
        let leg = &state.legs[usize::from(site) - 1];
        [leg.up.usage, leg.down.usage]
    }

    /// Brings what is under way to where it goes, for ever.
    pub(super) async fn deliver(self) {
        loop {
            let next = self.lock().flights.peek().map(|Reverse(flight)| flight.at);
            match next {
                None => self.0.sooner.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => self.arrive(),
                    () = self.0.sooner.notified() => {}
                },
            }
        }
    }

    fn arrive(&self) {
        let now = Instant::now();
        loop {
            let (inbox, flight) = {
                let mut state = self.lock();
                if state.flights.peek().is_none_or(|Reverse(flight)| flight.at > now) {
                    return;
                }
                let Some(Reverse(flight)) = state.flights.pop() else { return };
                (state.sockets.get(&flight.to).cloned(), flight)
            };
            // Nobody listens there any more: it is lost.
            if let Some(inbox) = inbox {
                inbox.put(flight.from, flight.datagram);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When a datagram of so many bytes arrives; none where it is lost.
    fn journey(&mut self, site: u16, upwards: bool, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let at = now - self.began;
        let leg = self.legs.get_mut(usize::from(site).checked_sub(1)?)?;
        let (lane, rate, centre_rate) = match upwards {
            true => (&mut leg.up, leg.line.up, self.centre.down),
            false => (&mut leg.down, leg.line.down, self.centre.up),
        };
        lane.usage.bytes += bytes as u64;
        lane.usage.datagrams += 1;
        let (more_loss, more_delay) = self.faults.worsens(site, at);
        let lost = happens(leg.line.loss, &mut lane.draws) | happens(more_loss, &mut lane.draws);
        let held_up = happens(leg.line.reordering, &mut lane.draws);
        let waited = lane.free.saturating_duration_since(now);
        if bytes > MTU || lost || waited > QUEUE || self.faults.cuts(site, at) {
            lane.usage.lost += 1;
            return None;
        }
        let bits = 8.0 * (bytes + HEADERS) as f64;
        lane.free = lane.free.max(now) + Duration::from_secs_f64(bits / rate as f64);
        let centre_free = &mut self.centre_free[usize::from(upwards)];
        *centre_free = (*centre_free).max(now) + Duration::from_secs_f64(bits / centre_rate as f64);
        let jitter = leg.line.jitter.mul_f64(lane.draws.uniform());
        let arrival = lane.free.max(*centre_free) + leg.line.latency + jitter + more_delay;
        if held_up {
            return Some(arrival + Duration::from_secs_f64(lane.draws.between(HELD_UP[0], HELD_UP[1])));
        }
        lane.last_arrival = lane.last_arrival.max(arrival);
        Some(lane.last_arrival)
    }
}

impl MemoryNetwork for House {
    fn plug_in(&self, wanted: SocketAddr, inbox: Inbox) -> io::Result<SocketAddr> {
        let mut state = self.ether.lock();
        let mut address = SocketAddr::new(self.address, wanted.port());
        if wanted.port() == 0 {
            // So late in a run the sockets of its beginning are long gone.
            state.next_port = state.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            address.set_port(state.next_port);
        }
        if state.sockets.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.sockets.insert(address, inbox);
        Ok(address)
    }

    fn pull_out(&self, address: SocketAddr) {
        self.ether.lock().sockets.remove(&address);
    }

    fn carry(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let upwards = to.ip() == COORDINATOR.ip();
        let Some(site) = site_at(if upwards { from.ip() } else { to.ip() }) else { return };
        let mut state = self.ether.lock();
        let Some(at) = state.journey(site, upwards, datagram.len()) else { return };
        state.sent += 1;
        let sooner = state.flights.peek().is_none_or(|Reverse(next)| at < next.at);
        let flight = Flight { at, number: state.sent, from, to, datagram: datagram.to_vec() };
        state.flights.push(Reverse(flight));
        drop(state);
        if sooner {
            self.ether.0.sooner.notify_one();
        }
    }
}

/// Sites are at 10.0.x.y.
fn address_of(site: u16) -> IpAddr {
    let [high, low] = site.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

fn site_at(address: IpAddr) -> Option<u16> {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 0, high, low] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}
