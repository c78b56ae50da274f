//! The sockets under the connections: UDP with buffers large enough for bursts, and TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::sockets::Sockets;

/// A burst of one window at 1 Gbit/s is gone in 30 ms: 4 MiB let this process sleep that long without losing it.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Callers over TCP whom the system keeps waiting for us: a flood's worth of a moment, so that honest ones among them
/// are not turned away by the system.
const TCP_BACKLOG: i32 = 1024;

/// Opens one of `sockets` on `address`; port 0 takes any. Must be called inside a tokio runtime.
pub(crate) fn open(
    sockets: &Sockets,
    address: SocketAddr,
    server: Option<ServerConfig>,
) -> io::Result<Endpoint> {
    if let Some(socket) = sockets.in_memory(address) {
        // Tokio's clock is quinn's too, so that time stands still for both of them or for neither.
        let runtime = Arc::new(TokioRuntime);
        return Endpoint::new_with_abstract_socket(EndpointConfig::default(), server, socket?, runtime);
    }
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    serve_both_families(&socket, address);
    enlarge(&socket);
    socket.bind(&address.into())?;
    Endpoint::new(EndpointConfig::default(), server, socket.into(), Arc::new(TokioRuntime))
}

/// Listens on TCP `address`; port 0 takes any. Must be called inside a tokio runtime.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    serve_both_families(&socket, address);
    // A coordinator that is started again must not wait until the system has forgotten its last connections.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Control messages are small and urgent: they do not wait to be joined to others.
pub(crate) fn prompt(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)
}

/// One socket for both families, where the system allows it.
fn serve_both_families(socket: &Socket, address: SocketAddr) {
    if address.is_ipv6()
        && let Err(error) = socket.set_only_v6(false)
    {
        tracing::debug!(%error, "this socket serves IPv6 only");
    }
}

/// Best effort: the system's own limit (on Linux net.core.rmem_max) may be lower, which costs speed and no more.
fn enlarge(socket: &Socket) {
    let asked = socket
        .set_recv_buffer_size(SOCKET_BUFFER_BYTES)
        .and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER_BYTES))
        .and_then(|()| socket.recv_buffer_size());
    match asked {
        Ok(bytes) if bytes < SOCKET_BUFFER_BYTES => {
            tracing::debug!(
                bytes,
                "the system keeps UDP buffers small; raise net.core.rmem_max and wmem_max to 4 MiB"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the system does not let UDP buffers be set"),
    }
}
