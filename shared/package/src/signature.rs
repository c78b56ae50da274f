//! `signature.json`: who answers for the card.
//!
//! One text for one signature: what does not serialise to the same bytes again is refused, so that no byte of the
//! file can change unnoticed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The value of `schema` that this release writes and reads.
const SCHEMA: &str = "consilium-signature/1";
/// The only algorithm: the one of every key that `consilium-certs` issues (FIPS 186-5, SHA-256, DER).
const ALGORITHM: &str = "ecdsa-p256-sha256";
/// What is signed: the bytes of this file.
const SIGNED: &str = crate::folder::CARD_FILE;
/// Longest chain: the signer's and the issuing certificate; an organisation's own authority may have more.
const MAX_CERTIFICATES: usize = 4;

/// Why `signature.json` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of this layout.
    #[error("it cannot be read: {0}")]
    Syntax(String),
    /// Another layout, algorithm or file.
    #[error("its `{key}` is `{found}`, this release knows `{known}`: use the release that wrote it")]
    Unknown {
        /// Where.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        known: &'static str,
    },
    /// No certificate, or too many.
    #[error("it has {0} certificates: 1 to {MAX_CERTIFICATES} are expected")]
    Certificates(usize),
    /// The same content in another spelling.
    #[error("it was edited: its text is not the one that its content is written as")]
    Spelling,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    schema: String,
    algorithm: String,
    signed: String,
    /// DER, in Base64.
    signature: String,
    /// X.509 in DER, in Base64; the signer's first.
    certificates: Vec<String>,
}

/// A signature with its certificate chain, not yet believed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// An ECDSA signature, as ASN.1.
    pub(crate) bytes: Vec<u8>,
    /// X.509 in DER; the signer's first, and at least one.
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Signature {
    /// The file's text.
    pub(crate) fn to_json(&self) -> String {
        let file = SignatureFile {
            schema: SCHEMA.to_owned(),
            algorithm: ALGORITHM.to_owned(),
            signed: SIGNED.to_owned(),
            signature: STANDARD.encode(&self.bytes),
            certificates: self.certificates.iter().map(|der| STANDARD.encode(der)).collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("a signature has only text keys");
        text.push('\n');
        text
    }

    /// Reads the file's text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let file: SignatureFile =
            serde_json::from_slice(text).map_err(|error| SignatureError::Syntax(error.to_string()))?;
        known("schema", &file.schema, SCHEMA)?;
        known("algorithm", &file.algorithm, ALGORITHM)?;
        known("signed", &file.signed, SIGNED)?;
        if !(1..=MAX_CERTIFICATES).contains(&file.certificates.len()) {
            return Err(SignatureError::Certificates(file.certificates.len()));
        }
        let decode =
            |text: &String| STANDARD.decode(text).map_err(|error| SignatureError::Syntax(error.to_string()));
        let certificates = file.certificates.iter().map(decode).collect::<Result<_, _>>()?;
        let signature = Self { bytes: decode(&file.signature)?, certificates };
        if signature.to_json().as_bytes() == text { Ok(signature) } else { Err(SignatureError::Spelling) }
    }
}

fn known(key: &'static str, found: &str, known: &'static str) -> Result<(), SignatureError> {
    if found == known {
        return Ok(());
    }
    let found = found.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(SignatureError::Unknown { key, found, known })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signature() -> Signature {
        Signature { bytes: vec![1, 2, 3, 4], certificates: vec![vec![5; 10], vec![6; 11]] }
    }

    #[test]
    fn what_was_written_is_read() {
        let read = Signature::parse(signature().to_json().as_bytes()).unwrap();
        assert!(read == signature());
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let text = signature().to_json();
        for (from, to) in [("\n", " "), ("  \"", "\t\""), ("AQIDBA==", "AQIDBA"), ("AQIDBA==", "AQIDBB==")] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(Signature::parse(other.as_bytes()).is_err(), "{other}");
        }
        let compact: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(Signature::parse(compact.to_string().as_bytes()).err(), Some(SignatureError::Spelling));
    }

    #[test]
    fn other_algorithms_and_files_name_themselves() {
        for (from, key) in [(SCHEMA, "schema"), (ALGORITHM, "algorithm"), (SIGNED, "signed")] {
            let text = signature().to_json().replacen(from, "none", 1);
            let error = Signature::parse(text.as_bytes()).err().unwrap();
            assert!(matches!(&error, SignatureError::Unknown { key: found, .. } if *found == key), "{error}");
        }
    }

    #[test]
    fn chains_are_neither_absent_nor_endless() {
        for count in [0, MAX_CERTIFICATES + 1] {
            let text = Signature { certificates: vec![vec![1]; count], ..signature() }.to_json();
            assert_eq!(Signature::parse(text.as_bytes()).err(), Some(SignatureError::Certificates(count)));
        }
    }

    proptest! {
        #[test]
        fn bytes_from_elsewhere_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Signature::parse(&bytes);
        }
    }
}
