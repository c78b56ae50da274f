//! Audit logs from outside: written, exchanged, crashed, altered and given away.

mod consortium;
mod crashes;
mod exchange;
mod extracts;
mod tampering;
