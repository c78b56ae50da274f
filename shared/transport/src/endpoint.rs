//! The UDP socket under the connections, with buffers large enough for bursts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};

/// A burst of one window at 1 Gbit/s is gone in 30 ms: 4 MiB let this process sleep that long without losing it.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Opens a UDP socket on `address`; port 0 takes any. Must be called inside a tokio runtime.
pub(crate) fn open(address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // One socket for both families, where the system allows it.
        if let Err(error) = socket.set_only_v6(false) {
            tracing::debug!(%error, "this socket serves IPv6 only");
        }
    }
    enlarge(&socket);
    socket.bind(&address.into())?;
    Endpoint::new(EndpointConfig::default(), server, socket.into(), Arc::new(TokioRuntime))
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
