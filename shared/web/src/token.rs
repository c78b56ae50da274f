//! The access token of a website that is exposed: 256 random bits that are shown once and kept as a hash.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use consilium_pki::{Exposed, Readers, refuse_exposed, replace};

/// What a file with a hash begins with.
const PREFIX: &str = "consilium-web-token-sha256:";
/// What a token begins with, so that one that was published by mistake is recognised.
const TOKEN_PREFIX: &str = "consilium-web-1:";
/// Bytes of a token: nobody guesses it, however often they may try.
const TOKEN_BYTES: usize = 32;
/// Longest text that is looked at: a token has fewer.
const MAX_TEXT_BYTES: usize = 200;

/// The hash of a token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    sha256: [u8; 32],
}

/// Why a token cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file system refuses.
    #[error(
        "the access token's file {path} cannot be used: {source}; `consilium-coordinator web-token` makes one"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read it.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// It holds something else.
    #[error("{0} holds no access token: `consilium-coordinator web-token` makes a new one")]
    Damaged(PathBuf),
    /// There is no randomness.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

impl AccessToken {
    /// Makes a token and keeps its hash in `path`, in the place of one that was there. The text is returned once.
    ///
    /// # Errors
    /// When the file cannot be written: then the old token is good still.
    pub fn make(path: &Path) -> Result<String, TokenFileError> {
        let text = format!("{TOKEN_PREFIX}{}", hex::encode(random()?));
        let line = format!("{PREFIX}{}\n", hex::encode(sha256(text.as_bytes())));
        let io = |source| TokenFileError::Io { path: path.to_owned(), source };
        replace(path, &line, Readers::Owner).map_err(io)?;
        Ok(text)
    }

    /// Reads the hash that [`Self::make`] wrote.
    ///
    /// # Errors
    /// When it is absent, damaged or open to others.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        refuse_exposed(path)?;
        let io = |source| TokenFileError::Io { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let damaged = || TokenFileError::Damaged(path.to_owned());
        let digits = text.trim_end().strip_prefix(PREFIX).ok_or_else(damaged)?;
        let bytes = hex::decode(digits).map_err(|_| damaged())?;
        Ok(Self { sha256: bytes.try_into().map_err(|_| damaged())? })
    }

    /// Whether `text` is the token. Takes as long for a wrong one as for a nearly right one.
    pub(crate) fn is(&self, text: &str) -> bool {
        text.len() <= MAX_TEXT_BYTES
            && verify_slices_are_equal(&sha256(text.as_bytes()), &self.sha256).is_ok()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").finish_non_exhaustive()
    }
}

/// Fresh random bytes.
pub(crate) fn random() -> Result<[u8; TOKEN_BYTES], TokenFileError> {
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| TokenFileError::Random(error.to_string()))?;
    Ok(bytes)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_kept_as_a_hash_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-token");
        assert!(matches!(AccessToken::read(&path), Err(TokenFileError::Io { .. })));
        let first = AccessToken::make(&path).unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(first.strip_prefix(TOKEN_PREFIX).unwrap()), "{kept}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let token = AccessToken::read(&path).unwrap();
        assert!(
            token.is(&first) && !token.is("") && !token.is(&first[1..]) && !token.is(&"x".repeat(10_000))
        );
        let second = AccessToken::make(&path).unwrap();
        let token = AccessToken::read(&path).unwrap();
        assert!(token.is(&second) && !token.is(&first));
        assert!(!format!("{token:?}").contains("sha256"));
    }

    #[test]
    fn a_file_that_others_read_or_that_holds_no_hash_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-token");
        AccessToken::make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(AccessToken::read(&path), Err(TokenFileError::Exposed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for damaged in ["", "consilium-web-token-sha256:00", "hunter2"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(AccessToken::read(&path), Err(TokenFileError::Damaged(_))), "{damaged}");
        }
    }
}
