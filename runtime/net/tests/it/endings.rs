//! Ends of actors, links and nodes, and what becomes of the handles.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lanemesh_net::{
    Config, DownReason, Event, Node, Remote,
    transport::{BoxFuture, Connection, InProcess, Listener, Transport},
};
use lanemesh_runtime::{
    ActorHandle, ActorResult, AskError, Child, Context, ExitReason, Handler, SendError, builder,
    crash::DeadLetter, patterns::Route, testing::Sink,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, timeout},
};

use crate::common::{
    Command, Data, Pair, Recorder, SECOND, event, log, lows, pair, pair_with, patient,
};

fn link_down(event: Event) -> Option<lanemesh_net::LinkDown> {
    match event {
        Event::LinkDown(down) => Some(down),
        _ => None,
    }
}

#[tokio::test]
async fn end_of_the_actor_reaches_monitors_with_its_reason() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    pair.child.stop().await;
    assert!(matches!(handle.monitor().await, ExitReason::Stopped));
    assert!(handle.is_closed());

    let (actor, child) = lanemesh_runtime::spawn(Recorder::new());
    pair.home.export("other", &actor).unwrap();
    let lookup = pair.away.lookup::<Recorder>("other");
    let mut handle = lookup.await.unwrap();
    handle.send_high(Command::Panic).await.unwrap();
    let reason = handle.monitor().await;
    assert!(
        matches!(&reason, ExitReason::Panicked(text) if text.contains("asked to")),
        "{reason}"
    );
    drop(child);
}

#[tokio::test]
async fn restart_of_the_actor_keeps_the_handle() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    for round in 1..4 {
        handle.send_high(Command::Mark(round)).await.unwrap();
        handle.send_high(Command::Fail).await.unwrap();
        handle.send_high(Command::Mark(round)).await.unwrap();
        handle.idle().await;
        assert_eq!(log(&mut handle).await.len(), 1);
        assert_eq!(pair.actor.incarnation(), round as u32 + 1);
    }
    assert!(handle.is_alive());
}

#[tokio::test]
async fn lane_is_closed_when_its_last_handle_is_gone() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    let mut last = handle.clone();
    drop(handle);
    last.send_low(Data::Number(1)).await.unwrap();
    last.send_low(Data::Number(2)).await.unwrap();
    drop(last); // what was sent arrives
    while pair.home.links()[0].lanes_owned > 0 || pair.away.links()[0].lanes_opened > 0 {
        tokio::task::yield_now().await;
    }
    pair.actor.idle().await;
    assert_eq!(lows(&log(&mut pair.actor.clone()).await), [1, 2]);
}

#[tokio::test]
async fn link_that_breaks_ends_the_handle_and_says_what_may_be_lost() {
    let pair = pair().await;
    let mut events = pair.away.events();
    let mut handle = pair.lookup().await;
    let mut asker = handle.clone();
    let ask = tokio::spawn(async move { asker.ask(Command::Keep, 20 * SECOND).await });
    while pair.actor.stats().high == 0 {
        tokio::task::yield_now().await;
    }
    handle.idle().await;
    pair.home.drop_links("away");
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    assert_eq!(ask.await.unwrap(), Err(AskError::Unknown));
    let down = event(&mut events, link_down).await;
    assert_eq!((down.unconfirmed, down.asks), (0, 1));
    assert!(matches!(down.why, DownReason::Lost(_)), "{}", down.why);
    assert!(matches!(
        handle.send_low(Data::Number(1)).await,
        Err(SendError::Closed(_))
    ));
    // The link is made again, for a new handle.
    event(&mut events, |event| {
        matches!(event, Event::LinkUp { .. }).then_some(())
    })
    .await;
    let mut again = pair.lookup().await;
    assert!(log(&mut again).await.is_empty());
}

