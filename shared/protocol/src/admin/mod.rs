//! What people who run a consortium say to its coordinator, over the same port as the sites.
//!
//! A connection whose certificate speaks for an admin or an observer begins with the same
//! [`crate::ToCoordinator::Hello`] as a site's and then carries these messages: one request, its answer, the next
//! request. Requests are small and fit a frame. Answers can be long, so an answer is a JSON document in pages: what
//! `--json` prints is what was sent, and a program of another release ignores fields it does not know.
//!
//! Deliberately without anything a site could say or a patient could be found by.

mod refusal;
mod view;

use consilium_domain::SiteId;
use serde::{Deserialize, Serialize};

use crate::Features;

pub use refusal::AdminRefusal;
pub use view::{
    ContributorView, InHandView, JoinInvitation, LaneView, ModelView, PauseView, RegisteredSite,
    RevokedCertificate, RoundStage, RoundView, SiteStanding, SiteView, StudyDone, StudyList, StudyState,
    StudySummary, StudyView,
};

/// The version of the conversation in which admins were first heard.
pub const OLDEST_ADMIN_VERSION: u16 = 4;

/// Longest text of a study file. A study of 500 sites and all modalities takes 40 KiB, its comments the rest; with
/// the name of its weights it fits a frame.
pub const MAX_STUDY_BYTES: usize = 60 * 1024;

/// Longest name or digest of weights.
pub const MAX_WEIGHTS_BYTES: usize = 200;

/// Bytes of a document that one page carries: a frame without its head.
pub const MAX_PAGE_BYTES: usize = 60 * 1024;

/// Longest document an answer may be: a coordinator gone wrong must not fill an admin's memory. A longer report is
/// taken from the study's folder at the coordinator.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024 * 1024;

/// Fewest digits by which a study is named.
pub const MIN_STUDY_DIGITS: usize = 8;

/// What an admin asks. An observer may ask what changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Takes in a study. It begins when every earlier study of its sites is over. Answer: [`StudyDone`].
    SubmitStudy {
        /// The study file as its author wrote it (TOML), at most [`MAX_STUDY_BYTES`].
        text: String,
        /// Name or digest of weights in the coordinator's store, for a study with a pretrained arm.
        weights: Option<String>,
    },
    /// All studies. Answer: [`StudyList`].
    ListStudies,
    /// One study. Answer: [`StudyView`].
    ShowStudy {
        /// Its hash, or the first digits of it.
        study: String,
    },
    /// No work is handed out and no patience runs out until [`Self::ResumeStudy`]. Answer: [`StudyDone`].
    PauseStudy {
        /// Which.
        study: String,
    },
    /// Lets a paused study continue, and tries again one that failed. Answer: [`StudyDone`].
    ResumeStudy {
        /// Which.
        study: String,
    },
    /// Ends a study for good. Answer: [`StudyDone`].
    AbortStudy {
        /// Which.
        study: String,
        /// Why, for the sites and the report.
        reason: String,
    },
    /// Everything a study has learned so far. Answer: its report.
    Report {
        /// Which.
        study: String,
    },
    /// Invites a hospital to the consortium. Answer: [`JoinInvitation`].
    AddSite {
        /// What it will be called.
        site: SiteId,
        /// Where it reaches this coordinator (`HOST:PORT`), in the order to try.
        addresses: Vec<String>,
    },
    /// The hospitals of the consortium. Answer: a list of [`RegisteredSite`].
    ListSites,
    /// Ends a hospital's membership: its connections are closed and no certificate of it is accepted any more.
    /// Answer: [`RegisteredSite`].
    RevokeSite {
        /// Which.
        site: SiteId,
        /// Why.
        reason: String,
    },
    /// Makes one certificate worthless, whoever holds it: an admin's, for instance. Its connections are closed. Answer:
    /// [`RevokedCertificate`].
    RevokeCertificate {
        /// Its serial number, hexadecimal, with colons or without.
        serial: String,
        /// Why.
        reason: String,
    },
}

