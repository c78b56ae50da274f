//! What must hold for everything a proxy may answer: shared by the fuzz target `proxy_reply` and by the plain test
//! over its corpus.

/// Panics where a head is not what it must be.
pub(crate) fn check(bytes: &[u8]) {
    consilium_transport::parsers::proxy_reply(bytes);
}
