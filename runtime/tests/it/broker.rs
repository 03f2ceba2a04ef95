//! Topics that keep their last value, and brokers.

use std::sync::{Arc, Mutex};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, Phase, Restart, System, builder,
    patterns::{Broker, Publisher, SlowPolicy, Topic},
    spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::Sink,
};
use tokio::time::timeout;

use crate::common::{SECOND, hush};

/// A number at which [`Listener`] panics.
const POISON: u32 = 13;

/// Subscribes to a topic by itself, and notes what it gets, by incarnation.
struct Listener {
    broker: Broker<u32>,
    seen: Arc<Mutex<Vec<(u32, u32)>>>,
}

impl Actor for Listener {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if let Some(own) = ctx.handle() {
            let recipient = own.low_recipient();
            self.broker
                .subscribe_recipient("numbers", recipient, SlowPolicy::Wait);
        }
        Ok(())
    }

    async fn on_low(&mut self, number: u32, ctx: &mut Context<Self>) -> ActorResult {
        assert_ne!(number, POISON, "provoked");
        self.seen.lock().unwrap().push((ctx.incarnation(), number));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn broker_delivers_by_name() {
    let mut broker = Broker::new();
    assert_eq!(broker.publish("a", 1).await.queued, 0); // nobody, and nothing is made for it
    assert!(broker.names().is_empty());
    let mut first = broker.subscribe("a", 8, SlowPolicy::Drop);
    let mut second = broker.clone().subscribe("b", 8, SlowPolicy::Drop);
    assert_eq!(broker.publish("a", 2).await.queued, 1);
    assert_eq!(broker.try_publish("b", 3).queued, 1);
    assert_eq!(broker.publisher("b").publish(4).await.queued, 1);
    assert_eq!((first.try_recv(), first.try_recv()), (Some(2), None));
    assert_eq!((second.try_recv(), second.try_recv()), (Some(3), Some(4)));
    assert_eq!(broker.last("a"), None);

    let (sink, _child) = spawn(Sink::<(), u32>::new());
    let key = broker.subscribe_recipient("a", sink.low_recipient(), SlowPolicy::Drop);
    assert_eq!(broker.publish("a", 5).await.queued, 2);
    broker.unsubscribe("a", key);
    assert_eq!(broker.publish("a", 6).await.queued, 1);
    sink.idle().await;
    assert_eq!(sink.stats().low, 1);
}

/// Notes what it gets from a topic that others, or it itself, subscribe it to.
struct Subscriber {
    own: Option<Topic<u32>>,
    seen: Arc<Mutex<Vec<u32>>>,
}

impl Actor for Subscriber {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if let (Some(topic), Some(own)) = (&self.own, ctx.handle()) {
            topic.subscribe_recipient(own.low_recipient(), SlowPolicy::Wait);
        }
        Ok(())
    }

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        assert_ne!(number, POISON, "provoked");
        self.seen.lock().unwrap().push(number);
        Ok(())
    }
}

/// A subscriber that is restarted after a second.
fn subscriber(own: Option<Topic<u32>>) -> (ActorHandle<Subscriber>, Child, Arc<Mutex<Vec<u32>>>) {
    hush();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let actor = builder(move || Subscriber {
        own: own.clone(),
        seen: notes.clone(),
    });
    let rules = Supervision::default().backoff(Backoff::new(SECOND, SECOND).jitter(0.0));
    let (handle, child) = actor.restart(Restart::Permanent).supervision(rules).spawn();
    (handle, child, seen)
}

/// Publishes numbers around a crash and while the subscriber is down. Returns how many subscribers
/// there were then.
async fn publish_around_a_crash(topic: &Topic<u32>, handle: &ActorHandle<Subscriber>) -> usize {
    let mut publisher = topic.publisher();
    for number in [1, 2, POISON, 3, 4] {
        assert_eq!(publisher.publish(number).await.queued, 1);
    }
    while handle.phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    let down = publisher.publish(5).await.queued;
    while handle.incarnation() != 2 || handle.phase() != Phase::Running {
        tokio::time::sleep(SECOND / 10).await;
    }
    publisher.publish(6).await;
    publisher.publish(7).await;
    handle.idle().await;
    down
}