impl AdminRequest {
    /// Whether it changes something: then an observer may not ask it.
    pub const fn changes(&self) -> bool {
        match self {
            Self::ListStudies | Self::ShowStudy { .. } | Self::Report { .. } | Self::ListSites => false,
            Self::SubmitStudy { .. }
            | Self::PauseStudy { .. }
            | Self::ResumeStudy { .. }
            | Self::AbortStudy { .. }
            | Self::AddSite { .. }
            | Self::RevokeSite { .. }
            | Self::RevokeCertificate { .. } => true,
        }
    }

    /// A stable word for logs: never the texts, which people write freely.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SubmitStudy { .. } => "study submit",
            Self::ListStudies => "study list",
            Self::ShowStudy { .. } => "study show",
            Self::PauseStudy { .. } => "study pause",
            Self::ResumeStudy { .. } => "study resume",
            Self::AbortStudy { .. } => "study abort",
            Self::Report { .. } => "report",
            Self::AddSite { .. } => "site add",
            Self::ListSites => "site list",
            Self::RevokeSite { .. } | Self::RevokeCertificate { .. } => "site revoke",
        }
    }
}

/// What the coordinator answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminReply {
    /// The answer to `Hello`: only now is the caller connected.
    Welcome {
        /// The version to speak.
        version: u16,
        /// What both sides can do beyond it.
        features: Features,
        /// Who the certificate says the caller is.
        name: SiteId,
        /// Whether requests that change something will be heard.
        may_change: bool,
        /// Name and version of the coordinator's program.
        software: String,
    },
    /// A part of the answer's document (JSON), in order.
    Page {
        /// At most [`MAX_PAGE_BYTES`].
        text: String,
        /// Whether it is the last one.
        last: bool,
    },
    /// The request changed nothing.
    Refused(AdminRefusal),
}

/// `document` in pages, cut between characters. There is always one.
pub fn pages(document: &str) -> Vec<AdminReply> {
    let mut pages = Vec::new();
    let mut rest = document;
    loop {
        let mut end = rest.len().min(MAX_PAGE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (text, after) = rest.split_at(end);
        pages.push(AdminReply::Page { text: text.to_owned(), last: after.is_empty() });
        if after.is_empty() {
            return pages;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(document: &str) -> (String, usize) {
        let pages = pages(document);
        let count = pages.len();
        let mut whole = String::new();
        for (number, page) in pages.into_iter().enumerate() {
            let AdminReply::Page { text, last } = page else { panic!("only pages") };
            assert!(text.len() <= MAX_PAGE_BYTES);
            assert_eq!(last, number + 1 == count);
            whole += &text;
        }
        (whole, count)
    }

    #[test]
    fn a_document_of_any_length_comes_back_from_its_pages() {
        for (document, count) in
            [(String::new(), 1), ("{}".into(), 1), ("a".repeat(MAX_PAGE_BYTES), 1), ("ä".repeat(90_000), 3)]
        {
            // Of odd length, so that a page would end within a character.
            let document = if document.len() > MAX_PAGE_BYTES { format!("a{document}") } else { document };
            assert_eq!(joined(&document), (document, count));
        }
    }

    #[test]
    fn an_observer_may_look_and_nothing_else() {
        let study = || "01234567".to_owned();
        let site: SiteId = "a".parse().unwrap();
        for request in [
            AdminRequest::SubmitStudy { text: String::new(), weights: None },
            AdminRequest::PauseStudy { study: study() },
            AdminRequest::ResumeStudy { study: study() },
            AdminRequest::AbortStudy { study: study(), reason: String::new() },
            AdminRequest::AddSite { site: site.clone(), addresses: Vec::new() },
            AdminRequest::RevokeSite { site, reason: String::new() },
            AdminRequest::RevokeCertificate { serial: "0b".into(), reason: String::new() },
        ] {
            assert!(request.changes(), "{}", request.name());
        }
        for request in [
            AdminRequest::ListStudies,
            AdminRequest::ShowStudy { study: study() },
            AdminRequest::Report { study: study() },
            AdminRequest::ListSites,
        ] {
            assert!(!request.changes(), "{}", request.name());
        }
    }
}
