//! From a TCP socket to a connection: TLS, yamux, the link's own stream.
//!
//! Nothing here has a clock of its own: whoever calls gives the whole handshake one limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consilium_domain::Role;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream, server};

use super::driver::{Task, beside, live, mux};
use super::keeper::LinkStream;
use super::socket::{ForYamux, Metered};
use super::{BINDING_BYTES, Farewell, Fate, Handle, MUX_STREAMS, TcpLink};
use crate::closed::Closed;
use crate::join::{JOIN_ALPN, JoinLine};
use crate::link::{BINDING_LABEL, Greeting};
use crate::refusals::{RefusalCause, Refusals};
use crate::tuning::{CLIENT_STREAMS, Side, Tuning};

/// How long a refused caller may take to read why.
const PARTING: Duration = Duration::from_secs(1);

/// As much of what a refused caller still says is read, so that our reason is not taken back by closing on it.
const PARTING_BYTES: u64 = 64 * 1024;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) reason: Closed,
    pub(crate) cause: RefusalCause,
}

/// A socket to the coordinator, or to a proxy that leads there.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static> Socket for S {}

/// On a client: TLS with the coordinator that listens at the other end of `socket`, and the link.
///
/// As with QUIC, `Ok` says that *we* have accepted the coordinator.
pub(crate) async fn dial(
    socket: impl Socket,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    tuning: Tuning,
) -> Result<(TcpLink, Greeting), Closed> {
    let host = ServerName::try_from(Role::COORDINATOR_HOST).expect("the coordinator's name is a DNS name");
    let metered = Metered::new(socket);
    let meter = metered.meter();
    let tls = TlsConnector::from(tls).connect(host, metered).await.map_err(Closed::from)?;
    let (binding, greeting) =
        told(tls.get_ref().1, |out| tls.get_ref().1.export_keying_material(out, BINDING_LABEL, None));
    let mut mux = mux(ForYamux(TlsStream::from(tls)), Side::Client);
    let (early, inbound) = mpsc::channel(1);
    let stream = std::future::poll_fn(|cx| mux.poll_new_outbound(cx)).await.map_err(Closed::from)?;
    let mut link = LinkStream::new(stream, Refusals::default());
    let announce = async { link.announce().await.map_err(Closed::from) };
    beside(&mut mux, Side::Client, &early, announce).await?;
    // A client belongs to no listener: nobody says goodbye for all.
    let closing = watch::channel(None).1;
    let parts = Parts { address, binding, side: Side::Client, tuning, meter };
    Ok((start(parts, mux, link, early, inbound, closing), greeting))
}

/// What the coordinator shows to callers: one face to everybody, another to who offers to speak of joining alone.
#[derive(Clone)]
pub(crate) struct Faces {
    /// Asks for a certificate.
    pub(crate) strict: Arc<ServerConfig>,
    /// Asks for none; absent where nobody may join.
    pub(crate) joining: Option<Arc<ServerConfig>>,
}

/// Who has come over TCP.
pub(crate) enum Arrival {
    /// Somebody with a certificate.
    Caller(TcpLink, Greeting),
    /// Somebody without one, who can do nothing but ask to join.
    Applicant(JoinLine),
}

