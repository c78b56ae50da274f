//! What must hold for every byte string on the own stream of a connection over TCP: shared by the fuzz target
//! `link_frames` and by the plain test over its corpus.

/// Panics where a frame is read loosely.
pub(crate) fn check(bytes: &[u8]) {
    consilium_transport::parsers::link_frames(bytes);
}
