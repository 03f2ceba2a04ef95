//! What is refused: strangers, wrong types and versions, messages that are too large, peers that break
//! the rules.

use std::{ops::RangeInclusive, time::Duration};

use lanemesh_net::{
    Config, ConnectError, Event, ExportError, ExportOptions, LookupError, Node, Remote,
    transport::InProcess,
};
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitReason, Handler, crash::DeadLetter, spawn,
    testing::Sink,
};

use crate::common::{
    Command, Data, Plain, Recorder, SECOND, event, log, lows, pair, pair_with, patient,
};

/// Has the name of a recorder, and other messages.
struct Impostor;

impl Handler for Impostor {
    type Msg = String;

    async fn handle(&mut self, _: String, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}

impl Remote for Impostor {
    const TYPE: &'static str = Recorder::TYPE;
}

struct Later;

impl Handler for Later {
    type Msg = u64;

    async fn handle(&mut self, _: u64, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}

impl Remote for Later {
    const TYPE: &'static str = Plain::TYPE;
    const VERSIONS: RangeInclusive<u32> = 2..=3;
}

#[tokio::test]
async fn unknown_name_other_type_and_other_version_are_refused_and_the_link_stays() {
    let pair = pair().await;
    let (plain, _child) = spawn(Plain::default());
    pair.home.export("plain", &plain).unwrap();
    let unknown = pair.away.lookup::<Plain>("nobody").await;
    assert_eq!(unknown.unwrap_err(), LookupError::Unknown);
    let other = pair.away.lookup::<Plain>("recorder").await.unwrap_err();
    assert!(
        matches!(&other, LookupError::Mismatch(text) if text.contains("test/recorder")),
        "{other}"
    );
    let later = pair.away.lookup::<Later>("plain").await.unwrap_err();
    assert!(
        matches!(&later, LookupError::Mismatch(text) if text.contains("2..=3")),
        "{later}"
    );
    let nowhere = pair.away.lookup::<Plain>("plain").on("nowhere").await;
    assert_eq!(nowhere.unwrap_err(), LookupError::NoLink);
    assert!(pair.away.lookup::<Plain>("plain").on("home").await.is_ok());
    assert_eq!(pair.away.links().len(), 1);
}

#[tokio::test]
async fn message_of_another_type_closes_its_lane_with_an_error_on_both_sides() {
    let pair = pair().await;
    let mut good = pair.lookup().await;
    let mut bad = pair.away.lookup::<Impostor>("recorder").await.unwrap();
    bad.tell("a text, where there should be something else".into())
        .await
        .unwrap();
    let reason = bad.monitor().await;
    assert!(
        matches!(&reason, ExitReason::Failed(error) if error.to_string().contains("Data")),
        "{reason}"
    );
    good.send_low(Data::Number(1)).await.unwrap();
    good.idle().await;
    assert_eq!(lows(&log(&mut good).await), [1]);
    assert!(pair.actor.is_alive());
}

#[tokio::test]
async fn message_larger_than_a_frame_is_refused_and_counted() {
    let config = Config {
        max_frame: 10_000,
        ..patient()
    };
    let pair = pair_with(config).await;
    let mut events = pair.away.events();
    let mut handle = pair.lookup().await;
    handle.send_low(Data::Bytes(vec![0; 9_900])).await.unwrap();
    handle.send_low(Data::Bytes(vec![0; 10_000])).await.unwrap();
    handle.send_low(Data::Number(1)).await.unwrap();
    handle.idle().await;
    assert_eq!(lows(&log(&mut handle).await), [9_900, 1]);
    drop(handle);
    let refused = event(&mut events, |event| match event {
        Event::LaneEnded { refused, .. } => Some(refused),
        _ => None,
    });
    assert_eq!(refused.await, 1);
}

#[tokio::test]
async fn texts_that_are_longer_than_a_frame_end_no_link() {
    let config = Config {
        max_frame: 4096,
        ..patient()
    };
    let pair = pair_with(config).await;
    let mut events = pair.away.events();
    // What the owner says of an actor's end, and of a lane that it refuses.
    let (actor, _child) = spawn(Verbose);
    pair.home.export("verbose", &actor).unwrap();
    let mut handle = pair.away.lookup::<Verbose>("verbose").await.unwrap();
    handle.tell(10_000).await.unwrap();
    let ExitReason::Failed(error) = handle.monitor().await else {
        panic!("it has failed");
    };
    assert!(error.to_string().starts_with("ééé"), "{error}");
    let long = "n".repeat(4000);
    let found = pair.away.lookup::<Recorder>(long).await;
    assert_eq!(found.unwrap_err(), LookupError::Unknown);
    // What the opener asks for.
    let longer = "n".repeat(100_000);
    let found = pair.away.lookup::<Recorder>(longer).await;
    assert_eq!(found.unwrap_err(), LookupError::Unknown);
    assert!(log(&mut pair.lookup().await).await.is_empty());
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::LinkDown(_)), "{event:?}");
    }
}

