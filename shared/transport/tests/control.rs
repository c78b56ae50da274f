//! The control stream over a real connection: sizes, order, cancellation, and peers that break the rules.

mod consortium;

use std::time::Duration;

use consilium_transport::frame::MAX_FRAME;
use consilium_transport::{ControlError, FrameError, LinkKind};
use consortium::{over_both_links, pair, soon};

over_both_links!(
    messages_of_every_size_arrive_in_order,
    an_oversized_message_is_refused_before_it_is_sent,
    a_message_of_another_kind_is_an_error,
    a_cancelled_receive_loses_nothing,
    there_is_one_control_stream_and_the_client_opens_it,
    losing_the_connection_says_why,
);

/// A `Vec<u8>` has eight bytes of length in front.
const LARGEST: usize = MAX_FRAME - 8;

async fn messages_of_every_size_arrive_in_order(link: LinkKind) {
    let pair = pair(link).await;
    let (mut send, _) = pair.client_control;
    let (_, mut receive) = pair.server_control;
    let sizes = [0, 1, 100, LARGEST, 3, LARGEST, LARGEST];
    let sender = tokio::spawn(async move {
        for size in sizes {
            send.send(&vec![7u8; size]).await.unwrap();
        }
        send.finish().await.unwrap();
    });
    for size in sizes {
        assert_eq!(soon(receive.receive::<Vec<u8>>()).await.unwrap().unwrap().len(), size);
    }
    assert_eq!(soon(receive.receive::<Vec<u8>>()).await.unwrap(), None);
    sender.await.unwrap();
}

async fn an_oversized_message_is_refused_before_it_is_sent(link: LinkKind) {
    let pair = pair(link).await;
    let (mut send, _) = pair.server_control;
    let (_, mut receive) = pair.client_control;
    let refused = send.send(&vec![0u8; LARGEST + 1]).await;
    assert_eq!(refused, Err(ControlError::Frame(FrameError::TooLarge { bytes: MAX_FRAME + 1 })));
    send.send(&"still usable".to_owned()).await.unwrap();
    assert_eq!(soon(receive.receive::<String>()).await.unwrap().unwrap(), "still usable");
}

async fn a_message_of_another_kind_is_an_error(link: LinkKind) {
    let pair = pair(link).await;
    let (mut send, _) = pair.server_control;
    let (_, mut receive) = pair.client_control;
    send.send(&0xdead_beef_u32).await.unwrap();
    let refused = soon(receive.receive::<String>()).await;
    assert!(matches!(refused, Err(ControlError::Frame(FrameError::Unreadable(_)))), "{refused:?}");
}

/// `receive` sits in `select!` loops: giving up on it must lose nothing.
async fn a_cancelled_receive_loses_nothing(link: LinkKind) {
    let pair = pair(link).await;
    let (mut send, _) = pair.client_control;
    let (_, mut receive) = pair.server_control;
    let sender = tokio::spawn(async move {
        for number in 0..200u32 {
            send.send(&(number, vec![1u8; 5_000])).await.unwrap();
        }
        send
    });
    let (mut next, mut cancelled) = (0, 0);
    while next < 200 {
        match tokio::time::timeout(Duration::from_micros(50), receive.receive::<(u32, Vec<u8>)>()).await {
            Ok(message) => {
                assert_eq!(message.unwrap().unwrap().0, next);
                next += 1;
            }
            Err(_) => cancelled += 1,
        }
        assert!(cancelled < 100_000, "the messages stopped at {next}");
    }
    sender.await.unwrap();
}

async fn there_is_one_control_stream_and_the_client_opens_it(link: LinkKind) {
    let pair = pair(link).await;
    assert_eq!(pair.client.open_control().await.err(), Some(ControlError::Taken));
    assert_eq!(pair.server.accept_control().await.err(), Some(ControlError::Taken));
    assert_eq!(pair.server.open_control().await.err(), Some(ControlError::WrongSide));
    assert_eq!(pair.client.accept_control().await.err(), Some(ControlError::WrongSide));
}

async fn losing_the_connection_says_why(link: LinkKind) {
    let pair = pair(link).await;
    let (_, mut receive) = pair.client_control;
    pair.server.close(consilium_transport::CloseCode::new(16), "the study is halted");
    let lost = soon(receive.receive::<String>()).await.unwrap_err();
    assert_eq!(lost.to_string(), "the connection ended: closed by the other side: the study is halted");
}
