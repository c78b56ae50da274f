//! Daemons that are killed and started again with the same arguments go on where they were.
//!
//! The yardstick is an undisturbed simulation of the same study: its models and figures must come out to the bit.

use std::fs;

use consilium_coordinator::Report;

use crate::audit::assert_sound;
use crate::by_hand::{ByHand, SITES, address, progress, undisturbed};
use crate::process::Process;
use crate::timeless::timeless;

const OPTIONS: &str =
    "--arms random --modalities t1gd --sites 2 --cases 16 --folds 2 --rounds 10 --local-epochs 2";

#[test]
fn killed_daemons_go_on_and_nothing_shows_in_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    let expected = undisturbed(OPTIONS, &simulated);
    let consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);

    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);
    let [first, second] = SITES.map(|site| consortium.client(site, address));
    let rounds = |coordinator: &Process| progress(coordinator).map_or(0, |progress| progress.rounds);

    coordinator.wait_until("the first rounds are trained", |process| rounds(process) >= 3);
    first.kill();
    let first = consortium.client(SITES[0], address);
    let before = rounds(&coordinator);
    coordinator.wait_until("the site that came back has trained", |process| rounds(process) >= before + 3);

    let before = progress(&coordinator).unwrap();
    coordinator.kill();
    assert!(before.done < before.total, "the study was over too early for this test: {before:?}");
    let mut coordinator = consortium.coordinator(address);
    coordinator.wait_until("it has read its log", |process| progress(process).is_some());
    assert!(rounds(&coordinator) >= before.rounds, "it began anew");

    for process in [first, second, coordinator] {
        process.end().successfully();
    }
    let logs = |site: &str| consortium.folder.join(site).join("state");
    assert_sound(
        &consortium.folder.join("state"),
        &SITES.map(logs),
        &consortium.folder.join("coordinator-kit"),
    );
    let text = fs::read_to_string(consortium.folder.join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(report.outcome.status, "finished");
    assert_eq!(report.study_hash, expected.study_hash);
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(timeless(&report), timeless(&expected));

    // Once more for its report: all sites have left, and it knows that they have heard the end.
    fs::remove_file(consortium.folder.join("report.json")).unwrap();
    let ended = consortium.coordinator(address).end().successfully();
    assert!(!ended.stderr.contains("not every site was there"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(consortium.folder.join("report.json")).unwrap(), text);
}