#[tokio::test]
async fn handle_that_waits_for_a_link_goes_on_where_it_was() {
    let pair = pair().await;
    let mut events = pair.away.events();
    let lookup = pair.away.lookup("recorder").wait_for_link(20 * SECOND);
    let mut handle = lookup.await.unwrap();
    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..50 {
            handle.send_low(Data::Number(number)).await.unwrap();
            number += 1;
        }
        handle.idle().await;
        pair.home.drop_links("away");
        let down = event(&mut events, link_down).await;
        assert_eq!(down.unconfirmed, 0);
        handle.send_low(Data::Number(number)).await.unwrap();
        number += 1;
    }
    handle.idle().await;
    assert_eq!(
        lows(&log(&mut handle).await),
        (0..number).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn handle_that_waits_for_a_link_keeps_its_order_before_a_slow_actor() {
    let pair = pair().await;
    let mut events = pair.away.events();
    let lookup = pair.away.lookup("recorder").wait_for_link(20 * SECOND);
    let mut handle = lookup.await.unwrap();
    let mut number = 0;
    for _ in 0..4 {
        handle.send_low(Data::Hold).await.unwrap();
        // Each time fewer than the actor's lane holds. They stay there while the link breaks.
        for _ in 0..3 {
            for _ in 0..2 {
                handle.send_low(Data::Number(number)).await.unwrap();
                number += 1;
            }
            handle.idle().await;
            pair.home.drop_links("away");
            event(&mut events, link_down).await;
        }
        for _ in 0..2 {
            handle.send_low(Data::Number(number)).await.unwrap();
            number += 1;
        }
        // All that is sent from now on goes over a link that is there.
        handle.send_high(Command::Mark(0)).await.unwrap();
        handle.idle().await;
        pair.gate.add_permits(1);
    }
    handle.idle().await;
    assert_eq!(
        lows(&log(&mut handle).await),
        (0..number).collect::<Vec<_>>()
    );
}

/// Panics when it is dropped at the other end; once, because a second panic of one drop ends the process.
struct Fuse {
    has_arrived: bool,
}

static HAS_BURNT: AtomicBool = AtomicBool::new(false);

impl Serialize for Fuse {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let has_arrived = bool::deserialize(from)?;
        Ok(Self { has_arrived })
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a flag of one test.
        if self.has_arrived && !HAS_BURNT.swap(true, Ordering::Relaxed) {
            panic!("a message is dropped");
        }
    }
}

/// Handles one message, and never ends.
struct Busy;

impl Handler for Busy {
    type Msg = Fuse;

    async fn handle(&mut self, fuse: Fuse, _: &mut Context<Self>) -> ActorResult {
        pending::<()>().await;
        drop(fuse);
        Ok(())
    }
}

