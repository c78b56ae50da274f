//! Asking a proxy for a way to the coordinator.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Proxy;
use super::reply::{self, NoReply, ReplyHead};

/// Read at once.
const READ_BYTES: usize = 1024;

/// Why a proxy leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It cannot be reached.
    #[error("the proxy cannot be reached: {0}; are its name and port right?")]
    Unreachable(io::Error),
    /// It hung up.
    #[error("the proxy hung up before it answered: {0}")]
    Cut(io::Error),
    /// It does not answer as a proxy does.
    #[error("{0}; are the name and the port of the proxy right?")]
    NotAProxy(String),
    /// It wants to know who we are.
    #[error(
        "the proxy wants a name and a password: set `proxy = \"http://NAME:PASSWORD@HOST:PORT\"`{}",
        offered(.schemes)
    )]
    WantsCredentials {
        /// What it offers.
        schemes: Vec<String>,
    },
    /// It does not take the name and the password that were set.
    #[error("the proxy does not take the name and the password that are set for it{}", offered(.schemes))]
    WrongCredentials {
        /// What it offers.
        schemes: Vec<String>,
    },
    /// It refuses.
    #[error(
        "the proxy refuses the way (it says {status} {reason}): ask for CONNECT to {target} to be allowed; many \
         proxies allow port 443 only"
    )]
    Forbidden {
        /// What it answered.
        status: u16,
        /// In its words.
        reason: String,
        /// What was asked for.
        target: String,
    },
    /// It said more than its answer.
    #[error("the proxy sent {0} bytes after its answer, which only the coordinator could: it interferes")]
    Talkative(usize),
}

/// Of the kinds of authentication that are offered, we can do one.
fn offered(schemes: &[String]) -> String {
    if schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
        return String::new();
    }
    format!(
        "; it offers {} only, and this program knows Basic: ask for an exception without a password, or run a local \
         helper proxy that speaks for you",
        schemes.join(", ")
    )
}

/// A way through `proxy`, which is at `address`, to `host`:`port`. Takes its time: the caller limits it.
pub(crate) async fn open(
    proxy: &Proxy,
    address: SocketAddr,
    host: &str,
    port: u16,
) -> Result<TcpStream, ProxyError> {
    let mut socket = TcpStream::connect(address).await.map_err(ProxyError::Unreachable)?;
    crate::endpoint::prompt(&socket).map_err(ProxyError::Unreachable)?;
    socket.write_all(proxy.request(host, port).as_bytes()).await.map_err(ProxyError::Cut)?;
    let head = read_head(&mut socket).await?;
    let ReplyHead { status, reason, schemes, .. } = head;
    match status {
        200..=299 => Ok(socket),
        407 if proxy.has_credentials() => Err(ProxyError::WrongCredentials { schemes }),
        407 => Err(ProxyError::WantsCredentials { schemes }),
        status => Err(ProxyError::Forbidden { status, reason, target: super::authority(host, port) }),
    }
}

async fn read_head(socket: &mut TcpStream) -> Result<ReplyHead, ProxyError> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; READ_BYTES];
        let read = socket.read(&mut buffer).await.map_err(ProxyError::Cut)?;
        if read == 0 {
            return Err(ProxyError::Cut(io::ErrorKind::UnexpectedEof.into()));
        }
        bytes.extend_from_slice(&buffer[..read]);
        match reply::parse(&bytes) {
            Ok(None) => {}
            // A refusal may have a page behind it; a way through must not, as TLS begins with us.
            Ok(Some(head)) if head.status >= 300 || head.length == bytes.len() => return Ok(head),
            Ok(Some(head)) => return Err(ProxyError::Talkative(bytes.len() - head.length)),
            Err(error @ (NoReply::NotHttp | NoReply::TooLong)) => {
                return Err(ProxyError::NotAProxy(error.to_string()));
            }
        }
    }
}
