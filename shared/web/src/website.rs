//! The socket, its TLS, and how many are served: a website that is open until it is dropped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use consilium_transport::{BrowserTls, Doorkeeper, Identity, TlsError, browser_tls, role_shown};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Source;
use crate::gate::{Gate, Visitor};
use crate::routes::{Site, routes};
use crate::token::{AccessToken, TokenFileError};

/// Connections at once: a browser holds a handful, a listener one.
const MAX_CONNECTIONS: usize = 128;
/// How long a handshake may take, and then the head of a request.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// The longest life of a connection. Browsers connect again by themselves, and whose certificate was revoked meanwhile does
/// not come in any more.
const LIFE: Duration = Duration::from_secs(600);
/// Longest head of a request: cookies and a path.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// Pause after the system refused a connection, so that the loop does not spin.
const AFTER_AN_ERROR: Duration = Duration::from_millis(500);

/// How visitors show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// By the certificate of an admin or an observer.
    Certificate,
    /// By the access token.
    Token,
}

impl FromStr for Login {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "certificate" => Ok(Self::Certificate),
            "token" => Ok(Self::Token),
            other => Err(format!("`{other}` is neither `certificate` nor `token`")),
        }
    }
}

/// Where a website is and who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How visitors show who they are. Needed beyond loopback; then the site speaks TLS.
    pub login: Option<Login>,
}

/// What a login is judged by.
#[derive(Clone)]
pub struct Trust {
    /// The certificate to show, and the consortium's authority.
    pub identity: Identity,
    /// Knows who was revoked.
    pub doorkeeper: Arc<dyn Doorkeeper>,
    /// Where [`AccessToken::make`] has put the token's hash.
    pub token_file: PathBuf,
}

/// Why there is no website.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Anybody could look.
    #[error(
        "the live page would be open to others at {0}: name a login (`--web-login certificate` or `token`), or listen on \
         127.0.0.1 and use a tunnel"
    )]
    Exposed(SocketAddr),
    /// There is nothing to judge a login by.
    #[error("this daemon shows its page on its own machine only: {0} is another address")]
    LoopbackOnly(SocketAddr),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenFileError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("the live page cannot listen on {address}: {source}; name another address with --web")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// An open website. It closes when this is dropped.
#[derive(Debug)]
pub struct Website {
    address: SocketAddr,
    secure: bool,
    serving: JoinHandle<()>,
}

impl Drop for Website {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Website {
    /// Opens the website of `source`.
    ///
    /// # Errors
    /// When it would be exposed without a login, the login cannot be judged, or the address is taken.
    pub async fn open(
        settings: WebSettings,
        trust: Option<Trust>,
        source: impl Source,
    ) -> Result<Self, WebError> {
        let (gate, tls) = entrance(settings, trust)?;
        let address = settings.listen;
        let bind = |source| WebError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let secure = tls.is_some();
        let site = Arc::new(Site { source, live: Default::default() });
        let router = routes(site.clone(), &Arc::new(gate));
        let serving = tokio::spawn(async move {
            tokio::select! {
                () = accept(listener, tls, router) => {}
                () = site.live.keep(&site.source) => {}
            }
        });
        Ok(Self { address, secure, serving })
    }

    /// Closes it. When this returns nobody is served any more, and the source is gone.
    pub async fn close(mut self) {
        self.serving.abort();
        // It was cancelled: that is what was asked for.
        let _ = (&mut self.serving).await;
    }

    /// Where it is, for a browser.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Who may come in at `settings`, and behind which TLS.
fn entrance(settings: WebSettings, trust: Option<Trust>) -> Result<(Gate, Option<TlsAcceptor>), WebError> {
    let WebSettings { listen, login } = settings;
    let (Some(login), Some(trust)) = (login, &trust) else {
        return match listen.ip().is_loopback() {
            true => Ok((Gate::Loopback, None)),
            false if trust.is_none() => Err(WebError::LoopbackOnly(listen)),
            false => Err(WebError::Exposed(listen)),
        };
    };
    let (gate, asks) = match login {
        Login::Certificate => (Gate::Certificate, BrowserTls::WithCertificates(trust.doorkeeper.clone())),
        Login::Token => {
            (Gate::by_token(AccessToken::read(&trust.token_file)?), BrowserTls::WithoutCertificates)
        }
    };
    let tls = browser_tls(&trust.identity, asks)?;
    Ok((gate, Some(TlsAcceptor::from(Arc::new(tls)))))
}

/// Serves whoever comes, so many at once. Never ends; who is within leaves when it is dropped.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut within = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (socket, from) = match listener.accept().await {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::warn!(%error, "the live page takes no connection");
                tokio::time::sleep(AFTER_AN_ERROR).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        within.spawn(async move {
            let visit = attend(socket, from, tls, router);
            if let Ok(Err(error)) = tokio::time::timeout(LIFE, visit).await {
                tracing::debug!(%from, %error, "a visit at the live page ended");
            }
            drop(place);
        });
        while within.try_join_next().is_some() {}
    }
}

async fn attend(
    socket: TcpStream,
    from: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
) -> io::Result<()> {
    let mut visitor = Visitor { address: from.ip(), role: None };
    let Some(tls) = tls else { return speak(socket, visitor, router).await };
    let stream = tokio::time::timeout(GREETING_PATIENCE, tls.accept(socket)).await??;
    // Verified against the consortium's authority; whether such a role may look is the gate's to say.
    visitor.role = stream.get_ref().1.peer_certificates().and_then(|chain| role_shown(chain).ok());
    speak(stream, visitor, router).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    visitor: Visitor,
    router: Router,
) -> io::Result<()> {
    let service = TowerToHyperService::new(router.layer(Extension::<Visitor>(visitor)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(GREETING_PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}
