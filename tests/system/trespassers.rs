//! Certificates used for what they are not: a site that gives orders, a person who plays hospital, and those who do
//! not keep to the conversation. Everybody else's study goes on.

use std::net::SocketAddr;
use std::path::Path;

use consilium_protocol::admin::{AdminRefusal, AdminReply, AdminRequest};
use consilium_protocol::{Features, ToCoordinator, ToSite, VersionRange};
use consilium_transport::{Connection, ControlReceiver, ControlSender, Identity, Tuning, connect};
use serde::Serialize;

use crate::consortium::{Consortium, study};
use crate::foreign_site::Raw;

/// A connection that keeps to no rules.
struct Caller {
    connection: Connection,
    sender: ControlSender,
    receiver: ControlReceiver,
}

impl Caller {
    async fn greet(at: SocketAddr, kit: &Path) -> Self {
        let connection = connect(at, &Identity::load(kit).unwrap(), Tuning::default()).await.unwrap();
        let (mut sender, receiver) = connection.open_control().await.unwrap();
        let hello = ToCoordinator::Hello {
            versions: VersionRange::OURS,
            features: Features::OURS,
            software: "trespasser".into(),
        };
        sender.send(&hello).await.unwrap();
        Self { connection, sender, receiver }
    }

    /// Says `message`; the words with which the coordinator hangs up.
    async fn hung_up_on(mut self, message: &impl Serialize) -> String {
        self.sender.send(message).await.unwrap();
        self.connection.closed().await.to_string()
    }
}

#[test]
fn a_site_gives_no_orders_and_an_admin_is_no_site() {
    let consortium = Consortium::new();
    let serving = consortium.serve(None);
    let at = serving.address;
    let plan = study(9, 1);
    let study = consortium.submit(at, &plan);

    // The programs refuse before they connect.
    let ended = consortium.ask("north", at, &["study", "list"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("`consilium:site:north`"), "{}", ended.stderr);
    let ended = consortium.client_with("north", "alice", at, &["--once"]).end();
    assert!(ended.code == Some(1), "{}", ended.stderr);

    // So does the coordinator, whatever the program.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut site = Caller::greet(at, &consortium.kit("north")).await;
        assert!(matches!(site.receiver.receive().await, Ok(Some(ToSite::Welcome { .. }))));
        let hash = study.hash.to_string();
        let abort = AdminRequest::AbortStudy { study: hash, reason: "mine".into() };
        let words = site.hung_up_on(&abort).await;
        assert!(words.contains("control frame"), "{words}");

        let mut admin = Caller::greet(at, &consortium.kit("alice")).await;
        let welcome = admin.receiver.receive().await;
        assert!(matches!(welcome, Ok(Some(AdminReply::Welcome { may_change: true, .. }))), "{welcome:?}");
        let enlist = ToCoordinator::Enlist { study: plan.hash(), cohort: Default::default() };
        let words = admin.hung_up_on(&enlist).await;
        assert!(words.contains("control frame"), "{words}");
    });
    let list = consortium.list(at);
    assert_eq!(list.refused.get("malformed-frame"), Some(&2));
    let view = consortium.show(at, &study);
    assert!(!view.summary.state.is_over() && view.sites.iter().all(|site| site.cohort.is_none()));
}

#[test]
fn whoever_does_not_keep_to_the_conversation_is_shown_out() {
    let consortium = Consortium::new();
    let serving = consortium.serve(None);
    let at = serving.address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // A request that is none, and one with more bytes than it has.
        for body in [vec![99, 0, 0, 0], vec![1, 0, 0, 0, 7]] {
            let mut admin = Caller::greet(at, &consortium.kit("alice")).await;
            let _: Option<AdminReply> = admin.receiver.receive().await.unwrap();
            let words = admin.hung_up_on(&Raw(body)).await;
            assert!(words.contains("control frame"), "{words}");
        }
        // A site cannot be invited to a coordinator that is nowhere.
        let mut admin = Caller::greet(at, &consortium.kit("alice")).await;
        let _: Option<AdminReply> = admin.receiver.receive().await.unwrap();
        let nowhere = AdminRequest::AddSite { site: "east".parse().unwrap(), addresses: Vec::new() };
        admin.sender.send(&nowhere).await.unwrap();
        let reply = admin.receiver.receive().await.unwrap();
        let Some(AdminReply::Refused(AdminRefusal::Site(reason))) = reply else { panic!("{reply:?}") };
        assert!(reason.contains("addresses of this coordinator"), "{reason}");
        // The same connection goes on after a refusal.
        admin.sender.send(&AdminRequest::ListStudies).await.unwrap();
        assert!(matches!(admin.receiver.receive().await, Ok(Some(AdminReply::Page { last: true, .. }))));
        // A site that speaks while no study needs it.
        let mut site = Caller::greet(at, &consortium.kit("north")).await;
        assert!(matches!(site.receiver.receive().await, Ok(Some(ToSite::Waiting))));
        let words = site.hung_up_on(&ToCoordinator::Ready).await;
        assert!(words.contains("before a study needs the site"), "{words}");
    });
    assert_eq!(consortium.list(at).refused.get("malformed-frame"), Some(&2));
}

/// Each request leaves lines in the audit log, which keeps all of them.
#[test]
fn an_observer_who_asks_in_a_loop_waits_and_is_then_sent_away() {
    let consortium = Consortium::new();
    let serving = consortium.serve(None);
    let at = serving.address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = runtime.block_on(async {
        let olga = consortium.kit("olga");
        let mut looping = Caller::greet(at, &olga).await;
        let _: Option<AdminReply> = looping.receiver.receive().await.unwrap();
        for _ in 0..600 {
            looping.sender.send(&AdminRequest::ListStudies).await.unwrap();
            let reply = looping.receiver.receive().await;
            assert!(matches!(reply, Ok(Some(AdminReply::Page { last: true, .. }))), "{reply:?}");
        }
        // A quarter of a minute, half a minute and so on: nobody is made to wait for more than a minute.
        let mut callers = Vec::new();
        for _ in 0..6 {
            let mut caller = Caller::greet(at, &olga).await;
            let _: Option<AdminReply> = caller.receiver.receive().await.unwrap();
            caller.sender.send(&AdminRequest::ListStudies).await.unwrap();
            callers.push(caller);
        }
        let words = callers.last().unwrap().connection.closed().await.to_string();
        assert!(words.contains("asked too often: try again in"), "{words}");
        callers
    });
    // Others are answered at once, and count it.
    let listed = consortium.ask("alice", at, &["study", "list", "--json"]).successfully().stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(listed["refused"]["asked-too-often"].as_u64().is_some_and(|count| count > 0), "{listed}");
    drop(held);
}