#[tokio::test(start_paused = true)]
async fn subscription_made_by_another_keeps_its_order_across_a_restart() {
    let topic = Topic::new();
    let (handle, _child, seen) = subscriber(None);
    topic.subscribe_recipient(handle.low_recipient(), SlowPolicy::Wait);
    assert_eq!(publish_around_a_crash(&topic, &handle).await, 1);
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(start_paused = true)]
async fn subscription_made_anew_at_a_restart_begins_a_new_order() {
    let topic = Topic::new();
    let (handle, _child, seen) = subscriber(Some(topic.clone()));
    handle.idle().await;
    assert_eq!(publish_around_a_crash(&topic, &handle).await, 0);
    let seen = seen.lock().unwrap();
    let (before, after): (Vec<_>, Vec<_>) = seen.iter().partition(|number| **number < 5);
    assert_eq!((before, after), (vec![1, 2, 3, 4], vec![6, 7]));
}

#[tokio::test(start_paused = true)]
async fn subscriber_that_restarts_gets_the_last_value_again() {
    hush();
    let mut broker = Broker::keeping_last();
    let system = System::supervised(
        "listeners",
        Supervision::new(Strategy::OneForOne)
            .intensity(1_000, SECOND)
            .backoff(Backoff::none()),
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (topics, notes) = (broker.clone(), seen.clone());
    let listener = builder(move || Listener {
        broker: topics.clone(),
        seen: notes.clone(),
    });
    let (listener, child) = system.spawn(listener.restart(Restart::Permanent));
    listener.idle().await;
    broker.publish("numbers", 1).await;
    broker.publish("numbers", 2).await;
    listener.idle().await;
    broker.publish("numbers", POISON).await;
    // The crash ends the subscription; the next incarnation subscribes and gets the poison again,
    // until there is another last value.
    while listener.incarnation() < 3 {
        tokio::task::yield_now().await;
    }
    broker.publish("numbers", 3).await;
    while seen.lock().unwrap().last().is_none_or(|last| last.1 != 3) {
        tokio::task::yield_now().await;
    }
    let notes = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(notes[..2], [(1, 1), (1, 2)]);
    assert_eq!((notes.len(), notes[2].1), (3, 3));
    assert_eq!(broker.topic("numbers").subscribers(), 1);
    child.stop().await;
    assert_eq!(broker.topic("numbers").subscribers(), 0);
    let outcome = broker.publish("numbers", 4).await;
    assert_eq!((outcome.queued, outcome.ended), (0, 0));
    assert!(system.drain(SECOND).await.is_clean());
}

/// Publishes numbers from `from`, letting others run between them.
async fn publish_all(mut publisher: Publisher<u32>, from: u32, count: u32) {
    for number in from..from + count {
        publisher.publish(number).await;
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn late_subscribers_see_the_end_of_one_order() {
    const COUNT: u32 = if cfg!(miri) { 20 } else { 2_000 };
    let topic = Topic::keeping_last();
    let mut all = topic.subscribe(1, SlowPolicy::Wait);
    let publishers: Vec<_> = (0..3)
        .map(|n| tokio::spawn(publish_all(topic.publisher(), n * COUNT, COUNT)))
        .collect();
    let (mut order, mut late) = (Vec::new(), Vec::new());
    while order.len() < 3 * COUNT as usize {
        order.push(all.recv().await.unwrap());
        if order.len() % (COUNT as usize / 10) == 0 {
            late.push(topic.subscribe(4 * COUNT as usize, SlowPolicy::Drop));
        }
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert_eq!(topic.last().as_ref(), order.last());
    for mut subscription in late {
        let seen: Vec<_> = std::iter::from_fn(|| subscription.try_recv()).collect();
        assert!(!seen.is_empty());
        assert!(order.ends_with(&seen), "nothing twice, nothing missed");
    }
    for n in 0..3 {
        let own = |number: &&u32| (n * COUNT..(n + 1) * COUNT).contains(*number);
        assert!(order.iter().filter(own).is_sorted());
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_waits_keeps_its_turn() {
    let topic = Topic::keeping_last();
    let mut slow = topic.subscribe(1, SlowPolicy::Wait);
    let mut fast = topic.subscribe(8, SlowPolicy::Drop);
    let mut publisher = topic.publisher();
    publisher.publish(1).await;
    let waits = tokio::spawn({
        let mut publisher = publisher.clone();
        async move { publisher.publish(2).await }
    });
    tokio::task::yield_now().await;
    // Its turn has not come: it is dropped for all, and is not the last value.
    let refused = publisher.try_publish(3);
    assert_eq!((refused.queued, refused.dropped), (0, 2));
    assert_eq!(topic.last(), Some(2));
    let next = tokio::spawn(async move { publisher.publish(4).await });
    tokio::task::yield_now().await;
    assert_eq!(slow.recv().await, Some(1));
    assert_eq!(waits.await.unwrap().queued, 2);
    assert_eq!(slow.recv().await, Some(2));
    assert_eq!(next.await.unwrap().queued, 2);
    assert_eq!(slow.recv().await, Some(4));
    let seen: Vec<_> = std::iter::from_fn(|| fast.try_recv()).collect();
    assert_eq!(seen, [1, 2, 4]);
    assert_eq!((slow.missed(), fast.missed()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_waits_ends_with_its_subscriber() {
    // By unsubscribing, by the end of the subscriber, and by a cancellation of its own.
    for how in 0..3 {
        let topic = Topic::keeping_last();
        let (sender, receiver) = lanemesh::channel(1);
        let key = topic.subscribe_recipient(sender, SlowPolicy::Wait);
        let mut publisher = topic.publisher();
        assert_eq!(publisher.publish(1).await.queued, 1);
        let waits = tokio::spawn(async move { publisher.publish(2).await });
        tokio::task::yield_now().await;
        assert_eq!(topic.publisher().try_publish(3).dropped, 1);
        let mut receiver = Some(receiver);
        match how {
            0 => topic.unsubscribe(key),
            1 => drop(receiver.take()),
            _ => waits.abort(),
        }
        let outcome = timeout(SECOND, waits).await.unwrap();
        assert_eq!(
            outcome.map(|outcome| outcome.ended).ok(),
            (how < 2).then_some(1)
        );
        // The turn is free again.
        let mut next = topic.subscribe(4, SlowPolicy::Drop);
        let outcome = topic.publisher().try_publish(4);
        assert_eq!(outcome.queued, 1);
        assert_eq!((next.try_recv(), next.try_recv()), (Some(2), Some(4)));
        drop(receiver);
    }
}

#[tokio::test(start_paused = true)]
async fn last_value_is_missed_by_a_recipient_without_room() {
    let topic = Topic::keeping_last();
    topic.publisher().publish(1).await;
    let (mut sender, receiver) = lanemesh::channel(1);
    sender.try_send(0).unwrap();
    topic.subscribe_recipient(sender, SlowPolicy::Drop);
    assert_eq!(topic.dropped(), 1);
    drop(receiver);
    assert_eq!(topic.publisher().publish(2).await.ended, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_grows_when_names_and_subscribers_come_and_go() {
    for mut broker in [Broker::new(), Broker::keeping_last()] {
        let mut most = (0, 0);
        for round in 0..2_000 {
            let name = format!("room.{round}");
            let mut inbox = broker.subscribe(&name, 1, SlowPolicy::Disconnect);
            assert_eq!(broker.publish(&name, round).await.queued, 1);
            assert_eq!(inbox.recv().await, Some(round));
            // An actor that ends, on a topic to which nobody publishes.
            let (sink, child) = spawn(Sink::<(), i32>::new());
            broker.subscribe_recipient("quiet", sink.low_recipient(), SlowPolicy::Wait);
            child.stop().await;
            broker.forget(&name);
            let quiet = broker.topic("quiet").subscribers();
            most = (most.0.max(broker.names().len()), most.1.max(quiet));
        }
        assert!(most.0 <= 128 && most.1 <= 64, "{most:?}");
    }
}
