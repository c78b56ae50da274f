//! What an opponent, a bad disk or a careless copy may do to a package, and that each is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use consilium_certs::{Authority, Kit};
use consilium_domain::{Arm, Fold, Modality, Round};
use consilium_weights::WeightsError;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, SanType};

use crate::card_check::CardError;
use crate::folder::MAX_CARD_BYTES;
use crate::sample;
use crate::signature::{Signature, SignatureError};
use crate::writer::{ExportedModel, PackageWriter, WriteError};
use crate::{
    Package, PackageError, SigningError, SigningKit, Standing, UnverifiedError, VerifyError, verify_folder,
};

const MODEL: &str = "models/t1gd-fold1.safetensors";

fn package() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    sample::write(&folder);
    (dir, folder)
}

fn verify(folder: &Path) -> Result<crate::Verified, UnverifiedError> {
    verify_folder(folder, &sample::kit().ca_pem)
}

fn open_error(folder: &Path) -> PackageError {
    Package::open(folder).err().expect("the package is refused")
}

fn verify_error(folder: &Path) -> VerifyError {
    match verify(folder).err() {
        Some(UnverifiedError::Signature(error)) => error,
        Some(UnverifiedError::Package(error)) => panic!("refused too early: {error}"),
        None => panic!("the package is believed"),
    }
}

/// Signs the card in `folder` again, with `kit`.
fn sign(folder: &Path, kit: &Kit) {
    let card = fs::read(folder.join("card.json")).unwrap();
    let signature = sample::signing(kit).sign(&card).unwrap();
    fs::write(folder.join("signature.json"), signature.to_json()).unwrap();
}

fn edit_card(folder: &Path, from: &str, to: &str) {
    let path = folder.join("card.json");
    let text = fs::read_to_string(&path).unwrap();
    let edited = text.replacen(from, to, 1);
    assert_ne!(text, edited);
    fs::write(path, edited).unwrap();
}

#[test]
fn a_package_comes_back_as_it_was_written() {
    let (_dir, folder) = package();
    let verified = verify(&folder).unwrap();
    let package = &verified.package;
    assert_eq!((package.card(), package.study()), (&sample::card(), &sample::study()));
    assert!(package.base().unwrap().unwrap() == sample::base());
    assert!(package.model(Modality::T1gd, Fold(1)).unwrap() == sample::model(Arm::Spottune, 1));
    assert!(package.model(Modality::Flair, Fold(0)).unwrap() == sample::model(Arm::Spottune, 2));
    assert!(matches!(package.model(Modality::T2, Fold(0)), Err(PackageError::NoModel { .. })));
    assert!(matches!(package.model(Modality::T1gd, Fold(2)), Err(PackageError::NoModel { .. })));
    assert_eq!(verified.signer.consortium, "North");
    let left: Vec<_> = fs::read_dir(folder.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing unfinished stays");
}

#[test]
fn an_arm_without_a_backbone_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/down/model");
    let writer = sample::filled(&out, Arm::Random).unwrap();
    let verified = writer.finish(sample::facts(), &sample::signing(sample::kit())).unwrap();
    assert!(verified.package.base().unwrap().is_none() && verified.package.card().base.is_none());
    assert!(
        verify(&out).unwrap().package.model(Modality::Flair, Fold(1)).unwrap()
            == sample::model(Arm::Random, 3)
    );
}

