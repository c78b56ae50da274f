//! The control messages. Their encoding and the 64 KiB limit of a frame are the transport's.

use consilium_domain::{
    BlobRef, CohortSummary, Digest, Fingerprint, OrderId, SiteId, StudyHash, Task, WorkOrder,
};
use serde::{Deserialize, Serialize};

use crate::{ModelDelta, Outcome, Progress, Rejection, SignedHead};

/// The version of the conversation spoken by this build. The transport's name for the protocol carries a number of
/// its own, which changes when old and new cannot talk at all; this one grows whenever messages are added.
pub const PROTOCOL_VERSION: u16 = 4;

/// The oldest version that this build still speaks.
pub const OLDEST_VERSION: u16 = 3;

/// The first version in which a site can withdraw from a study. Before it, a site that declines can only hang up.
pub const WITHDRAWALS_SINCE: u16 = 4;

/// The first version that knows renewal of certificates: [`ToCoordinator::Renew`] and its answers.
pub const FIRST_VERSION_WITH_RENEWAL: u16 = 4;

/// The first version in which sites fit and score a clinical baseline. Studies with one are not understood before it.
pub const BASELINE_SINCE: u16 = 4;

/// Longest reason a peer may give: enough for a sentence and a cause, short of filling a log.
pub const MAX_REASON_BYTES: usize = 500;

/// Cases in one part of a site's fingerprints; only the last part has fewer. With four names and all eleven
/// modalities a case takes 2,908 bytes, so that a full part is below a frame's 64 KiB.
pub const MAX_PART_CASES: usize = 20;

/// The versions a build understands, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// Oldest.
    pub oldest: u16,
    /// Newest.
    pub newest: u16,
}

impl VersionRange {
    /// What this build understands.
    pub const OURS: Self = Self { oldest: OLDEST_VERSION, newest: PROTOCOL_VERSION };

    /// The newest version both sides understand.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

/// Abilities beyond the version, one bit each. What only one side knows is not used; unknown bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub u64);

impl Features {
    /// What this build can do.
    pub const OURS: Self = Self(0);

