//! The control messages, byte for byte: what is sent must look like this, and what looks like this must be understood.
//!
//! Good vectors pin the layout, so that no change of a type or a library changes the wire unnoticed: a vector that no
//! longer fits means a new protocol version. Bad vectors must be refused, at once and cheaply.

mod annotated;
mod bad;
mod good;
mod numbers;
mod to_admin;
mod to_coordinator;
mod to_site;
mod version_3;
