//! What is promised of other lanes holds on these.

use std::sync::Arc;

use lanemesh_net::{ConnectError, DownReason, Event, Node};
use lanemesh_net_zenoh::Zenoh;
use lanemesh_runtime::{AskError, ExitReason, spawn};
use tokio::sync::Semaphore;

use crate::common::{Command, Data, Entry, MINUTE, Recorder, connected, first, node, two};

async fn tell_and_ask(home: Node, away: Node) {
    let address = home.bind("zenoh:rooms/eu west").await.unwrap();
    assert_eq!(address, "zenoh:rooms/eu west");
    let (actor, _child) = spawn(Recorder::default());
    home.export("recorder", &actor).unwrap();
    assert_eq!(&away.connect(&address).await.unwrap(), home.info());
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    for number in 0..5000 {
        handle.send_low(Data::Number(number)).await.unwrap();
    }
    handle
        .send_low(Data::Bytes(vec![7; 500_000]))
        .await
        .unwrap();
    handle.send_high(Command::Mark(7)).await.unwrap();
    handle.idle().await; // there is no order between the classes
    let mut log = loop {
        let log = handle.ask(Command::Log, MINUTE).await.unwrap();
        if log.len() == 5002 {
            break log;
        }
        tokio::task::yield_now().await;
    };
    log.retain(|entry| *entry != Entry::High(7));
    let lows: Vec<_> = (0..5000).chain([500_000]).map(Entry::Low).collect();
    assert_eq!(log, lows);
    handle.idle().await;
    assert_eq!(away.links()[0].unconfirmed, 0);
    assert!(away.shutdown(MINUTE).await);
    assert!(home.shutdown(MINUTE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_arrive_in_order_and_asks_are_answered() {
    let [home, away] = two().await;
    tell_and_ask(node("home", &home), node("away", &away)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_may_share_a_session() {
    let (session, _) = first().await;
    let zenoh = Zenoh::new(session).await.unwrap();
    tell_and_ask(node("home", &zenoh), node("away", &zenoh)).await;
}

/// No call of Zenoh is made by a task, so the nodes need no other threads.
#[test]
fn nodes_run_on_a_runtime_with_one_thread() {
    let sessions = tokio::runtime::Runtime::new().unwrap();
    let (home, away) = sessions.block_on(async {
        let (home, endpoint) = first().await;
        (home, connected(&[endpoint]).await)
    });
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    one.block_on(async {
        let [home, away] = [
            Zenoh::new(home).await.unwrap(),
            Zenoh::new(away).await.unwrap(),
        ];
        tell_and_ask(node("home", &home), node("away", &away)).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn high_overtakes_a_flood_that_waits_for_credit() {
    let [home, away] = two().await;
    let (home, away) = (node("home", &home), node("away", &away));
    home.bind("zenoh:home").await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let (actor, _child) = spawn(Recorder::behind(gate.clone()));
    home.export("recorder", &actor).unwrap();
    away.connect("zenoh:home").await.unwrap();
    let mut flooding = away.lookup::<Recorder>("recorder").await.unwrap();
    flooding.send_low(Data::Hold).await.unwrap();
    flooding.idle().await; // it is there first
    let mut asked = flooding.clone();
    let flood = tokio::spawn(async move {
        for _ in 0..20_000 {
            flooding.send_low(Data::Bytes(vec![1; 1200])).await.unwrap();
        }
        flooding.idle().await;
    });
    // All credit is used.
    while away.links()[0].unconfirmed < 1024 {
        tokio::task::yield_now().await;
    }
    // Another lane, which is not behind the flood.
    let mut urgent = away.lookup::<Recorder>("recorder").await.unwrap();
    urgent.send_high(Command::Mark(7)).await.unwrap();
    urgent.idle().await;
    assert!(!flood.is_finished());
    gate.add_permits(1);
    flood.await.unwrap();
    let log = loop {
        let log = asked.ask(Command::Log, MINUTE).await.unwrap();
        if log.len() == 20_001 {
            break log;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(log[0], Entry::High(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_session_ends_handles_and_asks_at_once() {
    let (session, endpoint) = first().await;
    let other = connected(&[endpoint]).await;
    let [home, away] = [
        Zenoh::new(session.clone()).await.unwrap(),
        Zenoh::new(other).await.unwrap(),
    ];
    let (home, away) = (node("home", &home), node("away", &away));
    home.bind("zenoh:home").await.unwrap();
    let (actor, _child) = spawn(Recorder::default());
    home.export("recorder", &actor).unwrap();
    let mut events = away.events();
    away.connect("zenoh:home").await.unwrap();
    let mut handle = away.lookup::<Recorder>("recorder").await.unwrap();
    let mut asker = handle.clone();
    let ask = tokio::spawn(async move { asker.ask(Command::Keep, MINUTE).await });
    while away.links()[0].asks == 0 {
        tokio::task::yield_now().await;
    }
    handle.send_high(Command::Mark(1)).await.unwrap();
    handle.idle().await;
    session.close().await.unwrap();
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    assert_eq!(ask.await.unwrap(), Err(AskError::Unknown));
    let why = loop {
        if let Event::LinkDown(down) = events.recv().await.unwrap() {
            break down.why;
        }
    };
    assert!(
        matches!(why, DownReason::Lost(_) | DownReason::ClosedByPeer),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_in_use_nobody_there_and_no_secret_are_errors() {
    let [home, away] = two().await;
    let open = Node::builder("open")
        .transport("zenoh", home.clone())
        .build();
    assert!(matches!(
        open.bind("zenoh:x").await,
        Err(ConnectError::NoSecret)
    ));
    let (home, away) = (node("home", &home), node("away", &away));
    home.bind("zenoh:x").await.unwrap();
    assert!(matches!(
        home.bind("zenoh:x").await,
        Err(ConnectError::Io(_))
    ));
    for nobody in ["zenoh:y", "zenoh:", &format!("zenoh:{}", "y".repeat(5000))] {
        let connected = away.connect(nobody).await.unwrap_err();
        assert!(matches!(connected, ConnectError::Io(_)), "{connected}");
    }
    // The address is free again when the node is gone.
    home.shutdown(MINUTE).await;
    let again = loop {
        match away.bind("zenoh:x").await {
            Ok(again) => break again,
            Err(error) => println!("{error}"),
        }
    };
    assert_eq!(again, "zenoh:x");
}
