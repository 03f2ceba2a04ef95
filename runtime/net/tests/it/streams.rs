//! Streams and tracks: what arrives, what is passed over, and how they end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_net::{
    Config, ExportError, LookupError, Node,
    streams::{Chunk, MediaFrame, MediaKind, Mode, StreamError, Streams},
    transport::InProcess,
};
use lanemesh_runtime::ActorError;
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

use crate::{
    common::{SECOND, patient},
    members::LIMIT,
    simulation::{Network, config, seeds, simulate},
};

async fn two(config: Config) -> (Node, Node) {
    let network = InProcess::default();
    let [home, away] = ["home", "away"].map(|name| {
        let node = Node::builder(name).config(config.clone()).incarnation(1);
        node.transport("mem", network.clone()).build()
    });
    home.bind("mem:home").await.unwrap();
    away.connect("mem:home").await.unwrap();
    (home, away)
}

/// Small credit, so that it is met.
fn narrow() -> Config {
    Config {
        low_messages: 4,
        low_bytes: 4096,
        max_frame: 8192,
        ..patient()
    }
}

fn frame(timestamp: u32, size: usize) -> MediaFrame {
    MediaFrame {
        kind: MediaKind::Video,
        codec: "VP8".into(),
        timestamp,
        data: vec![1; size].into(),
    }
}

#[tokio::test]
async fn reliable_stream_arrives_whole_and_in_order_and_a_slow_callback_slows_its_sender_alone() {
    let (home, away) = two(narrow()).await;
    let (streams, remote) = (Streams::new(&home), Streams::new(&away));
    let (tx, mut chunks) = mpsc::channel(2000);
    let fast = streams.register_stream("fast", move |chunk: Chunk, from| {
        assert_eq!(from.to_string(), "away@1");
        let sent = tx.try_send(chunk);
        async move { Ok(sent?) }
    });
    let _fast = fast.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let permits = gate.clone();
    let slow = streams.register_stream("slow", move |_, _| {
        let permits = permits.clone();
        async move {
            permits.acquire().await?.forget();
            Ok(())
        }
    });
    let _slow = slow.unwrap();
    let mut slow = remote
        .open_stream("home", "slow", Mode::Reliable)
        .await
        .unwrap();
    let stuck = tokio::spawn(async move {
        for _ in 0..1000 {
            slow.send(vec![0; 100]).await.unwrap();
        }
        slow.finish().await;
    });
    let mut fast = remote
        .open_stream("home", "fast", Mode::Reliable)
        .await
        .unwrap();
    for number in 0..1000_u32 {
        let sequence = fast.send(number.to_le_bytes().to_vec()).await.unwrap();
        assert_eq!(sequence, u64::from(number));
    }
    for number in 0..1000_u32 {
        let chunk = chunks.recv().await.unwrap();
        assert_eq!(chunk.sequence, u64::from(number));
        assert_eq!(*chunk.payload, number.to_le_bytes());
    }
    assert!(!stuck.is_finished());
    gate.add_permits(1000);
    stuck.await.unwrap();
    assert_eq!(fast.passed_over(), 0);
}

#[tokio::test]
async fn latest_wins_where_there_is_no_room_and_the_last_one_arrives() {
    let (home, away) = two(patient()).await;
    let gate = Arc::new(Semaphore::new(0));
    let arrived = Arc::<Mutex<Vec<u32>>>::default();
    let (permits, frames) = (gate.clone(), arrived.clone());
    let track = Streams::new(&home).register_media_track("camera", move |frame: MediaFrame, _| {
        let (permits, frames) = (permits.clone(), frames.clone());
        async move {
            permits.acquire().await?.forget();
            assert_eq!((frame.kind, &*frame.codec), (MediaKind::Video, "VP8"));
            frames.lock().unwrap().push(frame.timestamp);
            Ok(())
        }
    });
    let _track = track.unwrap();
    let mut camera = Streams::new(&away)
        .open_media_track("home", "camera")
        .await
        .unwrap();
    for timestamp in 0..1000 {
        camera.send(frame(timestamp, 100)).unwrap();
        tokio::task::yield_now().await;
    }
    gate.add_permits(1000);
    camera.finish().await;
    let arrived = arrived.lock().unwrap().clone();
    assert!(arrived.is_sorted(), "{arrived:?}");
    assert_eq!(arrived.last(), Some(&999));
    assert!(arrived.len() <= 9, "{arrived:?}");
    assert_eq!(camera.passed_over() + arrived.len() as u64, 1000);
}

#[tokio::test]
async fn callback_that_fails_or_panics_gets_the_next_chunk() {
    let (home, away) = two(patient()).await;
    let (tx, mut chunks) = mpsc::channel(16);
    let stream = Streams::new(&home).register_stream("s", move |chunk: Chunk, _| {
        let tx = tx.clone();
        assert_ne!(&*chunk.payload, b"panic at once", "on purpose");
        async move {
            match &*chunk.payload {
                b"fail" => return Err(ActorError::msg("on purpose")),
                b"panic" => panic!("on purpose"),
                _ => tx.send(chunk).await?,
            }
            Ok(())
        }
    });
    let _stream = stream.unwrap();
    for mode in [Mode::Reliable, Mode::LatestWins] {
        let mut sender = Streams::new(&away)
            .open_stream("home", "s", mode)
            .await
            .unwrap();
        for payload in ["fail", "panic", "panic at once", "good"] {
            sender.send(payload).await.unwrap();
            sender.finish().await;
        }
        let chunk = chunks.recv().await.unwrap();
        assert_eq!((chunk.sequence, &*chunk.payload), (3, &b"good"[..]));
    }
}

