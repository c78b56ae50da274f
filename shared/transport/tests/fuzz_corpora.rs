//! The corpora of the fuzz targets about the wire, as plain tests: what a fuzzer once found stays found.

use std::path::Path;

#[path = "../../../fuzz/bodies/control_message.rs"]
mod control_message;
#[path = "../../../fuzz/bodies/frame_reader.rs"]
mod frame_reader;
#[path = "../../../fuzz/bodies/join_messages.rs"]
mod join_messages;
#[path = "../../../fuzz/bodies/link_frames.rs"]
mod link_frames;
#[path = "../../../fuzz/bodies/proxy_reply.rs"]
mod proxy_reply;
#[path = "../../../fuzz/bodies/stream_headers.rs"]
mod stream_headers;

use consilium_protocol::{ToCoordinator, ToSite};
use consilium_transport::frame::decode;
use proptest::prelude::*;

/// What must hold for any bytes.
type Check = fn(&[u8]);

/// Every file of a corpus, with its name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files =
        files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()));
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 5, "{name} has {} files", files.len());
    files
}

#[test]
fn every_corpus_passes() {
    let targets: [(&str, Check); 6] = [
        ("control_message", control_message::check),
        ("frame_reader", frame_reader::check),
        ("join_messages", join_messages::check),
        ("link_frames", link_frames::check),
        ("proxy_reply", proxy_reply::check),
        ("stream_headers", stream_headers::check),
    ];
    for (name, check) in targets {
        for (_, bytes) in corpus(name) {
            check(&bytes);
        }
    }
}

/// Otherwise the corpus would test how nonsense is refused, and nothing else.
#[test]
fn good_messages_are_read_and_bad_ones_are_not() {
    for (file, bytes) in corpus("control_message") {
        let read = decode::<ToCoordinator>(&bytes).is_ok() || decode::<ToSite>(&bytes).is_ok();
        assert_eq!(read, file.starts_with("good_"), "{file}");
    }
    for (file, bytes) in corpus("join_messages") {
        let read = consilium_transport::parsers::join_messages(&bytes) > 0;
        assert_eq!(read, file.starts_with("good_"), "{file}");
    }
}

proptest! {
    #[test]
    fn damaged_files_pass_too(place in 0usize..200, value in any::<u8>(), cut in 0usize..200) {
        let targets: [(&str, Check); 4] = [
            ("control_message", control_message::check),
            ("join_messages", join_messages::check),
            ("link_frames", link_frames::check),
            ("stream_headers", stream_headers::check),
        ];
        for (name, check) in targets {
            for (_, mut bytes) in corpus(name) {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
                check(&bytes);
                bytes.truncate(cut);
                check(&bytes);
            }
        }
    }
}
