//! Why a connection ended, in words for the person who has to mend it.

use std::fmt;
use std::io;

use quinn::{ConnectionError, VarInt};
use rustls::AlertDescription;

/// Close reasons come from the peer: longer ones are cut, so that a log line stays a line.
pub(crate) const MAX_REASON_CHARS: usize = 300;

/// QUIC carries a TLS alert as this number plus the alert (RFC 9001, section 4.8).
const TLS_ALERT_BASE: u64 = 0x100;

/// The TLS alert for a revoked certificate (RFC 8446, section 6.2).
const CERTIFICATE_REVOKED: u64 = 44;

/// A number that tells programs, beside the reason that tells people, why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u32);

impl CloseCode {
    /// The work is done.
    pub const DONE: Self = Self(0);
    /// The peer broke the rules of this crate: streams, frames, blobs.
    pub const PROTOCOL: Self = Self(1);
    /// The peer's certificate speaks for a role that has no business here.
    pub const WRONG_ROLE: Self = Self(2);
    /// The peer's certificate was revoked.
    pub const REVOKED: Self = Self(3);
    /// Whoever wants to join was answered, or asked for something else.
    pub const JOIN_OVER: Self = Self(4);
    /// The other side has more connections than one party needs.
    pub const TOO_MANY: Self = Self(5);
    /// The other side measures the network too often.
    pub const PROBED_TOO_OFTEN: Self = Self(6);
    /// The first number free for the layers above.
    pub const FIRST_FREE: u32 = 16;

    /// A code of the layers above, from [`CloseCode::FIRST_FREE`] on.
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        Self::from_u32(code.0)
    }
}

/// How a connection ended. `Display` is the sentence to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    code: Option<CloseCode>,
    revoked: bool,
    reason: String,
}

impl Closed {
    /// Whether it ended because our certificate was revoked. Trying again is of no use then.
    pub const fn is_revocation(&self) -> bool {
        self.revoked
    }

    /// The code the other side's program gave, or none where it gave none (network, TLS, or we closed ourselves).
    pub const fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// What happened, printable and of bounded length.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn because(reason: impl Into<String>) -> Self {
        Self { code: None, revoked: false, reason: reason.into() }
    }

    /// We closed it.
    pub(crate) fn by_us() -> Self {
        Self::because("closed by this side")
    }

    /// The other side closed it, with words of its own.
    pub(crate) fn by_them(code: u64, reason: &[u8]) -> Self {
        let said = match printable(reason) {
            text if text.is_empty() => format!("closed by the other side (code {code})"),
            text => format!("closed by the other side: {text}"),
        };
        let code = u32::try_from(code).ok().map(CloseCode);
        Self { code, revoked: code == Some(CloseCode::REVOKED), reason: said }
    }

    /// TCP: the other end of the line is gone, and said nothing.
    pub(crate) fn without_a_word() -> Self {
        Self::because(
            "the line was cut without a word: the other side was stopped, or something between us hung up",
        )
    }

    /// TCP: the idle timeout.
    pub(crate) fn silent() -> Self {
        Self::because(
            "nothing was heard from the other side in time: is it running, and is the network between us up?",
        )
    }

    /// TCP: the other side does not keep to the protocol.
    pub(crate) fn for_breaking(rule: &str) -> Self {
        Self::because(format!("we refused the other side: {}", printable(rule.as_bytes())))
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        let mut revoked = false;
        let reason = match error {
            ConnectionError::ApplicationClosed(close) => {
                return Self::by_them(close.error_code.into_inner(), &close.reason);
            }
            ConnectionError::ConnectionClosed(close) => {
                let what = printable(&close.reason);
                revoked = u64::from(close.error_code) == TLS_ALERT_BASE + CERTIFICATE_REVOKED;
                format!(
                    "the other side refused the connection: {}",
                    explained(close.error_code.into(), &what)
                )
            }
            ConnectionError::TransportError(error) => {
                let what = printable(error.reason.as_bytes());
                format!("we refused the other side: {}", explained(error.code.into(), &what))
            }
            ConnectionError::TimedOut => {
                "nothing was heard from the other side in time: is it running, is the address \
                                          right, and does the firewall let UDP through?"
                    .to_owned()
            }
            ConnectionError::Reset => {
                "the other side no longer knows this connection: it was restarted".to_owned()
            }
            ConnectionError::LocallyClosed => return Self::by_us(),
            ConnectionError::VersionMismatch => {
                "the other side speaks another QUIC version: is it a Consilium coordinator?".to_owned()
            }
            ConnectionError::CidsExhausted => {
                "too many connections on this socket: restart this program".to_owned()
            }
        };
        Self { revoked, ..Self::because(reason) }
    }
}

