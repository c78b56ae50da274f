//! The control codec: one serde message as the bytes of one frame.
//!
//! A frame is a length (u32, little endian, 1 to [`MAX_FRAME`]) followed by that many bytes of bincode's *legacy*
//! layout: fixed-width little-endian integers, u32 variant tags, u64 lengths. This module is pure: no sockets.
//!
//! Messages must not contain collections of zero-sized elements (`Vec<()>`): a few bytes could claim 2^64 of them.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message in bytes. Control messages carry references to blobs, never their content, so 64 KiB is
/// ample, and a peer can make us hold no more than this.
pub const MAX_FRAME: usize = 64 * 1024;

/// Bytes of the length in front of each message.
pub const PREFIX_BYTES: usize = 4;

const LAYOUT: Configuration<LittleEndian, Fixint, Limit<MAX_FRAME>> =
    bincode::config::legacy().with_limit::<MAX_FRAME>();

/// Why a message could not be written as, or read from, a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame of no bytes carries no message.
    #[error("an empty control frame: the other side speaks another version, update both to the same release")]
    Empty,
    /// The message is longer than [`MAX_FRAME`].
    #[error(
        "a control frame of {bytes} bytes; at most {MAX_FRAME} are allowed, larger content travels as a blob"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The bytes are not the expected message.
    #[error("a control frame that cannot be read ({0}): update both sides to the same release")]
    Unreadable(String),
    /// The message ended before its frame did.
    #[error("a control frame with {extra} bytes after its message: update both sides to the same release")]
    Trailing {
        /// How many bytes were left.
        extra: usize,
    },
    /// Our own message cannot be expressed.
    #[error("a control message that cannot be written: {0}")]
    Unwritable(String),
}

/// The body of the frame that carries `message`, without its length.
///
/// # Errors
/// Where the message is empty or longer than [`MAX_FRAME`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let body =
        bincode::serde::encode_to_vec(message, LAYOUT).map_err(|e| FrameError::Unwritable(e.to_string()))?;
    check_length(body.len())?;
    Ok(body)
}

/// The message in the body of a frame. Every byte must be used.
///
/// # Errors
/// Where the body has a forbidden length, is not an `M`, or goes on after it. Never panics.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, FrameError> {
    check_length(body.len())?;
    let (message, consumed) =
        bincode::serde::decode_from_slice(body, LAYOUT).map_err(|e| FrameError::Unreadable(e.to_string()))?;
    match body.len() - consumed {
        0 => Ok(message),
        extra => Err(FrameError::Trailing { extra }),
    }
}

/// The whole frame that carries `message`: its length, then its body.
///
/// # Errors
/// As [`encode`].
pub fn encode_framed<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let body = encode(message)?;
    let length = u32::try_from(body.len()).expect("a body is at most MAX_FRAME bytes");
    let mut framed = Vec::with_capacity(PREFIX_BYTES + body.len());
    framed.extend_from_slice(&length.to_le_bytes());
    framed.extend_from_slice(&body);
    Ok(framed)
}

/// The length of the body that follows `prefix`, in bytes.
///
/// # Errors
/// Where it is zero or above [`MAX_FRAME`]: known before a byte of the body is read or stored.
pub fn body_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, FrameError> {
    let bytes = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    check_length(bytes)?;
    Ok(bytes)
}

