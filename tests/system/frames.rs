//! Frames of every kind, oversized and malformed, against the real coordinator over either link: each is refused and
//! counted by its reason, none is believed in what it claims to hold, and the study that runs does not notice.

use std::net::SocketAddr;
use std::sync::Arc;

use consilium_certs::Kit;
use consilium_domain::Role;
use consilium_protocol::{Features, ToCoordinator, VersionRange};
use consilium_transport::LinkKind;
use consilium_transport::frame::encode_framed;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::consortium::{Consortium, Serving, study};
use crate::lines::{RawLine, RawStream, dial, kit, over_both_links, stranger, write};

over_both_links!(frames_that_break_the_rules_are_counted_and_cost_nothing);

/// How streams of control, of blobs and of measurements begin.
const CONTROL: u8 = 0xC0;
const BLOB: u8 = 0xB1;
const PROBE: u8 = 0xB2;
/// A length of four gibibytes but one.
const ENDLESS: [u8; 4] = [0xff; 4];
/// More than any of these frames needs: whoever believed one of their lengths would take hundreds of times as much.
const MOST_GROWTH: u64 = 16 * 1024 * 1024;

/// Where something wrong is said.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At the very beginning of the first stream.
    First,
    /// On the control stream, in the place of the greeting.
    Greeting,
    /// On the control stream after the greeting.
    Control,
    /// On another stream after the greeting.
    Stream,
    /// On a stream of a connection that measures.
    Probe,
    /// Instead of a request to join, without a certificate.
    Join,
    /// On the link's own stream: over TCP alone.
    Own,
    /// In the place of TLS: over TCP alone.
    Bare,
}

/// What is said, where, and how it is counted.
fn cases() -> Vec<(Place, Vec<u8>, &'static str)> {
    let hello = hello();
    let longer = |by: u8| {
        let mut bytes = hello.clone();
        bytes[0] += by;
        bytes.extend(std::iter::repeat_n(0, by.into()));
        bytes
    };
    // A list that claims 2^60 parts, after the number of its message and the hash of a study.
    let list = [&5_u32.to_le_bytes()[..], &[7; 32], &[0; 4], &[1], &(1_u64 << 60).to_le_bytes()].concat();
    let list = [&(list.len() as u32).to_le_bytes()[..], &list].concat();
    // A name that claims as many bytes, in a greeting.
    let name = [&[0; 4][..], &[3, 0, 4, 0], &[0; 8], &u64::MAX.to_le_bytes()].concat();
    let name = [&(name.len() as u32).to_le_bytes()[..], &name].concat();
    let full = [&65_536_u32.to_le_bytes()[..], &vec![0; 65_536]].concat();
    let (empty, unknown) = (vec![0; 4], vec![4, 0, 0, 0, 99, 0, 0, 0]);
    let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
    vec![
        (Place::First, vec![0x42], "bad-first-stream"),
        (Place::First, tagged(BLOB, &empty), "bad-first-stream"),
        (Place::Greeting, empty.clone(), "malformed-frame"),
        (Place::Greeting, vec![1, 0, 1, 0], "frame-too-large"),
        (Place::Greeting, ENDLESS.to_vec(), "frame-too-large"),
        (Place::Greeting, unknown.clone(), "malformed-frame"),
        (Place::Greeting, longer(1), "malformed-frame"),
        (Place::Greeting, name, "malformed-frame"),
        (Place::Greeting, full.clone(), "malformed-frame"),
        (Place::Control, empty.clone(), "malformed-frame"),
        (Place::Control, ENDLESS.to_vec(), "frame-too-large"),
        (Place::Control, unknown.clone(), "malformed-frame"),
        (Place::Control, list, "malformed-frame"),
        (Place::Control, full, "malformed-frame"),
        (Place::Stream, vec![0x42], "unknown-stream"),
        (Place::Stream, tagged(CONTROL, &hello), "unknown-stream"),
        (Place::Stream, tagged(BLOB, &empty), "malformed-frame"),
        (Place::Stream, tagged(BLOB, &[200, 0, 0, 0]), "frame-too-large"),
        (Place::Stream, tagged(BLOB, &ENDLESS), "frame-too-large"),
        (Place::Stream, tagged(BLOB, &unknown), "malformed-frame"),
        (Place::Probe, vec![0x42], "unknown-stream"),
        (Place::Probe, tagged(PROBE, &empty), "malformed-frame"),
        (Place::Probe, tagged(PROBE, &ENDLESS), "frame-too-large"),
        (Place::Probe, tagged(PROBE, &unknown), "malformed-frame"),
        (Place::Join, vec![1, 32, 0, 0], "malformed-join"),
        (Place::Join, empty.clone(), "malformed-join"),
        (Place::Join, unknown.clone(), "malformed-join"),
        (Place::Join, ENDLESS.to_vec(), "malformed-join"),
        (Place::Own, empty, "malformed-frame"),
        (Place::Own, ENDLESS.to_vec(), "frame-too-large"),
        (Place::Own, unknown, "malformed-frame"),
        (Place::Bare, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "not-tls"),
        // A record of TLS that is longer than TLS allows.
        (Place::Bare, [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 600]].concat(), "not-tls"),
    ]
}

