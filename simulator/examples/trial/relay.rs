//! A line between a site and the coordinator that can be cut: UDP datagrams are passed on, or not.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Longer than any datagram of QUIC on loopback.
const DATAGRAM: usize = 65_536;
/// How often a thread that hears nothing looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// A relay. Its threads end with it.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    /// Where the site's datagrams came from last.
    site: Mutex<Option<SocketAddr>>,
}

impl Relay {
    /// Relays to `coordinator`.
    pub(crate) fn start(coordinator: SocketAddr) -> Result<Self> {
        let (front, back) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        back.connect(coordinator)?;
        let (address, state) = (front.local_addr()?, Arc::<State>::default());
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(LOOK))?;
        }
        let (to_front, to_back) = (front.try_clone()?, back.try_clone()?);
        let shared = state.clone();
        thread::spawn(move || {
            shared.pass(&front, |datagram, from| {
                *shared.site.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                to_back.send(datagram).map(drop)
            });
        });
        let shared = state.clone();
        thread::spawn(move || {
            shared.pass(&back, |datagram, _| {
                let site = *shared.site.lock().unwrap_or_else(PoisonError::into_inner);
                site.map_or(Ok(()), |site| to_front.send_to(datagram, site).map(drop))
            });
        });
        Ok(Self { address, state })
    }

    /// Where the site dials.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on nothing passes, or everything does.
    pub(crate) fn cut(&self, cut: bool) {
        self.state.is_cut.store(cut, Ordering::Relaxed);
    }
}

impl State {
    /// Passes datagrams on until the relay is over. Where nobody listens they are lost, as on any line.
    fn pass(&self, socket: &UdpSocket, send: impl Fn(&[u8], SocketAddr) -> std::io::Result<()>) {
        let mut buffer = vec![0; DATAGRAM];
        while !self.is_over.load(Ordering::Relaxed) {
            match socket.recv_from(&mut buffer) {
                Ok((bytes, from)) if !self.is_cut.load(Ordering::Relaxed) => {
                    let _ = send(&buffer[..bytes], from);
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // A connected socket tells that the coordinator's port was closed.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => eprintln!("the relay: {error}"),
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
    }
}
