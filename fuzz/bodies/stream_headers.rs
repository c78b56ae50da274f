//! What must hold for the first bytes of every data stream, blob or probe: shared by the fuzz target
//! `stream_headers` and by the plain test over its corpus.

/// Panics where a header is read loosely.
pub(crate) fn check(bytes: &[u8]) {
    consilium_transport::parsers::stream_headers(bytes);
}
