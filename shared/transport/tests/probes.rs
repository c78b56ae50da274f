//! Measuring the network: it works without a study, is bounded, and never reaches the coordinator's program.

mod consortium;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use consilium_certs::Authority;
use consilium_transport::{
    CloseCode, Dialler, LinkChoice, LinkKind, Probe, ProxyChoice, RefusalCause, Tuning, Way,
};
use consortium::raw::RawLine;
use consortium::{counted, listen, over_both_links, site, soon};

over_both_links!(
    both_directions_are_measured_and_the_clock_is_read,
    other_streams_end_the_measurement,
    who_measures_too_often_is_sent_away,
);

async fn probe(link: LinkKind, address: SocketAddr, identity: &consilium_transport::Identity) -> Probe {
    let dialler = Dialler {
        host: address.ip().to_string(),
        port: address.port(),
        tcp_port: address.port(),
        link: LinkChoice::Auto,
        proxy: ProxyChoice::None,
        tuning: Tuning::default(),
    };
    let way = match link {
        LinkKind::Quic => Way::Quic,
        LinkKind::Tcp => Way::Tcp,
    };
    let (probe, shown) = soon(dialler.probe(way, identity)).await;
    assert!(shown.unwrap().trusted);
    probe.unwrap()
}

async fn both_directions_are_measured_and_the_clock_is_read(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (mut listener, address) = listen(&authority);
    let probe = probe(link, address, &site(&authority, "a")).await;
    let (clock, _) = soon(probe.clock()).await.unwrap();
    let apart = SystemTime::now().duration_since(clock).unwrap_or_else(|early| early.duration());
    assert!(apart < Duration::from_secs(60), "{apart:?}");
    for rate in [soon(probe.upload()).await.unwrap(), soon(probe.download()).await.unwrap()] {
        assert!((1..=8 << 20).contains(&rate.bytes) && rate.mbit_per_s() > 0.0, "{rate:?}");
    }
    soon(probe.end()).await;
    let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(nobody.is_err(), "who measures takes part in nothing: {nobody:?}");
}

async fn other_streams_end_the_measurement(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (listener, address) = listen(&authority);
    let kit = authority.issue_site(&"mallory".parse().unwrap()).unwrap();
    for (bytes, cause) in [
        (&[0xC0][..], RefusalCause::UNKNOWN_STREAM),
        (&[0xB2, 200, 0, 0, 0], RefusalCause::FRAME_TOO_LARGE),
        (&[0xB2, 4, 0, 0, 0, 9, 9, 9, 9], RefusalCause::MALFORMED_FRAME),
    ] {
        let mut raw = soon(RawLine::dial(link, address, &kit, "consilium-probe/1")).await;
        let mut stream = raw.open().await;
        stream.write(bytes).await;
        assert_eq!(soon(raw.closed()).await.0, CloseCode::PROTOCOL.number());
        assert_eq!(counted(&listener, cause).await, 1);
    }
}

async fn who_measures_too_often_is_sent_away(link: LinkKind) {
    let authority = Authority::create("North").unwrap();
    let (listener, address) = listen(&authority);
    let identity = site(&authority, "a");
    let mut refused = None;
    for _ in 0..20 {
        let probe = probe(link, address, &identity).await;
        if let Err(error) = soon(probe.clock()).await {
            refused = Some(error.to_string());
            break;
        }
        soon(probe.end()).await;
    }
    assert!(refused.unwrap().contains("try again in a minute"));
    assert_eq!(counted(&listener, RefusalCause::PROBED_TOO_OFTEN).await, 1);
}