    /// What both sides can do.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every ability of `other` is among these.
    pub const fn include(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a site says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// The first message of a connection. Its layout never changes, or old and new could not agree on a version.
    Hello {
        /// The versions the site speaks.
        versions: VersionRange,
        /// What the site can do beyond them.
        features: Features,
        /// Name and version of the program, for the log.
        software: String,
    },
    /// Takes part in the study with this cohort.
    Enlist {
        /// The study as the site understood it.
        study: StudyHash,
        /// Its patients in numbers.
        cohort: CohortSummary,
    },
    /// Asks for work.
    Ready,
    /// The result of a work order. Its blob, if any, was uploaded before.
    Answer {
        /// Which order.
        order: OrderId,
        /// The result.
        outcome: Outcome,
    },
    /// The work could not be done.
    Failed {
        /// Which order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// A part of the fingerprints of all cases that the site could enlist with, in an order of its own that it
    /// can restore. Only in a study that excludes duplicates.
    Fingerprints {
        /// The study as the site understood it.
        study: StudyHash,
        /// The number of the part, from 0. A part 0 starts over.
        part: u32,
        /// Whether it is the last part.
        last: bool,
        /// The next [`MAX_PART_CASES`] cases; fewer in the last part.
        cases: Vec<Fingerprint>,
    },
    /// The site declines the study, or leaves it: nothing more comes of it. Final. From [`WITHDRAWALS_SINCE`] on;
    /// answered with [`ToSite::Withdrawn`].
    Withdraw {
        /// The study as the site understood it.
        study: StudyHash,
        /// Why, in the words of the site's policy or of its people. At most [`MAX_REASON_BYTES`].
        reason: String,
    },
    /// Asks for a new certificate for the site that this connection's certificate names. From
    /// [`FIRST_VERSION_WITH_RENEWAL`] on.
    Renew {
        /// A certificate request (PKCS #10, DER) with a new public key.
        request: Vec<u8>,
    },
    /// The head of the site's audit log. Since version 4; said after the welcome and after each settled order.
    AuditHead(SignedHead),
    /// The head of the coordinator's audit log that the site has seen. Since version 4.
    Countersigned(SignedHead),
    /// How far the site is with an order: it is slow, not dead. Since version 4; never answered.
    Progress {
        /// Which order.
        order: OrderId,
        /// How far.
        progress: Progress,
    },
}

/// Where a site stands when it is welcomed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It may enlist: the study ignores duplicates.
    Invited,
    /// Its fingerprints are wanted, from the first part on.
    Awaited,
    /// Its fingerprints are there. [`ToSite::Duplicates`] follows, when everybody's are compared.
    Fingerprinted {
        /// The digest of those that are there. Others may be sent until they are compared.
        of: Digest,
    },
    /// It takes part. [`ToSite::Duplicates`] follows, if the study excludes them.
    Enlisted,
}

/// What the coordinator says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToSite {
    /// The answer to `Hello`: only now is the site connected.
    Welcome {
        /// The version to speak.
        version: u16,
        /// What both sides can do beyond it.
        features: Features,
        /// Who the certificate says the site is.
        site: SiteId,
        /// The study's canonical text.
        study: String,
        /// The pretrained backbone, if an arm needs one.
        base: Option<BlobRef>,
        /// Where the site stands.
        standing: Standing,
    },
    /// The site takes part.
    Enlisted,
    /// Something to do.
    Work(WorkOrder),
    /// The answer is recorded; the site may forget it.
    Accepted {
        /// Which order.
        order: OrderId,
    },
    /// The site's last message changed nothing.
    Rejected {
        /// The order it was about, if any.
        order: Option<OrderId>,
        /// Why.
        rejection: Rejection,
    },
    /// The study is complete.
    Finished,
    /// The study was stopped.
    Halted {
        /// Why.
        reason: String,
    },
    /// Everybody's fingerprints are compared: the site enlists without these cases. Told once a session.
    Duplicates {
        /// The digest of the fingerprints whose numbers are meant.
        of: Digest,
        /// Numbers of the site's cases, from 0, ascending.
        exclude: Vec<u32>,
    },
    /// The site has withdrawn from the study, which is recorded. From [`WITHDRAWALS_SINCE`] on.
    Withdrawn,
    /// The answer to `Hello` while no study needs the site: it stays connected, and `Welcome` follows when one does.
    Waiting,
    /// The site's new certificate. From version 4 on.
    Renewed {
        /// The certificate, then its issuer's (PEM).
        chain: String,
    },
    /// The certificate is not renewed. From version 4 on.
    RenewalRefused {
        /// Why.
        reason: String,
    },
    /// The head of the coordinator's audit log: the reply to the site's, after [`ToSite::Countersigned`]. Since version 4.
    AuditHead(SignedHead),
    /// The head of the site's audit log that the coordinator has seen. Since version 4.
    Countersigned(SignedHead),
    /// The shorter way to the model of the order that follows. Since version 4.
    Delta(ModelDelta),
}

impl ToSite {
    /// The version of the conversation that brought this message. It is never sent to a site that speaks an older
    /// one.
    pub const fn since(&self) -> u16 {
        match self {
            Self::Welcome { .. }
            | Self::Enlisted
            | Self::Accepted { .. }
            | Self::Rejected { .. }
            | Self::Finished
            | Self::Halted { .. }
            | Self::Duplicates { .. } => 3,
            Self::Work(order) => match &order.task {
                Task::FitBaseline { .. } | Task::ScoreBaseline { .. } => BASELINE_SINCE,
                Task::Train { .. }
                | Task::Validate { .. }
                | Task::PredictHoldout { .. }
                | Task::Fuse { .. } => 3,
            },
            Self::Withdrawn | Self::Waiting | Self::Renewed { .. } | Self::RenewalRefused { .. } => 4,
            Self::AuditHead(_) | Self::Countersigned(_) | Self::Delta(_) => 4,
        }
    }
}

/// `reason` cut to [`MAX_REASON_BYTES`] at a character boundary, on one line.
pub fn bounded_reason(reason: &str) -> String {
    let line: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = line.len().min(MAX_REASON_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let range = |oldest, newest| VersionRange { oldest, newest };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 5)), None);
    }

    #[test]
    fn only_common_abilities_are_used() {
        let (a, b) = (Features(0b0110), Features(0b1100));
        assert_eq!(a.common(b), Features(0b0100));
        assert!(a.include(a.common(b)) && !a.include(b));
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        let reason = bounded_reason(&"ä\n".repeat(400));
        assert!(reason.len() <= MAX_REASON_BYTES && !reason.contains('\n'));
    }
}
