//! Sites that decline and leave, before and after everything.

use consilium_domain::{
    Arm, BlobRef, ClassCounts, CohortSummary, Duplicates, Modality, ModalityCounts, Study,
};

use super::super::{Effect, Event, FirstModels, Opening, Phase};
use super::*;
use crate::sample::{excluding, fingerprints};
use crate::{Outcome, Timestamp, TrainingOutcome};

const NOW: Timestamp = Timestamp(1);

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn open(quorum: u16, duplicates: Duplicates) -> Coordinator {
    let mut study: Study = excluding(&["a", "b", "c"], quorum);
    study.federation.duplicates = duplicates;
    let models = FirstModels {
        base: None,
        initial: [(Arm::Random, BlobRef::of(b"first"))].into(),
        update_bytes: [(Arm::Random, 8)].into(),
    };
    Coordinator::open(NOW, Opening { study, models })
}

fn enlist(state: &mut Coordinator, name: &str) -> Vec<Effect> {
    let each = ClassCounts { methylated: 2, unmethylated: 2 };
    let counts = ModalityCounts { folds: vec![each; 2], holdout: each };
    let cohort = CohortSummary { modalities: [(Modality::Flair, counts)].into(), ..CohortSummary::default() };
    state.handle(NOW, Event::SiteEnlisted { site: site(name), cohort }).unwrap()
}

fn withdraw(state: &mut Coordinator, name: &str) -> Vec<Effect> {
    let event = Event::SiteWithdrew { site: site(name), reason: "our policy".into() };
    state.handle(NOW, event).unwrap()
}

fn running(quorum: u16) -> Coordinator {
    let mut state = open(quorum, Duplicates::Ignore);
    for name in ["a", "b", "c"] {
        enlist(&mut state, name);
    }
    assert!(matches!(state.phase(), Phase::Running { .. }));
    state
}

/// `name` answers its first order.
fn train(state: &mut Coordinator, name: &str) -> Vec<Effect> {
    let order = state.next_order(&site(name)).unwrap().id;
    let outcome = Outcome::Trained(TrainingOutcome {
        update: BlobRef { bytes: 8, ..BlobRef::of(name.as_bytes()) },
        cases: 4,
        mean_loss: 0.5,
        tuned_share: None,
        norm: 1.0,
        saturated: 0,
        seconds: 1.0,
    });
    state.handle(NOW, Event::OrderAnswered { site: site(name), order, outcome }).unwrap()
}

#[test]
fn enrolment_ends_without_a_site_that_declines() {
    let mut state = open(2, Duplicates::Ignore);
    enlist(&mut state, "a");
    enlist(&mut state, "b");
    let effects = withdraw(&mut state, "c");
    assert_eq!(effects, [Effect::SiteWithdrew { site: site("c"), reason: "our policy".into() }]);
    assert!(matches!(state.phase(), Phase::Running { .. }));
    let member = state.roster().member(&site("c")).unwrap();
    assert_eq!(member.withdrawal.as_ref().unwrap().reason, "our policy");
    assert!(member.cohort.is_none());
}

#[test]
fn a_study_that_too_many_decline_is_halted_at_once_with_their_reasons() {
    let mut state = open(2, Duplicates::Ignore);
    withdraw(&mut state, "b");
    let effects = withdraw(&mut state, "c");
    let [_, Effect::Halt { reason }] = &effects[..] else { panic!("{effects:?}") };
    assert!(reason.contains("b: our policy") && reason.contains("quorum is 2"), "{reason}");
}

#[test]
fn what_a_site_contributed_stays_and_its_open_orders_are_missing_with_the_reason() {
    let mut state = running(2);
    train(&mut state, "a");
    withdraw(&mut state, "a");
    train(&mut state, "b");
    // c is not waited for in this lane either.
    let effects = withdraw(&mut state, "c");
    let [_, Effect::WentOnWithout { missing, .. }, Effect::Aggregate { contributions, .. }, ..] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    let contributors: Vec<_> = contributions.iter().map(|contribution| contribution.site.as_str()).collect();
    assert_eq!(contributors, ["a", "b"]);
    assert_eq!(missing[&site("c")], "the site withdrew: our policy");
}

#[test]
fn the_quorum_is_not_lowered_by_those_who_leave() {
    let mut state = running(2);
    for name in ["a", "b", "c"] {
        train(&mut state, name);
    }
    withdraw(&mut state, "a");
    let effects = withdraw(&mut state, "b");
    let [.., Effect::Halt { reason }] = &effects[..] else { panic!("{effects:?}") };
    assert!(reason.contains("a") && reason.contains("the site withdrew: our policy"), "{reason}");
}

#[test]
fn nothing_is_asked_of_a_site_that_left_and_nothing_it_says_counts() {
    let mut state = running(1);
    let order = state.next_order(&site("a")).unwrap().id;
    withdraw(&mut state, "a");
    assert_eq!(state.next_order(&site("a")), None);
    assert!(!state.awaits_update(&site("a"), 8));
    let failed = Event::OrderFailed { site: site("a"), order, reason: "late".into() };
    let again = Event::SiteWithdrew { site: site("a"), reason: "again".into() };
    for event in [failed, again] {
        assert!(
            matches!(state.admit(NOW, &event), Err(Rejection::OutOfTurn(reason)) if reason.contains("final"))
        );
    }
    train(&mut state, "b");
    let effects = train(&mut state, "c");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Aggregate { .. })), "{effects:?}");
}

#[test]
fn the_comparison_goes_on_without_the_patients_of_a_site_that_declines() {
    let mut state = open(2, Duplicates::Exclude);
    let sent = |name: &str, cases| Event::FingerprintsSent {
        site: site(name),
        part: 0,
        last: true,
        cases: fingerprints(cases),
    };
    // c has fewest cases, so its copies would stay.
    for (name, cases) in [("a", 3), ("c", 1)] {
        state.handle(NOW, sent(name, cases)).unwrap();
    }
    withdraw(&mut state, "c");
    assert!(!state.has_compared());
    state.handle(NOW, sent("b", 2)).unwrap();
    assert!(state.has_compared() && state.exclusion(&site("c")).is_none());
    assert_eq!(state.exclusion(&site("b")).unwrap().cases, [0u32; 0], "c's copy keeps nobody out");
    assert_eq!(state.exclusion(&site("a")).unwrap().cases, [0, 1]);
}
