//! The holder of a certificate for whom an authority vouches, and what they signed.

use std::time::Duration;

use consilium_domain::{Digest, Role, UnknownRole};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::aws_lc_rs::ECDSA_P256_SHA256;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::authorities::Authorities;

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whom it speaks for.
    pub role: Role,
    /// The name of the authority that issued it: the consortium's.
    pub consortium: String,
    /// Its serial number in hexadecimal, with colons.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub certificate_sha256: Digest,
    /// From when it is valid, in seconds since 1970 (UTC).
    pub valid_from_unix_secs: i64,
    /// Until when it is valid, in seconds since 1970 (UTC).
    pub valid_until_unix_secs: i64,
    leaf: Vec<u8>,
}

/// Why nobody trustworthy answers for a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The authority's certificate cannot be read.
    #[error("the authority's certificate cannot be read: {0}; give the ca.pem of the consortium")]
    Authority(String),
    /// The signer's certificate cannot be read.
    #[error("the signer's certificate cannot be read: {0}")]
    Certificate(String),
    /// No name, or several: neither is ever issued by a consortium's authority.
    #[error("the signer's certificate has {0} URI names where exactly one is expected")]
    NotOneName(usize),
    /// A name of somebody else's scheme.
    #[error("the signer's certificate is not of a consortium: {0}")]
    UnknownRole(#[from] UnknownRole),
    /// Another authority.
    #[error("the authority given does not vouch for the signer ({0})")]
    Untrusted(String),
    /// Not a signature of this text.
    #[error("the signature is not of this text: one of them was altered")]
    Signature,
}

impl Holder {
    /// Whom the first certificate of `chain` (DER) speaks for. Nothing is vouched for yet.
    ///
    /// # Errors
    /// Where it cannot be read, or names none or several.
    pub fn claimed_role(chain: &[Vec<u8>]) -> Result<Role, SignatureError> {
        role_in(&parse(leaf_of(chain)?)?)
    }

    /// The holder of the first certificate of `chain` (DER), if one of `authorities` vouches for them.
    ///
    /// # Errors
    /// Where a certificate cannot be read, or nobody vouches.
    pub fn trusted(chain: &[Vec<u8>], authorities: &Authorities) -> Result<Self, SignatureError> {
        let leaf = leaf_of(chain)?;
        let certificate = parse(leaf)?;
        let role = role_in(&certificate)?;
        let validity = certificate.validity();
        let began = u64::try_from(validity.not_before.timestamp())
            .map_err(|_| SignatureError::Certificate("it began before 1970".to_owned()))?;
        let anchors: Vec<TrustAnchor<'_>> =
            authorities.0.iter().map(anchor).collect::<Result<_, SignatureError>>()?;
        let between: Vec<CertificateDer<'_>> =
            chain[1..].iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let usage = if role == Role::Coordinator { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        EndEntityCert::try_from(&CertificateDer::from(leaf))
            .map_err(|error| SignatureError::Certificate(error.to_string()))?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &between,
                UnixTime::since_unix_epoch(Duration::from_secs(began)),
                usage,
                None,
                None,
            )
            .map_err(|error| SignatureError::Untrusted(error.to_string()))?;
        Ok(Self {
            role,
            consortium: consortium(&certificate),
            serial: certificate.raw_serial_as_string(),
            certificate_sha256: sha256(leaf),
            valid_from_unix_secs: validity.not_before.timestamp(),
            valid_until_unix_secs: validity.not_after.timestamp(),
            leaf: leaf.to_vec(),
        })
    }

    /// Whether the holder signed `text`.
    ///
    /// # Errors
    /// Where they did not.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let leaf = CertificateDer::from(self.leaf.as_slice());
        EndEntityCert::try_from(&leaf)
            .map_err(|error| SignatureError::Certificate(error.to_string()))?
            .verify_signature(ECDSA_P256_SHA256, text, signature)
            .map_err(|_| SignatureError::Signature)
    }
}

/// SHA-256 of a certificate in DER: what names it in signatures and logs.
fn sha256(certificate: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(certificate).into())
}

fn leaf_of(chain: &[Vec<u8>]) -> Result<&[u8], SignatureError> {
    let leaf = chain.first().ok_or_else(|| SignatureError::Certificate("there is none".to_owned()))?;
    Ok(leaf)
}

fn anchor(der: &CertificateDer<'static>) -> Result<TrustAnchor<'static>, SignatureError> {
    let anchor = anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned());
    anchor.map_err(|error| SignatureError::Authority(error.to_string()))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, SignatureError> {
    let parsed = x509_parser::parse_x509_certificate(der);
    parsed.map(|(_, certificate)| certificate).map_err(|error| SignatureError::Certificate(error.to_string()))
}

fn role_in(certificate: &X509Certificate<'_>) -> Result<Role, SignatureError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| SignatureError::Certificate(error.to_string()))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    match uris[..] {
        [uri] => Ok(uri.parse()?),
        _ => Err(SignatureError::NotOneName(uris.len())),
    }
}

fn consortium(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    // An authority of one's own may have a common name only.
    let mut names = issuer.iter_organization().chain(issuer.iter_common_name());
    let name = names.next().and_then(|name| name.as_str().ok());
    name.unwrap_or("(without a name)").chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use consilium_certs::{Authority, Kit};
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    fn chain(kit: &Kit) -> Vec<Vec<u8>> {
        let pem = kit.certificate_pem.as_bytes();
        CertificateDer::pem_slice_iter(pem).map(|der| der.unwrap().to_vec()).collect()
    }

    #[test]
    fn both_kinds_of_holders_are_known_by_their_authority_only() {
        let (ours, theirs) = (Authority::create("North").unwrap(), Authority::create("South").unwrap());
        let site = ours.issue_site(&"a".parse().unwrap()).unwrap();
        let coordinator = ours.issue_coordinator::<&str>(&[]).unwrap();
        let stranger = theirs.issue_site(&"a".parse().unwrap()).unwrap();
        let authorities = Authorities::from_pem(&site.ca_pem).unwrap();
        for (kit, role) in [(&site, "consilium:site:a"), (&coordinator, "consilium:coordinator")] {
            let holder = Holder::trusted(&chain(kit), &authorities).unwrap();
            assert_eq!((holder.role.to_string().as_str(), holder.consortium.as_str()), (role, "North"));
            assert_eq!(holder.verify(b"text", b"no signature"), Err(SignatureError::Signature));
        }
        let refused = Holder::trusted(&chain(&stranger), &authorities);
        assert!(matches!(refused, Err(SignatureError::Untrusted(_))), "{refused:?}");
    }

    #[test]
    fn nobody_and_nonsense_are_refused() {
        let authority = Authority::create("North").unwrap().issue_site(&"a".parse().unwrap()).unwrap().ca_pem;
        let authorities = Authorities::from_pem(&authority).unwrap();
        for chain in [vec![], vec![vec![]], vec![vec![1, 2, 3]]] {
            assert!(matches!(Holder::trusted(&chain, &authorities), Err(SignatureError::Certificate(_))));
        }
        for pem in ["", "-----BEGIN CERTIFICATE-----"] {
            assert!(matches!(Authorities::from_pem(pem), Err(SignatureError::Authority(_))), "{pem}");
        }
    }
}
