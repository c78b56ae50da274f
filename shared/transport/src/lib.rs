//! QUIC with mutual TLS: control frames and blobs by digest.
