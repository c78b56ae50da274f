//! How fast a blob of the size of the base weights travels on this machine's loopback, disk and hashing included.
//!
//! `cargo run -p consilium-transport --example blob_speed [-- MEGABYTES [cubic|bbr]]`

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use consilium_certs::{Authority, Kit};
use consilium_domain::{BlobRef, Digest, Seed, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, Connection, Identity, Listener, Tuning, connect, serve_blobs,
};

struct Everything;

impl BlobAccess for Everything {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let megabytes: usize = arguments.next().as_deref().unwrap_or("185").parse()?;
    let congestion = arguments.next().as_deref().unwrap_or("cubic").parse()?;
    let tuning = Tuning { congestion, ..Tuning::default() };
    let dir = tempfile::tempdir()?;
    let authority = Authority::create("speed")?;
    let coordinator = identity(&authority.issue_coordinator::<&str>(&[])?, &dir.path().join("coordinator"))?;
    let site = identity(&authority.issue_site(&"site".parse()?)?, &dir.path().join("site"))?;

    let mut listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), &coordinator, tuning)?;
    let client = connect(listener.local_addr()?, &site, tuning).await?;
    let server = listener.accept().await.ok_or("the listener closed")??;
    let _control = client.open_control().await?;
    let _accepted = server.accept_control().await?;

    let [ours, theirs, third] =
        ["ours", "theirs", "third"].map(|name| BlobStore::open(&dir.path().join(name)));
    let (ours, theirs, third) = (ours?, theirs?, third?);
    tokio::spawn(serve_blobs(server, theirs, Arc::new(Everything)));

    let mut random = Seed::from_number(1).stream();
    let content: Vec<u8> = (0..megabytes * 125_000).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    let start = Instant::now();
    let blob = ours.insert(content).await?;
    report("insert", megabytes, start, &client);
    let start = Instant::now();
    client.upload(blob, &ours).await?;
    report("upload", megabytes, start, &client);
    let start = Instant::now();
    client.upload(blob, &ours).await?;
    report("upload again", megabytes, start, &client);
    let start = Instant::now();
    client.fetch(blob, &third).await?;
    report("fetch", megabytes, start, &client);
    Ok(())
}

fn identity(kit: &Kit, dir: &Path) -> Result<Identity, Box<dyn Error>> {
    kit.write(dir)?;
    Ok(Identity::load(dir)?)
}

fn report(what: &str, megabytes: usize, start: Instant, client: &Connection) {
    let seconds = start.elapsed().as_secs_f64();
    let traffic = client.traffic();
    println!(
        "{what:>12}: {megabytes} MB in {seconds:.3} s, {:.0} MB/s; {} bytes sent and {} received so far",
        megabytes as f64 / seconds,
        traffic.bytes_sent,
        traffic.bytes_received
    );
}
