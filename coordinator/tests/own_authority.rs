//! An organisation's own authority: the recipe of the documentation, run as it is written.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use consilium_coordinator::registry::{AddSiteError, Registry, Terms};
use consilium_domain::Role;
use consilium_protocol::Timestamp;
use consilium_transport::{Entrance, Identity, Listener, Tuning, connect};

/// No test waits longer for anything: a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("finishes soon")
}

/// The shell commands of the section on authorities of one's own.
fn recipe() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/certificates.md");
    let text = std::fs::read_to_string(page).unwrap();
    let section = text.split("## Bring your own CA").nth(1).unwrap();
    section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_documented_recipe_makes_a_consortium() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is absent");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let done = Command::new("sh").args(["-e", "-c", &recipe()]).current_dir(dir.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let [coordinator, site] =
        ["coordinator", "st-elsewhere"].map(|name| Identity::load(&dir.path().join(name)).unwrap());

    let at = Timestamp(1_000);
    let name = "st-elsewhere".parse().unwrap();
    let path = dir.path().join("registry.sqlite");
    let registry = Registry::open(&path, Some(coordinator.clone()), Terms::default()).await.unwrap();
    let entrance = Entrance::default().guarded_by(Arc::new(registry.clone())).with_joins();
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    let mut listener =
        Listener::bind_with(loopback, None, &coordinator, &entrance, Tuning::default()).unwrap();
    let address = listener.local_addr().unwrap();
    let client = soon(connect(address, &site, Tuning::default())).await.unwrap();
    let server = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!((client.peer(), server.peer()), (&Role::Coordinator, &Role::Site(name)));

    let name = "st-elsewhere".parse().unwrap();
    let refused = registry.add_site(&name, vec![address.to_string()], at).await.unwrap_err();
    assert!(matches!(refused, AddSiteError::CannotIssue), "{refused}");
    let _attendance = registry.attend(&server).unwrap();
    assert_eq!(registry.revoke_serial(server.peer_serial(), at).await.unwrap(), 1);
    assert!(soon(client.closed()).await.is_revocation());
    let again = soon(connect(address, &site, Tuning::default())).await.unwrap();
    assert!(soon(again.closed()).await.is_revocation());
}