impl From<yamux::ConnectionError> for Closed {
    fn from(error: yamux::ConnectionError) -> Self {
        use yamux::{ConnectionError, FrameDecodeError};
        match error {
            ConnectionError::Io(error) | ConnectionError::Decode(FrameDecodeError::Io(error)) => error.into(),
            ConnectionError::Closed => Self::without_a_word(),
            other => Self::for_breaking(&other.to_string()),
        }
    }
}

/// Of TLS over TCP, which gives its own errors as those of the socket.
impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => Self {
                revoked: *alert == AlertDescription::CertificateRevoked,
                ..Self::because(format!(
                    "the other side refused the connection: {}",
                    explained(alert_code(*alert), &format!("{alert:?}"))
                ))
            },
            Some(error) => {
                let code = alert_of(error).map_or(0, alert_code);
                Self::because(format!(
                    "we refused the other side: {}",
                    explained(code, &printable(error.to_string().as_bytes()))
                ))
            }
            None if is_end(&error) => Self::without_a_word(),
            None => Self::because(printable(error.to_string().as_bytes())),
        }
    }
}

/// What TLS has to say, where it is TLS that failed.
pub(crate) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The alert with which `error` is told to the other side, for the errors that a hospital can meet.
pub(crate) fn alert_of(error: &rustls::Error) -> Option<AlertDescription> {
    match error {
        rustls::Error::InvalidCertificate(error) => Some(error.clone().into()),
        rustls::Error::NoCertificatesPresented => Some(AlertDescription::CertificateRequired),
        rustls::Error::NoApplicationProtocol => Some(AlertDescription::NoApplicationProtocol),
        _ => None,
    }
}

fn alert_code(alert: AlertDescription) -> u64 {
    TLS_ALERT_BASE + u64::from(u8::from(alert))
}

/// The TLS alert in a code of QUIC, where it is one.
pub(crate) fn alert_in(code: u64) -> Option<AlertDescription> {
    code.checked_sub(TLS_ALERT_BASE).and_then(|alert| u8::try_from(alert).ok()).map(AlertDescription::from)
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof, WriteZero};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof, WriteZero].contains(&error.kind())
}

/// The library's words, and what to do about them where the number tells.
fn explained(code: u64, what: &str) -> String {
    let what = if what.is_empty() { format!("code {code:#x}") } else { what.to_owned() };
    match advice(code) {
        Some(advice) => format!("{what} ({advice})"),
        None => what,
    }
}

/// The TLS alerts (RFC 8446, section 6) a hospital can meet, and how to mend each.
fn advice(code: u64) -> Option<&'static str> {
    Some(match code.checked_sub(TLS_ALERT_BASE)? {
        42 | 43 | 46 => "a certificate does not fit its use: check that each side has its own kit",
        CERTIFICATE_REVOKED => "the certificate was revoked: ask the consortium's administrator",
        45 => "a certificate has expired or is not yet valid: renew the kit and check both clocks",
        48 => "a certificate was signed by another consortium's authority: use kits of the same one",
        51 => "the private key does not belong to the certificate: use the files of one kit",
        116 => "no certificate was shown: a kit is needed to connect",
        120 => "the other side speaks another version of Consilium: update both to the same release",
        _ => return None,
    })
}

/// Text from outside, safe to print: control characters (terminal escapes, line breaks) become spaces.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS);
    clean.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_from_outside_are_tamed() {
        let hostile = format!("\u{1b}[31mred\nline\r{}", "x".repeat(10_000));
        let tamed = printable(hostile.as_bytes());
        assert!(tamed.len() <= MAX_REASON_CHARS && !tamed.chars().any(char::is_control), "{tamed}");
    }

    #[test]
    fn tls_alerts_come_with_advice() {
        assert!(
            explained(TLS_ALERT_BASE + 48, "UnknownIssuer")
                .starts_with("UnknownIssuer (a certificate was signed")
        );
        assert_eq!(explained(0x0a, ""), "code 0xa");
    }
}