/// Fails with as many letters as it is told.
struct Verbose;

impl Handler for Verbose {
    type Msg = usize;

    async fn handle(&mut self, length: usize, _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("é".repeat(length)))
    }
}

impl Remote for Verbose {
    const TYPE: &'static str = "test/verbose";
}

#[tokio::test]
async fn node_that_is_shut_down_takes_nothing_more() {
    let pair = pair().await;
    assert!(pair.home.shutdown(5 * SECOND).await);
    let exported = pair.home.export("again", &pair.actor);
    assert_eq!(exported, Err(ExportError::Closed));
    let bound = pair.home.bind("mem:again").await;
    assert!(matches!(bound, Err(ConnectError::Closed)), "{bound:?}");
    let connected = pair.home.connect("mem:home").await;
    assert!(
        matches!(connected, Err(ConnectError::Closed)),
        "{connected:?}"
    );
}

#[test]
fn settings_that_make_no_node_are_an_error_at_once() {
    let zero = Duration::ZERO;
    for config in [
        Config {
            max_frame: 0,
            ..Config::default()
        },
        Config {
            max_frame: usize::MAX,
            ..Config::default()
        },
        Config {
            heartbeat: zero,
            ..Config::default()
        },
        Config {
            dead_after: zero,
            ..Config::default()
        },
    ] {
        let built = std::panic::catch_unwind(|| Node::builder("node").config(config).build());
        assert!(built.is_err());
    }
}

#[tokio::test]
async fn export_may_be_limited_to_nodes_and_classes() {
    let pair = pair().await;
    let (plain, _child) = spawn(Plain::default());
    let options = ExportOptions::new().only(["elsewhere"]);
    pair.home.export_with("plain", &plain, options).unwrap();
    let denied = pair.away.lookup::<Plain>("plain").await.unwrap_err();
    assert!(matches!(denied, LookupError::Denied(_)));
    assert!(pair.home.withdraw("plain"));
    assert!(!pair.home.withdraw("plain"));
    let options = ExportOptions::new().only(["away"]).without_low();
    pair.home.export_with("plain", &plain, options).unwrap();
    let mut handle = pair.away.lookup::<Plain>("plain").await.unwrap();
    handle.tell(2).await.unwrap();
    handle.idle().await;
    plain.idle().await;
    assert_eq!(plain.stats().high, 1);
    handle.tell(1).await.unwrap();
    let reason = handle.monitor().await;
    assert!(reason.to_string().contains("Low"), "{reason}");
    assert_eq!(plain.stats().low, 0);
}

#[tokio::test]
async fn name_is_taken_as_long_as_its_actor_lives() {
    let pair = pair().await;
    let (plain, child) = spawn(Plain::default());
    assert_eq!(
        pair.home.export("recorder", &plain),
        Err(ExportError::NameTaken)
    );
    pair.home.export("plain", &plain).unwrap();
    child.stop().await;
    let gone = pair.away.lookup::<Plain>("plain").await;
    assert_eq!(gone.unwrap_err(), LookupError::Unknown);
    let (plain, _child) = spawn(Plain::default());
    pair.home.export("plain", &plain).unwrap();
    assert_eq!(
        pair.home.export("x".repeat(5000), &plain),
        Err(ExportError::NameTooLong)
    );
    // On its own node it is the actor itself.
    let local = pair.home.lookup::<Plain>("plain").await.unwrap();
    assert_eq!(local.id(), plain.id());
}

