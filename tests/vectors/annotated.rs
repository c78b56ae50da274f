//! Bytes as a person writes them down: `2a` is a byte, `2a*32` that byte 32 times, `'text'` its ASCII, `#` a comment
//! to the end of the line. Spaces between bytes are free.

use std::iter::Peekable;
use std::str::Chars;

/// The bytes that `notes` describe.
pub(crate) fn bytes(notes: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = notes.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '#' => while rest.next_if(|&c| c != '\n').is_some() {},
            '\'' => bytes.extend(rest.by_ref().take_while(|&c| c != '\'').map(|c| u8::try_from(c).unwrap())),
            space if space.is_whitespace() => {}
            high => {
                let digits = String::from_iter([high, rest.next().expect("a byte has two digits")]);
                let byte = u8::from_str_radix(&digits, 16).expect("bytes are hexadecimal");
                bytes.extend(std::iter::repeat_n(byte, times(&mut rest)));
            }
        }
    }
    bytes
}

/// How often the byte before is meant.
fn times(rest: &mut Peekable<Chars<'_>>) -> usize {
    if rest.next_if_eq(&'*').is_none() {
        return 1;
    }
    let digits: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_digit)).collect();
    digits.parse().expect("a number follows *")
}

#[test]
fn notes_are_read_as_they_are_meant() {
    assert_eq!(bytes("0a FF # a comment: 2a 'no'\n 00*3 'a b' 01*2"), *b"\x0a\xff\0\0\0a b\x01\x01");
    assert_eq!(bytes("  # nothing"), b"");
}
