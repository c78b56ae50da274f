//! What must be true of a study that nothing disturbs, and of what a dry run shows of it.

use std::time::Duration;

use consilium_client::{DRY_STUDY, Ending};
use consilium_protocol::coordinator::Phase;
use consilium_simulator::dry_run::{DryOutcome, Faults, Line};

use crate::consortium::{Patience, check, everybody_knows, finished, models, names, play, run, site, study};

/// DESIGN: one site of four three times slower, five folds. While it works on one lane the others work on the next, so
/// the study takes hardly longer than that site alone.
#[test]
fn a_slow_site_costs_its_own_time_once() {
    let mut study = study(4, Patience::Long);
    study.evaluation.folds = 5;
    study.training.rounds = 4;
    let sites = names(4).into_iter().map(|id| {
        let mut site = site(id, Line::WAN);
        site.cases = 40;
        site.pace.training = Duration::from_secs(2);
        site.pace.scoring = Duration::from_millis(500);
        site
    });
    let run = run(study, sites.collect(), "slow:4=3".parse().unwrap(), 1);
    let played = play(&run).unwrap();
    let state = check(&run.study, &played.events).unwrap();
    finished(&state, &played).unwrap();
    assert!(everybody_knows(&played));
    let (slow, makespan) = (played.sites[3].busy, played.makespan);
    assert!(slow > 2 * played.sites[0].busy, "it is the slow one");
    assert!(makespan <= slow.mul_f64(1.15), "{makespan:?} for {slow:?} of work");
}

#[test]
fn a_calm_study_loses_nothing_and_its_plan_says_what_it_is() {
    let sites = names(3).into_iter().map(|id| site(id, Line::LAN)).collect();
    let run = run(study(3, Patience::Long), sites, Faults::default(), 1);
    let played = play(&run).unwrap();
    let state = check(&run.study, &played.events).unwrap();
    finished(&state, &played).unwrap();
    assert!(everybody_knows(&played));
    assert_eq!(models(&played.events).len(), run.study.lanes().len() * 2);
    let outcome = DryOutcome::of(&run, &played);
    assert!(outcome.to_string().starts_with("DRY RUN: nothing was trained"), "{outcome}");
    assert!(outcome.sites.iter().all(|site| site.updates == 4 && site.working_secs > 1.0), "{outcome}");
    // One model down and one update up for each of four rounds, at least.
    assert!(outcome.sites.iter().all(|site| site.sent_bytes > 20_000 && site.received_bytes > 20_000));
}

/// No hospital's study is answered with drawn numbers.
#[test]
fn a_client_pretends_for_no_study_but_a_dry_one() {
    let mut study = study(3, Patience::Short);
    study.name = "a real study".into();
    let sites = names(3).into_iter().map(|id| site(id, Line::LAN)).collect();
    let run = run(study, sites, Faults::default(), 1);
    let played = play(&run).unwrap();
    let state = check(&run.study, &played.events).unwrap();
    assert!(matches!(state.phase(), Phase::Halted { .. }), "{:?}", state.phase());
    assert!(models(&played.events).is_empty());
    for site in &played.sites {
        let Some(Ending::Stopped { reason }) = &site.ending else { panic!("{:?}", site.ending) };
        assert!(reason.contains(DRY_STUDY), "{reason}");
    }
}
