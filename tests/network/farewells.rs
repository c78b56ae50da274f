//! The end of a study, for a site that is not there just then.

use std::time::Duration;

use consilium_client::Ending;
use consilium_domain::SiteId;
use consilium_protocol::coordinator::Event;
use consilium_simulator::dry_run::{DryRun, DrySite, Faults, Line, Played};

use crate::consortium::{Patience, check, everybody_knows, finished, names, play, run, site, study};

/// The second site is so far away that its last answer is on its way for seconds when the others' are there.
fn sites() -> Vec<DrySite> {
    let mut sites: Vec<_> = names(3).into_iter().map(|id| site(id, Line::LAN)).collect();
    sites[1].line.latency = Duration::from_millis(1_500);
    sites
}

/// The same study with the first site cut off for `length`, from when it has answered everything, shortly before the end.
fn cut_at_the_end(length: &str) -> DryRun {
    let calm = play(&run(study(3, Patience::Long), sites(), Faults::default(), 1)).unwrap();
    let Played { events, makespan, .. } = &calm;
    let end = events.last().unwrap().0.0;
    let first: SiteId = names(3).remove(0);
    let of_first = |event: &Event| matches!(event, Event::OrderAnswered { site, .. } if *site == first);
    let (last, _) = events.iter().rfind(|(_, event)| of_first(event)).unwrap();
    let left = end - last.0;
    assert!(left > 1_000, "{left} ms between its last answer and the end");
    let from = makespan.as_millis() - u128::from(left / 2);
    let faults = format!("cut:1@{from}ms+{length}").parse().unwrap();
    run(study(3, Patience::Long), sites(), faults, 1)
}

/// It looks for the coordinator every half a minute at least, and the coordinator waits for that.
#[test]
fn a_site_that_is_on_its_way_back_hears_that_the_study_is_over() {
    let run = cut_at_the_end("15s");
    let played = play(&run).unwrap();
    finished(&check(&run.study, &played.events).unwrap(), &played).unwrap();
    assert!(everybody_knows(&played), "{:?}", played.sites);
}

/// The process of the coordinator is gone for ever by then.
#[test]
fn a_client_for_one_study_does_not_look_for_its_coordinator_for_ever() {
    let mut run = cut_at_the_end("1h");
    run.aftermath = Duration::from_hours(4 * 24);
    let played = play(&run).unwrap();
    let endings: Vec<_> = played.sites.into_iter().map(|site| site.ending.expect("it ends")).collect();
    assert_eq!(endings, [Ending::OutOfReach, Ending::Finished, Ending::Finished]);
}
