//! A participant through calm and broken sessions.

use consilium_domain::network::{Depth, NetworkSpec};
use consilium_domain::*;

use super::*;
use crate::TrainingOutcome;

fn study() -> Study {
    Study {
        name: "test".into(),
        seed: 1,
        arms: vec![Arm::Random],
        modalities: vec![Modality::Flair],
        evaluation: Evaluation { folds: 2, holdout_fraction: 0.3, bins: 8 },
        preprocessing: Preprocessing::TumourCrop { side: 8 },
        network: NetworkSpec { depth: Depth::D10, width: 1 },
        training: Training {
            rounds: 1,
            local_epochs: 1,
            batch_size: 2,
            learning_rate: 0.1,
            policy_learning_rate: 0.1,
            weight_decay: 0.0,
            temperature: 1.0,
            norm: NormMode::Batch,
            precision: Precision::F32,
            class_balance: ClassBalance::None,
            augmentation: AugmentationSpec::default(),
        },
        federation: Federation {
            sites: vec!["a".parse().unwrap()],
            training_sites: vec![],
            quorum: 1,
            enrolment_secs: 1,
            deadline_secs: 1,
            absence_grace_secs: 1,
            fixed_point: FixedPoint { clip: 64, fraction_bits: 24 },
        },
    }
}

fn order() -> WorkOrder {
    let lane = Lane { arm: Arm::Random, modality: Modality::Flair, fold: Fold(0) };
    WorkOrder::new(study().hash(), Task::Train { lane, round: Round(1), model: BlobRef::of(b"model") })
}

fn outcome() -> Outcome {
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

fn welcome(enlisted: bool) -> Input {
    Input::Received(ToSite::Welcome {
        version: 1,
        site: "a".parse().unwrap(),
        study: study().to_json(),
        base: None,
        enlisted,
    })
}

/// A site that has just taken `order()` and fetched its model.
fn at_work() -> Participant {
    let mut site = Participant::new("a".parse().unwrap(), "test 1".into());
    assert!(matches!(site.handle(Input::Connected)[..], [Action::Send(ToCoordinator::Hello { .. })]));
    assert!(matches!(site.handle(welcome(false))[..], [Action::Prepare(_)]));
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
    assert_eq!(site.handle(welcome(true)), [upload], "until it is accepted, it is sent again");
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
        site: "a".parse().unwrap(),
        study: other.to_json(),
        base: None,
        enlisted: true,
    };
    assert!(matches!(site.handle(Input::Received(welcome))[..], [Action::Stop { .. }]));
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
