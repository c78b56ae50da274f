//! A participant through calm and broken sessions.

use consilium_domain::*;

use super::*;
use crate::TrainingOutcome;
use crate::sample::{excluding, fingerprints, study};

pub(super) fn order() -> WorkOrder {
    let lane = Lane { arm: Arm::Random, modality: Modality::Flair, fold: Fold(0) };
    WorkOrder::new(
        study().hash(),
        Task::Train { lane, round: Round(1), model: BlobRef::of(b"model"), classes: None, reductions: 0 },
    )
}

pub(super) fn outcome() -> Outcome {
    Outcome::Trained(TrainingOutcome {
        update: BlobRef::of(b"update"),
        cases: 4,
        mean_loss: 0.5,
        tuned_share: None,
        norm: 1.0,
        saturated: 0,
        seconds: 1.0,
    })
}

pub(super) fn welcome(enlisted: bool) -> Input {
    welcome_in(crate::PROTOCOL_VERSION, enlisted)
}

pub(super) fn welcome_in(version: u16, enlisted: bool) -> Input {
    Input::Received(ToSite::Welcome {
        version,
        features: Features::OURS,
        site: "a".parse().unwrap(),
        study: study().to_json(),
        base: None,
        standing: if enlisted { Standing::Enlisted } else { Standing::Invited },
    })
}

/// A site that has just taken `order()` and fetched its model.
pub(super) fn at_work() -> Participant {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    assert!(matches!(site.handle(Input::Connected)[..], [Action::Send(ToCoordinator::Hello { .. })]));
    assert_eq!(site.handle(welcome(false)), [Action::Judge(Box::new(study()))]);
    assert!(matches!(site.handle(Input::Approved)[..], [Action::Prepare { .. }]));
    let enlisted = site.handle(Input::Prepared(Ok(CohortSummary::default())));
    assert!(matches!(enlisted[..], [Action::Send(ToCoordinator::Enlist { .. })]));
    assert_eq!(site.handle(Input::Received(ToSite::Enlisted)), [Action::Send(ToCoordinator::Ready)]);
    let model = BlobRef::of(b"model");
    assert_eq!(site.handle(Input::Received(ToSite::Work(order()))), [Action::Fetch(model)]);
    assert_eq!(site.handle(Input::Fetched(model)), [Action::Execute(order())]);
    site
}

#[test]
fn a_calm_session_ends_with_the_answer_accepted() {
    let mut site = at_work();
    let id = order().id;
    let upload = Action::Upload { order: id, blob: BlobRef::of(b"update") };
    assert_eq!(site.handle(Input::WorkDone { order: id, result: Ok(outcome()) }), [upload]);
    let answer = Action::Send(ToCoordinator::Answer { order: id, outcome: outcome() });
    assert_eq!(site.handle(Input::Uploaded(id)), [answer]);
    let accepted = Input::Received(ToSite::Accepted { order: id });
    assert_eq!(site.handle(accepted), [Action::Send(ToCoordinator::Ready)]);
    assert_eq!(site.handle(Input::Received(ToSite::Finished)), [Action::Finish]);
    assert!(site.is_over());
}

#[test]
fn work_survives_the_connection_and_is_reported_after_it() {
    let mut site = at_work();
    let id = order().id;
    assert_eq!(site.handle(Input::Disconnected), []);
    assert_eq!(site.handle(Input::WorkDone { order: id, result: Ok(outcome()) }), []);
    site.handle(Input::Connected);
    let upload = Action::Upload { order: id, blob: BlobRef::of(b"update") };
    assert_eq!(site.handle(welcome(true)), std::slice::from_ref(&upload));
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(welcome(true)), [upload], "until it is there, it is sent again");
}

#[test]
fn answers_of_before_the_client_was_killed_are_reported_before_new_work_is_asked_for() {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    let first = OrderId(Digest::of(b"first"));
    let scored = Outcome::Fused(crate::FusionOutcome { groups: vec![], seconds: 1.0 });
    site.handle(Input::Connected);
    site.handle(welcome(true));
    for (order, outcome) in [(first, scored.clone()), (order().id, outcome())] {
        assert_eq!(site.handle(Input::Recovered { order, outcome }), [], "the hospital was not asked yet");
    }
    site.handle(Input::Approved);
    let answer = Action::Send(ToCoordinator::Answer { order: first, outcome: scored });
    assert_eq!(site.handle(Input::Prepared(Ok(CohortSummary::default()))), [answer]);
    let late = ToSite::Rejected { order: Some(first), rejection: Rejection::Late };
    let actions = site.handle(Input::Received(late));
    let answer = Action::Send(ToCoordinator::Answer { order: order().id, outcome: outcome() });
    assert!(
        matches!(&actions[..], [Action::Note(_), next] if *next == answer),
        "it may be there: {actions:?}"
    );
    let missing = Rejection::Update("it is not here".into());
    let missing = ToSite::Rejected { order: Some(order().id), rejection: missing };
    let upload = Action::Upload { order: order().id, blob: BlobRef::of(b"update") };
    let actions = site.handle(Input::Received(missing));
    assert!(matches!(&actions[..], [Action::Note(_), next] if *next == upload), "{actions:?}");
    assert_eq!(site.handle(Input::Uploaded(order().id)), [answer]);
    let accepted = Input::Received(ToSite::Accepted { order: order().id });
    assert_eq!(site.handle(accepted), [Action::Send(ToCoordinator::Ready)]);
}

