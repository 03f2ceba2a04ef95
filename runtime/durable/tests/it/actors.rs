//! Durable actors.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_durable::{
    Codec, DeadReason, Delivered, Durable, DurableExt, DurableHandle, DurableMessage, Postcard,
    QueueOptions, StoreError, actor::LowOnly, disk::SimDisk,
};
use lanemesh_runtime::{
    Builder, Child, builder,
    crash::Keeper,
    prelude::*,
    supervision::{Backoff, Supervision},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::common::{Num, open};

/// Tells what it handles, and fails where it is told to.
struct Desk {
    seen: mpsc::UnboundedSender<(bool, u64, u32)>,
    fails: Arc<Mutex<Vec<u64>>>,
}

impl Desk {
    fn handle(&mut self, is_high: bool, num: Delivered<Num>) -> ActorResult {
        let _ = self.seen.send((is_high, num.0, num.attempt));
        let mut fails = self.fails.lock().unwrap();
        match fails.iter().position(|n| *n == num.0) {
            Some(index) => {
                fails.remove(index);
                Err(ActorError::msg("told to"))
            }
            None => Ok(()),
        }
    }
}

impl Actor for Desk {
    type HighPriorityMsg = Delivered<Num>;
    type LowPriorityMsg = Delivered<Num>;

    async fn on_high(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(true, num)
    }

    async fn on_low(&mut self, num: Delivered<Num>, _: &mut Context<Self>) -> ActorResult {
        self.handle(false, num)
    }
}

type Seen = mpsc::UnboundedReceiver<(bool, u64, u32)>;

async fn desk(
    store: &Durable,
    fails: &[u64],
    options: QueueOptions,
) -> (DurableHandle<Desk>, Child, Seen) {
    let (seen, seeing) = mpsc::unbounded_channel();
    let fails = Arc::new(Mutex::new(fails.to_vec()));
    let supervision = Supervision::default()
        .intensity(1000, Duration::from_secs(1))
        .backoff(Backoff::none());
    let make = move || Desk {
        seen: seen.clone(),
        fails: fails.clone(),
    };
    let desk = builder(make)
        .restart(Restart::Permanent)
        .supervision(supervision);
    let (handle, child) = desk
        .durable(store, "desk")
        .queue_options(options)
        .spawn()
        .await
        .unwrap();
    (handle, child, seeing)
}

async fn next(seen: &mut Seen, count: usize) -> Vec<(bool, u64, u32)> {
    let mut found = Vec::new();
    while found.len() < count {
        found.push(seen.recv().await.unwrap());
    }
    found
}

#[tokio::test]
async fn a_message_is_on_disk_before_it_is_handled_and_gone_after() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, mut seen) = desk(&store, &[], QueueOptions::default()).await;
    let ticket = handle.low().tell(Num(1)).await.unwrap();
    assert!(!ticket.is_duplicate);
    let receipt = handle.high().submit(Num(2)).await.unwrap();
    assert!(receipt.await.unwrap().id > ticket.id);
    let many = handle.low().tell_many(vec![Num(3), Num(4)]).await.unwrap();
    assert_eq!(many.len(), 2);
    let mut found = next(&mut seen, 4).await;
    found.sort_unstable();
    assert_eq!(
        found,
        [(false, 1, 1), (false, 3, 1), (false, 4, 1), (true, 2, 1)]
    );
    child.stop().await;
    store.close().await;
    let store = open(&disk);
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.queue("desk").unwrap().low.ready, 0);
}

