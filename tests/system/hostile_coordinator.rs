//! A coordinator that asks for more than was agreed. It holds a valid certificate; nothing it asks for leaves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consilium_data::phantom::{Grid, PhantomCohort};
use consilium_domain::{
    Arm, BlobRef, Digest, Duplicates, Fingerprint, Fold, Lane, Modality, Round, Seed, SiteId, Study, Task,
    WorkOrder,
};
use consilium_protocol::{Features, PROTOCOL_VERSION, Standing, ToCoordinator, ToSite};
use consilium_transport::{Connection, ControlReceiver, ControlSender, Identity, Listener, Tuning};

use crate::audit::decisions;
use crate::by_hand::ByHand;
use crate::process::{Ended, Process};

const SITE: &str = "site-1";
/// Nothing here takes half as long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A study that the site agrees to.
fn study(folder: &Path) -> Study {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/study.toml");
    let mut study: Study = toml::from_str(&std::fs::read_to_string(sample).unwrap()).unwrap();
    study.arms = vec![Arm::Random];
    study.training.rounds = 5;
    study.evaluation.folds = 2;
    study.federation.sites = vec![SITE.parse().unwrap()];
    study.federation.quorum = 1;
    study.federation.duplicates = Duplicates::Ignore;
    std::fs::write(folder.join("study.toml"), toml::to_string(&study).unwrap()).unwrap();
    study
}

fn write_phantoms(folder: &Path) {
    let phantoms = PhantomCohort {
        sites: 1,
        cases_per_site: 10,
        signal: 1.0,
        seed: Seed::from_number(5),
        grid: Grid::Small,
        modalities: vec![Modality::T1gd],
    };
    phantoms.write(&folder.join("phantoms")).unwrap();
}

/// The hostile side of one connection, after its welcome.
struct Hostile {
    sender: ControlSender,
    receiver: ControlReceiver,
    consortium: ByHand,
    _connection: Connection,
    _listener: Listener,
}

/// Where it listens, and the client that calls it under `policy`.
async fn called(folder: &Path, policy: &str, study: &Study, standing: Standing) -> (Hostile, Process) {
    let consortium = ByHand::new(folder.join("by-hand"), PathBuf::from(folder), &[SITE]);
    consortium.set_policy(SITE, policy);
    let identity = Identity::load(&consortium.folder.join("coordinator-kit")).unwrap();
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listener = Listener::bind(here, &identity, Tuning::default()).unwrap();
    let client = consortium.client(SITE, listener.local_addr().unwrap());
    let connection = listener.accept().await.unwrap().unwrap();
    let (sender, receiver) = connection.accept_control().await.unwrap();
    let mut hostile = Hostile { sender, receiver, consortium, _connection: connection, _listener: listener };
    assert!(matches!(hostile.hear().await, ToCoordinator::Hello { .. }));
    hostile
        .say(ToSite::Welcome {
            version: PROTOCOL_VERSION,
            features: Features::OURS,
            site: SITE.parse::<SiteId>().unwrap(),
            study: study.to_json(),
            base: None,
            standing,
        })
        .await;
    (hostile, client)
}

impl Hostile {
    async fn say(&mut self, message: ToSite) {
        self.sender.send(&message).await.unwrap();
    }

    /// What it says next, but for the head of its audit log.
    async fn hear(&mut self) -> ToCoordinator {
        loop {
            let said = tokio::time::timeout(PATIENCE, self.receiver.receive()).await;
            let message = said.expect("it says nothing").unwrap().unwrap();
            if !matches!(message, ToCoordinator::AuditHead(_)) {
                return message;
            }
        }
    }

    /// Why the site does not do `task` of the study `of`.
    async fn refused(&mut self, of: &Study, task: Task) -> String {
        assert_eq!(self.hear().await, ToCoordinator::Ready);
        let sent = WorkOrder::new(of.hash(), task);
        self.say(ToSite::Work(sent.clone())).await;
        let ToCoordinator::Failed { order, reason } = self.hear().await else { panic!("it must refuse") };
        assert_eq!(order, sent.id);
        self.say(ToSite::Accepted { order }).await;
        reason
    }

    /// Why the site withdraws, which it is confirmed.
    async fn withdrawn(&mut self) -> String {
        let ToCoordinator::Withdraw { reason, .. } = self.hear().await else { panic!("it must withdraw") };
        self.say(ToSite::Withdrawn).await;
        reason
    }
}

