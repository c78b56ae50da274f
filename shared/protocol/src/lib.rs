//! The conversation between coordinator and sites, without input or output.