#[tokio::test]
async fn a_handler_that_fails_gets_the_message_again_with_its_attempt() {
    let store = open(&SimDisk::new());
    let options = QueueOptions::default().max_attempts(3);
    let (mut handle, _child, mut seen) = desk(&store, &[7, 7, 8, 8, 8], options).await;
    handle.low().tell(Num(7)).await.unwrap();
    assert_eq!(
        next(&mut seen, 3).await,
        [(false, 7, 1), (false, 7, 2), (false, 7, 3)]
    );
    let id = handle.low().tell(Num(8)).await.unwrap().id;
    assert_eq!(
        next(&mut seen, 3).await,
        [(false, 8, 1), (false, 8, 2), (false, 8, 3)]
    );
    let dead = loop {
        let dead = store.dead_letters(Some("desk"), 0, 9).await.unwrap();
        if !dead.is_empty() {
            break dead;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (dead[0].id, dead[0].reason, dead[0].attempts),
        (id, DeadReason::Attempts, 3)
    );
    assert_eq!((&*dead[0].type_name, dead[0].version), ("num", 1));
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.queue("desk").unwrap().redelivered, 4);
}

#[tokio::test]
async fn strict_order_holds_when_a_message_fails() {
    let store = open(&SimDisk::new());
    let options = QueueOptions::default().strict_order(true);
    let (mut handle, _child, mut seen) = desk(&store, &[1, 3], options).await;
    handle
        .low()
        .tell_many((0..5).map(Num).collect())
        .await
        .unwrap();
    let numbers: Vec<u64> = next(&mut seen, 7)
        .await
        .iter()
        .map(|(_, n, _)| *n)
        .collect();
    assert_eq!(numbers, [0, 1, 1, 2, 3, 3, 4]);
}

#[tokio::test]
async fn an_actor_gets_what_was_queued_before_it_started() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, mut seen) = desk(&store, &[], QueueOptions::default()).await;
    handle.low().tell(Num(1)).await.unwrap();
    assert_eq!(next(&mut seen, 1).await, [(false, 1, 1)]);
    child.stop().await;
    // Nobody handles these, but they are stored.
    handle.low().tell(Num(2)).await.unwrap();
    handle.high().tell(Num(3)).await.unwrap();
    let (_other, _child, mut seen) = desk(&store, &[], QueueOptions::default()).await;
    assert_eq!(next(&mut seen, 2).await, [(true, 3, 1), (false, 2, 1)]);
}

#[tokio::test]
async fn two_actors_cannot_have_one_queue() {
    let store = open(&SimDisk::new());
    let (_handle, _child, _seen) = desk(&store, &[], QueueOptions::default()).await;
    let other = builder(|| -> Desk { unreachable!("it is not started") });
    let refused = other.durable(&store, "desk").spawn().await;
    assert_eq!(refused.unwrap_err(), StoreError::InUse);
}

/// Keeps nothing.
struct Forgetful;

impl Keeper for Forgetful {
    fn begin(&mut self, _: u32) {}
    fn handled(&mut self, _: u32) {}
    fn failed(&mut self, _: u32) {}
}

#[tokio::test]
async fn actor_that_does_not_keep_for_the_queue_is_refused() {
    type Spawned = (ActorHandle<Desk>, Child);
    let spawns: [fn(Builder<Desk>) -> Spawned; 3] = [
        |desk| desk.keeper(Forgetful).spawn(),
        |_| idle_desk().spawn(),
        |desk| {
            desk.spawn().1.detach();
            idle_desk().spawn()
        },
    ];
    let store = open(&SimDisk::new());
    for (number, spawn) in spawns.into_iter().enumerate() {
        let other = idle_desk().durable(&store, "desk").spawn_by(spawn).await;
        assert_eq!(other.unwrap_err(), StoreError::OtherActor);
        // The queue is free when that actor has gone.
        let (seen, mut sees) = mpsc::unbounded_channel();
        let number = number as u64;
        let (mut handle, child) = loop {
            let seen = seen.clone();
            let desk = builder(move || Desk {
                seen: seen.clone(),
                fails: Arc::default(),
            });
            match desk.durable(&store, "desk").spawn().await {
                Ok(spawned) => break spawned,
                Err(StoreError::InUse) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        handle.low().tell(Num(number)).await.unwrap();
        assert_eq!(next(&mut sees, 1).await, [(false, number, 1)]);
        child.drain().await;
    }
}

/// Starts a durable child when it stops.
struct Parent {
    store: Durable,
    started: mpsc::UnboundedSender<bool>,
}

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
        let desk = idle_desk().durable(&self.store, "desk");
        let (mut desk, _child) = desk.spawn_by(|desk| ctx.spawn(desk)).await?;
        self.started.send(desk.actor().is_alive())?;
        Ok(())
    }
}

