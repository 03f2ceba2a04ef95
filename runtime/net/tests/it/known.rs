//! Actors that are looked up when they are used, and look-ups that are given up.

use std::{
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use lanemesh_net::LookupError;
use lanemesh_runtime::{crash::DeadLetter, spawn, testing::Sink};

use tokio::{task::yield_now, time::timeout};

use crate::common::{Command, Data, Recorder, log, lows, pair};

#[tokio::test]
async fn known_actor_costs_no_lane_until_it_is_used_and_is_found_again_after_its_end() {
    let pair = pair().await;
    let mut known = pair.away.lookup::<Recorder>("later").later();
    assert_eq!((&**known.name(), known.is_used()), ("later", false));
    assert_eq!(known.handle().await.unwrap_err(), LookupError::Unknown);
    assert!(!known.is_used());
    let (actor, child) = spawn(Recorder::new());
    pair.home.export("later", &actor).unwrap();
    assert_eq!(pair.away.links()[0].lanes_opened, 0);
    let handle = known.handle().await.unwrap();
    handle.send_low(Data::Number(1)).await.unwrap();
    handle.idle().await;
    assert_eq!(lows(&log(handle).await), [1]);
    let first = handle.clone();
    let id = first.id();
    assert_eq!(known.handle().await.unwrap().id(), id);
    assert_eq!(pair.away.links()[0].lanes_opened, 1);
    let mut other = known.clone();
    assert!(known.is_used() && !other.is_used());

    // Another actor under the name.
    child.stop().await;
    first.monitor().await;
    let (actor, _child) = spawn(Recorder::new());
    pair.home.export("later", &actor).unwrap();
    let handle = known.handle().await.unwrap();
    handle.send_high(Command::Mark(7)).await.unwrap();
    assert_eq!(log(handle).await.len(), 1);
    assert_ne!(handle.id(), id);
    assert!(other.handle().await.is_ok());

    let mut handle = known.forget().unwrap();
    assert!(!known.is_used() && known.forget().is_none());
    assert_eq!(log(&mut handle).await.len(), 1);
}

#[tokio::test]
async fn dead_letters_of_each_handle_of_a_known_actor_are_told() {
    let pair = pair().await;
    let sink = Sink::<(), DeadLetter<Command, Data>>::new();
    let (letters, _letters) = spawn(sink);
    let lookup = pair.away.lookup::<Recorder>("recorder");
    let mut known = lookup.dead_letters(letters.low_recipient()).later();
    for round in 1..=2 {
        let handle = known.handle().await.unwrap();
        // The actor takes nothing more, so that not all has left when the link breaks.
        handle.send_low(Data::Hold).await.unwrap();
        while handle.try_send_low(Data::Number(0)).is_ok() {
            tokio::task::yield_now().await;
        }
        let handle = handle.clone();
        pair.away.drop_links("home");
        handle.monitor().await;
        letters.idle().await;
        let told = letters.stats().messages();
        assert!(told >= round, "{told}");
        pair.gate.add_permits(1);
        while pair.away.links().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn look_up_that_is_given_up_leaves_no_lane_behind() {
    let pair = pair().await;
    let lookup = || pair.away.lookup::<Recorder>("recorder").into_future();
    for _ in 0..100 {
        // Before the answer, and when it is there but has not been seen.
        drop(timeout(Duration::ZERO, lookup()).await);
        let mut unseen = pin!(lookup());
        let polled = unseen
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        for _ in 0..20 {
            yield_now().await;
        }
    }
    let handle = pair.lookup().await;
    let lanes = || {
        (
            pair.away.links()[0].lanes_opened,
            pair.home.links()[0].lanes_owned,
        )
    };
    while lanes() != (1, 1) {
        yield_now().await;
    }
    drop(handle);
    while lanes() != (0, 0) {
        yield_now().await;
    }
}
