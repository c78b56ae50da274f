//! The coordinator, killed at every durable write of its study.

use crate::by_hand::SITES;
use crate::every_write::{Blame, Fate, kill_at_each, turn};
use crate::evidence::{assert_nothing_asked_again, assert_nothing_uploaded_twice};
use crate::killer::{Point, is_possible};
use crate::study::{COORDINATOR, Calm, Run, assert_same, ended};

/// Fewer durable writes than this, and the test does not see what it is about: a study of two lanes and two rounds has
/// a hundred lines of the audit log and thirty events.
const FEWEST_WRITES: usize = 150;

#[test]
fn a_coordinator_may_be_killed_at_every_durable_write() {
    if !is_possible() {
        return;
    }
    let _turn = turn();
    let calm = Calm::watching(COORDINATOR);
    let writes = calm.writes.len();
    assert!(writes >= FEWEST_WRITES, "only {writes} durable writes were seen");

    kill_at_each(writes, |place, point: Point| {
        let run = Run::new(place);
        let (killed, clients) = run.until_coordinator_is_struck(point);
        if killed.code.is_some() {
            killed.successfully();
            return Fate::NotReached;
        }
        let _blame = Blame::new(point, &run, COORDINATOR);
        let logs = ended(run.coordinator(), clients);
        assert_same(&run.report(), &calm.report);
        assert_eq!(run.blobs(), calm.blobs);
        for site in SITES {
            assert_nothing_asked_again(&run.state(site));
        }
        logs.iter().for_each(|log| assert_nothing_uploaded_twice(&[log]));
        Fate::Struck
    });
}