#[test]
fn the_same_study_exports_to_the_same_card() {
    let ((_a, first), (_b, second)) = (package(), package());
    for name in ["card.json", "card.md", MODEL] {
        assert!(fs::read(first.join(name)).unwrap() == fs::read(second.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn every_altered_truncated_and_lengthened_file_is_named() {
    for name in ["card.md", "base.safetensors", MODEL] {
        let (_dir, folder) = package();
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        let mut altered = whole.clone();
        *altered.last_mut().unwrap() ^= 1;
        fs::write(&path, altered).unwrap();
        assert!(matches!(open_error(&folder), PackageError::Altered(found) if found == path), "{name}");
        for other in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), &[]] {
            fs::write(&path, other).unwrap();
            let error = open_error(&folder);
            assert!(matches!(&error, PackageError::Size { path: found, .. } if *found == path), "{error}");
        }
    }
}

#[test]
fn missing_extra_and_renamed_files_are_listed() {
    let files = |missing: &[&str], unexpected: &[&str], folder: &Path| match open_error(folder) {
        PackageError::Files { missing: found, unexpected: more, .. } => {
            assert_eq!(
                (found, more),
                (
                    missing.iter().map(ToString::to_string).collect(),
                    unexpected.iter().map(ToString::to_string).collect()
                )
            );
        }
        other => panic!("{other}"),
    };
    for name in ["card.json", "card.md", "base.safetensors", "signature.json", MODEL] {
        let (_dir, folder) = package();
        fs::remove_file(folder.join(name)).unwrap();
        files(&[name], &[], &folder);
    }
    for name in ["more.txt", "models/t2-fold0.safetensors", ".hidden", "models/.DS_Store"] {
        let (_dir, folder) = package();
        fs::write(folder.join(name), "x").unwrap();
        files(&[], &[name], &folder);
    }
    let (_dir, folder) = package();
    fs::rename(folder.join(MODEL), folder.join("models/t1gd-fold2.safetensors")).unwrap();
    files(&[MODEL], &["models/t1gd-fold2.safetensors"], &folder);
    let (_dir, folder) = package();
    fs::create_dir(folder.join("more")).unwrap();
    files(&[], &["more"], &folder);
}

#[test]
fn two_models_that_changed_places_are_noticed() {
    let (_dir, folder) = package();
    let other = "models/flair-fold0.safetensors";
    fs::rename(folder.join(MODEL), folder.join("kept")).unwrap();
    fs::rename(folder.join(other), folder.join(MODEL)).unwrap();
    fs::rename(folder.join("kept"), folder.join(other)).unwrap();
    assert!(matches!(open_error(&folder), PackageError::Altered(_)));
}

#[cfg(unix)]
#[test]
fn links_are_no_files() {
    let (_dir, folder) = package();
    for name in ["card.json", MODEL, "signature.json"] {
        let path = folder.join(name);
        let elsewhere = folder.parent().unwrap().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(open_error(&folder), PackageError::NotAFile(found) if found == path), "{name}");
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
}

#[test]
fn what_is_no_package_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = open_error(&dir.path().join("absent"));
    assert!(matches!(error, PackageError::Read { .. }), "{error}");
    assert!(open_error(dir.path()).to_string().contains("missing [card.json]"));
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let (_dir, folder) = package();
    let huge = fs::File::create(folder.join("card.json")).unwrap();
    huge.set_len(MAX_CARD_BYTES + 1).unwrap();
    assert!(matches!(open_error(&folder), PackageError::TooLarge { limit: MAX_CARD_BYTES, .. }));
    let (_dir, folder) = package();
    fs::File::create(folder.join("signature.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(open_error(&folder), PackageError::TooLarge { .. }));
    let (_dir, folder) = package();
    let bytes = fs::metadata(folder.join(MODEL)).unwrap().len();
    edit_card(&folder, &format!("\"bytes\": {bytes}"), "\"bytes\": 9000000000");
    let error = open_error(&folder);
    assert!(
        matches!(
            &error,
            PackageError::Card { source: CardError::Contradiction { key: "files.bytes", .. }, .. }
        ),
        "{error}"
    );
}

#[test]
fn a_card_that_was_edited_is_not_the_one_that_was_signed() {
    let (_dir, folder) = package();
    edit_card(&folder, "\"value\": 0.7", "\"value\": 0.8");
    assert_eq!(verify_error(&folder), VerifyError::Signature);
    // White space changes nothing but the signature.
    let (_dir, folder) = package();
    edit_card(&folder, "{\n", "{\n\n");
    assert_eq!(verify_error(&folder), VerifyError::Signature);
}

#[test]
fn a_model_of_another_package_fits_neither_by_itself_nor_with_its_card() {
    let (_dir, folder) = package();
    let other = sample::model(Arm::Spottune, 77).to_safetensors();
    let old = fs::read(folder.join(MODEL)).unwrap();
    fs::write(folder.join(MODEL), &other).unwrap();
    assert!(matches!(open_error(&folder), PackageError::Altered(_)));
    let hash = |bytes: &[u8]| crate::digests::Digests::of(bytes);
    edit_card(&folder, &hash(&old).blake3.to_string(), &hash(&other).blake3.to_string());
    assert!(matches!(open_error(&folder), PackageError::Altered(_)), "one digest is not enough");
    edit_card(&folder, &hash(&old).sha256.to_string(), &hash(&other).sha256.to_string());
    assert_eq!(verify_error(&folder), VerifyError::Signature);
}

#[test]
fn a_file_that_changes_after_the_package_was_opened_is_not_used() {
    let (_dir, folder) = package();
    let package = Package::open(&folder).unwrap();
    fs::write(folder.join(MODEL), sample::model(Arm::Spottune, 77).to_safetensors()).unwrap();
    assert!(matches!(package.model(Modality::T1gd, Fold(1)), Err(PackageError::Altered(_))));
}

#[test]
fn other_authorities_and_other_roles_cannot_sign() {
    let (_dir, folder) = package();
    let twin = Authority::create("North").unwrap();
    sign(&folder, &twin.issue_coordinator::<&str>(&[]).unwrap());
    assert!(
        matches!(verify_error(&folder), VerifyError::Untrusted(_)),
        "the name of an authority is not enough"
    );
    let site = sample::authority().issue_site(&"a".parse().unwrap()).unwrap();
    assert!(matches!(
        SigningKit::from_pem(site.ca_pem.clone(), &site.certificate_pem, &site.key_pem),
        Err(SigningError::Certificate(VerifyError::NotCoordinator(_)))
    ));
    // Forged past that: the site's certificate in a signature made with the site's key.
    replace_certificate(&folder, der(&site.certificate_pem));
    assert!(
        matches!(verify_error(&folder), VerifyError::NotCoordinator(role) if role.to_string() == "consilium:site:a")
    );
    // Another coordinator's certificate of the same authority does not fit this signature.
    let (_dir, folder) = package();
    let other = sample::authority().issue_coordinator::<&str>(&[]).unwrap();
    replace_certificate(&folder, der(&other.certificate_pem));
    assert_eq!(verify_error(&folder), VerifyError::Signature);
    // Until that one signs itself.
    sign(&folder, &other);
    assert!(verify(&folder).is_ok());
}

#[test]
fn self_signed_coordinators_and_damaged_certificates_are_refused() {
    let (_dir, folder) = package();
    for (uris, expected) in [
        (vec!["consilium:coordinator"], None),
        (vec![], Some(0)),
        (vec!["consilium:coordinator", "consilium:site:a"], Some(2)),
    ] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        replace_certificate(&folder, certificate.der().to_vec());
        match (verify_error(&folder), expected) {
            (VerifyError::Untrusted(_), None) => {}
            (VerifyError::NotOneName(found), Some(count)) => assert_eq!(found, count),
            (other, _) => panic!("{uris:?}: {other}"),
        }
    }
    let mut damaged = der(&sample::kit().certificate_pem);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    replace_certificate(&folder, damaged);
    assert!(matches!(verify_error(&folder), VerifyError::Untrusted(_)));
    replace_certificate(&folder, vec![1, 2, 3]);
    assert!(matches!(verify_error(&folder), VerifyError::Certificate(_)));
    for ca in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let package = {
            let (_dir, folder) = package();
            Package::open(&folder).unwrap()
        };
        assert!(matches!(package.verify(ca), Err(VerifyError::Authority(_))), "{ca}");
    }
}

#[test]
fn an_expired_certificate_is_told_and_not_refused() {
    let (_dir, folder) = package();
    let verified = verify(&folder).unwrap();
    let now = SystemTime::now();
    let signer = &verified.signer;
    assert_eq!(signer.standing(now), Standing::Current);
    assert_eq!(signer.standing(now + Duration::from_secs(91 * 86_400)), Standing::Expired);
    assert_eq!(signer.standing(SystemTime::UNIX_EPOCH), Standing::NotYet);
    let text = verified.describe(now);
    for part in ["the coordinator of North", "mgmt_pilot", "none altered", "is valid", &signer.days()[1]] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
    assert!(verified.describe(now + Duration::from_secs(91 * 86_400)).contains("has expired"));
}

#[test]
fn an_export_overwrites_nothing_and_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    let kit = sample::signing(sample::kit());
    let create = || PackageWriter::create(&out, &sample::study(), Arm::Spottune);
    fs::create_dir(&out).unwrap();
    assert!(matches!(create(), Err(WriteError::Exists(_))));
    fs::remove_dir(&out).unwrap();
    assert!(matches!(
        PackageWriter::create(&out, &sample::study(), Arm::Medicalnet),
        Err(WriteError::NoSuchArm(Arm::Medicalnet))
    ));
    let incomplete = create().unwrap().finish(sample::facts(), &kit);
    assert!(
        matches!(incomplete, Err(WriteError::Incomplete(names)) if names.len() == 5 && names[0] == "base.safetensors")
    );
    let model = |bytes: &[u8], modality| {
        let (fold, round) = (Fold(0), Round(1));
        create().unwrap().add_model(ExportedModel {
            modality,
            fold,
            round,
            validation: None,
            safetensors: bytes,
        })
    };
    let random = sample::model(Arm::Random, 1).to_safetensors();
    assert!(matches!(
        model(&random, Modality::T1gd),
        Err(WriteError::Weights { source: WeightsError::Names { .. }, .. })
    ));
    assert!(matches!(model(&random, Modality::T2), Err(WriteError::Misplaced(_))));
    let mut writer = sample::filled(&out, Arm::Spottune).unwrap();
    assert!(matches!(writer.add_base(&sample::base().to_safetensors()), Err(WriteError::Misplaced(_))));
    let mut facts = sample::facts();
    facts.date = Some("yesterday".into());
    assert!(matches!(
        writer.finish(facts, &kit),
        Err(WriteError::Card(CardError::Contradiction { key: "date", .. }))
    ));
    let writer = sample::filled(&out, Arm::Spottune).unwrap();
    fs::write(&out, "somebody was faster").unwrap();
    assert!(matches!(writer.finish(sample::facts(), &kit), Err(WriteError::Exists(_))));
    assert_eq!(fs::read(&out).unwrap(), b"somebody was faster");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn replace_certificate(folder: &Path, der: Vec<u8>) {
    let path = folder.join("signature.json");
    let signature = Signature::parse(&fs::read(&path).unwrap()).unwrap();
    let mut certificates = signature.certificates.clone();
    certificates[0] = der;
    fs::write(path, Signature { certificates, ..signature }.to_json()).unwrap();
}

/// Every file of a package, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        ["card.json", "card.md", "base.safetensors", "signature.json"].map(|name| folder.join(name)).into();
    paths.extend(fs::read_dir(folder.join("models")).unwrap().map(|entry| entry.unwrap().path()));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Each byte of the two small files that decide, with one bit turned: no spelling of them is believed twice.
#[test]
fn any_turned_bit_of_the_signature_is_noticed() {
    let (_dir, folder) = package();
    let path = folder.join("signature.json");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in [0x01, 0x04, 0x20] {
            let mut turned = whole.clone();
            turned[at] ^= bit;
            fs::write(&path, turned).unwrap();
            assert!(verify(&folder).is_err(), "bit {bit:#x} of byte {at}");
        }
    }
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let error = open_error(&folder);
    assert!(matches!(error, PackageError::Signature { source: SignatureError::Spelling, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_altered_byte_anywhere_is_noticed(file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), change in 1..=255_u8) {
        thread_local!(static PACKAGE: (tempfile::TempDir, PathBuf) = package());
        PACKAGE.with(|(_dir, folder)| -> Result<(), TestCaseError> {
            let files = contents(folder);
            let (path, whole) = file.get(&files);
            let mut altered = whole.clone();
            *byte.get_mut(&mut altered) ^= change;
            fs::write(path, &altered).unwrap();
            let noticed = verify(folder).is_err();
            fs::write(path, whole).unwrap();
            prop_assert!(noticed, "{} was altered", path.display());
            prop_assert!(verify(folder).is_ok());
            Ok(())
        })?;
    }
}
