//! What the release before this one sent and understood, byte for byte: version 3 of the conversation.
//!
//! The files in `version_3` are what that release put on the wire. They are never edited: a change that makes one of
//! them fail would cut off every hospital that has not updated yet.

use std::collections::BTreeSet;
use std::fmt::Debug;

use consilium_protocol::{OLDEST_VERSION, ToCoordinator, ToSite};
use consilium_transport::frame::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::annotated::bytes;

/// A message's number in version 3, and a file that holds one.
type Kept = (u32, &'static str);

const TO_COORDINATOR: [Kept; 9] = [
    (0, include_str!("version_3/hello.hex")),
    (1, include_str!("version_3/enlist.hex")),
    (2, include_str!("version_3/ready.hex")),
    (3, include_str!("version_3/trained.hex")),
    (3, include_str!("version_3/trained-policy.hex")),
    (3, include_str!("version_3/scored.hex")),
    (3, include_str!("version_3/fused.hex")),
    (4, include_str!("version_3/failed.hex")),
    (5, include_str!("version_3/fingerprints.hex")),
];

const TO_SITE: [Kept; 13] = [
    (0, include_str!("version_3/welcome.hex")),
    (0, include_str!("version_3/welcome-awaited.hex")),
    (0, include_str!("version_3/welcome-fingerprinted.hex")),
    (0, include_str!("version_3/welcome-back.hex")),
    (1, include_str!("version_3/enlisted.hex")),
    (2, include_str!("version_3/train.hex")),
    (2, include_str!("version_3/validate.hex")),
    (2, include_str!("version_3/predict-holdout.hex")),
    (2, include_str!("version_3/fuse.hex")),
    (3, include_str!("version_3/accepted.hex")),
    (5, include_str!("version_3/finished.hex")),
    (6, include_str!("version_3/halted.hex")),
    (7, include_str!("version_3/duplicates.hex")),
];

/// Every rejection, one a line.
const REJECTED: &str = include_str!("version_3/rejected.hex");

/// `body` is understood, means the same number, and would be written the same way.
fn unchanged<M: Serialize + DeserializeOwned + Debug>(number: u32, body: &[u8]) -> M {
    assert_eq!(body[..4], number.to_le_bytes());
    let message: M = decode(body).unwrap_or_else(|error| panic!("message {number}: {error}"));
    assert_eq!(encode(&message).unwrap(), body, "{message:?}");
    message
}

#[test]
fn what_an_older_site_says_is_understood() {
    let mut numbers = BTreeSet::new();
    for (number, notes) in TO_COORDINATOR {
        unchanged::<ToCoordinator>(number, &bytes(notes));
        numbers.insert(number);
    }
    assert!(numbers.into_iter().eq(0..6), "version 3 had six messages of sites");
}

#[test]
fn what_an_older_site_understands_is_said_as_it_was() {
    let mut numbers = BTreeSet::from([4]);
    for (number, notes) in TO_SITE {
        let message: ToSite = unchanged(number, &bytes(notes));
        assert_eq!(message.since(), OLDEST_VERSION);
        numbers.insert(number);
    }
    assert!(numbers.into_iter().eq(0..8), "version 3 had eight messages of the coordinator");
    let rejections: Vec<Vec<u8>> =
        REJECTED.lines().map(bytes).filter(|rejection| !rejection.is_empty()).collect();
    assert_eq!(rejections.len(), 2 * 15, "version 3 had fifteen rejections");
    for rejection in rejections {
        assert!(matches!(unchanged(4, &rejection), ToSite::Rejected { .. }));
    }
}

#[test]
fn newer_messages_are_marked_as_such() {
    assert!(ToSite::Waiting.since() > OLDEST_VERSION);
}
