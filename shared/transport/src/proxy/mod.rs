//! An HTTP proxy that leads out of the hospital: where it is, what it asks, what it answers.
//!
//! Only `CONNECT` over plain HTTP/1.1 is spoken, with Basic authentication where asked. The proxy sees the
//! coordinator's name and port and then TLS, of which it can read nothing.

mod environment;
pub(crate) mod reply;
mod tunnel;

pub use environment::ProxyChoice;
pub use tunnel::ProxyError;
pub(crate) use tunnel::open;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The port of a proxy that names none: as everywhere for `http`.
const DEFAULT_PORT: u16 = 80;

/// Longest address of a proxy. Longer ones are no mistake of typing.
const MAX_URL_BYTES: usize = 1_000;

/// A proxy and, where it wants them, name and password. Neither `Debug` nor `Display` shows the password or the name.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of the header, ready made.
    authorization: Option<String>,
}

/// A text that is no proxy. Says nothing of what was written: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoProxyAddress {
    /// Another kind of proxy.
    #[error("only proxies spoken to over plain HTTP can be used: write http://HOST:PORT")]
    Scheme,
    /// Neither name nor address, or no port.
    #[error("a proxy is written as http://HOST:PORT or http://NAME:PASSWORD@HOST:PORT")]
    Form,
    /// Name or password.
    #[error("in the name and the password of a proxy write characters such as @ : / % as %40 %3A %2F %25")]
    Credentials,
}

impl Proxy {
    /// Its host, as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether a name and a password are known for it.
    pub const fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }

    /// What to ask it for a way to `host`:`port`.
    fn request(&self, host: &str, port: u16) -> String {
        let target = authority(host, port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request
    }
}

/// Host and port in one; addresses of IPv6 in brackets.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl FromStr for Proxy {
    type Err = NoProxyAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_URL_BYTES || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(NoProxyAddress::Form);
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(NoProxyAddress::Scheme),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (host, port) = place_in(place).ok_or(NoProxyAddress::Form)?;
        let authorization = credentials.map(basic).transpose()?;
        Ok(Self { host, port, authorization })
    }
}

fn place_in(text: &str) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if rest.is_empty() { DEFAULT_PORT } else { rest.strip_prefix(':')?.parse().ok()? };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, DEFAULT_PORT),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| (host.to_owned(), port))
}

/// The header's value for `NAME:PASSWORD` as written in an address (RFC 7617).
fn basic(credentials: &str) -> Result<String, NoProxyAddress> {
    let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (name, password) = (unescaped(name)?, unescaped(password)?);
    if name.contains(&b':') || name.iter().chain(&password).any(u8::is_ascii_control) {
        return Err(NoProxyAddress::Credentials);
    }
    let plain = [&name[..], b":", &password].concat();
    Ok(format!("Basic {}", STANDARD.encode(plain)))
}

/// Percent signs resolved.
fn unescaped(text: &str) -> Result<Vec<u8>, NoProxyAddress> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || {
                    let digit = bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                    digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(NoProxyAddress::Credentials)
                };
                digit()? * 16 + digit()?
            }
            b'@' | b':' | b'/' => return Err(NoProxyAddress::Credentials),
            other => other,
        });
    }
    Ok(plain)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("has_credentials", &self.has_credentials())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_read() {
        for (text, shown, request) in [
            (
                "http://proxy.example.org:3128",
                "http://proxy.example.org:3128",
                "Host: c.example:4433\r\n\r\n",
            ),
            ("proxy:8080/", "http://proxy:8080", "Host: c.example:4433\r\n\r\n"),
            ("HTTP://[2001:db8::1]:3128", "http://[2001:db8::1]:3128", "Host: c.example:4433\r\n\r\n"),
            (
                "http://us%65r:p%40ss%3Aword@proxy",
                "http://proxy:80",
                "Proxy-Authorization: Basic dXNlcjpwQHNzOndvcmQ=\r\n\r\n",
            ),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            let asked = proxy.request("c.example", 4433);
            assert!(asked.starts_with("CONNECT c.example:4433 HTTP/1.1\r\nHost: "), "{asked}");
            assert!(asked.ends_with(request), "{asked}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        for (text, why) in [
            ("https://proxy:3128", NoProxyAddress::Scheme),
            ("socks5://proxy:3128", NoProxyAddress::Scheme),
            ("", NoProxyAddress::Form),
            ("http://proxy:port", NoProxyAddress::Form),
            ("http://:3128", NoProxyAddress::Form),
            ("http://pro xy:3128", NoProxyAddress::Form),
            ("http://[nonsense]:1", NoProxyAddress::Form),
            ("http://user:sec@ret@proxy:3128", NoProxyAddress::Credentials),
            ("http://user:100%@proxy:3128", NoProxyAddress::Credentials),
            ("http://user:a%0d%0ab@proxy:3128", NoProxyAddress::Credentials),
        ] {
            let error = text.parse::<Proxy>().unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.to_string().contains("ret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let proxy: Proxy = "http://mallory:hunter2@proxy:3128".parse().unwrap();
        let shown = format!("{proxy} {proxy:?}");
        for secret in ["mallory", "hunter2", &STANDARD.encode("mallory:hunter2")] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(proxy.has_credentials());
    }
}
