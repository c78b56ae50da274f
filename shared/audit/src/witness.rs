//! One side of the exchange of heads: states its own, countersigns the other's, keeps the receipts.
//!
//! A head that shrank or was rewritten is countersigned all the same: it is written down what came, for ever, and a
//! hospital that restored a backup can go on. `audit verify` tells it from then on.

use std::sync::{Arc, Mutex};

use consilium_domain::Role;
use consilium_protocol::{AuditHead, SignedHead};
use consilium_signing::{Authorities, CannotSign, Sign, SignatureError};

use crate::log::{AppendError, AuditLog};
use crate::moment::now;
use crate::record::{PeerLog, Record};
use crate::statement::{Statement, StatementError};
use crate::vouched::Vouched;
use crate::words::{Base64, Code, Party};

/// One side of a connection's exchange. Every call waits for the disk.
#[derive(Clone)]
pub struct Witness {
    log: AuditLog,
    signer: Arc<dyn Sign>,
    own: Vouched,
    peer: Role,
    theirs: Vouched,
    /// The head that waits for its receipt.
    stated: Arc<Mutex<Option<AuditHead>>>,
}

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// Our log.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Our key.
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
    /// Our certificate.
    #[error("our own certificate cannot be used: {0}")]
    OwnCertificate(SignatureError),
    /// The other side: its connection is not worth keeping.
    #[error("the other side's receipt is refused: {0}")]
    Refused(&'static str),
}

impl Witness {
    /// The side of whoever holds `signer`, over a connection with `peer`.
    pub fn new(log: AuditLog, authorities: Authorities, signer: Arc<dyn Sign>, peer: Role) -> Self {
        let (own, theirs) = (Vouched::by(authorities.clone()), Vouched::by(authorities));
        Self { log, signer, own, peer, theirs, stated: Arc::default() }
    }

    /// Whether our certificate and key can sign heads: asked once, before any is due.
    ///
    /// # Errors
    /// When they cannot.
    pub fn try_out(&self) -> Result<(), WitnessError> {
        self.sign(self.signer.role(), self.log.head()).map(drop)
    }

    /// The head of our log, signed. It covers the record that it is stated.
    ///
    /// # Errors
    /// When the log cannot be written or the key cannot sign.
    pub fn state(&self) -> Result<SignedHead, WitnessError> {
        let head = self.log.append(Record::HeadStated { peer: self.peer.clone().into() })?;
        *self.stated.lock().expect("no panic while the lock is held") = Some(head);
        self.sign(self.signer.role(), head)
    }

    /// Countersigns the head of the other side's log, once it is written down.
    ///
    /// # Errors
    /// When it is not signed by the other side, or as [`Witness::state`].
    pub fn countersign(&self, stated: &SignedHead) -> Result<SignedHead, WitnessError> {
        let certificate_sha256 = self.verify(&self.peer, stated)?;
        let peer = Party(self.peer.clone());
        let log = self.log.compare(&peer, stated.head);
        if matches!(log, PeerLog::Shrunk | PeerLog::Rewritten) {
            tracing::error!(%peer, ?log, "the other side's audit log is not the one it was");
        }
        let received = Record::HeadReceived {
            peer,
            head: stated.head,
            at: stated.at,
            signature: Base64(stated.signature.clone()),
            certificate_sha256,
            log,
        };
        self.keep(stated, certificate_sha256, received)?;
        self.sign(&self.peer, stated.head)
    }

    /// Keeps the other side's signature over the head that was stated last.
    ///
    /// # Errors
    /// When it is none, or the log cannot be written.
    pub fn keep_receipt(&self, receipt: &SignedHead) -> Result<(), WitnessError> {
        let stated = self.stated.lock().expect("no panic while the lock is held").take();
        if stated != Some(receipt.head) {
            return Err(self.refuse("not-the-stated-head", "it is not of the head that was stated last"));
        }
        let certificate_sha256 = self.verify(self.signer.role(), receipt)?;
        let record = Record::Receipt {
            peer: self.peer.clone().into(),
            head: receipt.head,
            at: receipt.at,
            signature: Base64(receipt.signature.clone()),
            certificate_sha256,
        };
        self.keep(receipt, certificate_sha256, record)
    }

    /// Whether the other side signed `signed` over a head of `owner`'s log. SHA-256 of its certificate.
    fn verify(&self, owner: &Role, signed: &SignedHead) -> Result<consilium_domain::Digest, WitnessError> {
        if !signed.is_bounded() {
            return Err(self.refuse("oversized", "its parts are longer than honest ones"));
        }
        let statement = Statement { owner, signer: &self.peer, head: signed.head, at: signed.at };
        let vouched = self.theirs.holder(&signed.certificates).map_err(StatementError::from);
        vouched.and_then(|holder| statement.verify(&signed.signature, &holder)).map_err(|error| match error {
            StatementError::OtherSigner(_) => self.refuse("other-signer", "somebody else signed it"),
            StatementError::Signature(SignatureError::Signature) => {
                self.refuse("bad-signature", "the signature is not of this head")
            }
            StatementError::Signature(_) => {
                self.refuse("untrusted", "the consortium's authority does not vouch for the signer")
            }
        })
    }

    /// Writes `record`, and before it the chain that it refers to, where that is new.
    fn keep(
        &self,
        signed: &SignedHead,
        certificate_sha256: consilium_domain::Digest,
        record: Record,
    ) -> Result<(), WitnessError> {
        let chain = (!self.log.holds_chain(&certificate_sha256)).then(|| Record::CertificateChain {
            certificate_sha256,
            certificates: signed.certificates.iter().cloned().map(Base64).collect(),
        });
        let records: Vec<Record> = chain.into_iter().chain([record]).collect();
        self.log.append_all(&records)?;
        Ok(())
    }

    fn sign(&self, owner: &Role, head: AuditHead) -> Result<SignedHead, WitnessError> {
        let certificates = self.signer.certificates();
        let own = self.own.holder(&certificates).map_err(WitnessError::OwnCertificate)?;
        let at = now();
        let statement = Statement { owner, signer: self.signer.role(), head, at };
        let signature = self.signer.sign(statement.text(own.certificate_sha256).as_bytes())?;
        Ok(SignedHead { head, at, signature, certificates })
    }

    /// Notes what was refused. That the note cannot be written is told by the next line that can neither.
    fn refuse(&self, code: &'static str, problem: &'static str) -> WitnessError {
        let reason = Code::new(code);
        match self.log.append(Record::ReceiptRefused { peer: self.peer.clone().into(), reason }) {
            Ok(_) => WitnessError::Refused(problem),
            Err(error) => error.into(),
        }
    }
}
