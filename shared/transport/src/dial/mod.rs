//! The way to the coordinator: QUIC; where UDP is blocked TCP; where that is blocked too a proxy.
//!
//! What worked last is tried first. While that is not QUIC, QUIC is tried first again once an hour: not sooner, because
//! it costs three seconds where UDP is blocked, and never by dropping a connection that works.

mod memory;
mod race;

pub use memory::{LinkMemory, Way};

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use consilium_pki::OwnKey;

use crate::connect::Caller;
use crate::connection::Connection;
use crate::identity::Identity;
use crate::join::{self, JoinCaller, JoinError, JoinToken, Joined};
use crate::probe::Probe;
use crate::proxy::{Proxy, ProxyChoice};
use crate::shown::ShownCertificate;
use crate::sockets::Sockets;
use crate::tuning::{HANDSHAKE_TIMEOUT, Tuning};

/// How long QUIC may take while there are other ways: several round trips of a satellite link, and short enough that
/// a site behind a firewall does not notice.
pub const QUIC_PATIENCE: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried: more are a mistake or an attack on the name service.
const MAX_ADDRESSES: usize = 8;

/// Which ways are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkChoice {
    /// QUIC, then TCP, then the proxy.
    #[default]
    Auto,
    /// QUIC only.
    Quic,
    /// TCP only, and the proxy.
    Tcp,
}

/// A text that is no choice of a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no link: use `auto`, `quic` or `tcp`")]
pub struct UnknownLink(String);

impl std::str::FromStr for LinkChoice {
    type Err = UnknownLink;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "quic" => Ok(Self::Quic),
            "tcp" => Ok(Self::Tcp),
            _ => Err(UnknownLink(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for LinkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        })
    }
}

/// Where the coordinator is and which ways may lead there.
#[derive(Debug, Clone)]
pub struct Dialler {
    /// Its name or address.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
    /// Its TCP port.
    pub tcp_port: u16,
    /// The ways allowed.
    pub link: LinkChoice,
    /// The proxy.
    pub proxy: ProxyChoice,
    /// How connections behave.
    pub tuning: Tuning,
}

/// One try in vain.
#[derive(Debug)]
pub struct Attempt {
    /// The way.
    pub way: Way,
    /// To where: an address, a name, or a proxy.
    pub target: String,
    /// What it met.
    pub problem: String,
}

/// No way led to the coordinator.
#[derive(Debug, thiserror::Error)]
#[error("{}", listed(.attempts))]
pub struct DialError {
    /// Each way that was tried, in order.
    pub attempts: Vec<Attempt>,
}

