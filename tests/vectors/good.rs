//! A message and its bytes are each made from the other.

use std::collections::BTreeSet;
use std::fmt::Debug;

use consilium_domain::{Digest, StudyHash};
use consilium_protocol::{AuditHead, SignedHead, Timestamp};
use consilium_transport::frame::{decode, encode, encode_framed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{to_admin, to_coordinator, to_site};

/// A message and how it looks.
pub(crate) struct Vector<M> {
    pub(crate) name: &'static str,
    pub(crate) message: M,
    pub(crate) bytes: Vec<u8>,
}

impl<M> Vector<M> {
    pub(crate) const fn new(name: &'static str, message: M, bytes: Vec<u8>) -> Self {
        Self { name, message, bytes }
    }
}

/// A digest of 32 equal bytes.
pub(crate) const fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// The same as a study's hash, which cannot be made of anything but a study, or read.
pub(crate) fn study(byte: u8) -> StudyHash {
    serde_json::from_value(serde_json::Value::String(digest(byte).to_string())).unwrap()
}

/// A signed head, and how it looks.
pub(crate) fn signed_head() -> SignedHead {
    let head = AuditHead { records: 258, sha256: digest(0xee) };
    SignedHead { head, at: Timestamp(0x0102), signature: vec![1, 2], certificates: vec![vec![3], vec![4, 5]] }
}

/// The bytes of [`signed_head`] after the number of its message.
pub(crate) const SIGNED_HEAD: &str = "0201 00*6  ee*32  0201 00*6  0200000000000000 01 02 \
    0200000000000000  0100000000000000 03  0200000000000000 04 05";

/// Checks `vectors`, and that they cover every message there is.
fn check<M>(vectors: &[Vector<M>], number: impl Fn(&M) -> u32, messages: u32)
where
    M: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let mut covered = BTreeSet::new();
    for Vector { name, message, bytes } in vectors {
        assert_eq!(encode(message).unwrap(), *bytes, "{name}");
        assert_eq!(decode::<M>(bytes).unwrap(), *message, "{name}");
        assert_eq!(bytes[..4], number(message).to_le_bytes(), "{name} begins with its number");
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        assert_eq!(encode_framed(message).unwrap(), [&length[..], bytes].concat(), "{name}");
        covered.insert(number(message));
    }
    assert!(covered.into_iter().eq(0..messages), "a message has no vector");
}

#[test]
fn what_a_site_says_looks_like_this() {
    check(&to_coordinator::vectors(), to_coordinator::number, 11);
}

#[test]
fn what_the_coordinator_says_looks_like_this() {
    check(&to_site::vectors(), to_site::number, 15);
}

#[test]
fn what_an_admin_asks_and_is_answered_looks_like_this() {
    check(&to_admin::requests(), to_admin::request_number, 11);
    check(&to_admin::replies(), to_admin::reply_number, 3);
}

#[test]
fn the_longest_messages_fit_a_frame() {
    let lengths = [encode(&to_coordinator::longest_part()), encode(&to_site::longest_duplicates())];
    assert_eq!(lengths.map(|bytes| bytes.unwrap().len()), [58_209, 32_812]);
}