async fn ended(client: Process) -> Ended {
    tokio::task::spawn_blocking(|| client.end()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_outside_the_study_or_the_policy_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    write_phantoms(folder.path());
    let study = study(folder.path());
    let policy = "approval = \"rule\"\n[data]\nfewest_cases = 10\n";
    let (mut hostile, client) = called(folder.path(), policy, &study, Standing::Invited).await;
    let ToCoordinator::Enlist { study: enlisted, .. } = hostile.hear().await else {
        panic!("it must enlist")
    };
    assert_eq!(enlisted, study.hash());
    hostile.say(ToSite::Enlisted).await;

    let lane = Lane { arm: Arm::Random, modality: Modality::T1gd, fold: Fold(0) };
    let model = BlobRef::of(b"no model was ever sent");
    let train = |lane, round| Task::Train { lane, round: Round(round), model, classes: None, reductions: 0 };
    let another = Study { seed: 1, ..study.clone() };
    for (of, task, words) in [
        (&study, train(Lane { arm: Arm::Spottune, ..lane }, 1), "spottune is not among the approved arms"),
        (
            &study,
            train(Lane { modality: Modality::Flair, ..lane }, 1),
            "flair is not among the approved modalities",
        ),
        (&study, train(lane, 6), "round 6 is not among the 5 approved rounds"),
        (&study, train(Lane { fold: Fold(2), ..lane }, 1), "no fold 2"),
        (&another, train(lane, 1), "another study"),
        (
            &study,
            Task::PredictHoldout { lane: Lane { arm: Arm::Medicalnet, ..lane }, round: Round(1), model },
            "medicalnet",
        ),
        (&study, Task::Fuse { arm: Arm::Spottune, models: vec![] }, "spottune"),
    ] {
        let reason = hostile.refused(of, task).await;
        assert!(reason.contains(words), "{words} is missing from {reason}");
    }
    assert_eq!(hostile.hear().await, ToCoordinator::Ready, "it is still there for what was agreed");
    hostile.say(ToSite::Finished).await;
    ended(client).await.successfully();
    let held_back = format!("held-back by rule order {}", study.hash());
    let decided = decisions(&hostile.consortium.folder.join(SITE).join("state"));
    assert_eq!(decided.iter().filter(|decision| **decision == held_back).count(), 7, "{decided:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_cannot_empty_a_site() {
    let folder = tempfile::tempdir().unwrap();
    write_phantoms(folder.path());
    let mut study = study(folder.path());
    study.federation.duplicates = Duplicates::Exclude;
    let policy = "approval = \"rule\"\n[data]\nmost_duplicates_share = 0.3\n";
    let (mut hostile, client) = called(folder.path(), policy, &study, Standing::Awaited).await;
    let ToCoordinator::Fingerprints { cases, last: true, .. } = hostile.hear().await else {
        panic!("few cases")
    };
    assert_eq!(cases.len(), 10);
    hostile.say(ToSite::Duplicates { of: Fingerprint::digest_of(&cases), exclude: vec![0, 3, 4, 9] }).await;
    let reason = hostile.withdrawn().await;
    assert!(reason.contains("4 of 10 cases") && reason.contains("30 %"), "{reason}");
    let ended = ended(client).await;
    assert!(ended.code == Some(3) && ended.stderr.contains("4 of 10 cases"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_says_nothing_of_its_patients_before_it_agrees_or_with_too_few() {
    for (policy, words) in [
        ("approval = \"rule\"\n[require]\nsecure_aggregation = true\n", "does not have"),
        ("approval = \"rule\"\n[histograms]\nmost_bins = 2\n", "histogram bins: 64, at most 2"),
        ("approval = \"rule\"\n[data]\nfewest_cases = 11\n", "fewer cases with t1gd than the 11"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write_phantoms(folder.path());
        let study = study(folder.path());
        let (mut hostile, client) = called(folder.path(), policy, &study, Standing::Invited).await;
        let reason = hostile.withdrawn().await;
        assert!(reason.contains(words), "{words} is missing from {reason}");
        assert_eq!(ended(client).await.code, Some(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_study_in_the_place_of_the_approved_one_ends_the_session() {
    let folder = tempfile::tempdir().unwrap();
    write_phantoms(folder.path());
    let study = study(folder.path());
    let (mut hostile, client) =
        called(folder.path(), "approval = \"rule\"\n", &study, Standing::Invited).await;
    assert!(matches!(hostile.hear().await, ToCoordinator::Enlist { .. }));
    let other = Study { name: "more of everything".into(), ..study };
    hostile
        .say(ToSite::Welcome {
            version: PROTOCOL_VERSION,
            features: Features::OURS,
            site: SITE.parse().unwrap(),
            study: other.to_json(),
            base: Some(BlobRef { digest: Digest::of(b"x"), bytes: 1 }),
            standing: Standing::Enlisted,
        })
        .await;
    let ended = ended(client).await;
    assert!(ended.code == Some(3) && ended.stderr.contains("another study"), "{}", ended.stderr);
}

/// `HH:MM` so many minutes from now, in UTC.
fn minutes_from_now(minutes: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let minute = (now + minutes) % (24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_its_hours_a_site_is_connected_and_silent() {
    let folder = tempfile::tempdir().unwrap();
    write_phantoms(folder.path());
    let study = study(folder.path());
    let (from, to) = (minutes_from_now(120), minutes_from_now(240));
    let hours = format!("[hours]\nfrom = \"{from}\"\nto = \"{to}\"\nutc_offset = \"+00:00\"\n");
    let policy = format!("approval = \"rule\"\n{hours}");
    let (mut hostile, mut client) = called(folder.path(), &policy, &study, Standing::Invited).await;
    let hash = study.hash().to_string();
    tokio::task::block_in_place(|| {
        let status = || hostile.consortium.tell(SITE, &["status", "--json"]).stdout;
        client.wait_until("it knows the study", |_| status().contains(&hash));
        assert!(status().contains("\"within_hours\": false") && status().contains("\"connected\": true"));
    });
    hostile.say(ToSite::Finished).await;
    ended(client).await.successfully();
    let said = hostile.receiver.receive::<ToCoordinator>().await;
    assert!(!matches!(said, Ok(Some(_))), "it said {said:?}");
}
