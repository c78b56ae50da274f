//! What reads bytes of strangers and is not public otherwise, for fuzzing and its corpora alone.

use crate::blobs::{self, BLOB_TAG};
use crate::frame;
use crate::join::{self, JoinToken};
use crate::link::tcp::LinkFrame;
use crate::probe::{PROBE_TAG, ProbeReply, ProbeRequest};
use crate::proxy::reply;

/// The first bytes of a data stream, of either kind and either side. Panics where a promise is broken: what is read
/// is written as it was.
pub fn stream_headers(bytes: &[u8]) {
    let Some((&tag, header)) = bytes.split_first() else { return };
    match tag {
        BLOB_TAG => {
            same::<blobs::Request>(header);
            same::<blobs::Reply>(header);
        }
        PROBE_TAG => {
            same::<ProbeRequest>(header);
            same::<ProbeReply>(header);
        }
        _ => {}
    }
}

fn same<M: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
    if let Ok(Some(message)) = blobs::header_in::<M>(bytes) {
        let written = frame::encode_framed(&message).expect("what was read can be written");
        assert!(bytes.starts_with(&written), "a header was read loosely");
    }
}

/// Everything that can arrive on the link's own stream.
pub fn link_frames(bytes: &[u8]) {
    let mut left = bytes.to_vec();
    while let Ok(Some(message)) = LinkFrame::take(&mut left) {
        let written = frame::encode_framed(&message).expect("what was read can be written");
        let taken = bytes.len() - left.len();
        assert!(bytes[..taken].ends_with(&written), "a frame was read loosely");
    }
}

/// What somebody without a certificate may say, and be answered; in how many ways it is read. Tokens too, which people
/// paste.
pub fn join_messages(bytes: &[u8]) -> usize {
    let written = join::read_and_written(bytes);
    assert!(written.iter().all(|written| written == bytes), "a message about joining was read loosely");
    let token = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<JoinToken>().ok());
    if let Some(token) = &token {
        assert_eq!(token.to_string().parse().as_ref(), Ok(token), "a token is read as it was written");
    }
    written.len() + usize::from(token.is_some())
}

/// What a proxy may answer.
pub fn proxy_reply(bytes: &[u8]) {
    if let Ok(Some(head)) = reply::parse(bytes) {
        assert!(head.length <= bytes.len().min(reply::MAX_HEAD_BYTES), "a head ends within its bytes");
        assert!((100..600).contains(&head.status), "a status has three digits");
        let shown = head.schemes.iter().chain([&head.reason]);
        assert!(shown.into_iter().all(|text| !text.chars().any(char::is_control)), "a text is tamed");
    }
}
