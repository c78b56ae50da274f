//! Whom the consortium's authority vouches for, asked once for each chain of certificates.
//!
//! The two sides of an exchange show each other the same chains after every order, and to verify a chain takes longer than
//! to verify what was signed with it. The answer does not age: chains are verified as of the day the certificate began, and
//! revocation is the handshake's affair. Only the last chain is remembered, so that nobody can fill memory with chains.

use std::sync::{Arc, Mutex};

use consilium_signing::{Authorities, Holder, SignatureError};

/// The authorities, and whom they vouched for last. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    authorities: Authorities,
    last: Arc<Mutex<Option<Known>>>,
}

/// A chain that was verified, and whose it is.
#[derive(Debug)]
struct Known {
    chain: Vec<Vec<u8>>,
    holder: Holder,
}

impl Vouched {
    pub(crate) fn by(authorities: Authorities) -> Self {
        Self { authorities, last: Arc::default() }
    }

    /// The holder of the first certificate of `chain`, if the authorities vouch for them.
    ///
    /// # Errors
    /// As [`Holder::trusted`].
    pub(crate) fn holder(&self, chain: &[Vec<u8>]) -> Result<Holder, SignatureError> {
        let mut last = self.last.lock().expect("no panic while the lock is held");
        if let Some(known) = last.as_ref().filter(|known| known.chain == chain) {
            return Ok(known.holder.clone());
        }
        let holder = Holder::trusted(chain, &self.authorities)?;
        *last = Some(Known { chain: chain.to_vec(), holder: holder.clone() });
        Ok(holder)
    }
}

#[cfg(test)]
mod tests {
    use consilium_certs::{Authority, Kit};
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    fn chain(kit: &Kit) -> Vec<Vec<u8>> {
        let pem = kit.certificate_pem.as_bytes();
        CertificateDer::pem_slice_iter(pem).map(|der| der.unwrap().to_vec()).collect()
    }

    #[test]
    fn a_chain_is_never_taken_for_another() {
        let (ours, theirs) = (Authority::create("North").unwrap(), Authority::create("South").unwrap());
        let site = "a".parse().unwrap();
        let (first, second) = (ours.issue_site(&site).unwrap(), ours.issue_site(&site).unwrap());
        let stranger = theirs.issue_site(&site).unwrap();
        let vouched = Vouched::by(Authorities::from_pem(&first.ca_pem).unwrap());
        for kit in [&first, &first, &second, &first] {
            let expected = Holder::trusted(&chain(kit), &vouched.authorities).unwrap();
            assert_eq!(vouched.holder(&chain(kit)), Ok(expected));
            for refused in [chain(&stranger), [chain(kit), vec![vec![1]]].concat(), vec![]] {
                assert_eq!(
                    vouched.holder(&refused),
                    Holder::trusted(&refused, &vouched.authorities),
                    "what follows a chain that is known is judged anew"
                );
            }
        }
        assert!(vouched.holder(&chain(&stranger)).is_err());
    }
}