#[tokio::test]
async fn parent_that_stops_starts_no_durable_child() {
    let store = open(&SimDisk::new());
    let (started, mut starts) = mpsc::unbounded_channel();
    let parent = Parent { store, started };
    let (_parent, child) = lanemesh_runtime::spawn(parent);
    tokio::task::yield_now().await;
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    assert_eq!(starts.recv().await, Some(false));
}

fn idle_desk() -> Builder<Desk> {
    builder(|| Desk {
        seen: mpsc::unbounded_channel().0,
        fails: Arc::default(),
    })
}

#[tokio::test]
async fn an_actor_ends_when_its_handles_are_gone_and_its_queue_is_empty() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, mut seen) = desk(&store, &[], QueueOptions::default()).await;
    handle
        .low()
        .tell_many((0..100).map(Num).collect())
        .await
        .unwrap();
    drop(handle);
    assert_eq!(next(&mut seen, 100).await.len(), 100);
    assert!(matches!(child.await, lanemesh_runtime::ExitReason::Normal));
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.queue("desk").unwrap().low.ready, 0);
}

/// A message of the same name and a later version.
#[derive(serde::Serialize, serde::Deserialize)]
struct NumV9(u64);

impl lanemesh_durable::DurableMessage for NumV9 {
    const NAME: &'static str = "num";
    const VERSION: u32 = 9;
}

struct Later;

impl Actor for Later {
    type HighPriorityMsg = ();
    type LowPriorityMsg = NumV9;

    async fn on_low(&mut self, _: NumV9, _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }
}

#[tokio::test]
async fn an_unknown_version_is_a_dead_letter_with_its_bytes() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let later = builder(|| Later)
        .durable_low(&store, "desk")
        .spawn()
        .await
        .unwrap();
    let (mut handle, child): (DurableHandle<Later, LowOnly>, Child) = later;
    handle.low().tell(NumV9(300)).await.unwrap();
    let _ = child.kill().await;
    store.close().await;
    let store = open(&disk);
    let (_handle, _child, _seen) = desk(&store, &[], QueueOptions::default()).await;
    let dead = loop {
        let dead = store.dead_letters(None, 0, 9).await.unwrap();
        if !dead.is_empty() {
            break dead;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (dead[0].reason, dead[0].version),
        (DeadReason::Undecodable, 9)
    );
    assert_eq!(dead[0].payload, [172, 2]);
}

/// Ends when it is told to.
struct Slow(Arc<tokio::sync::Notify>);

impl Actor for Slow {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Num;

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.0.notified().await;
        Ok(())
    }
}

#[tokio::test]
async fn the_next_actor_of_a_queue_waits_for_the_end_of_one_without_handles() {
    let store = open(&SimDisk::new());
    let end = Arc::new(tokio::sync::Notify::new());
    let slow = || {
        let end = end.clone();
        builder(move || Slow(end.clone())).durable_low(&store, "slow")
    };
    let (handle, first) = slow().spawn().await.unwrap();
    drop(handle);
    // After an answer the journal knows what it was told before, if not that the actor is idle.
    let told = async || drop(store.stats().await.unwrap());
    told().await;
    let second = tokio::spawn(slow().spawn());
    tokio::task::yield_now().await;
    told().await;
    assert!(!second.is_finished());
    end.notify_one();
    let (_handle, _second) = second.await.unwrap().unwrap();
    assert!(!first.is_alive());
}

