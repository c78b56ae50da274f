//! The keys of `client.toml` that say how the coordinator is reached, as written and checked.

use std::fmt;
use std::path::Path;

use consilium_transport::{Dialler, LinkChoice, ProxyChoice, Tuning};
use serde::{Deserialize, Serialize};

/// What turns proxies off.
const NO_PROXY: &str = "off";

/// The key `proxy` as written: it may hold a password, so `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxySetting(String);

impl ProxySetting {
    /// From the text of the key.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySetting(..)")
    }
}

/// The keys as written.
pub(crate) struct LinkKeys<'a> {
    pub(crate) coordinator: &'a str,
    pub(crate) link: &'a str,
    pub(crate) tcp_port: Option<u16>,
    pub(crate) proxy: Option<&'a ProxySetting>,
}

impl LinkKeys<'_> {
    /// Checks them; every problem is told with its key, and none repeats what may be a password.
    pub(crate) fn check(&self, tuning: Tuning, problems: &mut Vec<String>) -> Option<Dialler> {
        let place = self.coordinator.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let place = place.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        if place.is_none() {
            problems.push("coordinator: must be HOST:PORT".to_owned());
        }
        let link: Option<LinkChoice> =
            self.link.parse().map_err(|error| problems.push(format!("link: {error}"))).ok();
        if self.tcp_port == Some(0) {
            problems.push("tcp_port: must be 1 to 65535".to_owned());
        }
        let proxy = match self.proxy {
            None => Some(ProxyChoice::Environment),
            Some(ProxySetting(text)) if text == NO_PROXY => Some(ProxyChoice::None),
            Some(ProxySetting(text)) => {
                let proxy = text.parse().map_err(|error| problems.push(format!("proxy: {error}")));
                proxy.map(ProxyChoice::This).ok()
            }
        };
        let (host, port) = place?;
        let (host, tcp_port) = (host.to_owned(), self.tcp_port.unwrap_or(port));
        Some(Dialler { host, port, tcp_port, link: link?, proxy: proxy?, tuning })
    }
}

/// Whether others on this machine could read a password in the file at `path`.
pub(crate) fn exposes_password(proxy: &ProxyChoice, path: &Path) -> bool {
    matches!(proxy, ProxyChoice::This(proxy) if proxy.has_credentials()) && is_readable_by_others(path)
}

#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Other systems guard files by access lists that the installer sets.
#[cfg(not(unix))]
fn is_readable_by_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: LinkKeys<'static> =
        LinkKeys { coordinator: "c.example.org:4433", link: "auto", tcp_port: None, proxy: None };

    fn checked(keys: &LinkKeys<'_>) -> Result<Dialler, String> {
        let mut problems = Vec::new();
        keys.check(Tuning::default(), &mut problems).ok_or(problems.join("\n"))
    }

    #[test]
    fn tcp_has_the_port_of_udp_unless_told_otherwise() {
        let dialler = checked(&KEYS).unwrap();
        assert_eq!((dialler.host.as_str(), dialler.port, dialler.tcp_port), ("c.example.org", 4433, 4433));
        assert_eq!((dialler.link, dialler.proxy), (LinkChoice::Auto, ProxyChoice::Environment));
        let other = checked(&LinkKeys { tcp_port: Some(443), link: "tcp", ..KEYS }).unwrap();
        assert_eq!((other.port, other.tcp_port, other.link), (4433, 443, LinkChoice::Tcp));
    }

    #[test]
    fn a_proxy_is_set_turned_off_or_refused_in_silence() {
        let with = |text: &str| checked(&LinkKeys { proxy: Some(&ProxySetting::new(text)), ..KEYS });
        assert_eq!(with("off").unwrap().proxy, ProxyChoice::None);
        assert!(matches!(with("http://proxy:3128").unwrap().proxy, ProxyChoice::This(_)));
        let refused = with("socks5://user:secret@proxy").unwrap_err();
        assert!(refused.starts_with("proxy: ") && !refused.contains("secret"), "{refused}");
        assert!(!format!("{:?}", ProxySetting::new("http://user:secret@proxy")).contains("secret"));
    }

    #[cfg(unix)]
    #[test]
    fn a_password_wants_a_file_of_its_own_reader() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        let mode =
            |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let secret = ProxyChoice::This("http://user:secret@proxy".parse().unwrap());
        mode(0o644);
        assert!(exposes_password(&secret, file.path()));
        assert!(!exposes_password(&ProxyChoice::This("http://proxy".parse().unwrap()), file.path()));
        mode(0o600);
        assert!(!exposes_password(&secret, file.path()));
    }
}
