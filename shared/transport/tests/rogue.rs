//! A site with a valid certificate that does not keep to the protocol: raw bytes on raw streams.

mod consortium;

use std::sync::Arc;

use consilium_certs::Authority;
use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, CHUNK_BYTES, CloseCode, Connection, ControlError, FrameError, Listener,
    ServeError, serve_blobs,
};
use consortium::{client_tls, dial, listen, soon, store};

const CONTROL_TAG: u8 = 0xC0;
const BLOB_TAG: u8 = 0xB1;

/// Replies: a length of eight, `Refused`, and why.
const REFUSED_NOT_OFFERED: [u8; 12] = [8, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0];
const REFUSED_BAD_CHUNK: [u8; 12] = [8, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0];
const WANTED: [u8; 8] = [4, 0, 0, 0, 1, 0, 0, 0];
const STORED: [u8; 8] = [4, 0, 0, 0, 4, 0, 0, 0];

struct Everything;

impl BlobAccess for Everything {
    fn may_read(&self, _: &SiteId, _: &Digest) -> bool {
        true
    }

    fn may_write(&self, _: &SiteId, _: &BlobRef) -> bool {
        true
    }
}

/// The cheat's raw connection and what the coordinator has of it.
async fn rogue() -> (quinn::Connection, Connection, Listener) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    let raw = soon(dial(address, client_tls(&kit, "consilium/1"))).await.unwrap();
    let server = soon(listener.accept()).await.unwrap().unwrap();
    (raw, server, listener)
}

/// As [`rogue`], with the control stream opened well and blobs served.
async fn rogue_at_the_desk(store: &BlobStore) -> (quinn::Connection, Listener) {
    let (raw, server, listener) = rogue().await;
    let (mut send, _recv) = raw.open_bi().await.unwrap();
    send.write_all(&[CONTROL_TAG]).await.unwrap();
    let control = soon(server.accept_control()).await.unwrap();
    let store = store.clone();
    tokio::spawn(async move {
        let _control = (control, send, _recv);
        serve_blobs(server, store, Arc::new(Everything)).await
    });
    (raw, listener)
}

/// Sends `bytes` on a new stream and returns everything that comes back.
async fn ask(raw: &quinn::Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut send, mut recv) = raw.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    soon(recv.read_to_end(1_000)).await.unwrap()
}

fn offer(blob: BlobRef) -> Vec<u8> {
    request(44, 1, blob, &[])
}

fn put(blob: BlobRef, chunk: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = request(48, 2, blob, &chunk.to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn request(length: u32, variant: u32, blob: BlobRef, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![BLOB_TAG];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&variant.to_le_bytes());
    bytes.extend_from_slice(blob.digest.as_bytes());
    bytes.extend_from_slice(&blob.bytes.to_le_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

fn partials(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("incoming")).unwrap().count()
}

#[tokio::test]
async fn control_frames_that_break_the_rules() {
    let cases: [(&[u8], ControlError); 4] = [
        (&[0, 0, 0, 0], FrameError::Empty.into()),
        (&[1, 0, 1, 0], FrameError::TooLarge { bytes: 65_537 }.into()),
        (&[255, 255, 255, 255], FrameError::TooLarge { bytes: 4_294_967_295 }.into()),
        (&[5, 0, 0, 0, 1, 2], ControlError::CutShort),
    ];
    for (bytes, expected) in cases {
        let (raw, server, _listener) = rogue().await;
        let (mut send, _recv) = raw.open_bi().await.unwrap();
        send.write_all(&[CONTROL_TAG]).await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let (_, mut receive) = soon(server.accept_control()).await.unwrap();
        assert_eq!(soon(receive.receive::<String>()).await, Err(expected));
    }
}

#[tokio::test]
async fn a_first_stream_of_another_kind_is_no_control_stream() {
    let (raw, server, _listener) = rogue().await;
    let (mut send, _recv) = raw.open_bi().await.unwrap();
    send.write_all(&offer(BlobRef::of(b"x"))).await.unwrap();
    let (_dir, store) = store();
    let early = serve_blobs(server.clone(), store, Arc::new(Everything)).await;
    assert_eq!(early, Err(ServeError::ControlFirst));
    assert_eq!(soon(server.accept_control()).await.err(), Some(ControlError::NotControl(BLOB_TAG)));
}

#[tokio::test]
async fn a_later_stream_of_another_kind_ends_the_connection() {
    let (_dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(&store).await;
    let (mut send, _recv) = raw.open_bi().await.unwrap();
    send.write_all(&[CONTROL_TAG]).await.unwrap();
    match soon(raw.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code, CloseCode::PROTOCOL.into());
            assert!(String::from_utf8_lossy(&close.reason).contains("0xc0"));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_upload_nobody_asked_for_never_touches_the_disk() {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(&store).await;
    let blob = BlobRef::of(b"surprise");
    assert_eq!(ask(&raw, &put(blob, 0, b"surprise")).await, REFUSED_NOT_OFFERED);
    assert!(!store.contains(&blob.digest).await);
    assert_eq!(partials(&dir), 0);
}

#[tokio::test]
async fn chunks_that_do_not_fit_are_refused_and_those_that_do_still_count() {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(&store).await;
    let content = b"as promised";
    let blob = BlobRef::of(content);
    assert_eq!(ask(&raw, &offer(blob)).await, WANTED);
    for (chunk, data) in [(0, &content[1..]), (1, &content[..]), (u32::MAX, &content[..])] {
        assert_eq!(ask(&raw, &put(blob, chunk, data)).await, REFUSED_BAD_CHUNK, "{chunk}");
    }
    assert_eq!(ask(&raw, &put(blob, 0, b"as promised, and more")).await, REFUSED_BAD_CHUNK);
    assert_eq!(partials(&dir), 1);
    assert_eq!(ask(&raw, &put(blob, 0, content)).await, STORED);
    assert_eq!(store.read(&blob).await.unwrap(), content);
    assert_eq!(ask(&raw, &put(blob, 0, content)).await, REFUSED_NOT_OFFERED);
}

#[tokio::test]
async fn unfinished_uploads_are_counted() {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(&store).await;
    let blob = |n: u64| BlobRef { digest: Digest::of(&n.to_le_bytes()), bytes: CHUNK_BYTES };
    for n in 0..4 {
        assert_eq!(ask(&raw, &offer(blob(n))).await, WANTED);
    }
    assert_eq!(ask(&raw, &offer(blob(0))).await, WANTED, "offering again starts over");
    assert_eq!(ask(&raw, &offer(blob(4))).await, [8, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(partials(&dir), 4);
    raw.close(0u32.into(), b"");
    for _ in 0..200 {
        if partials(&dir) == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("partial files outlived their connection");
}

#[tokio::test]
async fn garbage_requests_are_given_up_and_the_desk_stays_open() {
    let (_dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(&store).await;
    for garbage in [
        &[BLOB_TAG, 0, 0, 0, 0][..],
        &[BLOB_TAG, 200, 0, 0, 0],
        &[BLOB_TAG, 4, 0, 0, 0, 9, 9, 9, 9],
        &[BLOB_TAG],
    ] {
        assert!(ask(&raw, garbage).await.is_empty());
    }
    assert_eq!(ask(&raw, &offer(BlobRef::of(b"x"))).await, WANTED);
}
