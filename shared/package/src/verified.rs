//! A package whose files fit its card and whose card somebody trusted answers for.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use crate::card_check::is_plain;
use crate::package::{Package, PackageError};
use crate::signer::{Signer, Standing, VerifyError};

/// A package to rely on.
pub struct Verified {
    /// The package.
    pub package: Package,
    /// Who answers for it.
    pub signer: Signer,
}

/// Why a folder is nothing to rely on.
#[derive(Debug, thiserror::Error)]
pub enum UnverifiedError {
    /// It is no package, or was damaged.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Nobody trustworthy answers for it.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

/// Opens the package in `folder`, compares every byte with its card, and asks whether the authority `ca_pem` (PEM)
/// vouches for who signed the card.
///
/// # Errors
/// Names the file and the problem, or what is wrong with the signature.
pub fn verify_folder(folder: &Path, ca_pem: &str) -> Result<Verified, UnverifiedError> {
    let package = Package::open(folder)?;
    let signer = package.verify(ca_pem)?;
    Ok(Verified { package, signer })
}

impl Verified {
    /// What was verified, for a person, as of `now`: several lines.
    pub fn describe(&self, now: SystemTime) -> String {
        let (card, signer) = (self.package.card(), &self.signer);
        let [from, until] = signer.days();
        let standing = match signer.standing(now) {
            Standing::Current => "is valid",
            Standing::Expired => {
                "has expired: the package was signed before, or by somebody who kept the key; compare the \
                 certificate's SHA-256 with what the consortium published"
            }
            Standing::NotYet => "is not valid yet: this machine's clock or the signer's is wrong",
        };
        let bytes: u64 = card.files.iter().map(|file| file.bytes).sum();
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        line("package", &self.package.folder().display().to_string());
        line("study", &format!("{} ({})", shown(&card.name), card.study_hash));
        line("arm", &format!("{}, {} models", card.arm, card.models.len()));
        line("files", &format!("{} files of {bytes} bytes: all there, none altered", card.files.len()));
        line("signed by", &format!("the coordinator of {}", signer.consortium));
        line(
            "certificate",
            &format!("serial {}, {from} to {until}, SHA-256 {}", signer.serial, signer.certificate_sha256),
        );
        line("", &format!("which {standing}"));
        text
    }
}

/// A name that a person chose, with nothing in it that moves a terminal's cursor.
pub(crate) fn shown(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}
