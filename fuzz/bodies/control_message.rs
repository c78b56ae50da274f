//! What must hold for every byte string that claims to be a control message, of either side: shared by the fuzz
//! target `control_message` and by the plain test over its corpus.

use consilium_protocol::{ToCoordinator, ToSite};
use consilium_transport::frame::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes `bytes` as each side would. Panics where what was read cannot be written and read again.
pub(crate) fn check(bytes: &[u8]) {
    round_trip::<ToCoordinator>(bytes);
    round_trip::<ToSite>(bytes);
}

fn round_trip<M: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else { return };
    // Maps may come in any order; written, they have one.
    let written = encode(&message).expect("what was read can be written");
    assert!(written.len() <= bytes.len(), "what was read has grown");
    let again: M = decode(&written).expect("what was written can be read");
    assert_eq!(encode(&again).expect("it could before"), written);
}