#[tokio::test]
async fn wrong_secret_is_refused_on_both_sides() {
    let network = InProcess::default();
    let node = |name: &str, secret: &[u8]| {
        let node = Node::builder(name).secret(secret).config(patient());
        node.transport("mem", network.clone()).build()
    };
    let home = node("home", b"right");
    home.bind("mem:home").await.unwrap();
    let wrong = node("away", b"wrong");
    let refused = wrong.connect("mem:home").await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Unauthenticated),
        "{refused}"
    );
    assert!(home.links().is_empty());
    node("away", b"right").connect("mem:home").await.unwrap();
}

#[tokio::test]
async fn own_name_and_earlier_incarnation_are_refused() {
    let pair = pair().await;
    let node = |name: &str, incarnation| {
        let node = Node::builder(name)
            .incarnation(incarnation)
            .config(patient());
        node.transport("mem", pair.network.clone()).build()
    };
    let same = node("home", 5).connect("mem:home").await.unwrap_err();
    assert!(matches!(same, ConnectError::OwnName), "{same}");
    let earlier = node("away", 0).connect("mem:home").await.unwrap_err();
    assert!(
        matches!(earlier, ConnectError::Refused(text) if text.contains("later")),
        "{earlier}"
    );
    assert_eq!(pair.home.links().len(), 1);
}

#[tokio::test]
async fn lanes_of_a_peer_are_limited() {
    let config = Config {
        max_lanes: 2,
        ..patient()
    };
    let pair = pair_with(config).await;
    let first = pair.lookup().await;
    let second = pair.lookup().await;
    let third = pair.away.lookup::<Recorder>("recorder").await;
    assert_eq!(third.unwrap_err(), LookupError::Limit);
    drop(first);
    let mut events = pair.away.events();
    while pair.home.links()[0].lanes_owned > 1 {
        tokio::task::yield_now().await;
    }
    assert!(pair.away.lookup::<Recorder>("recorder").await.is_ok());
    drop(second);
    event(&mut events, |event| {
        matches!(event, Event::LaneEnded { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn asks_of_a_link_are_limited() {
    let config = Config {
        max_asks: 2,
        ..patient()
    };
    let pair = pair_with(config).await;
    let handle = pair.lookup().await;
    let asks: Vec<_> = (0..3)
        .map(|_| {
            let mut handle = handle.clone();
            tokio::spawn(async move { handle.ask(Command::Keep, 20 * SECOND).await })
        })
        .collect();
    let stats = || pair.away.links()[0].clone();
    while stats().asks < 2
        || pair.actor.stats().high < 2
        || !asks.iter().any(|ask| ask.is_finished())
    {
        tokio::task::yield_now().await;
    }
    let mut local = pair.actor.clone();
    local.send_high(Command::Answer(5)).await.unwrap();
    let mut answered = 0;
    for ask in asks {
        answered += usize::from(ask.await.unwrap() == Ok(5));
    }
    assert_eq!(answered, 2);
}

#[tokio::test]
async fn dead_letters_go_to_whoever_wants_them() {
    let pair = pair().await;
    let letters = Sink::<(), DeadLetter<Command, Data>>::new();
    let (letters, _child) = spawn(letters);
    let lookup = pair.away.lookup::<Recorder>("recorder");
    let mut handle = lookup.dead_letters(letters.low_recipient()).await.unwrap();
    let mut events = pair.away.events();
    handle.send_low(Data::Number(1)).await.unwrap();
    handle.idle().await;
    // None of these is written: the pump has no turn before the link is down.
    pair.away.drop_links("home");
    for number in 0..5 {
        handle.try_send_low(Data::Number(number)).unwrap();
    }
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    let dead = event(&mut events, |event| match event {
        Event::LaneEnded { dead_letters, .. } => Some(dead_letters),
        _ => None,
    });
    assert_eq!(dead.await, 5);
    letters.idle().await;
    assert_eq!(letters.stats().low, 5);
}

/// An actor's messages need nothing but serde's traits.
#[test]
fn messages_only_derive() {
    fn is_remote<A: Remote>() -> &'static str {
        std::any::type_name::<<A as Actor>::LowPriorityMsg>()
    }
    assert!(is_remote::<Recorder>().contains("Data"));
}
