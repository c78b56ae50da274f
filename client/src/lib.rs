//! A hospital's daemon.
