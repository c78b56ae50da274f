//! Disks that take nothing any more, from every durable write of a daemon on: full, or remounted read-only.
//!
//! The daemon ends and says which file, and what to do. Nothing that was on the disk has changed: once it takes files again
//! the same command goes on, and the study ends as a calm one.

use crate::by_hand::SITES;
use crate::every_write::{Blame, Fate, refuse_after_each, turn};
use crate::evidence::assert_nothing_asked_again;
use crate::killer::is_possible;
use crate::process::Ended;
use crate::study::{COORDINATOR, Calm, Run, STRUCK_SITE, assert_same, ended};

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
    let calm = Calm::watching(COORDINATOR);
    refuse_after_each(&calm.writes, |place, point| {
        let run = Run::new(place);
        let (struck, clients) = run.until_coordinator_is_struck(point);
        let _blame = Blame::new(point, &run, COORDINATOR);
        if !has_given_up(&struck) {
            return Fate::NotReached;
        }
        ended(run.coordinator(), clients);
        assert_same(&run.report(), &calm.report);
        assert_eq!(run.blobs(), calm.blobs);
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
    let calm = Calm::watching(STRUCK_SITE);
    refuse_after_each(&calm.writes, |place, point| {
        let run = Run::new(place);
        let (struck, coordinator, other) = run.until_client_is_struck(point);
        let _blame = Blame::new(point, &run, STRUCK_SITE);
        if !has_given_up(&struck) {
            return Fate::NotReached;
        }
        ended(coordinator, vec![run.client(STRUCK_SITE), other]);
        assert_same(&run.report(), &calm.report);
        assert_nothing_asked_again(&run.state(STRUCK_SITE));
        Fate::Struck
    });
}
