//! Where UDP sockets come from: the system, or a network that lives in this process's memory.
//!
//! Simulations put hundreds of sites on one machine and let hours pass in seconds: their datagrams never reach the
//! system, and their clock is tokio's paused one. What a network in memory does to datagrams (delay, lose, cut) is its
//! own business; nothing here knows of it, and nothing above knows which of the two it has.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// What waits at one socket before datagrams are dropped, as in the buffers that the system is asked for.
const INBOX_BYTES: usize = 4 * 1024 * 1024;

/// A network in memory. Sockets are put into it, and what they send is handed to it.
pub trait MemoryNetwork: Send + Sync {
    /// Gives the socket whose datagrams arrive in `inbox` its address: `wanted`, where port 0 is any.
    ///
    /// # Errors
    /// Where the address is taken, or is not of this network.
    fn plug_in(&self, wanted: SocketAddr, inbox: Inbox) -> io::Result<SocketAddr>;

    /// The socket at `address` is gone.
    fn pull_out(&self, address: SocketAddr);

    /// Takes a datagram. What becomes of it nobody is told, as with the real ones.
    fn carry(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]);
}

/// Where UDP sockets come from. The default is the system.
#[derive(Clone, Default)]
pub struct Sockets(Option<Arc<dyn MemoryNetwork>>);

impl Sockets {
    /// Those of a network in memory.
    pub fn within(network: Arc<dyn MemoryNetwork>) -> Self {
        Self(Some(network))
    }

    /// Whether they are those of a network in memory.
    pub const fn are_in_memory(&self) -> bool {
        self.0.is_some()
    }

    /// A socket of the network in memory, if that is where they come from.
    pub(crate) fn in_memory(&self, wanted: SocketAddr) -> Option<io::Result<Arc<dyn AsyncUdpSocket>>> {
        let network = self.0.clone()?;
        let inbox = Inbox::default();
        let plugged = network.plug_in(wanted, inbox.clone());
        Some(plugged.map(|address| {
            let socket: Arc<dyn AsyncUdpSocket> = Arc::new(MemorySocket { network, address, inbox });
            socket
        }))
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Sockets(in memory)" } else { "Sockets(of the system)" })
    }
}

/// Where the datagrams for one socket wait. Clones share it.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
    reader: Option<Waker>,
}

impl Inbox {
    /// A datagram arrives. Where too many wait already it is dropped, as the system would.
    pub fn put(&self, from: SocketAddr, datagram: Vec<u8>) {
        let reader = {
            let mut waiting = self.lock();
            if waiting.bytes + datagram.len() > INBOX_BYTES {
                return;
            }
            waiting.bytes += datagram.len();
            waiting.datagrams.push_back((from, datagram));
            waiting.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket of a network in memory.
struct MemorySocket {
    network: Arc<dyn MemoryNetwork>,
    address: SocketAddr,
    inbox: Inbox,
}

impl fmt::Debug for MemorySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemorySocket({})", self.address)
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.network.pull_out(self.address);
    }
}

impl AsyncUdpSocket for MemorySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.network.carry(self.address, transmit.destination, transmit.contents);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut waiting = self.inbox.lock();
        let mut received = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, datagram)) = waiting.datagrams.pop_front() else { break };
            waiting.bytes -= datagram.len();
            let length = datagram.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram[..length]);
            *meta = RecvMeta { addr: from, len: length, stride: length, ecn: None, dst_ip: None };
            received += 1;
        }
        if received > 0 {
            return Poll::Ready(Ok(received));
        }
        waiting.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// A network in memory takes whatever it is given, and loses what it has no room for.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