impl Remote for Busy {
    const TYPE: &'static str = "test/busy";
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_message_that_a_broken_link_drops_keeps_no_link_from_ending() {
    let pair = pair().await;
    let mut events = pair.home.events();
    let busy = builder(|| Busy).low_capacity(1);
    let (actor, _child) = busy.spawn();
    pair.home.export("busy", &actor).unwrap();
    let mut handle = pair.away.lookup::<Busy>("busy").await.unwrap();
    for _ in 0..4 {
        let has_arrived = false;
        handle.send_low(Fuse { has_arrived }).await.unwrap();
    }
    // What was sent before on the low connection has arrived; two of them have no room in the mailbox.
    let count = pair.lookup().await.ask_low(Data::Ask, 5 * SECOND).await;
    assert_eq!(count, Ok(0));
    pair.home.drop_links("away");
    let down = timeout(60 * SECOND, event(&mut events, link_down)).await;
    assert_eq!(down.unwrap().why, DownReason::Closed);
    // ORDERING: Relaxed: a flag of one test.
    assert!(HAS_BURNT.load(Ordering::Relaxed));
    // It is made again.
    let linked = event(&mut events, |event| {
        matches!(event, Event::LinkUp { .. }).then_some(())
    });
    timeout(60 * SECOND, linked).await.unwrap();
    assert!(log(&mut pair.lookup().await).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn handle_waits_no_longer_than_it_was_told() {
    let pair = pair().await;
    let lookup = pair.away.lookup::<Recorder>("recorder");
    let handle = lookup.wait_for_link(3 * SECOND).await.unwrap();
    pair.home.shutdown(SECOND).await;
    let began = Instant::now();
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    let waited = began.elapsed();
    assert!(waited >= 2 * SECOND && waited <= 4 * SECOND, "{waited:?}");
}

#[tokio::test]
async fn node_that_comes_back_is_another_one() {
    let pair = pair().await;
    let mut events = pair.away.events();
    let lookup = pair.away.lookup::<Recorder>("recorder");
    let handle = lookup.wait_for_link(20 * SECOND).await.unwrap();
    pair.home.shutdown(10 * SECOND).await;
    let down = event(&mut events, link_down).await;
    assert_eq!(down.why, DownReason::ClosedByPeer);
    let node = Node::builder("home").incarnation(2).config(patient());
    let home = node.transport("mem", pair.network.clone()).build();
    home.export("recorder", &pair.actor).unwrap();
    home.bind("mem:home").await.unwrap();
    // Although it has an actor of this name.
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    let mut again = pair.lookup().await;
    assert!(log(&mut again).await.is_empty());
    assert_eq!(pair.away.links()[0].peer.incarnation, 2);
}

#[tokio::test]
async fn later_incarnation_takes_down_the_links_of_the_one_before() {
    let pair = pair().await;
    let mut events = pair.home.events();
    let node = Node::builder("away").incarnation(7).config(patient());
    let away = node.transport("mem", pair.network.clone()).build();
    away.connect("mem:home").await.unwrap();
    let down = event(&mut events, link_down).await;
    assert_eq!((down.why, down.peer.incarnation), (DownReason::Replaced, 1));
    let stats = pair.home.links();
    assert_eq!((stats.len(), stats[0].peer.incarnation), (1, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_actor_slows_its_own_senders_alone() {
    let config = Config {
        low_messages: 16,
        low_bytes: 1 << 20,
        ..patient()
    };
    let pair = pair_with(config).await;
    let (plain, _child) = lanemesh_runtime::spawn(crate::common::Plain::default());
    pair.home.export("plain", &plain).unwrap();
    let mut slow = pair.lookup().await;
    let mut fast = pair
        .away
        .lookup::<crate::common::Plain>("plain")
        .await
        .unwrap();
    slow.send_low(Data::Hold).await.unwrap();
    let mut flood = slow.clone();
    let flood = tokio::spawn(async move {
        for number in 0..3000 {
            flood.send_low(Data::Number(number)).await.unwrap();
        }
        flood.idle().await;
    });
    for number in 0..2000 {
        fast.tell(number).await.unwrap();
    }
    fast.idle().await;
    plain.idle().await;
    assert_eq!(plain.stats().messages(), 2000);
    // High overtakes, too, but for what the actor waits in.
    slow.send_high(Command::Mark(1)).await.unwrap();
    slow.high_ready().await.unwrap();
    assert!(!flood.is_finished());
    assert!(pair.away.links()[0].unconfirmed <= 16 + 64);
    pair.gate.add_permits(1);
    flood.await.unwrap();
    // They are in the mailbox, where the question for the log would overtake them.
    assert_eq!(slow.ask_low(Data::Ask, 60 * SECOND).await, Ok(3000 + 1));
    assert_eq!(lows(&log(&mut slow).await), (0..3000).collect::<Vec<_>>());
}

/// Connects, and lets nothing come back on the connections that are told to be silent: first that for high,
/// then that for low.
#[derive(Clone)]
struct Half {
    network: InProcess,
    is_silent: [Arc<AtomicBool>; 2],
    connected: Arc<AtomicUsize>,
}

impl Half {
    fn new(network: &InProcess) -> Self {
        Self {
            network: network.clone(),
            is_silent: Default::default(),
            connected: Arc::default(),
        }
    }
}

async fn carry(connection: Connection, near: DuplexStream, is_silent: Arc<AtomicBool>) {
    let (from_far, mut to_far) = connection.into_halves();
    let (mut from_near, mut to_near) = tokio::io::split(near);
    let there = async move { tokio::io::copy(&mut from_near, &mut to_far).await };
    let back = async move {
        let mut from_far = from_far;
        let mut buffer = [0; 4096];
        // ORDERING: a flag of one thread.
        while !is_silent.load(Ordering::Relaxed) {
            match from_far.read(&mut buffer).await {
                Ok(count) if count > 0 => to_near.write_all(&buffer[..count]).await.unwrap(),
                _ => return,
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        _ = there => {}
        () = back => {}
    }
}

impl Transport for Half {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            // ORDERING: of one thread.
            let index = self.connected.fetch_add(1, Ordering::Relaxed);
            let (own, near) = tokio::io::duplex(1 << 16);
            let connection = self.network.connect(address).await?;
            tokio::spawn(carry(connection, near, self.is_silent[index % 2].clone()));
            let (reader, writer) = tokio::io::split(own);
            Ok(Connection::new(reader, writer))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.network.listen(address)
    }

    fn is_private(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_silent_on_one_connection_is_suspected_and_then_dead() {
    for class in [0, 1] {
        let pair = pair().await;
        let half = Half::new(&pair.network);
        let node = Node::builder("third").transport("half", half.clone());
        let third = node.build();
        let mut events = third.events();
        third.connect("half:home").await.unwrap();
        let mut handle = third.lookup::<Recorder>("recorder").await.unwrap();
        assert!(log(&mut handle).await.is_empty());
        tokio::time::sleep(SECOND).await;
        assert!(third.links()[0].round_trip.is_some());
        // ORDERING: a flag of one thread.
        half.is_silent[class].store(true, Ordering::Relaxed);
        let began = Instant::now();
        let suspected = |event| matches!(event, Event::LinkSuspected { .. }).then_some(());
        event(&mut events, suspected).await;
        let suspected = began.elapsed();
        let down = event(&mut events, link_down).await;
        let dead = began.elapsed();
        assert_eq!(down.why, DownReason::Silent);
        let margin = Duration::from_millis(600);
        assert!(suspected >= SECOND - margin && suspected <= SECOND + margin);
        assert!(dead >= 2 * SECOND - margin && dead <= 2 * SECOND + margin);
        assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    }
}

#[tokio::test]
async fn asks_that_were_not_written_end_as_unreachable() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    // None of these is written: the pump has no turn before the link is down.
    pair.away.drop_links("home");
    let asks = (0..5).map(|_| {
        let mut asker = handle.clone();
        async move { asker.ask(Command::Keep, 60 * SECOND).await }
    });
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer, Err(AskError::Unreachable));
    }
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    let late = handle.clone().ask_low(Data::Ask, 60 * SECOND).await;
    assert_eq!(late, Err(AskError::Unreachable));
}

/// A second node with an actor of its own, to which messages go when the first cannot be reached.
async fn second(pair: &Pair) -> (Node, ActorHandle<Recorder>, Child) {
    let node = Node::builder("second").config(patient());
    let node = node.transport("mem", pair.network.clone()).build();
    let (actor, child) = lanemesh_runtime::spawn(Recorder::new());
    node.export("spare", &actor).unwrap();
    node.bind("mem:second").await.unwrap();
    pair.away.connect("mem:second").await.unwrap();
    (node, actor, child)
}

#[tokio::test]
async fn route_goes_to_the_next_actor_when_a_link_breaks() {
    let pair = pair().await;
    let (_node, spare, _child) = second(&pair).await;
    let first = pair.lookup().await;
    let next = pair.away.lookup::<Recorder>("spare").await.unwrap();
    let mut route = Route::new([first.clone(), next.clone()]);
    for number in 0..10 {
        route.send_low(Data::Number(number)).await.unwrap();
    }
    first.idle().await;
    pair.home.shutdown(20 * SECOND).await;
    assert!(matches!(first.monitor().await, ExitReason::Unreachable));
    for number in 10..20 {
        route.send_low(Data::Number(number)).await.unwrap();
        route.send_high(Command::Mark(number)).await.unwrap();
    }
    next.idle().await;
    let here = log(&mut pair.actor.clone()).await;
    let there = log(&mut spare.clone()).await;
    assert_eq!(lows(&here), (0..10).collect::<Vec<_>>());
    assert_eq!(lows(&there), (10..20).collect::<Vec<_>>());
    assert_eq!(there.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn route_goes_to_the_next_actor_after_the_time_that_a_handle_waits_for_its_link() {
    let pair = pair().await;
    let (_node, spare, _child) = second(&pair).await;
    let lookup = pair.away.lookup::<Recorder>("recorder").low_capacity(4);
    let letters = Sink::<(), DeadLetter<Command, Data>>::new();
    let (letters, _letters) = lanemesh_runtime::spawn(letters);
    let lookup = lookup.wait_for_link(3 * SECOND);
    let first = lookup.dead_letters(letters.low_recipient()).await.unwrap();
    let next = pair.away.lookup::<Recorder>("spare").await.unwrap();
    pair.home.shutdown(20 * SECOND).await;
    let began = Instant::now();
    let mut route = Route::new([first.clone(), next.clone()]);
    for number in 0..20 {
        route.send_low(Data::Number(number)).await.unwrap();
    }
    let waited = began.elapsed();
    assert!(waited >= 2 * SECOND && waited <= 4 * SECOND, "{waited:?}");
    next.idle().await;
    let there = lows(&log(&mut spare.clone()).await);
    // What was accepted while there was hope is a dead letter.
    let lost = 20 - there.len() as u64;
    assert!(lost > 0 && lost < 20, "{lost}");
    assert_eq!(there, (lost..20).collect::<Vec<_>>());
    letters.idle().await;
    assert_eq!(letters.stats().low, lost);
}