/// On the coordinator: TLS with a caller, and the link. `closing` is the listener's, and so are `refusals`, where is
/// counted what the caller says wrong on the link's own stream.
pub(crate) async fn receive(
    socket: impl Socket,
    address: SocketAddr,
    faces: &Faces,
    tuning: Tuning,
    closing: watch::Receiver<Option<Farewell>>,
    refusals: &Refusals,
) -> Result<Arrival, Failed> {
    let metered = Metered::new(socket);
    let meter = metered.meter();
    let tls = greet(metered, faces).await?;
    if tls.get_ref().1.alpn_protocol() == Some(JOIN_ALPN) {
        let exporter = JoinLine::exporter_of(tls.get_ref().1);
        return Ok(Arrival::Applicant(JoinLine::tcp(tls, exporter)));
    }
    let (binding, greeting) =
        told(tls.get_ref().1, |out| tls.get_ref().1.export_keying_material(out, BINDING_LABEL, None));
    let mut mux = mux(ForYamux(TlsStream::from(tls)), Side::Coordinator);
    let (early, inbound) = mpsc::channel(MUX_STREAMS);
    let broken = |reason| Failed { reason, cause: RefusalCause::BAD_FIRST_STREAM };
    let first = std::future::poll_fn(|cx| mux.poll_next_inbound(cx)).await;
    let stream = match first {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return Err(broken(error.into())),
        None => return Err(Failed { reason: Closed::without_a_word(), cause: RefusalCause::HUNG_UP }),
    };
    let mut link = LinkStream::new(stream, refusals.clone());
    let recognise = async { link.recognise().await.map_err(|problem| Closed::for_breaking(&problem)) };
    beside(&mut mux, Side::Coordinator, &early, recognise).await.map_err(broken)?;
    let parts = Parts { address, binding, side: Side::Coordinator, tuning, meter };
    Ok(Arrival::Caller(start(parts, mux, link, early, inbound, closing), greeting))
}

/// TLS with a caller. Its hello is read before it is answered: who offers anything besides joining meets the strict face,
/// which does not speak of joining.
async fn greet<S: Socket>(socket: S, faces: &Faces) -> Result<server::TlsStream<S>, Failed> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let hello = match (&mut acceptor).await {
        Ok(hello) => hello,
        Err(error) => return Err(failed(error, acceptor.take_io()).await),
    };
    let joins = hello
        .client_hello()
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(JOIN_ALPN) && offered.next().is_none());
    let face = faces.joining.as_ref().filter(|_| joins).unwrap_or(&faces.strict);
    match hello.into_stream(face.clone()).into_fallible().await {
        Ok(tls) => Ok(tls),
        Err((error, socket)) => Err(failed(error, Some(socket)).await),
    }
}

async fn failed(error: io::Error, socket: Option<impl Socket>) -> Failed {
    let cause = RefusalCause::of_io(&error);
    if let Some(socket) = socket {
        part(socket).await;
    }
    Failed { reason: error.into(), cause }
}

/// Tells a refused caller that no more will come, and lets it read why.
async fn part(mut socket: impl Socket) {
    let hear = async {
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(PARTING_BYTES), &mut tokio::io::sink()).await
    };
    // It owes us nothing.
    let _ = timeout(PARTING, hear).await;
}

fn told(
    tls: &CommonState,
    export: impl FnOnce([u8; BINDING_BYTES]) -> Result<[u8; BINDING_BYTES], rustls::Error>,
) -> ([u8; BINDING_BYTES], Greeting) {
    let binding = export([0; BINDING_BYTES]).expect("a finished handshake exports 32 bytes");
    let chain = tls.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned());
    let protocol = tls.alpn_protocol().unwrap_or_default().to_vec();
    (binding, Greeting { chain: chain.collect(), protocol })
}

struct Parts {
    address: SocketAddr,
    binding: [u8; BINDING_BYTES],
    side: Side,
    tuning: Tuning,
    meter: Arc<super::socket::Meter>,
}

fn start<S: Socket>(
    parts: Parts,
    mux: yamux::Connection<ForYamux<S>>,
    link: LinkStream,
    streams: mpsc::Sender<yamux::Stream>,
    inbound: mpsc::Receiver<yamux::Stream>,
    closing: watch::Receiver<Option<Farewell>>,
) -> TcpLink {
    let Parts { address, binding, side, tuning, meter } = parts;
    let fate = Arc::new(Fate::default());
    let (ordering, orders) = mpsc::channel(CLIENT_STREAMS as usize);
    let (gone, is_gone) = watch::channel(false);
    let task = Task {
        mux,
        link,
        side,
        tuning,
        meter: meter.clone(),
        fate: fate.clone(),
        orders,
        inbound: streams,
        closing,
        gone,
    };
    tokio::spawn(live(task));
    TcpLink(Arc::new(Handle {
        side,
        address,
        binding,
        meter,
        fate,
        orders: ordering,
        inbound: AsyncMutex::new(inbound),
        places: Arc::new(Semaphore::new(CLIENT_STREAMS as usize)),
        gone: is_gone,
    }))
}
