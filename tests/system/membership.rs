//! A hospital's whole membership at a coordinator that serves: invited from another machine, joined, listed, revoked.

use consilium_protocol::admin::{JoinInvitation, RegisteredSite};

use crate::consortium::{Consortium, SITES, study};
use crate::process::Process;

#[test]
fn a_site_is_invited_joins_and_is_put_out_from_another_machine() {
    let consortium = Consortium::new().with_patients();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    let ended = consortium.ask("olga", at, &["site", "add", "east"]);
    assert!(ended.code == Some(5) && ended.stderr.contains("observer"), "{}", ended.stderr);
    let added = consortium.ask("alice", at, &["site", "add", "east", "--json"]).successfully();
    let invitation: JoinInvitation = serde_json::from_str(&added.stdout).unwrap();
    let identity = consortium.kit("east");
    let arguments = ["client-join", &invitation.token, "--identity", identity.to_str().unwrap()];
    Process::start(arguments).end().successfully();

    let sites = || {
        let listed = consortium.ask("olga", at, &["site", "list", "--json"]).successfully();
        serde_json::from_str::<Vec<RegisteredSite>>(&listed.stdout).unwrap()
    };
    let east = sites().into_iter().find(|site| site.site.as_str() == "east").unwrap();
    assert_eq!(east.state, "joined");
    assert!(east.certificate_expires.is_some());

    // A kit that was issued by hand is known as soon as its site has called.
    let north = consortium.daemon(SITES[0], at);
    serving.process.wait_until("north was seen", |_| {
        sites().iter().any(|site| site.site.as_str() == SITES[0] && site.last_seen.is_some())
    });
    consortium.submit(at, &study(1, 200));
    let revoked = consortium.ask("alice", at, &["site", "revoke", SITES[0], "--reason", "a lost laptop"]);
    assert!(revoked.successfully().stdout.contains("is revoked"));
    serving.process.wait_until("north is told why", |_| north.stderr().contains("revoked"));
    north.signal("TERM");
    let refused = consortium.client(SITES[0], at).end();
    assert!(refused.code == Some(3) && refused.stderr.contains("revoked"), "{}", refused.stderr);
    let audit =
        std::fs::read_to_string(consortium.path("state/audit").join(consilium_audit::LOG_FILE)).unwrap();
    for (change, holder) in [("joined", "consilium:site:east"), ("revoked", "consilium:site:north")] {
        let written = audit
            .lines()
            .any(|line| line.contains(r#""certificate""#) && line.contains(change) && line.contains(holder));
        assert!(written, "{change} {holder} is missing from the audit log");
    }
    let table = consortium.ask("olga", at, &["site", "list"]).successfully().stdout;
    assert!(table.lines().any(|line| line.starts_with(SITES[0]) && line.contains("revoked")), "{table}");
}
