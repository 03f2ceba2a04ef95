//! Frames of media beside the connections, where each may be lost.

use bytes::Bytes;
use lanemesh_net::streams::{MediaFrame, MediaKind, StreamError, Streams};
use tokio::sync::mpsc;

use super::{SECRET, bound, node, relay::{Mode, Relay}};
use crate::common::SECOND;

fn frame(number: u32, size: usize) -> MediaFrame {
    MediaFrame {
        kind: MediaKind::Video,
        codec: "VP8".into(),
        timestamp: number,
        data: Bytes::from(vec![number as u8; size]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_whole_or_missing_and_never_waited_for() {
    let transport = bound().await;
    let relay = Relay::to(transport.local_addr().unwrap()).await;
    let transport = transport.announce(relay.address);
    let [home, away] = ["home", "away"].map(|name| node(name, &transport).secret(SECRET).build());
    let address = home.bind("rtc://127.0.0.1:0").await.unwrap();
    let (tx, mut frames) = mpsc::unbounded_channel();
    let registered = Streams::new(&home).register_media_track("camera", move |frame, from| {
        let sent = tx.send((frame, from));
        async move { Ok(sent?) }
    });
    let registered = registered.unwrap();
    away.connect(&address).await.unwrap();
    let mut track = Streams::new(&away).open_media_track("home", "camera").await.unwrap();
    // Of one piece, of several, and one that is too large for the channel. Until it has arrived, each.
    for (number, size) in [(0, 0), (1, 1000), (2, 100_000), (3, 600_000)] {
        let (arrived, from) = loop {
            track.send(frame(number, size)).unwrap();
            if let Ok(arrived) = tokio::time::timeout(SECOND, frames.recv()).await {
                break arrived.unwrap();
            }
        };
        assert_eq!((arrived, &from), (frame(number, size), away.info()));
    }
    while tokio::time::timeout(SECOND / 4, frames.recv()).await.is_ok() {} // what came twice
    // Where the path stands still, frames are passed over, and memory is not filled.
    relay.set(Mode::Hold);
    for number in 0..1000 {
        track.send(frame(number, 10_000)).unwrap();
        if number % 100 == 0 {
            tokio::time::sleep(SECOND / 100).await;
        }
    }
    let passed_over = track.passed_over();
    assert!((900..1000).contains(&passed_over), "{passed_over}");
    relay.set(Mode::LoseOneIn(10));
    let mut arrived = 0;
    for number in 0..2000 {
        track.send(frame(number, 5000)).unwrap();
        tokio::time::sleep(SECOND / 1000).await;
        while let Ok((frame, _)) = frames.try_recv() {
            let MediaFrame { timestamp, data, .. } = frame;
            assert!(data.iter().all(|byte| *byte == timestamp as u8), "{timestamp}");
            assert!([5000, 10_000].contains(&data.len()), "{}", data.len());
            arrived += 1;
        }
    }
    assert!(arrived > 10 && arrived < 2000, "{arrived}");
    relay.set(Mode::Pass);
    // Nobody is there any more.
    drop(registered);
    while track.send(frame(0, 10)).is_ok() {
        tokio::time::sleep(SECOND / 100).await;
    }
    let closed = track.send(frame(1, 10));
    assert_eq!(closed, Err(StreamError::Closed(frame(1, 10))));
}