#[tokio::test]
async fn registration_is_one_of_its_id_and_closes_its_senders_when_dropped() {
    let (home, away) = two(narrow()).await;
    let streams = Streams::new(&home);
    let register = || streams.register_stream("s", |_, _| async { Ok(()) });
    let stream = register().unwrap();
    assert_eq!(register().unwrap_err(), ExportError::NameTaken);
    let remote = Streams::new(&away);
    let unknown = remote.open_media_track("home", "s").await.unwrap_err();
    assert_eq!(unknown, LookupError::Unknown);
    let mut reliable = remote
        .open_stream("home", "s", Mode::Reliable)
        .await
        .unwrap();
    let mut latest = remote
        .open_stream("home", "s", Mode::LatestWins)
        .await
        .unwrap();
    for sender in [&mut reliable, &mut latest] {
        let error = sender.send(vec![0; 8192]).await.unwrap_err();
        assert!(matches!(error, StreamError::TooLarge(payload) if payload.len() == 8192));
        assert_eq!(sender.send(vec![0; 7000]).await, Ok(0));
        sender.finish().await;
    }
    drop(stream);
    for sender in [&mut reliable, &mut latest] {
        let error = loop {
            match sender.send("x").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert_eq!(error, StreamError::Closed("x".into()));
        assert!(sender.is_closed());
        sender.finish().await;
    }
    let _again = register().unwrap();
    remote
        .open_stream("home", "s", Mode::Reliable)
        .await
        .unwrap();
}

#[tokio::test]
async fn stream_of_this_node_needs_no_link() {
    let node = Node::builder("only").build();
    let (tx, mut chunks) = mpsc::channel(16);
    let _stream = Streams::new(&node).register_stream("s", move |chunk: Chunk, _| {
        let sent = tx.try_send(chunk.sequence);
        async move { Ok(sent?) }
    });
    for mode in [Mode::Reliable, Mode::LatestWins] {
        let mut sender = Streams::new(&node)
            .open_stream("only", "s", mode)
            .await
            .unwrap();
        sender.send("x").await.unwrap();
        sender.finish().await;
        assert_eq!(chunks.recv().await, Some(0));
    }
}

/// Over links that break: whatever a stream delivers is in order; a reliable one has no gap until it is closed,
/// and one where the latest wins has its last chunk, unless it was closed.
async fn run(seed: u64) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let network = Network::new(seed, Duration::from_micros(random.u64(1..20_000)));
    let [home, away] = ["home", "away"].map(|name| {
        let config = Config {
            low_messages: 4,
            low_bytes: 2000,
            ..config()
        };
        let node = Node::builder(name).config(config).seed(seed);
        node.transport("sim", network.of(name)).build()
    });
    home.bind("sim:home").await.unwrap();
    let _link = away.discover(vec!["sim:home"]);
    let mut passed_over = 0;
    let mut closed = 0;
    for round in 0..random.u32(1..6) {
        let mode = [Mode::Reliable, Mode::LatestWins][random.usize(0..2)];
        let id = format!("s{round}");
        let log = Arc::<Mutex<Vec<u64>>>::default();
        let (entries, pause) = (log.clone(), random.u64(0..20));
        let stream = Streams::new(&home).register_stream(&id, move |chunk: Chunk, _| {
            entries.lock().unwrap().push(chunk.sequence);
            async move {
                sleep(Duration::from_millis(pause)).await;
                Ok(())
            }
        });
        let _stream = stream.unwrap();
        let remote = Streams::new(&away);
        let mut sender = loop {
            match remote.open_stream("home", &id, mode).await {
                Ok(sender) => break sender,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let count = random.u64(1..300);
        let broken = random.bool().then(|| random.u64(0..count));
        let mut sent = 0;
        for number in 0..count {
            if Some(number) == broken {
                network.reset("home", "away");
            }
            let payload = vec![0; random.usize(0..600)];
            match sender.send(payload).await {
                Ok(sequence) => assert_eq!(sequence, number),
                Err(StreamError::Closed(_)) => break,
                Err(error) => panic!("{error}"),
            }
            sent += 1;
            if random.u8(0..4) == 0 {
                sleep(Duration::from_millis(random.u64(0..20))).await;
            }
        }
        sender.finish().await;
        sleep(10 * SECOND).await; // what is in the mailbox is handled
        let log = log.lock().unwrap().clone();
        assert!(log.is_sorted_by(|a, b| a < b), "seed {seed}: {log:?}");
        if mode == Mode::Reliable {
            let whole = (0..log.len() as u64).eq(log.iter().copied());
            assert!(whole, "seed {seed}: {log:?}");
        }
        match sender.is_closed() {
            true => closed += 1,
            false => assert_eq!(log.last(), Some(&(sent - 1)), "seed {seed}"),
        }
        if mode == Mode::LatestWins && !sender.is_closed() {
            assert_eq!(log.len() as u64 + sender.passed_over(), sent, "seed {seed}");
        }
        assert!(broken.is_some() || !sender.is_closed(), "seed {seed}");
        passed_over += sender.passed_over();
    }
    (passed_over, closed)
}

#[test]
fn streams_keep_what_they_promise_for_many_seeds() {
    let mut total = (0, 0);
    simulate(LIMIT, seeds(0..30), async |seed| {
        let (passed_over, closed) = run(seed).await;
        total = (total.0 + passed_over, total.1 + closed);
    });
    let is_chosen = std::env::var("LANEMESH_SEEDS").is_ok();
    assert!(is_chosen || total.0 > 0 && total.1 > 0, "{total:?}");
}
