//! What a record's fields are made of. None of them takes a text from elsewhere as it is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consilium_domain::Role;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest code: a few words with hyphens.
const MAX_CODE_BYTES: usize = 60;
/// Longest serial number: 20 bytes (RFC 5280) in hexadecimal with colons.
const MAX_SERIAL_BYTES: usize = 60;

/// A word of this program, such as the reason of a refusal: made of `a-z`, `0-9`, `-` and `.`.
///
/// It can only be made of a text that stands in the source, so that no name of a patient, file or folder gets into
/// a record by accident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(Cow<'static, str>);

/// A text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a code: 1 to {MAX_CODE_BYTES} of a-z, 0-9, - and . are expected")]
pub struct NotACode;

impl Code {
    /// The code `word`.
    ///
    /// # Panics
    /// Where `word` is none: a mistake in the source.
    pub const fn new(word: &'static str) -> Self {
        assert!(is_code(word.as_bytes()), "a code is made of a-z, 0-9, - and .");
        Self(Cow::Borrowed(word))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_code(word: &[u8]) -> bool {
    let mut index = 0;
    while index < word.len() {
        if !matches!(word[index], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.') {
            return false;
        }
        index += 1;
    }
    !word.is_empty() && word.len() <= MAX_CODE_BYTES
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if is_code(word.as_bytes()) { Ok(Self(Cow::Owned(word))) } else { Err(D::Error::custom(NotACode)) }
    }
}

/// The other side: what its certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party(pub Role);

impl From<Role> for Party {
    fn from(role: Role) -> Self {
        Self(role)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// The serial number of a certificate: hexadecimal with colons.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Serial(String);

/// A text that is no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate's serial number: hexadecimal digits and colons are expected")]
pub struct NotASerial;

impl FromStr for Serial {
    type Err = NotASerial;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=MAX_SERIAL_BYTES).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':'));
        if fits { Ok(Self(text.to_owned())) } else { Err(NotASerial) }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A signature or a certificate: bytes, in Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_serials_take_nothing_else() {
        assert_eq!(serde_json::to_string(&Code::new("out-of-turn")).unwrap(), "\"out-of-turn\"");
        for text in ["", "UPENN-GBM-00001", "a b", "/hospital", "ä"] {
            assert!(serde_json::from_value::<Code>(text.into()).is_err(), "{text}");
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
        assert!("7a:00:ff".parse::<Serial>().is_ok());
        assert!("7a:00:fg".parse::<Serial>().is_err());
    }

    #[test]
    fn parties_are_written_as_in_certificates() {
        let party = Party("consilium:site:a".parse().unwrap());
        let text = serde_json::to_string(&party).unwrap();
        assert_eq!(text, "\"consilium:site:a\"");
        assert_eq!(serde_json::from_str::<Party>(&text).unwrap(), party);
        assert!(serde_json::from_str::<Party>("\"Dr. A\"").is_err());
    }
}
