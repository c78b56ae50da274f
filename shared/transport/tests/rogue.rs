//! A site with a valid certificate that does not keep to the protocol: raw bytes on raw streams.

mod consortium;

use std::sync::Arc;
use std::time::Duration;

use consilium_certs::Authority;
use consilium_domain::{BlobRef, Digest, SiteId};
use consilium_transport::{
    BlobAccess, BlobStore, CHUNK_BYTES, CloseCode, Connection, ControlError, FrameError, LinkKind, Listener,
    RefusalCause, ServeError, serve_blobs,
};
use consortium::raw::{RawLine, RawStream};
use consortium::{counted, listen, over_both_links, soon, store};

over_both_links!(
    control_frames_that_break_the_rules,
    a_first_stream_of_another_kind_is_no_control_stream,
    a_later_stream_of_another_kind_ends_the_connection,
    an_upload_nobody_asked_for_never_touches_the_disk,
    chunks_that_do_not_fit_are_refused_and_those_that_do_still_count,
    unfinished_uploads_are_counted,
    garbage_requests_are_given_up_and_the_desk_stays_open,
    more_streams_than_allowed_starve_nobody,
);

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

/// The cheat's raw line and what the coordinator has of it.
async fn rogue(link: LinkKind) -> (RawLine, Connection, Listener) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    let raw = soon(RawLine::dial(link, address, &kit, "consilium/1")).await;
    let server = soon(listener.accept()).await.unwrap().unwrap();
    (raw, server, listener)
}

/// As [`rogue`], with the control stream opened well and blobs served.
async fn rogue_at_the_desk(link: LinkKind, store: &BlobStore) -> (RawLine, Listener) {
    let (raw, server, listener) = rogue(link).await;
    let mut stream = raw.open().await;
    stream.write(&[CONTROL_TAG]).await;
    let control = soon(server.accept_control()).await.unwrap();
    let store = store.clone();
    tokio::spawn(async move {
        let _control = (control, stream);
        serve_blobs(server, store, Arc::new(Everything)).await
    });
    (raw, listener)
}

/// Sends `bytes` on a new stream and returns everything that comes back.
async fn ask(raw: &RawLine, bytes: &[u8]) -> Vec<u8> {
    soon(raw.ask(bytes)).await
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

async fn control_frames_that_break_the_rules(link: LinkKind) {
    let cases: [(&[u8], ControlError); 4] = [
        (&[0, 0, 0, 0], FrameError::Empty.into()),
        (&[1, 0, 1, 0], FrameError::TooLarge { bytes: 65_537 }.into()),
        (&[255, 255, 255, 255], FrameError::TooLarge { bytes: 4_294_967_295 }.into()),
        (&[5, 0, 0, 0, 1, 2], ControlError::CutShort),
    ];
    for (bytes, expected) in cases {
        let (raw, server, listener) = rogue(link).await;
        let mut stream = raw.open().await;
        stream.write(&[CONTROL_TAG]).await;
        stream.write(bytes).await;
        stream.finish().await;
        let (_, mut receive) = soon(server.accept_control()).await.unwrap();
        assert_eq!(soon(receive.receive::<String>()).await, Err(expected.clone()));
        match expected {
            ControlError::Frame(FrameError::TooLarge { .. }) => {
                assert_eq!(counted(&listener, RefusalCause::FRAME_TOO_LARGE).await, 1);
            }
            ControlError::Frame(_) => assert_eq!(counted(&listener, RefusalCause::MALFORMED_FRAME).await, 1),
            _ => {}
        }
    }
}

async fn a_first_stream_of_another_kind_is_no_control_stream(link: LinkKind) {
    let (raw, server, _listener) = rogue(link).await;
    let mut stream = raw.open().await;
    stream.write(&offer(BlobRef::of(b"x"))).await;
    let (_dir, store) = store();
    let early = serve_blobs(server.clone(), store, Arc::new(Everything)).await;
    assert_eq!(early, Err(ServeError::ControlFirst));
    assert_eq!(soon(server.accept_control()).await.err(), Some(ControlError::NotControl(BLOB_TAG)));
}

async fn a_later_stream_of_another_kind_ends_the_connection(link: LinkKind) {
    let (_dir, store) = store();
    let (mut raw, listener) = rogue_at_the_desk(link, &store).await;
    let mut stream = raw.open().await;
    stream.write(&[CONTROL_TAG]).await;
    let (code, reason) = soon(raw.closed()).await;
    assert_eq!(code, CloseCode::PROTOCOL.number());
    assert!(reason.contains("0xc0"), "{reason}");
    assert_eq!(counted(&listener, RefusalCause::UNKNOWN_STREAM).await, 1);
}

async fn an_upload_nobody_asked_for_never_touches_the_disk(link: LinkKind) {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(link, &store).await;
    let blob = BlobRef::of(b"surprise");
    assert_eq!(ask(&raw, &put(blob, 0, b"surprise")).await, REFUSED_NOT_OFFERED);
    assert!(!store.contains(&blob.digest).await);
    assert_eq!(partials(&dir), 0);
}

async fn chunks_that_do_not_fit_are_refused_and_those_that_do_still_count(link: LinkKind) {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(link, &store).await;
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

async fn unfinished_uploads_are_counted(link: LinkKind) {
    let (dir, store) = store();
    let (raw, _listener) = rogue_at_the_desk(link, &store).await;
    let blob = |n: u64| BlobRef { digest: Digest::of(&n.to_le_bytes()), bytes: CHUNK_BYTES };
    for n in 0..4 {
        assert_eq!(ask(&raw, &offer(blob(n))).await, WANTED);
    }
    assert_eq!(ask(&raw, &offer(blob(0))).await, WANTED, "offering again starts over");
    assert_eq!(ask(&raw, &offer(blob(4))).await, [8, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(partials(&dir), 4);
    raw.hang_up();
    for _ in 0..200 {
        if partials(&dir) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("partial files outlived their connection");
}

async fn garbage_requests_are_given_up_and_the_desk_stays_open(link: LinkKind) {
    let (_dir, store) = store();
    let (raw, listener) = rogue_at_the_desk(link, &store).await;
    for garbage in [
        &[BLOB_TAG, 0, 0, 0, 0][..],
        &[BLOB_TAG, 200, 0, 0, 0],
        &[BLOB_TAG, 4, 0, 0, 0, 9, 9, 9, 9],
        &[BLOB_TAG],
    ] {
        assert!(ask(&raw, garbage).await.is_empty());
    }
    assert_eq!(ask(&raw, &offer(BlobRef::of(b"x"))).await, WANTED);
    assert_eq!(counted(&listener, RefusalCause::MALFORMED_FRAME).await, 2);
    assert_eq!(counted(&listener, RefusalCause::FRAME_TOO_LARGE).await, 1);
}

/// More than a client may have open: what they hold is bounded over either link.
async fn more_streams_than_allowed_starve_nobody(link: LinkKind) {
    let (raw, server, _listener) = rogue(link).await;
    let mut held: Vec<RawStream> = Vec::new();
    while held.len() < 200 {
        let opened = tokio::time::timeout(Duration::from_millis(200), raw.try_open()).await;
        let Ok(Some(mut stream)) = opened else { break };
        stream.write(&[BLOB_TAG]).await;
        held.push(stream);
    }
    match link {
        LinkKind::Quic => assert_eq!(held.len(), 17, "as many as are allowed"),
        // yamux knows no credit for streams: whoever takes too many is shown the door.
        LinkKind::Tcp => drop(soon(server.closed()).await),
    }
}