#[test]
fn an_update_that_was_uploaded_is_answered_with_over_the_next_connection() {
    let mut site = at_work();
    let id = order().id;
    let upload = Action::Upload { order: id, blob: BlobRef::of(b"update") };
    let answer = Action::Send(ToCoordinator::Answer { order: id, outcome: outcome() });
    site.handle(Input::WorkDone { order: id, result: Ok(outcome()) });
    site.handle(Input::Uploaded(id));
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(welcome(true)), std::slice::from_ref(&answer), "its bytes do not go twice");
    let lost = ToSite::Rejected { order: Some(id), rejection: Rejection::Update("it is not here".into()) };
    let actions = site.handle(Input::Received(lost.clone()));
    assert!(matches!(&actions[..], [Action::Note(_), again] if *again == upload), "{actions:?}");
    assert_eq!(site.handle(Input::Uploaded(id)), [answer]);
    let actions = site.handle(Input::Received(lost));
    let [Action::Note(_), Action::Send(ToCoordinator::Failed { .. })] = &actions[..] else {
        panic!("it was there, and is no good: {actions:?}")
    };
}

#[test]
fn a_reconnection_during_work_neither_repeats_nor_forgets_it() {
    let mut site = at_work();
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(welcome(true)), []);
    let done = site.handle(Input::WorkDone { order: order().id, result: Err("diverged".into()) });
    assert_eq!(done, [Action::Send(ToCoordinator::Failed { order: order().id, reason: "diverged".into() })]);
}

#[test]
fn another_study_after_a_reconnection_stops_the_site() {
    let mut site = at_work();
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    let other = Study { seed: 2, ..study() };
    let welcome = ToSite::Welcome {
        version: 1,
        features: Features::OURS,
        site: "a".parse().unwrap(),
        study: other.to_json(),
        base: None,
        standing: Standing::Enlisted,
    };
    assert!(matches!(site.handle(Input::Received(welcome))[..], [Action::Stop { .. }]));
}

#[test]
fn a_site_waits_connected_until_a_study_needs_it() {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    site.handle(Input::Connected);
    assert!(matches!(site.handle(Input::Received(ToSite::Waiting))[..], [Action::Note(_)]));
    assert!(matches!(site.handle(welcome(false))[..], [Action::Judge(_)]));
    assert!(matches!(site.handle(Input::Approved)[..], [Action::Prepare { .. }]));
}

#[test]
fn a_site_that_comes_back_to_no_study_knows_that_its_own_has_ended() {
    let mut site = at_work();
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    let [Action::Stop { reason }] = &site.handle(Input::Received(ToSite::Waiting))[..] else {
        panic!("ended")
    };
    assert!(reason.contains("ended while this site was away"), "{reason}");
    assert!(site.is_over());
}

#[test]
fn a_refused_answer_is_dropped_and_the_site_goes_on() {
    let mut site = at_work();
    let id = order().id;
    site.handle(Input::WorkDone { order: id, result: Ok(outcome()) });
    site.handle(Input::Uploaded(id));
    let refused = Input::Received(ToSite::Rejected { order: Some(id), rejection: Rejection::Late });
    let actions = site.handle(refused);
    assert!(matches!(actions[..], [Action::Note(_), Action::Send(ToCoordinator::Ready)]));
}

#[test]
fn what_ends_before_the_welcome_waits_for_it() {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    site.handle(Input::Connected);
    site.handle(welcome(true));
    site.handle(Input::Approved);
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    assert_eq!(site.handle(Input::Prepared(Ok(CohortSummary::default()))), [], "not welcomed yet");
    assert_eq!(site.handle(welcome(true)), [Action::Send(ToCoordinator::Ready)], "and then asked once");
}

#[test]
fn an_answer_that_does_not_fit_becomes_a_failure_with_the_reason() {
    let mut site = at_work();
    let id = order().id;
    site.handle(Input::WorkDone { order: id, result: Ok(outcome()) });
    site.handle(Input::Uploaded(id));
    let rejection = Rejection::Answer("it trained on 5 cases".into());
    let refused = ToSite::Rejected { order: Some(id), rejection };
    let actions = site.handle(Input::Received(refused.clone()));
    let [Action::Note(_), Action::Send(ToCoordinator::Failed { order, reason })] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert!(*order == id && reason.contains("5 cases"), "{reason}");
    let actions = site.handle(Input::Received(refused));
    assert!(matches!(actions[..], [Action::Note(_), Action::Send(ToCoordinator::Ready)]), "refused for good");
}

/// A site that compares, and was just told what `standing` says.
fn comparing(standing: Standing) -> (Participant, Vec<Action>) {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    site.handle(Input::Connected);
    assert!(matches!(site.handle(greeting(standing))[..], [Action::Judge(_)]));
    let actions = site.handle(Input::Approved);
    (site, actions)
}

