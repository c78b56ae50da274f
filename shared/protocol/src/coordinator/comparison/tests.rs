//! A comparison from the first part to the pinned roster.

use consilium_domain::{
    Arm, BlobRef, ClassCounts, CohortSummary, ImageTokens, Modality, ModalityCounts, SiteId,
};

use super::*;
use crate::coordinator::{Event, FirstModels, Opening};
use crate::sample::{excluding, fingerprints, study};

const START: Timestamp = Timestamp(1_000_000);

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn open(sites: &[&str], quorum: u16) -> Coordinator {
    let models = FirstModels {
        base: None,
        initial: [(Arm::Random, BlobRef::of(b"first"))].into(),
        update_bytes: [(Arm::Random, 8)].into(),
    };
    Coordinator::open(START, Opening { study: excluding(sites, quorum), models })
}

fn part(name: &str, part: u32, last: bool, cases: &[Fingerprint]) -> Event {
    Event::FingerprintsSent { site: site(name), part, last, cases: cases.to_vec() }
}

fn all(name: &str, cases: usize) -> Event {
    part(name, 0, true, &fingerprints(cases))
}

fn enlist(name: &str, patients: u32) -> Event {
    let fold = ClassCounts { methylated: patients, unmethylated: 0 };
    let counts =
        ModalityCounts { folds: vec![fold, ClassCounts::default()], holdout: ClassCounts::default() };
    let cohort = CohortSummary { modalities: [(Modality::Flair, counts)].into(), ..CohortSummary::default() };
    Event::SiteEnlisted { site: site(name), cohort }
}

fn excluded(state: &Coordinator, name: &str) -> Vec<u32> {
    state.exclusion(&site(name)).unwrap().cases.clone()
}

#[track_caller]
fn refused(state: &Coordinator, event: &Event, words: &str) {
    let rejection = state.admit(START, event).unwrap_err();
    assert!(rejection.to_string().contains(words), "`{words}` is missing from `{rejection}`");
}

#[test]
fn everybody_is_compared_as_soon_as_everything_is_there() {
    let mut state = open(&["a", "b"], 1);
    let cases = fingerprints(25);
    state.handle(START, part("a", 0, false, &cases[..20])).unwrap();
    state.handle(START, all("b", 3)).unwrap();
    assert_eq!(state.standing(&site("a")), Standing::Awaited);
    let of = Fingerprint::digest_of(&cases[..3]);
    assert_eq!(state.standing(&site("b")), Standing::Fingerprinted { of });
    refused(&state, &enlist("b", 1), "after the fingerprints were compared");
    assert_eq!(state.exclusion(&site("b")), None);
    state.handle(START, part("a", 1, true, &cases[20..])).unwrap();
    assert_eq!((excluded(&state, "a"), excluded(&state, "b")), (vec![0, 1, 2], vec![]));
    let of = Fingerprint::digest_of(&cases);
    assert_eq!(state.exclusion(&site("a")).unwrap().of, of);
    assert_eq!(state.standing(&site("a")), Standing::Fingerprinted { of });
    refused(&state, &enlist("a", 23), "leave out the duplicates");
    refused(&state, &all("a", 25), "restore the folder");
    state.handle(START, enlist("a", 22)).unwrap();
    assert_eq!((state.standing(&site("a")), state.phase()), (Standing::Enlisted, &Phase::Enrolling));
}

#[test]
fn a_site_that_did_not_send_everything_in_time_does_not_take_part() {
    let mut state = open(&["a", "b", "c"], 1);
    state.handle(START, all("a", 4)).unwrap();
    state.handle(START, part("b", 0, false, &fingerprints(20))).unwrap();
    let end = state.next_timeout().unwrap();
    assert_eq!(end, START.plus_secs(1_000));
    state.handle(end, Event::TimePassed).unwrap();
    assert_eq!(excluded(&state, "a"), [0u32; 0], "what b sent of its cases counts for nothing");
    assert_eq!(state.next_timeout(), Some(end.plus_secs(100)), "now the sites prepare and enlist");
    refused(&state, &part("b", 1, true, &[]), "started without this site");
    refused(&state, &all("c", 1), "started without this site");
    refused(&state, &enlist("b", 0), "started without this site");
    state.handle(end, enlist("a", 4)).unwrap();
    assert_ne!(*state.phase(), Phase::Enrolling, "nobody else can come");
}

#[test]
fn below_the_quorum_nothing_is_compared() {
    let mut state = open(&["a", "b"], 2);
    state.handle(START, all("a", 4)).unwrap();
    state.handle(START.plus_secs(1_000), Event::TimePassed).unwrap();
    let Phase::Halted { reason, .. } = state.phase() else { panic!("{:?}", state.phase()) };
    assert!(reason.contains("1 training site(s) sent the fingerprints"), "{reason}");
}

#[test]
fn a_site_may_start_over_until_it_is_compared() {
    let mut state = open(&["a", "b"], 1);
    state.handle(START, part("a", 0, false, &fingerprints(20))).unwrap();
    for cases in [5, 3] {
        state.handle(START, all("a", cases)).unwrap();
        let of = Fingerprint::digest_of(&fingerprints(cases));
        assert_eq!(state.standing(&site("a")), Standing::Fingerprinted { of });
    }
    (3..MAX_STARTS).for_each(|_| drop(state.handle(START, all("a", 3)).unwrap()));
    refused(&state, &all("a", 3), "100 times");
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let mut state = open(&["a", "b"], 1);
    let many = fingerprints(21);
    refused(&state, &all("stranger", 1), "not invited");
    refused(&state, &part("a", 1, true, &[]), "out of turn");
    refused(&state, &part("a", 0, true, &many), "every part but the last");
    refused(&state, &part("a", 0, false, &many[..19]), "every part but the last");
    let names = Fingerprint { aliases: [many[0].aliases[0]; 5].to_vec(), ..Fingerprint::default() };
    refused(&state, &part("a", 0, true, &[names]), "more than 4 names");
    let image = ImageTokens([many[0].aliases[0]; consilium_domain::IMAGE_BANDS]);
    let other = Fingerprint { images: [(Modality::T2, image)].into(), ..Fingerprint::default() };
    refused(&state, &part("a", 0, true, &[other]), "not in the study");
    state.handle(START, part("a", 0, false, &many[..20])).unwrap();
    for number in [2, 3] {
        refused(&state, &part("a", number, true, &[]), "out of turn");
    }
    for number in 1..(MAX_FINGERPRINTS / MAX_PART_CASES) as u32 {
        state.handle(START, part("a", number, false, &many[..20])).unwrap();
    }
    let next = (MAX_FINGERPRINTS / MAX_PART_CASES) as u32;
    refused(&state, &part("a", next, false, &many[..20]), "at most 8192 cases");
    state.handle(START, part("a", next, true, &many[..12])).unwrap();
    refused(&state, &part("a", next + 1, true, &[]), "out of turn");
}

#[test]
fn a_study_that_ignores_duplicates_wants_no_fingerprints() {
    let opening = Opening { study: study(), models: FirstModels::default() };
    let state = Coordinator::open(START, opening);
    assert_eq!(state.standing(&site("a")), Standing::Invited);
    refused(&state, &all("a", 1), "compares no fingerprints");
}
