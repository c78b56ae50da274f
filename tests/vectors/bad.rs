//! What a hostile or broken peer may send: refused with a reason, never a panic, never much memory.

use std::fmt::Debug;

use allocation_counter::measure;
use consilium_protocol::admin::{AdminReply, AdminRequest};
use consilium_protocol::{ToCoordinator, ToSite};
use consilium_transport::FrameError;
use consilium_transport::frame::{MAX_FRAME, body_length, decode};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

use crate::annotated::bytes;
use crate::good::Vector;
use crate::{to_admin, to_coordinator, to_site};

/// Most memory that reading one frame may take at a time. A sender can claim a list of any length; serde believes
/// at most 1 MiB of it before it has seen the first element. The rest is the message itself and the error's text.
const MOST_BYTES: u64 = 1024 * 1024 + 4 * MAX_FRAME as u64;

/// Decodes within [`MOST_BYTES`].
fn frugally<M: DeserializeOwned>(body: &[u8]) -> Result<M, FrameError> {
    let mut decoded = None;
    let taken = measure(|| decoded = Some(decode::<M>(body))).bytes_max;
    assert!(taken <= MOST_BYTES, "{taken} bytes were taken to read {} bytes", body.len());
    decoded.unwrap()
}

/// The body is not an `M`, and the reason holds `words`.
fn unreadable<M: DeserializeOwned + Debug>(name: &str, body: &[u8], words: &str) {
    match frugally::<M>(body) {
        Err(FrameError::Unreadable(reason)) => {
            assert!(reason.contains(words), "{name}: `{words}` is missing from `{reason}`");
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn damaged<M: DeserializeOwned + Debug>(vectors: &[Vector<M>]) {
    for Vector { name, bytes, .. } in vectors {
        assert_eq!(frugally::<M>(&[]).unwrap_err(), FrameError::Empty);
        for length in 1..bytes.len() {
            unreadable::<M>(name, &bytes[..length], "UnexpectedEnd");
        }
        for extra in [1, 2, 1000] {
            let longer = [&bytes[..], &vec![0; extra]].concat();
            assert_eq!(frugally::<M>(&longer).unwrap_err(), FrameError::Trailing { extra }, "{name}");
        }
        let mut full = bytes.clone();
        full.resize(MAX_FRAME + 1, 0);
        assert_eq!(
            frugally::<M>(&full).unwrap_err(),
            FrameError::TooLarge { bytes: MAX_FRAME + 1 },
            "{name}"
        );
        let mut unknown = bytes.clone();
        unknown[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        unreadable::<M>(name, &unknown, "expected variant index");
    }
}

#[test]
fn cut_and_overlong_and_unknown_messages_are_refused() {
    damaged(&to_coordinator::vectors());
    damaged(&to_site::vectors());
    damaged(&to_admin::requests());
    damaged(&to_admin::replies());
}

#[test]
fn a_frame_that_cannot_be_is_refused_by_its_length_alone() {
    assert_eq!(body_length([0; 4]), Err(FrameError::Empty));
    assert_eq!(body_length(65_536u32.to_le_bytes()), Ok(MAX_FRAME));
    assert_eq!(body_length(65_537u32.to_le_bytes()), Err(FrameError::TooLarge { bytes: 65_537 }));
    assert_eq!(body_length([0xff; 4]), Err(FrameError::TooLarge { bytes: 0xffff_ffff }));
}

#[test]
fn claimed_lengths_are_not_believed() {
    // A text is weighed by its length, a list by its elements, as far as they come.
    const TEXT: &str = "LimitExceeded";
    const LIST: &str = "UnexpectedEnd";
    for claim in ["ff*8", "ff*7 7f", "00*5 01 00*2", "0000000100000000", "0100010000000000"] {
        for (name, reason, notes) in [
            ("software", TEXT, format!("00000000 0100 0100 00*8 {claim} 'consilium'")),
            ("modalities", LIST, format!("01000000 cc*32 {claim} 01000000 00*16")),
            ("folds", LIST, format!("01000000 cc*32 0100000000000000 01000000 {claim} 00*32")),
            ("excluded", LIST, format!("01000000 cc*32 00*8 {claim} 00*32")),
            ("positives", LIST, format!("03000000 aa*32 01000000 {claim} 00*32")),
            ("negatives", LIST, format!("03000000 aa*32 01000000 0200000000000000 00*8 {claim} 00*32")),
            ("groups", LIST, format!("03000000 aa*32 02000000 {claim} {}", "02 00*15 ".repeat(4))),
            ("reason", TEXT, format!("04000000 aa*32 {claim} 'ill'")),
            ("cases", LIST, format!("05000000 cc*32 00*4 01 {claim} 00*32")),
            ("aliases", LIST, format!("05000000 cc*32 00*4 01 0100000000000000 {claim} 00*32")),
            ("withdrawal", TEXT, format!("06000000 cc*32 {claim} 'no'")),
            ("images", LIST, format!("05000000 cc*32 00*4 01 0100000000000000 00*8 {claim} 03000000 00*256")),
            ("regressions", LIST, format!("03000000 aa*32 05000000 {claim} 00*4")),
            ("gradient", LIST, format!("03000000 aa*32 05000000 0100000000000000 00*16 {claim} 00*32")),
            ("signature", LIST, format!("08000000 00*8 ee*32 00*8 {claim} 00*32")),
            ("certificates", LIST, format!("08000000 00*8 ee*32 00*16 {claim} 00*32")),
        ] {
            unreadable::<ToCoordinator>(name, &bytes(&notes), reason);
        }
        for (name, reason, notes) in [
            ("site", TEXT, format!("00000000 0100 00*8 {claim} 'st-1'")),
            ("study", TEXT, format!("00000000 0100 00*8 0400000000000000 'st-1' {claim} '{{}}'")),
            ("models", LIST, format!("02000000 aa*32 cc*32 03000000 02000000 {claim} 00*22")),
            (
                "coefficients",
                LIST,
                format!("02000000 aa*32 cc*32 04000000 0100 {claim} 0100000000000000 00*8"),
            ),
            ("slopes", LIST, format!("02000000 aa*32 cc*32 05000000 0100000000000000 {claim} 00*16")),
            ("reason", TEXT, format!("06000000 {claim} 'ill'")),
            ("exclude", LIST, format!("07000000 dd*32 {claim} 00*32")),
        ] {
            unreadable::<ToSite>(name, &bytes(&notes), reason);
        }
    }
}

/// An answer whose histogram has so many bins of either class, all zero.
fn scored(positives: u64, negatives: u64) -> Vec<u8> {
    let mut body = bytes("03000000 aa*32 01000000");
    for bins in [positives, negatives] {
        body.extend(bins.to_le_bytes());
        body.resize(body.len() + 4 * bins as usize, 0);
    }
    body.extend([0; 16]);
    body
}

#[test]
fn histograms_that_cannot_be_are_refused() {
    assert!(frugally::<ToCoordinator>(&scored(128, 128)).is_ok());
    let (long, range) = ("more than 128 numbers in one list", "use 2 to 128");
    let unequal = "send one count a bin for either class";
    for (positives, negatives, words) in
        [(129, 129, long), (16_000, 2, long), (1, 1, range), (0, 0, range), (2, 3, unequal)]
    {
        let name = format!("{positives} and {negatives} bins");
        unreadable::<ToCoordinator>(&name, &scored(positives, negatives), words);
    }
    // 2 bins of either class, each with 2^32 - 1 patients.
    let crowded = "03000000 aa*32 01000000 0200000000000000 ff*8 0200000000000000 ff*8 00*16";
    unreadable::<ToCoordinator>("a crowd", &bytes(crowded), "more than 16777216 patients");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let welcome = |name: &str| format!("00000000 0100 00*8 {name} 0200000000000000 '{{}}' 00 00*4");
    assert!(frugally::<ToSite>(&bytes(&welcome("0400000000000000 'st-1'"))).is_ok());
    for name in [
        "0400000000000000 'St-1'",
        "0400000000000000 'ST-1'",
        "0400000000000000 '-st1'",
        "0400000000000000 's/./'",
        "0400000000000000 's\nt1'",
        "0000000000000000",
        "4000000000000000 61*64",
    ] {
        unreadable::<ToSite>(name, &bytes(&welcome(name)), "cannot name a site");
    }
    unreadable::<ToSite>("not UTF-8", &bytes(&welcome("0400000000000000 ff*4")), "Utf8");
    unreadable::<ToCoordinator>("not UTF-8", &bytes("04000000 aa*32 0200000000000000 c328"), "Utf8");
}

#[test]
fn numbers_without_a_meaning_are_refused() {
    const UNKNOWN: &str = "expected variant index";
    let names = format!("05000000 cc*32 00*4 01 0100000000000000 0500000000000000 {}", "00*8 ".repeat(6));
    unreadable::<ToCoordinator>("names", &bytes(&names), "at most 4 names");
    for (name, notes, words) in [
        ("message", "0b000000", UNKNOWN),
        ("outcome", "03000000 aa*32 07000000 00*64", UNKNOWN),
        ("modality", "01000000 cc*32 0100000000000000 0b000000 00*16 00*8", UNKNOWN),
        ("option", "03000000 aa*32 00000000 bb*32 00*8 00*4 00*8 02 00*8 00*24", "UnexpectedVariant"),
        ("boolean", "05000000 cc*32 00*4 02 00*8", "InvalidBooleanValue"),
    ] {
        unreadable::<ToCoordinator>(name, &bytes(notes), words);
    }
    for (name, notes, words) in [
        ("message", "0f000000", UNKNOWN),
        ("task", "02000000 aa*32 cc*32 06000000 00*64", UNKNOWN),
        ("arm", "02000000 aa*32 cc*32 00000000 03000000 00000000 00 0200 bb*32 00*8", UNKNOWN),
        ("rejection", "04000000 00 0f000000", UNKNOWN),
        ("option", "04000000 02 0d000000", "UnexpectedVariant"),
        ("standing", "00000000 0200 00*8 0400000000000000 'st-1' 0200000000000000 '{}' 00 04000000", UNKNOWN),
    ] {
        unreadable::<ToSite>(name, &bytes(notes), words);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(body in prop::collection::vec(any::<u8>(), 1..400), number in 0u8..16) {
        let mut body = body;
        // Without a known number at the front, nothing behind it would ever be looked at.
        body.splice(0..0, [number, 0, 0, 0]);
        let _ = frugally::<ToCoordinator>(&body);
        let _ = frugally::<ToSite>(&body);
        let _ = frugally::<AdminRequest>(&body);
        let _ = frugally::<AdminReply>(&body);
    }

    #[test]
    fn a_changed_byte_gives_a_message_or_an_error(which in 0usize..1000, at in 0usize..1000, byte: u8) {
        let (sites, coordinators) = (to_coordinator::vectors(), to_site::vectors());
        let mut body = sites[which % sites.len()].bytes.clone();
        let length = body.len();
        body[at % length] = byte;
        let _ = frugally::<ToCoordinator>(&body);
        let mut body = coordinators[which % coordinators.len()].bytes.clone();
        let length = body.len();
        body[at % length] = byte;
        let _ = frugally::<ToSite>(&body);
    }
}
