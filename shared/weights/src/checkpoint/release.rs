//! The files that Tencent/MedicalNet published, by SHA-256.

use std::fmt;

use consilium_domain::network::Depth;
use sha2::Digest as _;

/// The licence of the published files and its holder.
pub const MEDICALNET_LICENCE: &str =
    "MIT, Copyright (C) 2019 THL A29 Limited, a Tencent company (https://github.com/Tencent/MedicalNet)";

/// The SHA-256 of a file, by which publishers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash of `file`.
    pub fn of(file: &[u8]) -> Self {
        Self(sha2::Sha256::digest(file).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A file of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its name there.
    pub file_name: &'static str,
    /// The depth of its network.
    pub depth: Depth,
    sha256: &'static str,
}

/// Those whose hash is known. `_23dataset` files are of the larger pretraining.
const RELEASES: [Release; 3] = [
    Release {
        file_name: "resnet_10_23dataset.pth",
        depth: Depth::D10,
        sha256: "afa8055f3e47f4a18239495d92a7abc587902c69c31c743de2b2784653b72605",
    },
    Release {
        file_name: "resnet_50_23dataset.pth",
        depth: Depth::D50,
        sha256: "ff48a62219073fb977fd3f4ddfb8dc1367f0ec156c8d6f6c37e205bd683a246e",
    },
    Release {
        file_name: "resnet_50.pth",
        depth: Depth::D50,
        sha256: "5b6189cafbee2f5604a7279b62bc163365aa6a86a377e1dc260a14275cacbd84",
    },
];

impl Release {
    /// The published file with this hash.
    pub fn recognise(sha256: Sha256) -> Option<Self> {
        let text = sha256.to_string();
        RELEASES.into_iter().find(|release| release.sha256 == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha_256() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), of_abc);
    }

    #[test]
    fn published_files_are_recognised_and_others_are_not() {
        let parse = |text: &str| -> [u8; 32] {
            std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        };
        for release in RELEASES {
            assert_eq!(release.sha256.len(), 64);
            assert_eq!(Release::recognise(Sha256(parse(release.sha256))), Some(release));
        }
        assert_eq!(Release::recognise(Sha256::of(b"abc")), None);
    }
}
