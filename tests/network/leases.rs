//! Both daemons: a site that is slow says how far it is, and its rounds wait for it.

use std::time::Duration;

use consilium_protocol::coordinator::Event;
use consilium_simulator::dry_run::{Faults, Line};

use crate::consortium::{Patience, check, finished, names, play, run, site, study};

#[test]
fn an_order_may_take_several_deadlines_where_it_gets_further() {
    let study = study(3, Patience::Short);
    let deadline = Duration::from_secs(study.federation.deadline_secs.into());
    let mut sites: Vec<_> = names(3).into_iter().map(|id| site(id, Line::LAN)).collect();
    // Two are enough for a quorum, so that nobody has to wait for the third.
    sites[2].pace.training = Duration::from_mins(2);
    let played = play(&run(study.clone(), sites, Faults::default(), 1)).unwrap();
    assert!(played.sites[2].busy > 5 * deadline * 4, "{:?} for four trainings", played.sites[2].busy);
    let state = check(&study, &played.events).unwrap();
    finished(&state, &played).unwrap();
    for round in state.lanes().iter().flat_map(|lane| &lane.rounds) {
        assert_eq!(round.training.answers().len(), 3, "{:?}", round.training.closing());
    }
    let steps = played.events.iter().filter(|(_, event)| matches!(event, Event::OrderProgressed { .. }));
    assert!(steps.count() > 4 * 5, "it was progress that they waited for");
}
