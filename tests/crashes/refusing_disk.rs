//! Disks that take nothing any more, from every durable write of a daemon on: full, or remounted read-only.
//!
//! The daemon ends and says which file, and what to do. Nothing that was on the disk has changed: once it takes files again
//! the same command goes on, and the study ends as a calm one.

use std::time::Duration;

use crate::by_hand::{SITES, notices};
use crate::every_write::{Blame, Fate, refuse_after_each, turn};
use crate::evidence::assert_nothing_asked_again;
use crate::killer::is_possible;
use crate::process::Ended;
use crate::study::{Run, assert_same, ended};

/// Whether a daemon has ended for its disk; it then says what to do. Or else nothing was left to write.
fn has_given_up(daemon: &Ended) -> bool {
    if daemon.code == Some(0) {
        return false;
    }
    assert_eq!(daemon.code, Some(1), "{}", daemon.stderr);
    let last = daemon.stderr.lines().last().unwrap_or_default();
    let told = [
        "No space left on device",
        "Read-only file system",
        "disk is full",
        "disk I/O error",
        "readonly",
        // What SQLite says of a folder in which it can make no file.
        "unable to open database file",
    ];
    assert!(told.iter().any(|words| last.contains(words)), "what is wrong: {last}");
    assert!(last.contains('/'), "where: {last}");
    assert!(last.contains("space"), "what to do: {last}");
    true
}

#[test]
fn a_coordinators_disk_may_refuse_at_every_durable_write() {
    if !is_possible() {
        return;
    }
    let _turn = turn();
    let calm = Run::new(0);
    let clients = SITES.map(|site| calm.client(site));
    ended(calm.doomed_coordinator(None), clients.into());
    let (expected, blobs) = (calm.report(), calm.blobs());

    refuse_after_each(&calm.writes("coordinator"), |place, point| {
        let run = Run::new(place);
        let mut doomed = run.doomed_coordinator(Some(point));
        while !doomed.has_ended() && notices(&doomed).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let clients = SITES.map(|site| run.client(site));
        let _blame = Blame::new(point, &run, "coordinator");
        if !has_given_up(&doomed.end()) {
            return Fate::NotReached;
        }
        ended(run.coordinator(), clients.into());
        assert_same(&run.report(), &expected);
        assert_eq!(run.blobs(), blobs);
        for site in SITES {
            assert_nothing_asked_again(&run.state(site));
        }
        Fate::Struck
    });
}

#[test]
fn a_clients_disk_may_refuse_at_every_durable_write() {
    if !is_possible() {
        return;
    }
    let _turn = turn();
    let (doomed_site, other_site) = (SITES[0], SITES[1]);
    let calm = Run::new(0);
    let coordinator = calm.coordinator();
    ended(coordinator, vec![calm.doomed_client(doomed_site, None), calm.client(other_site)]);
    let expected = calm.report();

    refuse_after_each(&calm.writes(doomed_site), |place, point| {
        let run = Run::new(place);
        let mut coordinator = run.coordinator();
        coordinator.wait_until("it listens", |process| !notices(process).is_empty());
        let other = run.client(other_site);
        let doomed = run.doomed_client(doomed_site, Some(point)).end();
        let _blame = Blame::new(point, &run, doomed_site);
        if !has_given_up(&doomed) {
            return Fate::NotReached;
        }
        ended(coordinator, vec![run.client(doomed_site), other]);
        assert_same(&run.report(), &expected);
        assert_nothing_asked_again(&run.state(doomed_site));
        Fate::Struck
    });
}
