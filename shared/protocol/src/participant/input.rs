//! What a participant is told and what it asks of its shell.

use consilium_domain::{BlobRef, CohortSummary, Fingerprint, OrderId, Study, WorkOrder};

use crate::{Outcome, Progress, ToCoordinator, ToSite};

/// Something that happened at or to the site.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The transport is up.
    Connected,
    /// The transport is gone. The shell tries again by itself.
    Disconnected,
    /// The coordinator said something.
    Received(ToSite),
    /// The hospital agrees to the study. Once is enough.
    Approved,
    /// The hospital declines the study or leaves it, at whatever moment. Final.
    Declined {
        /// Why, for the coordinator.
        reason: String,
    },
    /// From here on nothing may leave the hospital: no work is asked for and results wait. The connection stays.
    Held,
    /// Things may leave again.
    Released,
    /// The coordinator sent an order that the hospital does not carry out.
    Refused {
        /// Which.
        order: WorkOrder,
        /// Why, for the coordinator.
        reason: String,
    },
    /// The cases' fingerprints, or why there are none.
    Fingerprinted(Result<Vec<Fingerprint>, String>),
    /// The study's data is ready, or cannot be.
    Prepared(Result<CohortSummary, String>),
    /// A blob is in the local store, verified.
    Fetched(BlobRef),
    /// A blob cannot be had although the connection stands.
    FetchFailed {
        /// Which.
        blob: BlobRef,
        /// Why.
        reason: String,
    },
    /// Work ended. A result with a blob has stored it locally before.
    WorkDone {
        /// Which.
        order: OrderId,
        /// The result, or why there is none.
        result: Result<Outcome, String>,
    },
    /// The work in hand is so far. Told to the coordinator, which waits for a slow site as long as it gets further.
    Progressed(Progress),
    /// This was the result of an order before the client was killed, and nobody has acknowledged it. It is reported before
    /// any new work is asked for; whether it still counts is the coordinator's to say. A blob of it is stored locally.
    Recovered {
        /// Which.
        order: OrderId,
        /// The result.
        outcome: Outcome,
    },
    /// The blob of an answer is with the coordinator.
    Uploaded(OrderId),
    /// The coordinator refuses the blob although the connection stands.
    UploadFailed {
        /// Of which answer.
        order: OrderId,
        /// Why.
        reason: String,
    },
}

/// Something the shell must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a control message.
    Send(ToCoordinator),
    /// Ask the hospital whether it agrees to the study, once; answer with [`Input::Approved`] or
    /// [`Input::Declined`], however long it takes.
    Judge(Box<Study>),
    /// Fingerprint all cases that the site could enlist with, in an order that a restart restores; answer with
    /// [`Input::Fingerprinted`].
    Fingerprint(Box<Study>),
    /// Read the cohort, deal it into folds, preprocess; answer with [`Input::Prepared`].
    Prepare {
        /// The study.
        study: Box<Study>,
        /// The cases to leave out before anything is dealt, by their numbers in the order of the fingerprints,
        /// ascending. Empty in a study that ignores duplicates.
        exclude: Vec<u32>,
    },
    /// Get a blob unless the local store has it; answer with [`Input::Fetched`].
    Fetch(BlobRef),
    /// Do the work off the session's thread; answer with [`Input::WorkDone`].
    Execute(WorkOrder),
    /// Send the blob of an answer; answer with [`Input::Uploaded`].
    Upload {
        /// Of which answer.
        order: OrderId,
        /// The blob.
        blob: BlobRef,
    },
    /// Tell the log.
    Note(String),
    /// The study is complete.
    Finish,
    /// The coordinator knows that the site has withdrawn: all is said.
    Withdrawn,
    /// The site cannot go on.
    Stop {
        /// Why.
        reason: String,
    },
}
