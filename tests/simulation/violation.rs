//! What the simulation can find wrong.

use std::collections::BTreeSet;

use consilium_domain::{Lane, OrderId, Round, SiteId};
use consilium_protocol::Timestamp;
use consilium_protocol::coordinator::Event;

/// Something that must never happen has happened.
#[derive(Debug, Clone, PartialEq)]
#[allow(dead_code, reason = "the fields are read by people, in a failing test's output")]
pub(crate) enum Violation {
    /// A model would be made from too few updates.
    BelowQuorum { lane: Lane, round: Round, contributions: usize, quorum: usize },
    /// A site would count twice in a round, or out of order.
    CountedTwice { lane: Lane, round: Round, site: SiteId },
    /// A site's reply to an order was accepted a second time.
    RepliedTwice { site: SiteId, order: OrderId },
    /// A gathering closed before it opened, or was answered outside of that time.
    TimeRanBack { work: String },
    /// A site would count that is not on the pinned roster, may not train, or weighs more than it declared.
    Uninvited { lane: Lane, round: Round, site: SiteId },
    /// A round was aggregated twice, or before the one before it.
    RoundOutOfOrder { lane: Lane, round: Round, expected: Round },
    /// A round starts from another model than the one before it ended with.
    WrongStart { lane: Lane, round: Round },
    /// A round's learning rates do not follow from the validations before it.
    WrongRates { lane: Lane, round: Round, reductions: u16, expected: u16 },
    /// An order tells other learning rates than the one before it of the same round.
    RatesChanged { lane: Lane, round: Round },
    /// A round whose rates depend on the validation before it did not wait for it.
    TooEarly { lane: Lane, round: Round },
    /// An aggregate contains an update of another round or model.
    ForeignUpdate { lane: Lane, round: Round, site: SiteId },
    /// A rejected event left a trace.
    RejectionChangedState(Box<Event>),
    /// An event that had to be rejected was accepted.
    LieAccepted(Box<Event>),
    /// The same events had other effects the second time.
    NotDeterministic(Box<Event>),
    /// The log does not give the state.
    ReplayDiffers,
    /// The machine still acts, gives orders or waits after its end.
    ActsAfterTheEnd,
    /// The machine gives orders or waits for a time although the study is paused.
    ActsInAPause,
    /// Sites are missing from a closed gathering without being named, or it closed below what it needs.
    SilentSubset { work: String, expected: BTreeSet<SiteId>, accounted: BTreeSet<SiteId> },
    /// Somebody is missing and the log was not told.
    NotTold { closed: usize, told: usize },
    /// A site enlisted after the roster was pinned, or a pinned one disappeared.
    RosterChanged,
    /// Two sites take part with the same patient, or nobody has a patient that was excluded.
    Copies { patient: String, holders: Vec<SiteId> },
    /// The machine hands out an order whose answer it would not take.
    DeadOrder { site: SiteId, order: OrderId },
    /// Time is up for something, an event was handled, and yet it waits.
    Overdue { due: Timestamp, now: Timestamp },
    /// The study neither finishes nor halts although nobody disturbs it.
    NeverEnds { steps: usize },
    /// A client that did nothing wrong gave up.
    HonestSiteStopped { site: SiteId, reason: String },
    /// A client spoke without being greeted, or a second time without waiting.
    OutOfTurn { site: SiteId, message: String },
    /// Something left a hospital while nothing may.
    SpokeWhileHeld { site: SiteId, message: String },
    /// Something is asked or expected of a site that has withdrawn, or counts.
    Pursued { site: SiteId },
    /// A client did the same work twice without having crashed in between.
    WorkRepeated { site: SiteId, order: OrderId },
    /// A site of another release was turned away although both have a version in common.
    NoCommonVersion { site: SiteId },
    /// A site was told something that its release does not know.
    TooNew { site: SiteId, known: u16 },
    /// An answer arrived before its blob.
    AnswerBeforeBlob { site: SiteId, order: OrderId },
}

/// What every step of the simulation returns.
pub(crate) type Checked = Result<(), Violation>;