fn greeting(standing: Standing) -> Input {
    let site = "a".parse().unwrap();
    let study = excluding(&["a"], 1).to_json();
    Input::Received(ToSite::Welcome {
        version: 4,
        features: Features::OURS,
        site,
        study,
        base: None,
        standing,
    })
}

fn duplicates(cases: usize, exclude: &[u32]) -> Input {
    let of = Fingerprint::digest_of(&fingerprints(cases));
    Input::Received(ToSite::Duplicates { of, exclude: exclude.to_vec() })
}

/// Number, whether it is the last, and cases of each part that is sent.
fn parts(actions: &[Action]) -> Vec<(u32, bool, usize)> {
    let part = |action: &Action| match action {
        Action::Send(ToCoordinator::Fingerprints { part, last, cases, .. }) => (*part, *last, cases.len()),
        other => panic!("{other:?}"),
    };
    actions.iter().map(part).collect()
}

#[test]
fn a_site_sends_all_its_fingerprints_and_enlists_without_the_duplicates() {
    let (mut site, actions) = comparing(Standing::Awaited);
    assert!(matches!(actions[..], [Action::Fingerprint(_)]));
    let sent = site.handle(Input::Fingerprinted(Ok(fingerprints(45))));
    assert_eq!(parts(&sent), [(0, false, 20), (1, false, 20), (2, true, 5)]);
    let prepare = site.handle(duplicates(45, &[3, 44]));
    let [Action::Prepare { exclude, .. }] = &prepare[..] else { panic!("{prepare:?}") };
    assert_eq!(*exclude, [3, 44]);
    assert_eq!(site.handle(duplicates(45, &[3, 44])), [], "told again");
    let enlist = site.handle(Input::Prepared(Ok(CohortSummary::default())));
    assert!(matches!(enlist[..], [Action::Send(ToCoordinator::Enlist { .. })]));
    assert_eq!(site.handle(Input::Received(ToSite::Enlisted)), [Action::Send(ToCoordinator::Ready)]);
    assert_eq!(site.handle(duplicates(45, &[3, 44])), [], "a second request for work would come unasked");
}

#[test]
fn a_site_without_a_case_says_so() {
    let (mut site, _) = comparing(Standing::Awaited);
    assert_eq!(parts(&site.handle(Input::Fingerprinted(Ok(vec![])))), [(0, true, 0)]);
}

#[test]
fn a_lost_connection_costs_one_sending_and_no_fingerprinting() {
    let (mut site, _) = comparing(Standing::Awaited);
    site.handle(Input::Disconnected);
    assert_eq!(site.handle(Input::Fingerprinted(Ok(fingerprints(2)))), [], "nobody hears it");
    site.handle(Input::Connected);
    assert_eq!(parts(&site.handle(greeting(Standing::Awaited))), [(0, true, 2)]);
    site.handle(Input::Disconnected);
    site.handle(Input::Connected);
    let of = Fingerprint::digest_of(&fingerprints(2));
    assert_eq!(site.handle(greeting(Standing::Fingerprinted { of })), [], "they are there");
}

#[test]
fn a_restarted_client_is_told_again_and_checks_that_the_numbers_mean_its_cases() {
    let of = Fingerprint::digest_of(&fingerprints(3));
    for standing in [Standing::Fingerprinted { of }, Standing::Enlisted] {
        // The news may come before or after the fingerprints are made again.
        for early in [true, false] {
            let (mut site, actions) = comparing(standing);
            assert!(matches!(actions[..], [Action::Fingerprint(_)]));
            let made = Input::Fingerprinted(Ok(fingerprints(3)));
            let [first, second] =
                if early { [duplicates(3, &[1]), made] } else { [made, duplicates(3, &[1])] };
            assert_eq!(site.handle(first), []);
            let prepare = site.handle(second);
            assert!(matches!(&prepare[..], [Action::Prepare { exclude, .. }] if *exclude == [1]));
        }
    }
}

#[test]
fn a_changed_folder_is_sent_anew_until_it_is_too_late() {
    let of = Fingerprint::digest_of(&fingerprints(3));
    let (mut site, _) = comparing(Standing::Fingerprinted { of });
    assert_eq!(parts(&site.handle(Input::Fingerprinted(Ok(fingerprints(4))))), [(0, true, 4)]);
    let stop = site.handle(duplicates(3, &[1]));
    assert!(
        matches!(&stop[..], [Action::Stop { reason }] if reason.contains("restore the folder")),
        "{stop:?}"
    );
}

#[test]
fn numbers_that_are_no_cases_stop_the_site() {
    for exclude in [&[3][..], &[1, 1], &[2, 0]] {
        let (mut site, _) = comparing(Standing::Awaited);
        site.handle(Input::Fingerprinted(Ok(fingerprints(3))));
        let stop = site.handle(duplicates(3, exclude));
        assert!(matches!(stop[..], [Action::Stop { .. }]), "{exclude:?} gives {stop:?}");
    }
}
