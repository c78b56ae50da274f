//! Daemons that are killed while a blob travels: what has arrived does not travel again.

use std::fs;
use std::path::Path;

use crate::by_hand::{ByHand, SITES, address, simulate, smallest_study};

/// One round, and a network of some megabytes. So much weight decay moves every weight, where images of this size move few:
/// the updates have some megabytes too.
const CHANGES: [(&str, &str); 5] = [
    ("width = 2", "width = 32"),
    ("rounds = 2", "rounds = 1"),
    ("local_epochs = 2", "local_epochs = 1"),
    ("weight_decay = 1e-4", "weight_decay = 0.5"),
    ("wire = \"int8\"", "wire = \"f32\""),
];

/// A chunk every third of a second: a transfer takes seconds, which is long enough to be killed in.
const MBIT_PER_S: f64 = 24.0;

#[test]
fn what_has_arrived_does_not_travel_again() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = folder.path().join("simulated");
    simulate(&simulated, &smallest_study("resumption", &CHANGES));
    let mut consortium = ByHand::new(folder.path().join("by-hand"), simulated, &SITES);
    // TCP tells of a dead process at once, where QUIC waits for its idle timeout.
    (consortium.link, consortium.log_level) = ("tcp", Some("info"));
    let mut coordinator = consortium.coordinator("127.0.0.1:0".parse().unwrap());
    let address = address(&mut coordinator);
    let other = consortium.client(SITES[1], address);
    consortium.most_mbit_per_s = Some(MBIT_PER_S);

    let site = consortium.folder.join(SITES[0]);
    let coming = site.join("state/blobs/incoming/coordinator");
    let killed = consortium.client(SITES[0], address);
    coordinator.wait_until("a model is under way", |_| chunks(&coming) >= 2);
    killed.kill();
    let mut client = consortium.client(SITES[0], address);
    client.wait_until("the model is there", |process| process.stderr().contains("a model is here"));
    let (bytes, moved) = moved(&client.stderr(), "a model is here");
    assert!(0 < moved && moved < bytes - (1 << 20), "{moved} of {bytes} bytes went again");

    let coming = consortium.folder.join("state/blobs/incoming/site-site-1");
    coordinator.wait_until("an update is under way", |_| chunks(&coming) >= 2);
    coordinator.kill();
    let coordinator = consortium.coordinator(address);
    let arrived = "the update is with the coordinator";
    client.wait_until("the update is there", |process| process.stderr().contains(arrived));
    let (bytes, moved) = self::moved(&client.stderr(), arrived);
    assert!(0 < moved && moved < bytes - (1 << 20), "{moved} of {bytes} bytes went again");

    for process in [client, other, coordinator] {
        process.end().successfully();
    }
    let left = fs::read_dir(consortium.folder.join("state/blobs/incoming")).unwrap().count();
    assert_eq!(left, 0, "the study is over");
}

/// How many chunks of a blob have come into `folder`, counted by the place of the last.
fn chunks(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let records = files.filter(|path| path.extension().is_some_and(|ending| ending == "chunks"));
    // It may be gone by the time it is looked at.
    records.filter_map(|path| fs::metadata(path).ok()).map(|file| file.len() / 32).max().unwrap_or(0)
}

/// The bytes of the first blob that `log` says `what` of, and how many of them travelled.
fn moved(log: &str, what: &str) -> (u64, u64) {
    let line = log.lines().find(|line| line.contains(what)).unwrap();
    let number = |name: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
        word.parse().unwrap()
    };
    (number("bytes="), number("moved="))
}
