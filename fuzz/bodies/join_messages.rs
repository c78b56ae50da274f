//! What must hold for every byte string as a message about joining, or as a token: shared by the fuzz target
//! `join_messages` and by the plain test over its corpus.

/// Panics where one is read loosely.
pub(crate) fn check(bytes: &[u8]) {
    let _ = consilium_transport::parsers::join_messages(bytes);
}
