//! A site and a coordinator with logs, kits and a connection that is only a function call.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use consilium_audit::{AuditLog, Code, Inspection, LOG_FILE, Record, Verdict, Witness};
use consilium_certs::{Authority, Kit};
use consilium_domain::Role;
use consilium_signing::{Authorities, CannotSign, Holder, Sign};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

/// Signs with the key of a kit.
pub(crate) struct KitSigner {
    role: Role,
    chain: Vec<Vec<u8>>,
    key: EcdsaKeyPair,
}

impl KitSigner {
    pub(crate) fn of(kit: &Kit) -> Self {
        let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(kit.certificate_pem.as_bytes())
            .map(|der| der.unwrap().to_vec())
            .collect();
        let key = PrivatePkcs8KeyDer::from_pem_slice(kit.key_pem.as_bytes()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der()).unwrap();
        Self { role: Holder::claimed_role(&chain).unwrap(), chain, key }
    }
}

impl Sign for KitSigner {
    fn role(&self) -> &Role {
        &self.role
    }

    fn certificates(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let signature = self.key.sign(&SystemRandom::new(), text);
        signature.map(|bytes| bytes.as_ref().to_vec()).map_err(|error| CannotSign(error.to_string()))
    }
}

/// One party.
pub(crate) struct Side {
    pub(crate) folder: TempDir,
    pub(crate) log: AuditLog,
    pub(crate) witness: Witness,
}

/// A site `a`, its coordinator, and who vouches for both.
pub(crate) struct Consortium {
    pub(crate) authority: Authority,
    pub(crate) authorities: Authorities,
    pub(crate) site: Side,
    pub(crate) coordinator: Side,
}

impl Consortium {
    pub(crate) fn new() -> Self {
        let authority = Authority::create("North").unwrap();
        let site = authority.issue_site(&"a".parse().unwrap()).unwrap();
        let coordinator = authority.issue_coordinator::<&str>(&[]).unwrap();
        let authorities = Authorities::from_pem(&site.ca_pem).unwrap();
        let side = |kit: &Kit, peer: &Kit| {
            let folder = tempfile::tempdir().unwrap();
            let (signer, peer) = (KitSigner::of(kit), KitSigner::of(peer).role);
            let log = AuditLog::open(folder.path(), signer.role()).unwrap();
            let witness = Witness::new(log.clone(), authorities.clone(), Arc::new(signer), peer);
            Side { folder, log, witness }
        };
        let (site, coordinator) = (side(&site, &coordinator), side(&coordinator, &site));
        Self { authority, authorities, site, coordinator }
    }

    /// What the two daemons do after each settled order.
    pub(crate) fn exchange(&self) {
        let Self { site, coordinator, .. } = self;
        let receipt = coordinator.witness.countersign(&site.witness.state().unwrap()).unwrap();
        site.witness.keep_receipt(&receipt).unwrap();
        let receipt = site.witness.countersign(&coordinator.witness.state().unwrap()).unwrap();
        coordinator.witness.keep_receipt(&receipt).unwrap();
    }

    /// Something to write, and an exchange, `times` over.
    pub(crate) fn live(&self, times: u32) {
        for _ in 0..times {
            self.site.log.append(work()).unwrap();
            self.coordinator.log.append(work()).unwrap();
            self.exchange();
        }
    }

    pub(crate) fn verify(&self, side: &Side) -> Verdict {
        Inspection::of(&side.path(), &self.authorities).unwrap().alone()
    }

    /// The site's log beside the coordinator's.
    pub(crate) fn verify_both(&self) -> Verdict {
        let other = Inspection::of(&self.coordinator.path(), &self.authorities).unwrap();
        Inspection::of(&self.site.path(), &self.authorities).unwrap().beside(&other)
    }
}

impl Side {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(LOG_FILE)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.bytes()).unwrap().split_inclusive('\n').map(str::to_owned).collect()
    }

    pub(crate) fn overwrite(&self, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(), bytes).unwrap();
    }
}

pub(crate) fn work() -> Record {
    Record::ProcessStopped { reason: Code::new("asked-to") }
}
