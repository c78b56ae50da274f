//! The certificates that a reader trusts: the `ca.pem` of a consortium.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::holder::SignatureError;

/// Largest authority file: a few certificates.
const MAX_AUTHORITY_BYTES: usize = 64 << 10;

/// One certificate or several, whose word is taken.
#[derive(Debug, Clone)]
pub struct Authorities(pub(crate) Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// Where it cannot be read, or as [`Authorities::from_pem`].
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SignatureError::Authority(format!("{}: {error}", path.display())))?;
        Self::from_pem(&text)
    }

    /// The certificates of `pem`, at least one.
    ///
    /// # Errors
    /// Where it holds none, or is far too long.
    pub fn from_pem(pem: &str) -> Result<Self, SignatureError> {
        if pem.len() > MAX_AUTHORITY_BYTES {
            return Err(SignatureError::Authority(format!("it has more than {MAX_AUTHORITY_BYTES} bytes")));
        }
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                Err(SignatureError::Authority("it holds no certificate in PEM".to_owned()))
            }
            Ok(certificates) => Ok(Self(certificates)),
            Err(error) => Err(SignatureError::Authority(error.to_string())),
        }
    }

    /// The certificates, in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}
