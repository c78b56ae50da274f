//! What a line can say.

use consilium_domain::{BlobRef, Digest, Lane, Round, SiteId, StudyHash};
use consilium_protocol::{AuditHead, Timestamp};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::words::{Base64, Code, Party, Serial};

/// Something that left, entered, was decided or happened.
///
/// Fields are numbers, digests and words of this program. A release that adds a kind adds it at the end and raises
/// nothing: older releases refuse to verify what they do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "fields", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// The first line of a log.
    LogBegun {
        /// Whose log it is.
        owner: Party,
        /// The layout of lines.
        format: u16,
    },
    /// The process before was cut off while it wrote a line: what there was of it is moved aside.
    LineTorn {
        /// Bytes of the unfinished line.
        bytes: u64,
        /// Their SHA-256.
        sha256: Digest,
    },
    /// A daemon began to work.
    ProcessStarted {
        /// Its release.
        release: Code,
    },
    /// A daemon ends as asked to.
    ProcessStopped {
        /// Why.
        reason: Code,
    },
    /// A connection with a verified certificate is up.
    ConnectionOpened {
        /// The other side.
        peer: Party,
        /// Its certificate.
        serial: Serial,
    },
    /// A connection has ended.
    ConnectionClosed {
        /// The other side.
        peer: Party,
        /// Bytes we sent, with everything that the network adds.
        bytes_sent: u64,
        /// Bytes that reached us.
        bytes_received: u64,
    },
    /// Callers were turned away.
    ConnectionsRefused {
        /// Why.
        reason: Code,
        /// How many since the last record of this kind and reason.
        count: u64,
    },
    /// About to leave. Written before the first byte does.
    Sent {
        /// To whom.
        peer: Party,
        /// Bytes of the message or blob.
        bytes: u64,
        /// Their BLAKE3 digest.
        blake3: Digest,
        /// What it is.
        content: Content,
    },
    /// Arrived. Written before anything follows from it.
    Received {
        /// From whom.
        peer: Party,
        /// Bytes of the message or blob.
        bytes: u64,
        /// Their BLAKE3 digest.
        blake3: Digest,
        /// What it is.
        content: Content,
    },
    /// A decision at the hospital.
    PolicyDecision {
        /// Which; none where everything is paused or goes on.
        study: Option<StudyHash>,
        /// What was decided.
        verdict: PolicyVerdict,
        /// By whom.
        by: Decider,
        /// The rule that decided, or why.
        reason: Code,
    },
    /// A certificate was made, renewed or made worthless.
    Certificate {
        /// Whose; none where it was revoked by its number, which does not say.
        holder: Option<Party>,
        /// Which; all that the holder has where none is named.
        serial: Option<Serial>,
        /// What happened.
        change: CertificateChange,
    },
    /// Somebody asked for a certificate or a renewal and got none.
    CertificateRefused {
        /// Who they said they were, where that is known for sure.
        holder: Option<Party>,
        /// Why.
        reason: Code,
    },
    /// A person with an admin's or observer's certificate did something.
    AdminCommand {
        /// Who.
        admin: Party,
        /// What.
        command: Code,
        /// On which study.
        study: Option<StudyHash>,
        /// On whom.
        subject: Option<Party>,
        /// `done`, or why it was refused.
        outcome: Code,
    },
    /// A study moved on.
    Study {
        /// Which.
        study: StudyHash,
        /// How.
        step: StudyStep,
        /// Entries of the study's event log by then.
        events: u64,
        /// The hash of the last of them: the event log cannot be rewritten either.
        event_log: Digest,
    },
    /// A chain of certificates that signatures below refer to.
    CertificateChain {
        /// SHA-256 of the first one.
        certificate_sha256: Digest,
        /// X.509 in DER; the signer's first.
        certificates: Vec<Base64>,
    },
    /// The head of this log, up to this line and with it, is signed and sent.
    HeadStated {
        /// To whom.
        peer: Party,
    },
    /// The head of the other side's log came, signed by it, and is countersigned.
    HeadReceived {
        /// Whose log.
        peer: Party,
        /// Its head.
        head: AuditHead,
        /// When the other side signed, by its clock.
        at: Timestamp,
        /// Its signature.
        signature: Base64,
        /// With which certificate.
        certificate_sha256: Digest,
        /// How the head fits the one before.
        log: PeerLog,
    },
    /// The other side has signed that it saw the head of this log.
    Receipt {
        /// Who signed.
        peer: Party,
        /// The head of this log.
        head: AuditHead,
        /// When it was signed, by the other side's clock.
        at: Timestamp,
        /// The signature.
        signature: Base64,
        /// With which certificate.
        certificate_sha256: Digest,
    },
    /// What the other side signed, or gave as signed, is not good.
    ReceiptRefused {
        /// Who.
        peer: Party,
        /// What is wrong with it.
        reason: Code,
    },
}

/// What a hospital decided about a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyVerdict {
    /// It takes part.
    Approved,
    /// It does not.
    Declined,
    /// Somebody must decide.
    Asked,
    /// Nothing leaves for now.
    Paused,
    /// That is over.
    Resumed,
    /// It leaves the study.
    Withdrawn,
    /// Something was about to leave against the policy, and did not.
    HeldBack,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decider {
    /// The rules of the policy file.
    Rule,
    /// A person at the hospital.
    Person,
}

/// What happened to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateChange {
    /// A site joined with a token.
    Joined,
    /// It replaces another one.
    Renewed,
    /// It is not taken any more.
    Revoked,
    /// A daemon has begun to use it: its holder joined with it, or somebody put it there.
    TakenUp,
}

/// How a head of the other side's log fits the one that it stated before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerLog {
    /// There was none before.
    New,
    /// The log is as long as it was, with the same hash, or longer.
    Grown,
    /// It is shorter than it was: lines are gone.
    Shrunk,
    /// It is as long as it was, with another hash: lines were rewritten.
    Rewritten,
}

/// How a study moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StudyStep {
    /// It began.
    Opened {},
    /// It was taken up again.
    Resumed {},
    /// A round's updates were summed.
    Aggregated {
        /// The lane.
        lane: Lane,
        /// The round.
        round: Round,
        /// The new model.
        model: BlobRef,
    },
    /// Work went on without some sites.
    WentOnWithout {
        /// How many.
        sites: u32,
    },
    /// A site left it.
    SiteWithdrew {
        /// Which.
        site: SiteId,
    },
    /// It is complete.
    Finished {},
    /// It was stopped.
    Halted {},
}
