//! The hospital's word is last: nothing before its consent, nothing while it is held, nothing after a refusal.

use consilium_domain::*;

use super::tests::{at_work, order, outcome, welcome, welcome_in};
use super::*;
use crate::WITHDRAWALS_SINCE;
use crate::sample::study;

fn withdraw(reason: &str) -> Action {
    Action::Send(ToCoordinator::Withdraw { study: study().hash(), reason: reason.into() })
}

fn declined() -> Input {
    Input::Declined { reason: "not here".into() }
}

/// A site that waits for its hospital's word.
fn judging() -> Participant {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    site.handle(Input::Connected);
    assert!(matches!(site.handle(welcome(false))[..], [Action::Judge(_)]));
    site
}

#[test]
fn a_hospital_that_has_not_decided_is_connected_and_silent() {
    let mut site = judging();
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(welcome(false)), [], "it was asked before");
    assert!(matches!(site.handle(Input::Approved)[..], [Action::Prepare { .. }]));
    assert_eq!(site.handle(Input::Approved), [], "once is enough");
}

#[test]
fn a_decision_taken_while_the_connection_is_lost_counts_at_the_next_welcome() {
    let mut site = judging();
    site.handle(Input::Disconnected);
    assert_eq!(site.handle(Input::Approved), []);
    site.handle(Input::Connected);
    assert!(matches!(site.handle(welcome(false))[..], [Action::Prepare { .. }]));
}

#[test]
fn a_site_that_declines_says_so_until_it_is_confirmed() {
    let mut site = judging();
    assert_eq!(site.handle(declined()), [withdraw("not here")]);
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(welcome(false)), [withdraw("not here")]);
    assert_eq!(site.handle(Input::Approved), [], "it is final");
    assert_eq!(site.handle(Input::Received(ToSite::Withdrawn)), [Action::Withdrawn]);
    assert!(site.is_over());
}

#[test]
fn a_site_that_leaves_forgets_its_work_and_hears_nothing_else() {
    let mut site = at_work();
    assert_eq!(site.handle(declined()), [withdraw("not here")]);
    assert_eq!(site.handle(Input::WorkDone { order: order().id, result: Ok(outcome()) }), []);
    assert_eq!(site.handle(Input::Prepared(Err("disk".into()))), []);
    assert_eq!(site.handle(Input::Received(ToSite::Work(order()))), []);
    assert_eq!(site.handle(Input::Received(ToSite::Withdrawn)), [Action::Withdrawn]);
}

#[test]
fn an_older_coordinator_is_not_told_what_it_cannot_read() {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    site.handle(Input::Connected);
    site.handle(welcome_in(WITHDRAWALS_SINCE - 1, false));
    let stop = site.handle(declined());
    assert!(matches!(&stop[..], [Action::Stop { reason }] if reason.starts_with("not here")), "{stop:?}");
}

#[test]
fn a_withdrawal_that_this_site_has_forgotten_ends_it() {
    let mut site = judging();
    let stop = site.handle(Input::Received(ToSite::Withdrawn));
    assert!(matches!(&stop[..], [Action::Stop { reason }] if reason.contains("final")), "{stop:?}");
}

#[test]
fn while_held_a_result_waits_and_no_work_is_asked_for() {
    let mut site = at_work();
    let (id, upload) = (order().id, Action::Upload { order: order().id, blob: BlobRef::of(b"update") });
    site.handle(Input::Held);
    assert_eq!(site.handle(Input::WorkDone { order: id, result: Ok(outcome()) }), []);
    assert_eq!(site.handle(Input::Released), std::slice::from_ref(&upload));
    site.handle(Input::Held);
    assert_eq!(site.handle(Input::Uploaded(id)), [], "the answer waits too");
    assert!(matches!(site.handle(Input::Released)[..], [Action::Send(ToCoordinator::Answer { .. })]));
    site.handle(Input::Held);
    assert_eq!(site.handle(Input::Received(ToSite::Accepted { order: id })), []);
    assert_eq!(site.handle(Input::Released), [Action::Send(ToCoordinator::Ready)]);
    site.handle(Input::Held);
    assert_eq!(site.handle(Input::Received(ToSite::Work(order()))), [], "it was asked for earlier");
    assert_eq!(site.handle(Input::Released), [Action::Fetch(BlobRef::of(b"model"))]);
    assert_eq!(site.handle(Input::Released), []);
}

#[test]
fn while_held_a_site_does_not_enlist_and_may_leave() {
    let mut site = judging();
    site.handle(Input::Held);
    assert_eq!(site.handle(Input::Approved), []);
    assert_eq!(site.handle(declined()), [withdraw("not here")], "a withdrawal tells nothing of a patient");
}

#[test]
fn a_refused_order_is_answered_with_the_reason() {
    let mut site = at_work();
    let id = order().id;
    site.handle(Input::WorkDone { order: id, result: Ok(outcome()) });
    site.handle(Input::Uploaded(id));
    site.handle(Input::Received(ToSite::Accepted { order: id }));
    let failed = Action::Send(ToCoordinator::Failed { order: id, reason: "another arm".into() });
    assert_eq!(site.handle(Input::Refused { order: order(), reason: "another arm".into() }), [failed]);
    let unasked = site.handle(Input::Refused { order: order(), reason: "another arm".into() });
    assert!(matches!(unasked[..], [Action::Stop { .. }]));
}