/// The message of the whole frame that `arrived` begins with, if it is all there: then it is taken away from
/// `arrived`. This is the frame reader of every stream.
///
/// # Errors
/// As [`body_length`] and [`decode`], and where the body is longer than `most`: known from its length alone.
pub fn take<M: DeserializeOwned>(arrived: &mut Vec<u8>, most: usize) -> Result<Option<M>, FrameError> {
    let Some((prefix, rest)) = arrived.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let length = body_length(*prefix)?;
    if length > most {
        return Err(FrameError::TooLarge { bytes: length });
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let message = decode(body)?;
    arrived.drain(..PREFIX_BYTES + length);
    Ok(Some(message))
}

fn check_length(bytes: usize) -> Result<(), FrameError> {
    match bytes {
        0 => Err(FrameError::Empty),
        1..=MAX_FRAME => Ok(()),
        bytes => Err(FrameError::TooLarge { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Message {
        Ping,
        Text { words: Vec<String>, weight: f32 },
        Pair(u16, Option<bool>),
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Ping),
            (proptest::collection::vec("[a-zé]{0,9}", 0..5), -1e6f32..1e6)
                .prop_map(|(words, weight)| Message::Text { words, weight }),
            (any::<u16>(), any::<Option<bool>>()).prop_map(|(a, b)| Message::Pair(a, b)),
        ]
    }

    /// The way out of bincode: any codec with this layout can read these bytes.
    #[test]
    fn the_layout_is_the_legacy_one() {
        let text = Message::Text { words: vec!["ab".into(), "c".into()], weight: 1.5 };
        #[rustfmt::skip]
        let bytes = [
            1, 0, 0, 0,                 // variant 1, u32
            2, 0, 0, 0, 0, 0, 0, 0,     // two words, u64
            2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b',
            1, 0, 0, 0, 0, 0, 0, 0, b'c',
            0x00, 0x00, 0xc0, 0x3f,     // 1.5, f32
        ];
        assert_eq!(encode(&text).unwrap(), bytes);
        assert_eq!(decode::<Message>(&bytes).unwrap(), text);
        let pair = [2, 0, 0, 0, 0x34, 0x12, 1, 1];
        assert_eq!(encode(&Message::Pair(0x1234, Some(true))).unwrap(), pair);
        assert_eq!(encode_framed(&Message::Ping).unwrap(), [4, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn lengths_have_hard_edges() {
        let largest = vec![7u8; MAX_FRAME - 8];
        let body = encode(&largest).unwrap();
        assert_eq!(body.len(), MAX_FRAME);
        assert_eq!(decode::<Vec<u8>>(&body).unwrap(), largest);
        assert_eq!(encode(&vec![7u8; MAX_FRAME - 7]), Err(FrameError::TooLarge { bytes: MAX_FRAME + 1 }));
        assert_eq!(
            decode::<Vec<u8>>(&vec![0; MAX_FRAME + 1]),
            Err(FrameError::TooLarge { bytes: MAX_FRAME + 1 })
        );
        assert_eq!(encode(&()), Err(FrameError::Empty));
        assert_eq!(decode::<Message>(&[]), Err(FrameError::Empty));
        assert_eq!(body_length([0, 0, 1, 0]), Ok(MAX_FRAME));
        assert_eq!(body_length([1, 0, 1, 0]), Err(FrameError::TooLarge { bytes: MAX_FRAME + 1 }));
        assert_eq!(body_length([0; 4]), Err(FrameError::Empty));
    }

    #[test]
    fn trailing_bytes_and_wild_lengths_are_refused() {
        assert_eq!(decode::<Message>(&[0, 0, 0, 0, 9]), Err(FrameError::Trailing { extra: 1 }));
        assert!(matches!(decode::<Message>(&[3, 0, 0, 0]), Err(FrameError::Unreadable(_))));
        let mut billion_words = vec![1, 0, 0, 0];
        billion_words.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode::<Message>(&billion_words), Err(FrameError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn messages_round_trip(message in message()) {
            prop_assert_eq!(decode::<Message>(&encode(&message).unwrap()), Ok(message));
        }

        #[test]
        fn random_bytes_never_panic_and_never_decode_loosely(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(message) = decode::<Message>(&bytes) {
                let weight_is_nan = matches!(message, Message::Text { weight, .. } if weight.is_nan());
                prop_assert!(weight_is_nan || encode(&message).unwrap() == bytes);
            }
        }

        #[test]
        fn a_damaged_tag_never_panics(message in message(), place in 0usize..64, value in any::<u8>()) {
            let mut bytes = encode(&message).unwrap();
            let place = place % bytes.len();
            bytes[place] = value;
            let decoded = decode::<Message>(&bytes);
            prop_assert!(decoded.is_err() || encode(&decoded.unwrap()).unwrap().len() == bytes.len());
        }
    }
}
