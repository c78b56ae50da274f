//! Why a connection ended, in words for the person who has to mend it.

use std::fmt;

use quinn::{ConnectionError, VarInt};

/// Close reasons come from the peer: longer ones are cut, so that a log line stays a line.
const MAX_REASON_CHARS: usize = 300;

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
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        let mut code = None;
        let mut revoked = false;
        let reason = match error {
            ConnectionError::ApplicationClosed(close) => {
                code = u32::try_from(close.error_code.into_inner()).ok().map(CloseCode);
                revoked = code == Some(CloseCode::REVOKED);
                match printable(&close.reason) {
                    text if text.is_empty() => {
                        format!("closed by the other side (code {})", close.error_code)
                    }
                    text => format!("closed by the other side: {text}"),
                }
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
            ConnectionError::LocallyClosed => "closed by this side".to_owned(),
            ConnectionError::VersionMismatch => {
                "the other side speaks another QUIC version: is it a Consilium coordinator?".to_owned()
            }
            ConnectionError::CidsExhausted => {
                "too many connections on this socket: restart this program".to_owned()
            }
        };
        Self { code, revoked, reason }
    }
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
fn printable(bytes: &[u8]) -> String {
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
