//! TensorBoard's file format, as much of it as scalars need: TFRecord frames around a few fields of protocol buffers.
//!
//! ```text
//! frame:    length, u64 | masked CRC-32C of it, u32 | bytes | masked CRC-32C of them, u32      (all little-endian)
//! Event:    1: wall time, double | 2: step, varint | 3: file version, text | 5: Summary
//! Summary:  1: Value, repeated        Value:  1: tag, text | 2: simple value, float
//! ```
//!
//! Source: tensorflow/core/lib/io/record_writer.h, core/util/event.proto and core/framework/summary.proto. There is no crate
//! for it here because the known one pulls an old protobuf; a golden file of the tensorboardX package says the bytes are right.

/// What TensorBoard expects of the first event.
const FILE_VERSION: &[u8] = b"brain.Event:2";

/// Kinds of fields on the wire.
const VARINT: u8 = 0;
const DOUBLE: u8 = 1;
const BYTES: u8 = 2;
const FLOAT: u8 = 5;

/// The polynomial of CRC-32C (RFC 3720), reversed.
const CASTAGNOLI: u32 = 0x82f6_3b78;

/// One event under way.
pub(super) struct Event {
    body: Vec<u8>,
    summary: Vec<u8>,
}

impl Event {
    /// At so many seconds, of so many steps.
    pub(super) fn at(seconds: f64, step: i64) -> Self {
        let mut body = Vec::new();
        // A field that is zero is left out, as every writer of protocol buffers does.
        if seconds != 0.0 {
            body.push(key(1, DOUBLE));
            body.extend(seconds.to_le_bytes());
        }
        if step != 0 {
            body.push(key(2, VARINT));
            varint(&mut body, step.cast_unsigned());
        }
        Self { body, summary: Vec::new() }
    }

    /// Adds a number under a name.
    pub(super) fn scalar(&mut self, tag: &str, value: f32) {
        let mut entry = Vec::new();
        bytes(&mut entry, 1, tag.as_bytes());
        entry.push(key(2, FLOAT));
        entry.extend(value.to_le_bytes());
        bytes(&mut self.summary, 1, &entry);
    }

    /// The event as it stands in a file.
    pub(super) fn record(mut self) -> Vec<u8> {
        bytes(&mut self.body, 5, &self.summary);
        frame(&self.body)
    }
}

/// The beginning of every file.
pub(super) fn file_header() -> Vec<u8> {
    let mut body = Vec::new();
    bytes(&mut body, 3, FILE_VERSION);
    frame(&body)
}

const fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

/// Seven bits a byte, the least first; all but the last byte have their highest bit set.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(key(field, BYTES));
    varint(out, content.len() as u64);
    out.extend(content);
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), body, &masked(body)].concat()
}

/// TFRecord stores no plain checksums: one over data that holds its own would be weak.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Bit by bit: a report has kilobytes of events.
fn crc32c(data: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ CASTAGNOLI } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Written by tensorboardX: `golden/tensorboard.py`.
    const GOLDEN: &[u8] = include_bytes!("../../../golden/tensorboard.bin");

    /// An event as it was read.
    #[derive(Debug, Default, PartialEq)]
    pub(in crate::report) struct Read {
        pub(in crate::report) time: f64,
        pub(in crate::report) step: i64,
        pub(in crate::report) version: Option<String>,
        pub(in crate::report) scalars: Vec<(String, f32)>,
    }

    /// The events of a file, whose every checksum is looked at.
    pub(in crate::report) fn read(mut file: &[u8]) -> Vec<Read> {
        let mut events = Vec::new();
        while !file.is_empty() {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let (body, rest) = file[12..].split_at(length);
            assert_eq!(file[8..12], masked(&file[..8]), "of the length");
            assert_eq!(rest[..4], masked(body), "of the body");
            events.push(event(body));
            file = &rest[4..];
        }
        events
    }

    fn event(body: &[u8]) -> Read {
        let mut read = Read::default();
        for (field, content) in fields(body) {
            match field {
                1 => read.time = f64::from_le_bytes(content.try_into().unwrap()),
                2 => read.step = i64::from_le_bytes(content.try_into().unwrap()),
                3 => read.version = Some(String::from_utf8(content).unwrap()),
                5 => {
                    for (_, value) in fields(&content) {
                        let [(1, tag), (2, number)] = &fields(&value)[..] else { panic!("tag and value") };
                        let number = f32::from_le_bytes(number[..].try_into().unwrap());
                        read.scalars.push((String::from_utf8(tag.clone()).unwrap(), number));
                    }
                }
                other => panic!("field {other}"),
            }
        }
        read
    }

    /// Fields of a message and their bytes; varints as eight of them.
    fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut fields = Vec::new();
        while let [key, rest @ ..] = message {
            let (content, rest) = match key & 7 {
                VARINT => {
                    let (value, rest) = number(rest);
                    (value.to_le_bytes().to_vec(), rest)
                }
                DOUBLE => (rest[..8].to_vec(), &rest[8..]),
                FLOAT => (rest[..4].to_vec(), &rest[4..]),
                BYTES => {
                    let (length, rest) = number(rest);
                    (rest[..length as usize].to_vec(), &rest[length as usize..])
                }
                other => panic!("kind {other}"),
            };
            fields.push((key >> 3, content));
            message = rest;
        }
        fields
    }

    fn number(bytes: &[u8]) -> (u64, &[u8]) {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let value = bytes[..end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        (value, &bytes[end..])
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn the_bytes_are_those_of_another_writer() {
        let mut file = file_header();
        for (step, seconds, scalars) in [
            (1, 12.5, vec![("validation/auc", 0.625), ("training/loss", 0.7)]),
            (300, 1e9, vec![("norm/north", -1.5)]),
        ] {
            let mut event = Event::at(seconds, step);
            scalars.into_iter().for_each(|(tag, value)| event.scalar(tag, value));
            file.extend(event.record());
        }
        assert_eq!(file, GOLDEN);
        assert_eq!(read(GOLDEN)[2].scalars, [("norm/north".to_owned(), -1.5)]);
    }
}
