//! The daemon that owns a study.