/// Replies have serde's traits here, as `lanemesh-net` makes them.
#[derive(Serialize, Deserialize)]
struct Question(Reply<u64>);

impl DurableMessage for Question {
    const NAME: &'static str = "question";
}

struct Asked;

impl Handler for Asked {
    type Msg = Question;

    async fn handle(&mut self, _: Question, _: &mut Context<Self>) -> ActorResult {
        unreachable!("a question is never stored")
    }
}

#[tokio::test]
async fn a_message_with_a_reply_is_given_back() {
    let store = open(&SimDisk::new());
    let asked = builder(|| Asked).durable(&store, "asked").spawn();
    let (mut handle, _child) = asked.await.unwrap();
    let (reply, answer) = Reply::pair();
    let refused = handle.tell(Question(reply)).await.unwrap_err();
    assert!(
        matches!(refused.error, StoreError::Encode(_)),
        "{refused:?}"
    );
    assert!(refused.message.0.send(7).is_ok());
    assert_eq!(answer.receive(Duration::from_secs(60)).await, Ok(7));
    assert_eq!(store.stats().await.unwrap().stored, 0);
}

/// Whose reader panics at some messages.
#[derive(Debug, Serialize, Deserialize)]
struct Brittle(u64);

impl DurableMessage for Brittle {
    const NAME: &'static str = "brittle";

    fn decode(bytes: &[u8]) -> Result<Self, lanemesh_durable::CodecError> {
        let brittle: Self = Postcard::decode(bytes)?;
        match brittle.0.is_multiple_of(2) {
            true => std::panic::resume_unwind(Box::new(PanicsWhenDropped)),
            false => Ok(brittle),
        }
    }
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("dropped"));
    }
}

struct Reader(mpsc::UnboundedSender<u64>);

impl Handler for Reader {
    type Msg = Brittle;

    async fn handle(&mut self, Brittle(n): Brittle, _: &mut Context<Self>) -> ActorResult {
        let _ = self.0.send(n);
        Ok(())
    }
}

/// All other queues of the store are on the thread that reads it.
#[tokio::test]
async fn a_message_whose_reader_panics_is_a_dead_letter() {
    let store = open(&SimDisk::new());
    let (seen, mut seeing) = mpsc::unbounded_channel();
    let (mut handle, _child) = builder(move || Reader(seen.clone()))
        .durable(&store, "brittle")
        .spawn()
        .await
        .unwrap();
    for n in 0..6 {
        handle.tell(Brittle(n)).await.unwrap();
    }
    for n in [1, 3, 5] {
        assert_eq!(seeing.recv().await, Some(n));
    }
    let letters = store
        .dead_letters(Some("brittle"), 0, usize::MAX)
        .await
        .unwrap();
    let died: Vec<_> = letters
        .iter()
        .map(|letter| (letter.reason, letter.payload.clone()))
        .collect();
    let expected = [0, 2, 4].map(|n| (DeadReason::Undecodable, vec![n]));
    assert_eq!(died, expected);
}

/// Its slot would be another message's while the handler has it.
#[tokio::test]
async fn nobody_else_acknowledges_what_an_actor_has() {
    let store = open(&SimDisk::new());
    let options = QueueOptions::default();
    let (mut handle, _child, mut seen) = desk(&store, &[7, 7], options.clone()).await;
    let mut mail = store.mailbox("desk", options).await.unwrap();
    let ticket = handle.low().tell(Num(7)).await.unwrap();
    for attempt in 1..=3 {
        // Whether its handler has it now or not.
        assert_eq!(mail.ack(&[ticket.id]).await, Ok(0));
        assert_eq!(mail.retry(ticket.id, None).await, Ok(false));
        assert_eq!(mail.reject(ticket.id).await, Ok(false));
        assert_eq!(seen.recv().await, Some((false, 7, attempt)));
    }
}
