//! A finished study leaves a package that verifies; everything else leaves a reason and nothing else.

use consilium_certs::{Authority, Kit};
use consilium_domain::{Fold, Modality, Study};
use consilium_package::{PatientCounts, VerifyError, verify_folder};

use super::*;
use crate::scene::{Scene, base, model, study};
use crate::weights::{Chosen, Record};

/// The state folder of a study, a coordinator's kit, and room for a package.
struct Place {
    dir: tempfile::TempDir,
    authority: Authority,
    kit: Kit,
}

impl Place {
    /// The study of `scene`, written down as the daemon would have. Without `blobs` its models are lost.
    async fn of(scene: &Scene, blobs: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let store = BlobStore::open(&state.join("blobs")).unwrap();
        let (mut log, _) = EventLog::open(&state.join("events.sqlite")).await.unwrap();
        for (at, event) in &scene.events {
            log.append(*at, event).await.unwrap();
        }
        for lane in scene.state.lanes().iter().filter(|_| blobs) {
            for round in &lane.rounds {
                store.insert(model(lane.lane, round.round)).await.unwrap();
            }
        }
        let authority = Authority::create("North").unwrap();
        let kit = authority.issue_coordinator::<&str>(&[]).unwrap();
        kit.write(&dir.path().join("kit")).unwrap();
        Self { dir, authority, kit }
    }

    fn order(&self) -> ModelExport {
        let path = |name: &str| self.dir.path().join(name);
        ModelExport {
            state_dir: path("state"),
            arm: Arm::Random,
            identity_dir: path("kit"),
            out: path("model"),
            date: None,
            weights_store: WeightsStore::new(&path("weights")),
        }
    }

    /// Why `order` gives nothing; and indeed nothing is there.
    async fn refusal(&self, order: &ModelExport) -> ModelExportError {
        let before = std::fs::read_dir(self.dir.path()).unwrap().count();
        let error = export(order).await.err().expect("the export is refused");
        assert_eq!(std::fs::read_dir(self.dir.path()).unwrap().count(), before, "{error}");
        error
    }
}

#[tokio::test]
async fn a_finished_study_becomes_a_package_that_verifies() {
    let scene = Scene::finished();
    let place = Place::of(&scene, true).await;
    let order = ModelExport { date: Some("2026-05-04".into()), ..place.order() };
    export(&order).await.unwrap();
    let verified = verify_folder(&order.out, &place.kit.ca_pem).unwrap();
    let card = verified.package.card();
    assert_eq!((card.study_hash, card.date.as_deref()), (scene.state.hash(), Some("2026-05-04")));
    assert_eq!((card.sites.invited, card.sites.took_part, card.sites.work_without_a_site), (2, 2, 0));
    let each = |each| PatientCounts { methylated: each, unmethylated: each };
    // Three of each class in each of two folds, and in the hold-out, at two sites.
    assert_eq!((card.cohort[0].cross_validation, card.cohort[0].holdout), (each(12), each(6)));
    let group = card.group("t1gd").unwrap();
    assert_eq!((group.holdout.patients, group.holdout.auc.unwrap().value), (each(6), 1.0));
    assert_eq!(group.threshold, group.holdout.threshold);
    let report = Report::of(&scene.state, Timestamp(0)).unwrap();
    for lane in &report.arms[0].lanes {
        let told = card.model(lane.modality, lane.fold).unwrap();
        assert_eq!(Some(told.round), lane.chosen_round);
        assert_eq!(told.validation.unwrap().patients, each(6));
        let file = card.file(&format!("models/t1gd-fold{}.safetensors", lane.fold)).unwrap();
        assert_eq!(Some(file.blake3), lane.chosen_model, "the package holds what the report names");
    }
    assert!(verified.package.model(Modality::T1gd, Fold(1)).is_ok());
    let again = place.refusal(&order).await;
    assert!(matches!(again, ModelExportError::Write(WriteError::Exists(_))), "{again}");
}

