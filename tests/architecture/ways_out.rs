//! What leaves a daemon leaves through one file, so that the audit log and the rules of a site see all of it.

use crate::tree::{self, TextFile};

/// Words that only the file beside them may have, in the folders of the daemons.
const WAYS_OUT: [(&str, &str); 5] = [
    ("ControlSender", "outgoing.rs"),
    ("open_control", "outgoing.rs"),
    ("accept_control", "outgoing.rs"),
    ("transfers.upload(", "outgoing.rs"),
    ("connection.upload", "transfers.rs"),
];

fn astray(files: &[TextFile]) -> Vec<String> {
    let mut found = Vec::new();
    // The commands of an admin are another program than the coordinator, and hold nothing of a study.
    let of_daemons = |file: &&TextFile| {
        file.path.starts_with("client/src")
            || (file.path.starts_with("coordinator/src") && !file.path.starts_with("coordinator/src/remote"))
    };
    for file in files.iter().filter(of_daemons) {
        for (word, place) in WAYS_OUT {
            if file.text.contains(word) && !file.path.ends_with(place) {
                found.push(format!("{} has `{word}`: it belongs in {place}", file.path.display()));
            }
        }
    }
    found
}

#[test]
fn only_outgoing_sends() {
    let files = tree::files("rs");
    assert_eq!(astray(&files), [""; 0]);
    for (word, place) in WAYS_OUT {
        let used = files.iter().any(|file| file.path.ends_with(place) && file.text.contains(word));
        assert!(used, "nothing is called `{word}` any more: mend this test");
    }
}

#[test]
fn a_second_way_out_is_found() {
    let files = [
        TextFile::new("client/src/daemon.rs", "let (sender, _) = connection.open_control().await?;"),
        TextFile::new("client/src/outgoing.rs", "let (sender, _) = connection.open_control().await?;"),
        TextFile::new("tests/system/recording.rs", "coordinator.open_control()"),
    ];
    assert_eq!(astray(&files), ["client/src/daemon.rs has `open_control`: it belongs in outgoing.rs"]);
}
