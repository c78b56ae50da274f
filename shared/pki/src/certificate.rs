//! What a certificate says of itself. Whether it may be believed is TLS's to verify.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The parts of a certificate that this consortium's programs look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's organisation: the consortium.
    pub organisation: Option<String>,
    /// The subject's common name, for people.
    pub common_name: Option<String>,
    /// The serial number in hexadecimal with colons: what a revocation names.
    pub serial: String,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// The URIs among its names. A certificate of a consortium has exactly one, its role.
    pub uris: Vec<String>,
    /// The DNS names and IP addresses among its names.
    pub hosts: Vec<String>,
    /// The public key, as a DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

/// Bytes that are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub struct UnreadableCertificate(String);

impl CertificateFacts {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// Where the bytes are no X.509 certificate.
    pub fn of(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)
            .map_err(|error| UnreadableCertificate(error.to_string()))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| UnreadableCertificate(error.to_string()))?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let (mut uris, mut hosts) = (Vec::new(), Vec::new());
        for name in names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                GeneralName::IPAddress(octets) => hosts.extend(address(octets).map(|ip| ip.to_string())),
                _ => {}
            }
        }
        let subject = certificate.subject();
        let text = |name: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            name.and_then(|name| name.as_str().ok()).map(str::to_owned)
        };
        Ok(Self {
            organisation: text(subject.iter_organization().next()),
            common_name: text(subject.iter_common_name().next()),
            serial: certificate.raw_serial_as_string(),
            not_before: moment(certificate.validity().not_before.timestamp()),
            not_after: moment(certificate.validity().not_after.timestamp()),
            uris,
            hosts,
            public_key: public_key(&certificate),
        })
    }

    /// The moment at which `share` of its life is over; 0 is its beginning, 1 its end.
    pub fn moment_at(&self, share: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        self.not_before + life.mul_f64(share.clamp(0.0, 1.0))
    }

    /// The length of its life.
    pub fn life(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO)
    }
}

/// SHA-256 of the public key (SubjectPublicKeyInfo) of a certificate in DER: what a join token pins.
///
/// # Errors
/// Where the bytes are no X.509 certificate.
pub fn public_key_sha256(der: &[u8]) -> Result<[u8; 32], UnreadableCertificate> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| UnreadableCertificate(error.to_string()))?;
    let hash = digest(&SHA256, &public_key(&certificate));
    Ok(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// All certificates of a PEM text, at least one.
///
/// # Errors
/// Where there is none, or a block is damaged.
pub fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, UnreadableCertificate> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| UnreadableCertificate(error.to_string()))?;
    if certificates.is_empty() {
        return Err(UnreadableCertificate("it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

/// Certificates as a PEM text, in their order.
pub fn pem_of<D: AsRef<[u8]>>(certificates: &[D]) -> String {
    certificates.iter().map(|der| pem_block("CERTIFICATE", der.as_ref())).collect()
}

/// One PEM block (RFC 7468), 64 characters a line.
fn pem_block(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut body = String::new();
    for group in der.chunks(3) {
        let word =
            group.iter().chain([0, 0].iter()).take(3).fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 63;
            body.push(if place <= group.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn public_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    certificate.public_key().raw.to_vec()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    v4().or_else(v6)
}

/// Certificates that begin before 1970 are nobody's we know.
fn moment(unix_secs: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_secs).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_as_pem_is_read_again(ders in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..300), 1..4)) {
            let read = certificates_of(&pem_of(&ders)).unwrap();
            prop_assert_eq!(read.iter().map(|der| der.to_vec()).collect::<Vec<_>>(), ders);
        }

        #[test]
        fn noise_is_no_certificate(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(CertificateFacts::of(&bytes).is_err());
        }
    }
}
