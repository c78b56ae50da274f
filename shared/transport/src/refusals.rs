//! How often somebody was refused, counted by reason: numbers for whoever watches the coordinator.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::AlertDescription;

use crate::closed::{alert_in, alert_of, tls_error};
use crate::frame::FrameError;

/// Why somebody was refused, as a word that stays the same over releases. Layers above add words of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusalCause(&'static str);

impl RefusalCause {
    /// No certificate was shown.
    pub const NO_CERTIFICATE: Self = Self("no-certificate");
    /// A certificate of an authority that is not this consortium's.
    pub const FOREIGN_AUTHORITY: Self = Self("foreign-authority");
    /// A certificate that has expired or is not yet valid.
    pub const EXPIRED: Self = Self("expired-certificate");
    /// A certificate that was revoked.
    pub const REVOKED: Self = Self("revoked-certificate");
    /// A certificate that cannot be read, is for another use or names no role.
    pub const BAD_CERTIFICATE: Self = Self("bad-certificate");
    /// A certificate of a role that has no business here.
    pub const WRONG_ROLE: Self = Self("wrong-role");
    /// A caller that speaks another version of the protocol, or another protocol.
    pub const OTHER_PROTOCOL: Self = Self("other-protocol");
    /// A caller over TCP that does not speak TLS 1.3.
    pub const NOT_TLS: Self = Self("not-tls");
    /// Any other failure of a handshake.
    pub const HANDSHAKE: Self = Self("failed-handshake");
    /// A handshake that did not end in time.
    pub const SLOW_HANDSHAKE: Self = Self("slow-handshake");
    /// A caller that was gone before its handshake ended.
    pub const HUNG_UP: Self = Self("hung-up");
    /// More handshakes at once than the listener takes.
    pub const TOO_MANY_HANDSHAKES: Self = Self("too-many-handshakes");
    /// More handshakes at once than one address may have.
    pub const TOO_MANY_HANDSHAKES_FROM_ADDRESS: Self = Self("too-many-handshakes-from-address");
    /// More connections than one address may have.
    pub const TOO_MANY_FROM_ADDRESS: Self = Self("too-many-connections-from-address");
    /// More connections than one certificate's holder may have.
    pub const TOO_MANY_OF_PEER: Self = Self("too-many-connections-of-peer");
    /// No first stream or first frame in time.
    pub const SLOW_FIRST_FRAME: Self = Self("slow-first-frame");
    /// A first stream of another kind than the one that has to come first.
    pub const BAD_FIRST_STREAM: Self = Self("bad-first-stream");
    /// A later stream of no known kind.
    pub const UNKNOWN_STREAM: Self = Self("unknown-stream");
    /// A frame longer than allowed.
    pub const FRAME_TOO_LARGE: Self = Self("frame-too-large");
    /// A frame that cannot be read.
    pub const MALFORMED_FRAME: Self = Self("malformed-frame");
    /// A measurement of the network too soon after the last.
    pub const PROBED_TOO_OFTEN: Self = Self("probed-too-often");

    /// A word of the layers above: lower case, with hyphens.
    pub const fn new(word: &'static str) -> Self {
        Self(word)
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        self.0
    }

    pub(crate) fn of_frame(error: &FrameError) -> Self {
        match error {
            FrameError::TooLarge { .. } => Self::FRAME_TOO_LARGE,
            _ => Self::MALFORMED_FRAME,
        }
    }

    /// Of a failed handshake over TCP.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match tls_error(error) {
            None => Self::HUNG_UP,
            Some(rustls::Error::AlertReceived(_)) => Self::HUNG_UP,
            Some(rustls::Error::InvalidMessage(_) | rustls::Error::PeerIncompatible(_)) => Self::NOT_TLS,
            Some(error) => alert_of(error).map_or(Self::HANDSHAKE, Self::of_alert),
        }
    }

    /// Of a failed handshake over QUIC.
    pub(crate) fn of_quic(error: &quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::TransportError(error) => {
                alert_in(error.code.into()).map_or(Self::HANDSHAKE, Self::of_alert)
            }
            quinn::ConnectionError::TimedOut => Self::SLOW_HANDSHAKE,
            quinn::ConnectionError::ConnectionClosed(_)
            | quinn::ConnectionError::ApplicationClosed(_)
            | quinn::ConnectionError::Reset => Self::HUNG_UP,
            _ => Self::HANDSHAKE,
        }
    }

    /// By the alert with which we refused.
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired => Self::NO_CERTIFICATE,
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Self::FOREIGN_AUTHORITY,
            AlertDescription::CertificateExpired => Self::EXPIRED,
            AlertDescription::CertificateRevoked => Self::REVOKED,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown => Self::BAD_CERTIFICATE,
            AlertDescription::NoApplicationProtocol => Self::OTHER_PROTOCOL,
            _ => Self::HANDSHAKE,
        }
    }
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The counters. Clones count together. There are as many as there are words in the program, never more.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<RefusalCause, u64>>>);

impl Refusals {
    /// One more.
    pub fn count(&self, cause: RefusalCause) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry(cause).or_default() += 1;
    }

    /// How often each happened since the start; causes that never happened are absent.
    pub fn snapshot(&self) -> BTreeMap<RefusalCause, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn clones_count_together_and_by_cause() {
        let refusals = Refusals::default();
        let clone = refusals.clone();
        clone.count(RefusalCause::EXPIRED);
        clone.count(RefusalCause::EXPIRED);
        refusals.count(RefusalCause::new("wrong-token"));
        let counted = [(RefusalCause::EXPIRED, 2), (RefusalCause::new("wrong-token"), 1)];
        assert_eq!(refusals.snapshot(), BTreeMap::from(counted));
    }

    #[test]
    fn one_failure_has_one_cause_over_either_link() {
        let cases = [
            (rustls::Error::NoCertificatesPresented, 116, RefusalCause::NO_CERTIFICATE),
            (CertificateError::UnknownIssuer.into(), 48, RefusalCause::FOREIGN_AUTHORITY),
            (CertificateError::Expired.into(), 45, RefusalCause::EXPIRED),
            (CertificateError::Revoked.into(), 44, RefusalCause::REVOKED),
            (rustls::Error::NoApplicationProtocol, 120, RefusalCause::OTHER_PROTOCOL),
        ];
        for (error, alert, cause) in cases {
            assert_eq!(RefusalCause::of_alert(AlertDescription::from(alert)), cause);
            assert_eq!(RefusalCause::of_io(&io::Error::other(error)), cause);
        }
    }
}