#[tokio::test]
async fn an_unfinished_or_halted_study_is_refused_with_the_reason() {
    let place = Place::of(&Scene::running(), true).await;
    let error = place.refusal(&place.order()).await;
    assert!(matches!(error, ModelExportError::Unfinished { complete: 0, lanes: 2, .. }), "{error}");
    let place = Place::of(&Scene::enrolling(), true).await;
    let error = place.refusal(&place.order()).await;
    assert!(matches!(error, ModelExportError::Unfinished { complete: 0, lanes: 2, .. }), "{error}");
    let mut scene = Scene::running();
    for site in ["a", "b"] {
        scene.fail(site, "no disk");
    }
    assert!(matches!(scene.state.phase(), Phase::Halted { .. }), "{:?}", scene.state.phase());
    let place = Place::of(&scene, true).await;
    let error = place.refusal(&place.order()).await;
    assert!(matches!(error, ModelExportError::Halted { .. }), "{error}");
    let nowhere = ModelExport { state_dir: place.dir.path().join("kit"), ..place.order() };
    assert!(matches!(place.refusal(&nowhere).await, ModelExportError::NoStudy(_)));
}

#[tokio::test]
async fn another_arm_a_lost_model_and_a_site_as_signer_are_refused() {
    let place = Place::of(&Scene::finished(), true).await;
    let other = ModelExport { arm: Arm::Spottune, ..place.order() };
    let error = place.refusal(&other).await;
    assert!(error.to_string().contains("it has random"), "{error}");
    let site = place.authority.issue_site(&"a".parse().unwrap()).unwrap();
    site.write(&place.dir.path().join("site")).unwrap();
    let site = ModelExport { identity_dir: place.dir.path().join("site"), ..place.order() };
    let error = place.refusal(&site).await;
    let only_coordinators = matches!(
        &error,
        ModelExportError::Signing(SigningError::Certificate(VerifyError::NotCoordinator(_)))
    );
    assert!(only_coordinators, "{error}");
    let lost = Place::of(&Scene::finished(), false).await;
    let error = lost.refusal(&lost.order()).await;
    assert!(matches!(error, ModelExportError::Store(StoreError::Absent(_))), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_can_read_does_not_sign() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::of(&Scene::finished(), true).await;
    let key = place.order().identity_dir.join("key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = place.refusal(&place.order()).await;
    assert!(matches!(error, ModelExportError::Identity(IdentityError::Exposed(_))), "{error}");
}

#[tokio::test]
async fn a_pretrained_arm_brings_its_backbone_and_what_is_known_of_it() {
    let place =
        Place::of(&Scene::finished_with(Study { arms: vec![Arm::Medicalnet], ..study() }), true).await;
    let base = base();
    let state = BlobStore::open(&place.order().state_dir.join("blobs")).unwrap();
    let blob = state.insert(base.to_safetensors()).await.unwrap();
    let unknown = ModelExport { arm: Arm::Medicalnet, ..place.order() };
    let package = export(&unknown).await.unwrap().package;
    assert!(package.base().unwrap().unwrap() == base);
    assert_eq!(package.card().base, Some(BaseNote { name: None, licence: None }));
    let record = Record {
        format: 1,
        name: "stand-in".into(),
        digest: blob.digest,
        bytes: blob.bytes,
        network: package.card().network,
        tensors: base.manifest().len(),
        values: base.values().len() as u64,
        licence: Some("MIT".into()),
        sources: Vec::new(),
    };
    unknown.weights_store.add(record, Chosen::default(), &base.to_safetensors()).unwrap();
    let known = ModelExport { out: place.dir.path().join("known"), ..unknown };
    let note = export(&known).await.unwrap().package.card().base.clone();
    assert_eq!(note, Some(BaseNote { name: Some("stand-in".into()), licence: Some("MIT".into()) }));
}
