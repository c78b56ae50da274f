//! The task of one connection: yamux makes progress only while it is polled, and it is polled only here.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::keeper::{Ending, LinkStream, keep};
use super::socket::Meter;
use super::{Farewell, Fate, MUX_STREAMS};
use crate::closed::{CloseCode, Closed};
use crate::tuning::{CONNECTION_WINDOW, Side, Tuning};

/// How long a goodbye may take to be heard: several round trips of the slowest link. The other side ends the
/// connection when it has heard it.
const LINGER: Duration = Duration::from_secs(3);

/// yamux under the limits of QUIC: as much unread in all, and few streams.
pub(super) fn mux<S: AsyncRead + AsyncWrite + Unpin>(socket: S, side: Side) -> yamux::Connection<S> {
    let mut config = yamux::Config::default();
    config
        .set_max_num_streams(MUX_STREAMS)
        .set_max_connection_receive_window(Some(CONNECTION_WINDOW as usize))
        .set_read_after_close(true);
    let mode = match side {
        Side::Client => yamux::Mode::Client,
        Side::Coordinator => yamux::Mode::Server,
    };
    yamux::Connection::new(socket, config, mode)
}

/// What the task needs of its connection.
pub(super) struct Task<S> {
    pub(super) mux: yamux::Connection<S>,
    pub(super) link: LinkStream,
    pub(super) side: Side,
    pub(super) tuning: Tuning,
    pub(super) meter: Arc<Meter>,
    pub(super) fate: Arc<Fate>,
    pub(super) orders: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    pub(super) inbound: mpsc::Sender<yamux::Stream>,
    /// The listener's goodbye. The listener counts these to know when all connections are gone.
    pub(super) closing: watch::Receiver<Option<Farewell>>,
    pub(super) gone: watch::Sender<bool>,
}

/// Why yamux stopped.
enum Stopped {
    /// It failed, or the other side ended it.
    Over(Closed),
    /// The other side broke the rules.
    Broke(&'static str),
    /// Nobody holds the connection any more.
    Dropped,
}

/// Lives until the connection has ended and, as far as this side can know, its goodbye was heard.
pub(super) async fn live<S: AsyncRead + AsyncWrite + Unpin>(mut task: Task<S>) {
    let Task { mux, link, side, tuning, meter, fate, orders, inbound, closing, .. } = &mut task;
    let ending = tokio::select! {
        stopped = drive(mux, *side, orders, inbound) => match stopped {
            Stopped::Over(closed) => Ending::Over(closed),
            Stopped::Broke(rule) => Ending::Leaving((CloseCode::PROTOCOL, rule.to_owned())),
            // Who closes and lets go at once has said why.
            Stopped::Dropped => Ending::Leaving(fate.farewell_or_done()),
        },
        ending = keep(link, fate, closing, meter, *tuning) => ending,
    };
    match ending {
        // Said before yamux is dropped, which wakes every stream: then each knows why.
        Ending::Over(closed) => fate.end(closed),
        Ending::Leaving(farewell) => {
            fate.end(Closed::by_us());
            leave(mux, link, farewell).await;
        }
    }
    let Task { mux, gone, .. } = task;
    drop(mux);
    gone.send_replace(true);
}

/// Says goodbye and waits until the other side has hung up. It is not we who hang up: a socket that is closed with
/// something unread in it takes back what it has sent.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(
    mux: &mut yamux::Connection<S>,
    link: &mut LinkStream,
    farewell: Farewell,
) {
    let hung_up = async {
        loop {
            // Streams that are opened now are dropped, which takes them back.
            match std::future::poll_fn(|cx| mux.poll_next_inbound(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    };
    let say = async {
        if link.goodbye(farewell).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let both = async {
        tokio::select! {
            () = hung_up => {}
            () = say => {}
        }
    };
    // In vain is no failure: the other side then finds out by its idle timeout.
    let _ = timeout(LINGER, both).await;
}

/// Lets yamux work, opens streams as they are ordered, and passes on those that the client opens.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    mux: &mut yamux::Connection<S>,
    side: Side,
    orders: &mut mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    inbound: &mpsc::Sender<yamux::Stream>,
) -> Stopped {
    std::future::poll_fn(|cx| {
        while let Poll::Ready(order) = orders.poll_recv(cx) {
            let Some(reply) = order else { return Poll::Ready(Stopped::Dropped) };
            match mux.poll_new_outbound(cx) {
                // Who ordered it and went away drops it, which takes it back.
                Poll::Ready(Ok(stream)) => drop(reply.send(stream)),
                Poll::Ready(Err(error)) => return Poll::Ready(Stopped::Over(Closed::from(error))),
                // Hundreds of streams that the other side has not acknowledged: ours are never that many.
                Poll::Pending => return Poll::Ready(Stopped::Broke("too many streams are unacknowledged")),
            }
        }
        poll_inbound(mux, side, inbound, cx)
    })
    .await
}

fn poll_inbound<S: AsyncRead + AsyncWrite + Unpin>(
    mux: &mut yamux::Connection<S>,
    side: Side,
    inbound: &mpsc::Sender<yamux::Stream>,
    cx: &mut Context<'_>,
) -> Poll<Stopped> {
    while let Poll::Ready(next) = mux.poll_next_inbound(cx) {
        match next {
            Some(Ok(_)) if side == Side::Client => {
                return Poll::Ready(Stopped::Broke("the coordinator opened a stream: only the client may"));
            }
            Some(Ok(stream)) => {
                if inbound.try_send(stream).is_err() {
                    return Poll::Ready(Stopped::Broke("more streams than a client may open"));
                }
            }
            Some(Err(error)) => return Poll::Ready(Stopped::Over(Closed::from(error))),
            None => return Poll::Ready(Stopped::Over(Closed::without_a_word())),
        }
    }
    Poll::Pending
}

/// Runs `work` on the link's own stream while yamux works, before the task has begun.
pub(super) async fn beside<S: AsyncRead + AsyncWrite + Unpin, T>(
    mux: &mut yamux::Connection<S>,
    side: Side,
    early: &mpsc::Sender<yamux::Stream>,
    work: impl Future<Output = Result<T, Closed>>,
) -> Result<T, Closed> {
    tokio::select! {
        done = work => done,
        stopped = std::future::poll_fn(|cx| poll_inbound(mux, side, early, cx)) => Err(match stopped {
            Stopped::Over(closed) => closed,
            Stopped::Broke(rule) => Closed::for_breaking(rule),
            Stopped::Dropped => Closed::without_a_word(),
        }),
    }
}