fn listed(attempts: &[Attempt]) -> String {
    let one = |attempt: &Attempt| format!("{} ({}): {}", attempt.way, attempt.target, attempt.problem);
    attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Somebody who wants to reach the coordinator, by whichever way leads there.
pub(crate) trait Calling {
    /// What a call leads to.
    type Line;
    /// Why it led nowhere.
    type Error: fmt::Display;

    /// Over QUIC.
    async fn quic(&self, address: SocketAddr, patience: Duration) -> Result<Self::Line, Self::Error>;

    /// Over TCP.
    async fn tcp(&self, address: SocketAddr) -> Result<Self::Line, Self::Error>;

    /// Over TCP through `proxy`, at `address`, to the coordinator at that name and port.
    async fn through(
        &self,
        proxy: &Proxy,
        address: SocketAddr,
        target: (&str, u16),
    ) -> Result<Self::Line, Self::Error>;
}

impl Dialler {
    /// Connects a site, an admin or an observer by the first way that works, and remembers it.
    ///
    /// # Errors
    /// With what every way met.
    pub async fn connect(&self, identity: &Identity, memory: &LinkMemory) -> Result<Connection, DialError> {
        self.connect_over(&Sockets::default(), identity, memory).await
    }

    /// As [`Dialler::connect`], with the UDP of `sockets`.
    ///
    /// # Errors
    /// As [`Dialler::connect`].
    pub async fn connect_over(
        &self,
        sockets: &Sockets,
        identity: &Identity,
        memory: &LinkMemory,
    ) -> Result<Connection, DialError> {
        let caller = Caller::to_work(identity, self.tuning).map_err(|error| DialError {
            attempts: vec![Attempt { way: Way::Quic, target: self.host.clone(), problem: error.to_string() }],
        })?;
        let caller = caller.over(sockets.clone());
        self.first(&caller, memory).await
    }

    /// Joins with `token`, by the first way that leads to its coordinator: gets a certificate for `key`, which stays
    /// here. The token's own addresses are not looked at.
    ///
    /// # Errors
    /// As [`crate::join`], and with what every way met where none leads there.
    pub async fn join(&self, token: &JoinToken, key: &OwnKey) -> Result<Joined, JoinError> {
        let caller = JoinCaller::new(token, self.tuning);
        // A site joins once: nothing is worth remembering.
        let line = self.first(&caller, &LinkMemory::of_this_process()).await?;
        join::ask(line, token, key).await
    }

    /// The first way that works.
    async fn first<C: Calling>(&self, caller: &C, memory: &LinkMemory) -> Result<C::Line, DialError> {
        let mut attempts = Vec::new();
        let others = self.link == LinkChoice::Auto;
        let ways = memory.order(&self.allowed());
        for way in ways {
            if way == Way::Quic {
                memory.quic_is_tried();
            }
            let patience = if others { QUIC_PATIENCE } else { HANDSHAKE_TIMEOUT };
            match self.by(way, caller, patience).await {
                Ok(line) => {
                    memory.won(way);
                    return Ok(line);
                }
                Err(tried) => attempts.extend(tried),
            }
        }
        Err(DialError { attempts })
    }

    /// Connects to measure by one way, remembering nothing. The certificate that was shown comes back whatever
    /// happened, where a handshake came that far.
    ///
    /// # Errors
    /// With what each address met.
    pub async fn probe(
        &self,
        way: Way,
        identity: &Identity,
    ) -> (Result<Probe, DialError>, Option<ShownCertificate>) {
        let caller = match Caller::to_measure(identity, self.tuning) {
            Ok(caller) => caller,
            Err(error) => {
                let attempt = Attempt { way, target: self.host.clone(), problem: error.to_string() };
                return (Err(DialError { attempts: vec![attempt] }), None);
            }
        };
        let dialled = self.by(way, &caller, QUIC_PATIENCE).await;
        (dialled.map(Probe::new).map_err(|attempts| DialError { attempts }), caller.shown())
    }

    /// The proxy for the coordinator, if there is one.
    ///
    /// # Errors
    /// Where a variable of the environment holds no proxy.
    pub fn proxy(&self) -> Result<Option<Proxy>, String> {
        self.proxy.proxy_for(&self.host, self.tcp_port, |name| std::env::var(name).ok())
    }

    /// The addresses of the coordinator's name, for UDP.
    ///
    /// # Errors
    /// What the system's resolver said.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        resolve(&self.host, self.port).await
    }

    fn allowed(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        if self.link != LinkChoice::Tcp {
            ways.push(Way::Quic);
        }
        if self.link != LinkChoice::Quic {
            ways.push(Way::Tcp);
            // One that cannot be read is tried too: then the error says so.
            if !matches!(self.proxy(), Ok(None)) {
                ways.push(Way::Proxy);
            }
        }
        ways
    }

    async fn by<C: Calling>(
        &self,
        way: Way,
        caller: &C,
        patience: Duration,
    ) -> Result<C::Line, Vec<Attempt>> {
        match way {
            Way::Quic => {
                let to = self.addresses(way, self.port).await?;
                race::first(to, |address| caller.quic(address, patience)).await.map_err(failed(way))
            }
            Way::Tcp => {
                let to = self.addresses(way, self.tcp_port).await?;
                race::first(to, |address| caller.tcp(address)).await.map_err(failed(way))
            }
            Way::Proxy => self.by_proxy(caller).await,
        }
    }

    async fn by_proxy<C: Calling>(&self, caller: &C) -> Result<C::Line, Vec<Attempt>> {
        let way = Way::Proxy;
        let vain = |target: String| move |problem| vec![Attempt { way, target, problem }];
        let proxy = match self.proxy() {
            Ok(Some(proxy)) => proxy,
            Ok(None) => return Err(vain(self.host.clone())("no proxy is set".to_owned())),
            Err(problem) => return Err(vain(self.host.clone())(problem)),
        };
        let to = resolve(proxy.host(), proxy.port()).await.map_err(vain(proxy.to_string()))?;
        // The name goes to the proxy as it is: inside a hospital it often cannot be resolved.
        let target = (self.host.as_str(), self.tcp_port);
        let tried = race::first(to, |address| caller.through(&proxy, address, target)).await;
        tried.map_err(|errors| {
            let name = proxy.to_string();
            let attempt = |(_, error): (SocketAddr, C::Error)| Attempt {
                way,
                target: name.clone(),
                problem: error.to_string(),
            };
            errors.into_iter().map(attempt).collect()
        })
    }

    async fn addresses(&self, way: Way, port: u16) -> Result<Vec<SocketAddr>, Vec<Attempt>> {
        resolve(&self.host, port)
            .await
            .map_err(|problem| vec![Attempt { way, target: self.host.clone(), problem }])
    }
}

fn failed<E: fmt::Display>(way: Way) -> impl Fn(Vec<(SocketAddr, E)>) -> Vec<Attempt> {
    move |errors| {
        let attempt = |(address, error): (SocketAddr, E)| Attempt {
            way,
            target: address.to_string(),
            problem: error.to_string(),
        };
        errors.into_iter().map(attempt).collect()
    }
}

/// The addresses of a name, at least one and not too many.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let host = host.trim_matches(['[', ']']);
    let found = tokio::time::timeout(HANDSHAKE_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| "the name service did not answer".to_owned())?;
    let found = found.map_err(|error| format!("the name cannot be resolved: {error}"))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}
