//! A client, killed at every durable write of its study.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::every_write::{Blame, Fate, kill_at_each, turn};
use crate::evidence::{
    assert_nothing_asked_again, assert_nothing_uploaded_twice, finished_trainings, half_trained,
};
use crate::killer::is_possible;
use crate::study::{Calm, Run, STRUCK_SITE, assert_same, ended};

/// Fewer durable writes than this, and the test does not see what it is about: four trainings of two epochs, seven
/// other orders, and a line of the audit log for each of their messages.
const FEWEST_WRITES: usize = 100;

#[test]
fn a_client_may_be_killed_at_every_durable_write() {
    if !is_possible() {
        return;
    }
    let _turn = turn();
    let calm = Calm::watching(STRUCK_SITE);
    let writes = calm.writes.len();
    assert!(writes >= FEWEST_WRITES, "only {writes} durable writes were seen");
    let left = calm.run.state(STRUCK_SITE);
    assert_eq!((finished_trainings(&left).len(), half_trained(&left)), (0, 0));

    let (gone_on, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    kill_at_each(writes, |place, point| {
        let run = Run::new(place);
        let state = run.state(STRUCK_SITE);
        let (killed, coordinator, other) = run.until_client_is_struck(point);
        if killed.code.is_some() {
            killed.successfully();
            return Fate::NotReached;
        }
        let _blame = Blame::new(point, &run, STRUCK_SITE);
        let (finished, half) = (finished_trainings(&state), half_trained(&state));
        let logs = ended(coordinator, vec![run.client(STRUCK_SITE), other]);
        let log = &logs[0];
        assert_same(&run.report(), &calm.report);
        assert_nothing_asked_again(&state);
        assert_nothing_uploaded_twice(&[&killed.stderr, log]);
        for task in &finished {
            assert!(
                !log.contains(&format!("working task={task}\n")),
                "{task} was done, and is done again\n{log}"
            );
        }
        kept.fetch_add(finished.len(), Ordering::Relaxed);
        if half > finished.len() {
            gone_on.fetch_add(log.matches("goes on where it was").count(), Ordering::Relaxed);
        }
        assert_eq!((finished_trainings(&state).len(), half_trained(&state)), (0, 0), "the study is over");
        Fate::Struck
    });
    let (gone_on, kept) = (gone_on.into_inner(), kept.into_inner());
    println!(
        "{gone_on} trainings went on between two epochs, {kept} were finished and answered from the outbox"
    );
    assert!(gone_on > 0 && kept > 0);
}
