//! What must hold for every byte string that arrives on a control stream: shared by the fuzz target `frame_reader`
//! and by the plain test over its corpus.

use consilium_transport::FrameError;
use consilium_transport::frame::{MAX_FRAME, take};

/// Reads `bytes` at once and in pieces whose size the first byte tells. Panics where the two differ.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(piece).max(1)), "pieces change what is read");
}

/// The texts that were read, and how it ended.
fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Option<FrameError>) {
    let (mut arrived, mut texts) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        arrived.extend_from_slice(piece);
        loop {
            match take::<String>(&mut arrived, MAX_FRAME) {
                Ok(Some(text)) => texts.push(text),
                Ok(None) => break,
                Err(error) => return (texts, Some(error)),
            }
        }
    }
    (texts, None)
}
