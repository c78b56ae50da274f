//! By what two sites find out that they hold the same patient, without saying who it is.
//!
//! A fingerprint is a list of keyed hashes. Who lacks the key sees which tokens are equal, and nothing else. Not
//! here: how tokens are made of a case (`shared/data`), and what follows from equal ones (`shared/protocol`).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, Modality};

/// Names under which one patient may be known elsewhere: its own archive's and those of the collections it was
/// taken into. Few, because each of them can tie two sites' cases together.
pub const MAX_ALIASES: usize = 4;
/// Bands of an image's sketch.
pub const IMAGE_BANDS: usize = 32;
/// Two images with so many equal bands are of the same scan. `shared/data` measures what follows from it.
pub const MATCHING_BANDS: usize = 6;
/// Cases whose fingerprints one site may send: sixteen times the largest site of the public archives, and few
/// enough for their numbers to fit a control frame.
pub const MAX_FINGERPRINTS: usize = 1 << 13;

/// Eight bytes of a keyed hash. Written as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FingerprintToken(pub [u8; 8]);

/// The tokens of one image, one a band of its sketch. Bands are compared with the same band only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageTokens(pub [FingerprintToken; IMAGE_BANDS]);

impl ImageTokens {
    /// Number of equal bands, 0 to [`IMAGE_BANDS`].
    pub fn equal_bands(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count()
    }
}

/// What a site tells of one case, so that the same patient at another site is found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Of the names by which others may know the patient; at most [`MAX_ALIASES`], ascending.
    #[serde(deserialize_with = "few_aliases")]
    pub aliases: Vec<FingerprintToken>,
    /// Of the images.
    pub images: BTreeMap<Modality, ImageTokens>,
}

impl Fingerprint {
    /// Whether both are of the same patient: a name in common, or [`MATCHING_BANDS`] equal bands of one modality.
    pub fn matches(&self, other: &Self) -> bool {
        let known = self.aliases.iter().any(|alias| other.aliases.contains(alias));
        known || self.images.iter().any(|(modality, image)| matches_image(image, other.images.get(modality)))
    }

    /// Names a site's fingerprints in their order: equal digests mean that case numbers mean the same cases.
    pub fn digest_of(fingerprints: &[Self]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for Self { aliases, images } in fingerprints {
            let [aliases_here, images_here] = [aliases.len(), images.len()].map(|n| (n as u64).to_le_bytes());
            hasher.update(&aliases_here).update(&images_here);
            aliases.iter().for_each(|token| {
                hasher.update(&token.0);
            });
            for (modality, image) in images {
                let name = modality.name().as_bytes();
                hasher.update(&[name.len() as u8]).update(name);
                image.0.iter().for_each(|token| {
                    hasher.update(&token.0);
                });
            }
        }
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// At most [`MAX_ALIASES`], however many the sender claims: a list within a list must not take memory in advance.
fn few_aliases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FingerprintToken>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<FingerprintToken>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_ALIASES} names of a patient")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut aliases = Vec::with_capacity(MAX_ALIASES);
            while let Some(alias) = list.next_element()? {
                if aliases.len() == MAX_ALIASES {
                    return Err(serde::de::Error::invalid_length(MAX_ALIASES + 1, &self));
                }
                aliases.push(alias);
            }
            Ok(aliases)
        }
    }

    deserializer.deserialize_seq(Few)
}

fn matches_image(image: &ImageTokens, other: Option<&ImageTokens>) -> bool {
    other.is_some_and(|other| image.equal_bands(other) >= MATCHING_BANDS)
}

impl fmt::Display for FingerprintToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FingerprintToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerprintToken({self})")
    }
}

impl Serialize for FingerprintToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for FingerprintToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 8]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| serde::de::Error::custom("a fingerprint's token has 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(seed: u8, changed: usize) -> ImageTokens {
        let band = |band: usize| [if band < changed { !seed } else { seed }, band as u8, 0, 0, 0, 0, 0, 0];
        ImageTokens(std::array::from_fn(|index| FingerprintToken(band(index))))
    }

    fn of(aliases: &[u8], images: &[(Modality, ImageTokens)]) -> Fingerprint {
        Fingerprint {
            aliases: aliases.iter().map(|&alias| FingerprintToken([alias; 8])).collect(),
            images: images.iter().cloned().collect(),
        }
    }

    #[test]
    fn a_name_or_enough_bands_of_one_modality_make_a_match() {
        let whole = of(&[1], &[(Modality::T1, image(7, 0))]);
        assert!(whole.matches(&of(&[2, 1], &[])) && !whole.matches(&of(&[2], &[])));
        let most = IMAGE_BANDS - MATCHING_BANDS;
        assert!(whole.matches(&of(&[], &[(Modality::T1, image(7, most))])));
        assert!(!whole.matches(&of(&[], &[(Modality::T1, image(7, most + 1))])), "one band too few");
        assert!(!whole.matches(&of(&[], &[(Modality::T2, image(7, 0))])), "another modality");
        assert!(!of(&[], &[]).matches(&of(&[], &[])), "nothing is no evidence");
    }

    #[test]
    fn text_and_bytes_round_trip() {
        let fingerprint = of(&[0x0a, 0xff], &[(Modality::Flair, image(3, 4))]);
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert!(json.contains("\"0a0a0a0a0a0a0a0a\""), "{json}");
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
        let crowd = serde_json::to_string(&of(&[1, 2, 3, 4, 5], &[])).unwrap();
        let error = serde_json::from_str::<Fingerprint>(&crowd).unwrap_err().to_string();
        assert!(error.contains("at most 4 names"), "{error}");
        for text in ["\"\"", "\"0a\"", "\"+a0a0a0a0a0a0a0a\"", "\"0a0a0a0a0a0a0a0a0\""] {
            assert!(serde_json::from_str::<FingerprintToken>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_digest_depends_on_every_token_and_its_place() {
        let whole = vec![of(&[1, 2], &[(Modality::T1, image(7, 0))]), of(&[3], &[])];
        let swapped: Vec<Fingerprint> = whole.iter().rev().cloned().collect();
        let moved = vec![of(&[1], &[(Modality::T1, image(7, 0))]), of(&[2, 3], &[])];
        let renamed = vec![of(&[1, 2], &[(Modality::T2, image(7, 0))]), of(&[3], &[])];
        let digest = Fingerprint::digest_of(&whole);
        assert_eq!(digest, Fingerprint::digest_of(&whole.clone()));
        for other in [&swapped[..], &moved, &renamed, &whole[..1], &[]] {
            assert_ne!(Fingerprint::digest_of(other), digest);
        }
    }
}
