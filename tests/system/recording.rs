//! Standing between sites and coordinator: a relay that holds both sides' kits and keeps every byte they say.
//!
//! To the sites it is the coordinator, to the coordinator each of the sites. Messages are read and passed on; blobs are
//! fetched for the sites before the message that names them, and brought to the coordinator before the answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_protocol::{Outcome, ToCoordinator, ToSite};
use consilium_transport::{
    BlobAccess, BlobStore, CloseCode, Connection, Identity, Listener, Tuning, connect, frame, serve_blobs,
};
use tokio::runtime::Runtime;

/// A relay, and what went through it. Dropping it cuts all connections.
pub(crate) struct Recording {
    pub(crate) address: SocketAddr,
    /// Every message, in the bytes that a frame holds.
    pub(crate) frames: Arc<Mutex<Vec<Vec<u8>>>>,
    _runtime: Runtime,
}

/// Where messages come through.
#[derive(Clone)]
struct Relay {
    upstream: SocketAddr,
    folder: PathBuf,
    store: BlobStore,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recording {
    /// A relay to the coordinator at `upstream`. `folder` has the kits, as in `by_hand.rs`; blobs go to `blobs`.
    pub(crate) fn start(upstream: SocketAddr, folder: &Path, blobs: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let frames = Arc::new(Mutex::default());
        let store = BlobStore::open(blobs).unwrap();
        let relay = Relay { upstream, folder: folder.to_owned(), store, frames: Arc::clone(&frames) };
        let identity = Identity::load(&folder.join("coordinator-kit")).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut listener =
            runtime.block_on(async { Listener::bind(any, &identity, Tuning::default()) }).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Some(Ok(site)) = listener.accept().await {
                tokio::spawn(relay.clone().pass_on(site));
            }
        });
        Self { address, frames, _runtime: runtime }
    }
}

impl Relay {
    async fn pass_on(self, site: Connection) {
        let name = site.peer().site().unwrap().clone();
        let identity = Identity::load(&self.folder.join(name.as_str()).join("kit")).unwrap();
        let coordinator = connect(self.upstream, &identity, Tuning::default()).await.unwrap();
        let (mut up, mut from_coordinator) = coordinator.open_control().await.unwrap();
        let (mut down, mut from_site) = site.accept_control().await.unwrap();
        tokio::spawn(serve_blobs(site.clone(), self.store.clone(), Arc::new(Everything)));
        loop {
            let passed = tokio::select! {
                message = from_site.receive::<ToCoordinator>() => {
                    let Ok(Some(message)) = message else { break };
                    self.keep(&message);
                    if let ToCoordinator::Answer { outcome: Outcome::Trained(training), .. } = &message {
                        coordinator.upload(training.update, &self.store).await.unwrap();
                    }
                    up.send(&message).await
                }
                message = from_coordinator.receive::<ToSite>() => {
                    let Ok(Some(message)) = message else { break };
                    self.keep(&message);
                    let blob = match &message {
                        ToSite::Welcome { base, .. } => *base,
                        ToSite::Work(order) => order.task.model(),
                        _ => None,
                    };
                    if let Some(blob) = blob {
                        coordinator.fetch(blob, &self.store).await.unwrap();
                    }
                    down.send(&message).await
                }
            };
            if passed.is_err() {
                break;
            }
        }
        coordinator.close(CloseCode::DONE, "the other side is gone");
        coordinator.drained().await;
        site.close(CloseCode::DONE, "the other side is gone");
    }

    fn keep(&self, message: &impl serde::Serialize) {
        self.frames.lock().unwrap().push(frame::encode(message).unwrap());
    }
}

/// The coordinator behind decides.
struct Everything;

impl BlobAccess for Everything {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        true
    }
}
