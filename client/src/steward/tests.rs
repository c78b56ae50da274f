//! Decisions by rule and by hand, and that they survive.

use std::sync::atomic::{AtomicU64, Ordering};

use consilium_domain::Study;

use super::*;
use crate::policy::tests::{policy, study};

fn steward(folder: &Path, text: &str) -> Steward {
    Steward::open(folder, policy(text), Clock::new(|| Timestamp(1_800_000_000_000))).unwrap()
}

fn refused(answer: Answer) -> String {
    if let Answer::Refused(reason) = answer { reason } else { panic!("{answer:?}") }
}

fn done(answer: Answer) {
    assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
}

fn digits(study: &Study) -> String {
    study.hash().to_string()[..8].to_owned()
}

#[test]
fn a_rule_decides_within_the_policy_and_outside_it() {
    let folder = tempfile::tempdir().unwrap();
    let study = study();
    let mut steward = steward(folder.path(), "approval = 'rule'");
    assert_eq!(steward.word_on(&study.hash()), Word::Pending);
    steward.offered(&study).unwrap();
    assert_eq!(steward.word_on(&study.hash()), Word::Approved);
    drop(steward);
    // The policy became stricter: yesterday's approval by rule is none today.
    let mut steward = self::steward(folder.path(), "approval = 'rule'\n[study]\nmost_rounds = 1");
    steward.offered(&study).unwrap();
    let Word::Refused(reason) = steward.word_on(&study.hash()) else { panic!("it must be refused") };
    assert!(reason.contains("policy") && reason.contains("at most 1"), "{reason}");
    let approve = Request::Approve { study: digits(&study) };
    assert!(refused(steward.answer(approve)).contains("outside the policy cannot be approved"));
}

#[test]
fn a_person_decides_once_and_it_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (study, other) = (study(), Study { seed: 9, ..study() });
    let mut steward = steward(folder.path(), "");
    steward.offered(&study).unwrap();
    steward.offered(&other).unwrap();
    assert_eq!(steward.word_on(&study.hash()), Word::Pending);
    let leave = |study: &Study| Request::Leave { study: digits(study), reason: Some("enough".into()) };
    let decline = |study: &Study| Request::Decline { study: digits(study), reason: None };
    assert!(refused(steward.answer(leave(&study))).contains("use `decline`"));
    done(steward.answer(Request::Approve { study: digits(&study) }));
    done(steward.answer(decline(&other)));
    drop(steward);
    let mut steward = self::steward(folder.path(), "");
    assert_eq!(steward.word_on(&study.hash()), Word::Approved);
    assert_eq!(steward.word_on(&other.hash()), Word::Refused("declined by this site".into()));
    assert!(refused(steward.answer(decline(&study))).contains("use `leave`"));
    done(steward.answer(leave(&study)));
    assert_eq!(steward.word_on(&study.hash()), Word::Refused("left by this site: enough".into()));
    assert!(refused(steward.answer(Request::Approve { study: digits(&study) })).contains("final"));
    let Answer::Studies(views) = steward.answer(Request::Studies) else { panic!("views") };
    assert_eq!((views[0].decision.as_str(), views[0].decided_by.as_deref()), ("left", Some("hand")));
    assert!(views[0].to_string().contains("LEFT  mgmt-pilot") && views[0].to_string().contains(": enough"));
}

#[test]
fn a_study_is_named_by_enough_digits_of_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let mut steward = steward(folder.path(), "");
    steward.offered(&study()).unwrap();
    let hash = study().hash().to_string();
    let mut approve = |study: &str| steward.answer(Request::Approve { study: study.into() });
    for wrong in [&hash[..7], "not a hash", "", &format!("{hash}0")] {
        assert!(refused(approve(wrong)).contains("names no study"), "{wrong}");
    }
    let absent = if hash.starts_with("00000000") { "11111111" } else { "00000000" };
    assert!(refused(approve(absent)).contains("no study begins with"));
    done(approve(&hash[..8].to_uppercase()));
    done(approve(&"ab".repeat(32)));
    assert_eq!(steward.decisions.records().len(), 2, "a whole hash may be decided on before it is offered");
}

#[test]
fn an_approval_before_the_offer_counts_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut steward = steward(folder.path(), "");
    done(steward.answer(Request::Approve { study: study().hash().to_string() }));
    steward.offered(&study()).unwrap();
    assert_eq!(steward.word_on(&study().hash()), Word::Approved);
}

#[test]
fn what_breaks_the_policy_later_ends_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let mut steward = steward(folder.path(), "");
    steward.offered(&study()).unwrap();
    done(steward.answer(Request::Approve { study: digits(&study()) }));
    steward.refuse(study().hash(), "9 of 10 cases are to go").unwrap();
    let word = steward.word_on(&study().hash());
    assert_eq!(word, Word::Refused("left by this site's policy: 9 of 10 cases are to go".into()));
}

#[test]
fn a_pause_survives_a_restart_and_hours_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let hours = "[hours]\nfrom = '00:00'\nto = '01:00'\nutc_offset = '+00:00'";
    static NOW: AtomicU64 = AtomicU64::new(59 * 60_000);
    let open =
        || Steward::open(folder.path(), policy(hours), Clock::new(|| Timestamp(NOW.load(Ordering::Relaxed))));
    let mut steward = open().unwrap();
    assert!(steward.may_leave() && steward.next_look() == LOOK_INTERVAL);
    done(steward.answer(Request::Pause));
    done(steward.answer(Request::Pause));
    drop(steward);
    let mut steward = open().unwrap();
    assert!(steward.is_paused() && !steward.may_leave());
    done(steward.answer(Request::Resume));
    assert!(steward.may_leave());
    NOW.store(60 * 60_000 - 1, Ordering::Relaxed);
    assert!(steward.may_leave() && steward.next_look() == Duration::from_millis(1));
    NOW.store(60 * 60_000, Ordering::Relaxed);
    assert!(!steward.may_leave());
}

#[test]
fn one_client_at_a_time_and_nothing_damaged_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let first = steward(folder.path(), "");
    let second = Steward::open(folder.path(), policy(""), Clock::system());
    assert!(matches!(second, Err(DecisionsError::Held { .. })));
    drop(first);
    std::fs::write(folder.path().join("decisions.json"), r#"{"paused_since":null,"studies":[],"x":1}"#)
        .unwrap();
    let damaged = Steward::open(folder.path(), policy(""), Clock::system());
    assert!(matches!(damaged, Err(DecisionsError::Damaged { .. })));
}

#[test]
fn offers_without_end_do_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut decisions = Decisions::open(folder.path()).unwrap();
    let named = |seed| Study { seed, ..study() }.hash();
    decisions
        .change(|book| {
            let decided =
                Decided { verdict: Verdict::Declined, by: DecidedBy::Hand, at: Timestamp(0), reason: None };
            book.record_of(named(0)).decided = Some(decided);
            (1..2_000).for_each(|seed| drop(book.record_of(named(seed)).offer.take()));
        })
        .unwrap();
    assert_eq!(decisions.records().len(), 500);
    assert!(decisions.find(&named(0)).is_some(), "a person's word stays");
    assert!(decisions.find(&named(1_999)).is_some() && decisions.find(&named(1)).is_none());
}

#[test]
fn times_are_dates() {
    assert_eq!(view::utc(Timestamp(0)), "1970-01-01 00:00 UTC");
    assert_eq!(view::utc(Timestamp(1_795_367_100_000)), "2026-11-22 17:05 UTC");
    assert_eq!(view::utc(Timestamp(1_709_251_199_000)), "2024-02-29 23:59 UTC");
}
