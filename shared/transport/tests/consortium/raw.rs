//! A cheat's line to the coordinator: raw bytes on raw streams, over either link, without the crate under test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use consilium_certs::Kit;
use consilium_domain::Role;
use consilium_transport::LinkKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::{client_tls, dial};

/// The first byte of the link's own stream.
pub(crate) const LINK_TAG: u8 = 0x11;

/// An authenticated line on which anything can be said.
pub(crate) enum RawLine {
    Quic(quinn::Connection),
    Tcp(RawTcp),
}

/// yamux, polled by a task of its own.
pub(crate) struct RawTcp {
    open: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    /// The link's own stream.
    pub(crate) own: yamux::Stream,
}

/// One stream.
pub(crate) enum RawStream {
    Quic(quinn::SendStream, quinn::RecvStream),
    Tcp(yamux::Stream),
}

impl RawLine {
    /// Dials with `kit`; over TCP the link's own stream is opened as it should be.
    pub(crate) async fn dial(link: LinkKind, address: SocketAddr, kit: &Kit, protocol: &str) -> Self {
        let tls = client_tls(kit, protocol);
        match link {
            LinkKind::Quic => Self::Quic(dial(address, tls).await.unwrap()),
            LinkKind::Tcp => {
                let mut line = RawTcp::dial(address, tls).await;
                write(&mut line.own, &[LINK_TAG]).await.unwrap();
                Self::Tcp(line)
            }
        }
    }

    pub(crate) async fn open(&self) -> RawStream {
        self.try_open().await.unwrap()
    }

    /// None where the line has ended.
    pub(crate) async fn try_open(&self) -> Option<RawStream> {
        Some(match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.open_bi().await.ok()?;
                RawStream::Quic(send, recv)
            }
            Self::Tcp(line) => RawStream::Tcp(line.open().await?),
        })
    }

    /// Sends `bytes` on a new stream and returns everything that comes back.
    pub(crate) async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.open().await;
        stream.write(bytes).await;
        stream.finish().await;
        stream.read_to_end().await
    }

    /// Code and reason with which the coordinator hangs up.
    pub(crate) async fn closed(&mut self) -> (u32, String) {
        match self {
            Self::Quic(connection) => match connection.closed().await {
                quinn::ConnectionError::ApplicationClosed(close) => {
                    let code = close.error_code.into_inner().try_into().unwrap();
                    (code, String::from_utf8_lossy(&close.reason).into_owned())
                }
                other => panic!("{other}"),
            },
            Self::Tcp(line) => line.goodbye().await,
        }
    }

    /// Hangs up.
    pub(crate) fn hang_up(self) {
        if let Self::Quic(connection) = self {
            connection.close(0u32.into(), b"");
        }
    }
}

impl RawTcp {
    pub(crate) async fn dial(address: SocketAddr, tls: rustls::ClientConfig) -> Self {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let host = ServerName::try_from(Role::COORDINATOR_HOST).unwrap();
        let tls = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(host, socket).await.unwrap();
        Self::over(tls).await
    }

    async fn over(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let mut mux = yamux::Connection::new(Futures(socket), yamux::Config::default(), yamux::Mode::Client);
        let (open, mut orders) = mpsc::channel::<oneshot::Sender<yamux::Stream>>(1_000);
        let own = std::future::poll_fn(|cx| mux.poll_new_outbound(cx)).await.unwrap();
        tokio::spawn(std::future::poll_fn(move |cx| {
            while let Poll::Ready(order) = orders.poll_recv(cx) {
                let Some(reply) = order else { return Poll::Ready(()) };
                match mux.poll_new_outbound(cx) {
                    Poll::Ready(Ok(stream)) => drop(reply.send(stream)),
                    _ => return Poll::Ready(()),
                }
            }
            match mux.poll_next_inbound(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            }
        }));
        Self { open, own }
    }

    pub(crate) async fn open(&self) -> Option<yamux::Stream> {
        let (reply, stream) = oneshot::channel();
        self.open.send(reply).await.ok()?;
        stream.await.ok()
    }

    /// Everything on the link's own stream up to its end; then the goodbye in it.
    async fn goodbye(&mut self) -> (u32, String) {
        let said = read_to_end(&mut self.own).await;
        let mut left = &said[..];
        while let Some((length, rest)) = left.split_first_chunk::<4>() {
            let (body, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
            if body[0] == 2 {
                let code = u32::from_le_bytes(body[4..8].try_into().unwrap());
                return (code, String::from_utf8_lossy(&body[16..]).into_owned());
            }
            left = rest;
        }
        panic!("the line ended without a goodbye: {said:?}");
    }
}

impl RawStream {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Quic(send, _) => send.write_all(bytes).await.unwrap(),
            // The coordinator may have taken the stream back already.
            Self::Tcp(stream) => drop(write(stream, bytes).await),
        }
    }

    pub(crate) async fn finish(&mut self) {
        match self {
            Self::Quic(send, _) => send.finish().unwrap(),
            Self::Tcp(stream) => {
                let close = |cx: &mut std::task::Context<'_>| {
                    futures_io::AsyncWrite::poll_close(std::pin::Pin::new(&mut *stream), cx)
                };
                drop(std::future::poll_fn(close).await);
            }
        }
    }

    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        match self {
            Self::Quic(_, recv) => recv.read_to_end(1_000).await.unwrap(),
            Self::Tcp(stream) => read_to_end(stream).await,
        }
    }
}

pub(crate) async fn write(stream: &mut yamux::Stream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let wrote = std::future::poll_fn(|cx| {
            futures_io::AsyncWrite::poll_write(std::pin::Pin::new(&mut *stream), cx, bytes)
        });
        bytes = &bytes[wrote.await?..];
    }
    Ok(())
}

async fn read_to_end(stream: &mut yamux::Stream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1_000];
    loop {
        let read = std::future::poll_fn(|cx| {
            futures_io::AsyncRead::poll_read(std::pin::Pin::new(&mut *stream), cx, &mut buffer)
        });
        match read.await {
            Ok(1..) if all.len() > 100_000 => panic!("no end"),
            Ok(read @ 1..) => all.extend_from_slice(&buffer[..read]),
            Ok(0) | Err(_) => return all,
        }
    }
}

/// tokio's stream under the traits of `futures`.
struct Futures<S>(S);

impl<S: AsyncRead + Unpin> futures_io::AsyncRead for Futures<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(bytes);
        std::task::ready!(std::pin::Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: AsyncWrite + Unpin> futures_io::AsyncWrite for Futures<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
