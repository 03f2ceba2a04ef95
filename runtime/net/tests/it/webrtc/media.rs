//! Frames of media beside the connections, where each may be lost.

use std::collections::HashSet;

use bytes::Bytes;
use lanemesh_net::{
    LooseTraffic, Node,
    streams::{Chunk, MediaFrame, MediaKind, Mode, StreamError, Streams},
};
use tokio::sync::mpsc;

use super::{nodes_by_relay, relay};
use crate::common::SECOND;

fn traffic(node: &Node) -> LooseTraffic {
    node.links()[0].loose.unwrap()
}

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
    let (path, [home, away], address) = nodes_by_relay().await;
    let (tx, mut frames) = mpsc::unbounded_channel();
    let registered = Streams::new(&home).register_media_track("camera", move |frame, from| {
        let sent = tx.send((frame, from));
        async move { Ok(sent?) }
    });
    let registered = registered.unwrap();
    away.connect(&address).await.unwrap();
    let mut track = Streams::new(&away)
        .open_media_track("home", "camera")
        .await
        .unwrap();
    assert!(track.is_loose());
    let too_large = track.send(frame(9, 300_000));
    assert_eq!(too_large, Err(StreamError::TooLarge(frame(9, 300_000))));
    // Of one piece, and of several. Until it has arrived, each.
    for (number, size) in [(0, 0), (1, 1000), (2, 100_000)] {
        let (arrived, from) = loop {
            track.send(frame(number, size)).unwrap();
            if let Ok(arrived) = tokio::time::timeout(SECOND, frames.recv()).await {
                break arrived.unwrap();
            }
        };
        assert_eq!((arrived, &from), (frame(number, size), away.info()));
    }
    while tokio::time::timeout(SECOND / 4, frames.recv())
        .await
        .is_ok()
    {} // what came twice
    // Where the path stands still, frames are passed over, and memory is not filled.
    path.set(relay::Mode::Hold);
    for number in 0..1000 {
        track.send(frame(number, 10_000)).unwrap();
        if number % 100 == 0 {
            tokio::time::sleep(SECOND / 100).await;
        }
    }
    let passed_over = track.passed_over();
    assert!((900..1000).contains(&passed_over), "{passed_over}");
    path.set(relay::Mode::LoseOneIn(10));
    let mut arrived = 0;
    for number in 0..2000 {
        track.send(frame(number, 5000)).unwrap();
        tokio::time::sleep(SECOND / 1000).await;
        while let Ok((frame, _)) = frames.try_recv() {
            let MediaFrame {
                timestamp, data, ..
            } = frame;
            assert!(
                data.iter().all(|byte| *byte == timestamp as u8),
                "{timestamp}"
            );
            assert!([5000, 10_000].contains(&data.len()), "{}", data.len());
            arrived += 1;
        }
    }
    assert!(arrived > 10 && arrived < 2000, "{arrived}");
    path.set(relay::Mode::Pass);
    // Later ones arrive: each of those before has arrived too, or is known to be lost.
    let is_balanced = || {
        let (sent, got) = (traffic(&away).sent, traffic(&home));
        (sent == got.arrived + got.lost + got.refused).then_some(got)
    };
    let counts = loop {
        track.send(frame(0, 10)).unwrap();
        tokio::time::sleep(SECOND / 20).await;
        if let Some(counts) = is_balanced() {
            break counts;
        }
    };
    assert!(counts.lost > 10, "{counts:?}");
    assert_eq!(track.passed_over(), traffic(&away).passed_over);
    // Nothing went over low in its place.
    assert_eq!(away.links()[0].unconfirmed, 0);
    // Nobody is there any more.
    drop(registered);
    while track.send(frame(0, 10)).is_ok() {
        tokio::time::sleep(SECOND / 100).await;
    }
    let closed = track.send(frame(1, 10));
    assert_eq!(closed, Err(StreamError::Closed(frame(1, 10))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_whose_checks_are_lost_in_a_flood_lives_as_long_as_its_link() {
    let (path, [home, away], address) = nodes_by_relay().await;
    let (tx, mut chunks) = mpsc::unbounded_channel();
    let registered = Streams::new(&home).register_stream("news", move |chunk: Chunk, _| {
        let sent = tx.send(chunk.sequence);
        async move { Ok(sent?) }
    });
    let _registered = registered.unwrap();
    away.connect(&address).await.unwrap();
    let streams = Streams::new(&away);
    let opened = streams
        .open_stream("home", "news", Mode::LatencyFirst)
        .await;
    let mut sender = opened.unwrap();
    path.set(relay::Mode::LoseChecks);
    // Longer than the stack waits for a check (15 s), and for the answers to nine of its own (24 s).
    let mut arrived = 0;
    for number in 0..350 {
        assert_eq!(sender.send(vec![0; 100]).await, Ok(number));
        tokio::time::sleep(SECOND / 10).await;
        while chunks.try_recv().is_ok() {
            arrived += 1;
        }
    }
    assert!(arrived > 100, "{arrived}");
    path.set(relay::Mode::Pass);
    let last = sender.send("last").await.unwrap();
    while chunks.recv().await != Some(last) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_may_be_lost_hold_up_nothing_and_reliable_ones_lose_nothing() {
    let (path, [home, away], address) = nodes_by_relay().await;
    let streams = Streams::new(&home);
    let register = |id: &str| {
        let (tx, chunks) = mpsc::unbounded_channel();
        let registered = streams.register_stream(id, move |chunk: Chunk, _| {
            let sent = tx.send(chunk);
            async move { Ok(sent?) }
        });
        (registered.unwrap(), chunks)
    };
    let ((_one, mut loose), (_other, mut reliable)) = (register("loose"), register("reliable"));
    away.connect(&address).await.unwrap();
    let open = async |id, mode| {
        let opened = Streams::new(&away).open_stream("home", id, mode).await;
        opened.unwrap()
    };
    let mut sender = open("loose", Mode::LatencyFirst).await;
    let mut other = open("reliable", Mode::Reliable).await;
    path.set(relay::Mode::LoseOneIn(10));
    for number in 0..500_u64 {
        assert_eq!(sender.send(number.to_le_bytes().to_vec()).await, Ok(number));
        other.send(number.to_le_bytes().to_vec()).await.unwrap();
        tokio::time::sleep(SECOND / 1000).await;
    }
    for number in 0..500_u64 {
        let chunk = reliable.recv().await.unwrap();
        assert_eq!(
            (chunk.sequence, &*chunk.payload),
            (number, &number.to_le_bytes()[..])
        );
    }
    path.set(relay::Mode::Pass);
    let (mut seen, mut last) = (HashSet::new(), None);
    while last.is_none_or(|last| !seen.contains(&last)) {
        last = Some(sender.send(vec![0; 8]).await.unwrap());
        tokio::time::sleep(SECOND / 20).await;
        while let Ok(Chunk { sequence, payload }) = loose.try_recv() {
            assert!(seen.insert(sequence), "{sequence} came twice");
            assert!(sequence >= 500 || *payload == sequence.to_le_bytes());
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
}
