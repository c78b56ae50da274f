//! What exactly is signed when a head is signed.

use consilium_domain::{Digest, Role};
use consilium_protocol::{AuditHead, Timestamp};
use consilium_signing::{Holder, SignatureError};

/// Why a head's signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    /// The signature or the chain.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A signature of somebody else.
    #[error("it is signed by {0}")]
    OtherSigner(Role),
}

/// A head and whose log it is of. The signer states it of their own log, or has seen it of another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    /// Whose log.
    pub(crate) owner: &'a Role,
    /// Who signs.
    pub(crate) signer: &'a Role,
    /// The head.
    pub(crate) head: AuditHead,
    /// When it was signed.
    pub(crate) at: Timestamp,
}

impl Statement<'_> {
    /// The signed text. The certificate stands for the consortium that issued it: the same key in another consortium
    /// signs another text.
    pub(crate) fn text(&self, certificate_sha256: Digest) -> String {
        let kind = if self.owner == self.signer { "states" } else { "has seen" };
        let Self { owner, signer, head, at } = self;
        format!(
            "consilium audit head 1\n{signer} {kind} the head of the log of {owner}\nrecords {}\nsha256 {}\n\
             unix-ms {}\ncertificate {certificate_sha256}\n",
            head.records, head.sha256, at.0
        )
    }

    /// Whether `holder`, for whom an authority vouches, is the signer and signed this. SHA-256 of their certificate.
    pub(crate) fn verify(&self, signature: &[u8], holder: &Holder) -> Result<Digest, StatementError> {
        if holder.role != *self.signer {
            return Err(StatementError::OtherSigner(holder.role.clone()));
        }
        holder.verify(self.text(holder.certificate_sha256).as_bytes(), signature)?;
        Ok(holder.certificate_sha256)
    }
}
