//! What both sides tell each other of their audit logs. Signatures are data here: who checks them is the daemons'
//! affair, and no machine of this crate looks at them.

use consilium_domain::Digest;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Longest signature: ECDSA P-256 as ASN.1.
pub const MAX_HEAD_SIGNATURE_BYTES: usize = 72;
/// Longest chain: a leaf, and intermediates of an organisation's own authority.
pub const MAX_HEAD_CERTIFICATES: usize = 4;
/// Longest certificate: ten times those of `consilium-certs`.
pub const MAX_HEAD_CERTIFICATE_BYTES: usize = 8 << 10;

/// How long an audit log is, and the hash of its last line: no line before can change without changing this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Lines.
    pub records: u64,
    /// The hash of the last one (SHA-256); zeros where there is none.
    pub sha256: Digest,
}

/// A head of the sender's own log, or the other side's that the sender has seen, signed with the key of the sender's
/// certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The head.
    pub head: AuditHead,
    /// When it was signed, by the sender's clock.
    pub at: Timestamp,
    /// ECDSA P-256 with SHA-256, as ASN.1.
    pub signature: Vec<u8>,
    /// The sender's certificate and what vouches for it, in DER; the sender's first.
    pub certificates: Vec<Vec<u8>>,
}

impl SignedHead {
    /// Whether every part is as short as an honest one.
    pub fn is_bounded(&self) -> bool {
        self.signature.len() <= MAX_HEAD_SIGNATURE_BYTES
            && (1..=MAX_HEAD_CERTIFICATES).contains(&self.certificates.len())
            && self.certificates.iter().all(|der| der.len() <= MAX_HEAD_CERTIFICATE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_parts_are_taken() {
        let head = AuditHead { records: 1, sha256: Digest::of(b"line") };
        let signed = SignedHead {
            head,
            at: Timestamp(1),
            signature: vec![1; 72],
            certificates: vec![vec![2; 500]; 2],
        };
        assert!(signed.is_bounded());
        assert!(!SignedHead { signature: vec![1; 73], ..signed.clone() }.is_bounded());
        assert!(!SignedHead { certificates: Vec::new(), ..signed.clone() }.is_bounded());
        assert!(!SignedHead { certificates: vec![vec![2]; 5], ..signed.clone() }.is_bounded());
        assert!(!SignedHead { certificates: vec![vec![2; 8193]], ..signed }.is_bounded());
    }
}
