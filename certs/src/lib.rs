//! The consortium's certificate authority.