fn hello() -> Vec<u8> {
    let (versions, features) = (VersionRange::OURS, Features::OURS);
    encode_framed(&ToCoordinator::Hello { versions, features, software: "mallory".into() }).unwrap()
}

/// What is left open until it is counted.
#[allow(dead_code, reason = "held, not read")]
enum Held {
    Line(RawLine, Vec<RawStream>),
    Quic(quinn::Connection, quinn::SendStream),
    Done,
}

/// Says `bytes` at `place`.
async fn say(link: LinkKind, at: SocketAddr, kit: &Kit, place: Place, bytes: &[u8]) -> Held {
    match place {
        Place::Join => return ask_to_join(link, at, kit, bytes).await,
        Place::Bare => {
            let mut socket = TcpStream::connect(at).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            // However it hangs up, it has heard by then.
            let _ = socket.read_to_end(&mut Vec::new()).await;
            return Held::Done;
        }
        _ => {}
    }
    let protocol = if matches!(place, Place::Probe) { "consilium-probe/1" } else { "consilium/1" };
    let mut line = RawLine::dial(link, at, kit, protocol).await;
    if let (Place::Own, RawLine::Tcp(tcp)) = (place, &mut line) {
        write(&mut tcp.own, bytes).await.unwrap();
        return Held::Line(line, Vec::new());
    }
    let mut first = line.open().await;
    let mut streams = Vec::new();
    match place {
        Place::First | Place::Probe => first.write(bytes).await,
        Place::Greeting => first.write(&[&[CONTROL], bytes].concat()).await,
        Place::Control => first.write(&[&[CONTROL], &hello()[..], bytes].concat()).await,
        _ => {
            first.write(&[&[CONTROL], &hello()[..]].concat()).await;
            let mut later = line.open().await;
            later.write(bytes).await;
            streams.push(later);
        }
    }
    streams.push(first);
    Held::Line(line, streams)
}

async fn ask_to_join(link: LinkKind, at: SocketAddr, kit: &Kit, bytes: &[u8]) -> Held {
    let tls = stranger(kit, "consilium-join/1");
    match link {
        LinkKind::Quic => {
            let connection = dial(at, tls).await.unwrap();
            let (mut send, _) = connection.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            Held::Quic(connection, send)
        }
        LinkKind::Tcp => {
            let socket = TcpStream::connect(at).await.unwrap();
            let host = ServerName::try_from(Role::COORDINATOR_HOST).unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
            let mut line = connector.connect(host, socket).await.unwrap();
            line.write_all(bytes).await.unwrap();
            // It says why, and ends the line.
            let mut answer = Vec::new();
            line.read_to_end(&mut answer).await.unwrap();
            assert!(answer.len() > 12, "{answer:?}");
            Held::Done
        }
    }
}

async fn frames_that_break_the_rules_are_counted_and_cost_nothing(link: LinkKind) {
    let consortium = Consortium::new();
    let mut serving = consortium.serve(None);
    let submitted = consortium.submit(serving.address, &study(9, 1));
    let mallory = kit(&consortium.kit("north"));
    let before = serving.process.peak_memory();
    let mut cases = cases();
    cases.retain(|(place, ..)| link == LinkKind::Tcp || !matches!(place, Place::Own | Place::Bare));
    let kinds = cases.len();
    for (place, bytes, cause) in cases {
        let counted = counted(&consortium, &serving, cause);
        let held = say(link, serving.address, &mallory, place, &bytes).await;
        wait_for(&consortium, &mut serving, cause, counted + 1, &format!("{place:?} {bytes:?}"));
        drop(held);
    }
    let growth = serving.process.peak_memory() - before;
    println!("{kinds} kinds over {link}: the peak of {before} bytes grew by {growth}");
    assert!(growth < MOST_GROWTH, "{growth} bytes");
    let view = consortium.show(serving.address, &submitted);
    assert!(!view.summary.state.is_over() && view.sites.iter().all(|site| site.cohort.is_none()));
}

fn counted(consortium: &Consortium, serving: &Serving, cause: &str) -> u64 {
    let refused = tokio::task::block_in_place(|| consortium.list(serving.address)).refused;
    refused.get(cause).copied().unwrap_or(0)
}

/// Waits until `cause` was counted so often.
fn wait_for(consortium: &Consortium, serving: &mut Serving, cause: &str, times: u64, what: &str) {
    let address = serving.address;
    let count = || consortium.list(address).refused.get(cause).copied().unwrap_or(0);
    tokio::task::block_in_place(|| {
        serving.process.wait_until(&format!("{cause} is counted: {what:.120}"), |_| count() >= times);
    });
    assert_eq!(tokio::task::block_in_place(count), times, "{cause} is counted once: {what:.120}");
}
