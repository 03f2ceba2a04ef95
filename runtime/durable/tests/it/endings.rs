//! The end of a store: what was sent, who waits, and actors that outlive it.

use std::sync::Arc;

use lanemesh_durable::{
    Durable, DurableExt, OpenError, Producer, QueueOptions, StoreError, actor::LowOnly,
    disk::SimDisk,
};
use lanemesh_runtime::{Child, builder, prelude::*};
use tokio::sync::{Notify, mpsc};

use crate::common::{Num, open};

/// Waits in its handler until it is told to go on.
struct Patient {
    begun: mpsc::UnboundedSender<u64>,
    go_on: Arc<Notify>,
}

impl Actor for Patient {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Num;

    async fn on_low(&mut self, num: Num, _: &mut Context<Self>) -> ActorResult {
        let _ = self.begun.send(num.0);
        self.go_on.notified().await;
        Ok(())
    }
}

type Handle = lanemesh_durable::DurableHandle<Patient, LowOnly>;

async fn patient(store: &Durable) -> (Handle, Child, mpsc::UnboundedReceiver<u64>, Arc<Notify>) {
    let (begun, beginning) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let made = go_on.clone();
    let make = move || Patient {
        begun: begun.clone(),
        go_on: made.clone(),
    };
    let (handle, child) = builder(make)
        .durable_low(store, "patient")
        .spawn()
        .await
        .unwrap();
    (handle, child, beginning, go_on)
}

async fn ready(store: &Durable) -> usize {
    let stats = store.stats().await.unwrap();
    stats.queue("patient").map_or(0, |queue| queue.low.ready)
}

/// As soon as the last store on it has ended.
async fn open_when_free(disk: &SimDisk) -> Durable {
    loop {
        match Durable::open_on(disk.clone(), &crate::common::small()) {
            Ok(store) => return store,
            Err(OpenError::Locked) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn submit(producer: &mut Producer<Num>, count: u64) -> Vec<lanemesh_durable::Receipt<Num>> {
    let mut receipts = Vec::new();
    for n in 0..count {
        receipts.push(producer.submit(Num(n)).await.unwrap());
    }
    receipts
}

#[tokio::test]
async fn close_stores_what_was_sent_before_and_completes_its_receipts() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, ..) = patient(&store).await;
    drop(child.kill().await);
    let receipts = submit(handle.low(), 900).await;
    store.close().await;
    for receipt in receipts {
        receipt.await.unwrap();
    }
    let refused = handle.low().tell(Num(7)).await.unwrap_err();
    assert_eq!(
        (refused.error, refused.message),
        (StoreError::Closed, Num(7))
    );
    assert_eq!(ready(&open(&disk)).await, 900);
}

#[tokio::test]
async fn messages_whose_receipts_are_dropped_are_stored() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, ..) = patient(&store).await;
    drop(child.kill().await);
    drop(submit(handle.low(), 500).await);
    store.close().await;
    assert_eq!(ready(&open(&disk)).await, 500);
}

#[tokio::test]
async fn a_store_that_is_dropped_stores_what_was_sent() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, ..) = patient(&store).await;
    drop(child.kill().await);
    let receipts = submit(handle.low(), 700).await;
    // Nobody has the store any more but these receipts.
    drop((store, handle));
    let store = open_when_free(&disk).await;
    for receipt in receipts {
        receipt.await.unwrap();
    }
    assert_eq!(ready(&store).await, 700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_who_closes_a_store_finds_its_directory_free() {
    let directory = tempfile::tempdir().unwrap();
    let options = lanemesh_durable::StoreOptions::default()
        .segment_size(8 << 10)
        .max_in_flight(16);
    for _ in 0..20 {
        let store = Durable::open_with(directory.path(), &options).unwrap();
        let other = store.clone();
        let closing = tokio::spawn(other.close());
        store.close().await;
        let opened = Durable::open_with(directory.path(), &options);
        opened.unwrap().close().await;
        closing.await.unwrap();
    }
}

#[tokio::test]
async fn who_waits_for_messages_is_told_that_the_store_is_closed() {
    let store = open(&SimDisk::new());
    let mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    let mut waiting = mail.clone();
    let waiting = tokio::spawn(async move { waiting.dequeue(1).await });
    tokio::task::yield_now().await;
    store.close().await;
    assert_eq!(waiting.await.unwrap(), Err(StoreError::Closed));
    assert_eq!(mail.stats().await, Err(StoreError::Closed));
}

/// The words are the next store's then.
#[tokio::test]
async fn an_actor_that_outlives_its_store_acknowledges_nothing_of_the_next_one() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, mut begun, go_on) = patient(&store).await;
    handle
        .low()
        .tell_many(vec![Num(1), Num(2), Num(3)])
        .await
        .unwrap();
    assert_eq!(begun.recv().await, Some(1));
    // It has one in its handler and two in its lane, in the first three slots.
    while store
        .stats()
        .await
        .unwrap()
        .queue("patient")
        .unwrap()
        .low
        .in_flight
        < 3
    {
        tokio::task::yield_now().await;
    }
    store.close().await;
    let store = open(&disk);
    let mut mail = store
        .mailbox("patient", QueueOptions::default())
        .await
        .unwrap();
    for n in 7..10 {
        mail.enqueue_high(vec![n]).await.unwrap();
    }
    let taken = mail.dequeue(3).await.unwrap();
    assert!(taken.iter().all(|message| message.is_high));
    for n in 2..5 {
        go_on.notify_one();
        if n < 4 {
            assert_eq!(begun.recv().await, Some(n));
        }
    }
    drop(child.kill().await);
    disk.cut_power_after(0);
    store.close().await;
    disk.kill();
    let store = open(&disk);
    let mut mail = store
        .mailbox("patient", QueueOptions::default())
        .await
        .unwrap();
    let taken = mail.dequeue(9).await.unwrap();
    let taken: Vec<_> = taken.iter().map(|m| (m.payload[0], m.attempt)).collect();
    assert_eq!(taken, [(7, 2), (8, 2), (9, 2), (1, 2), (2, 1), (3, 1)]);
}

#[test]
fn a_thread_waits_no_longer_than_it_is_told_to_and_then_has_taken_nothing() {
    let store = open(&SimDisk::new());
    let mut mail = store
        .blocking_mailbox("box", QueueOptions::default())
        .unwrap();
    let short = std::time::Duration::from_millis(1);
    assert_eq!(mail.blocking_dequeue_timeout(1, short), Ok(Vec::new()));
    let id = mail.blocking_enqueue_low(b"job".to_vec()).unwrap().id;
    let long = std::time::Duration::from_secs(60);
    let taken = mail.blocking_dequeue_timeout(1, long).unwrap();
    assert_eq!((taken[0].id, taken[0].attempt), (id, 1));
    assert_eq!(mail.blocking_retry(id, None), Ok(true));
    let taken = mail.blocking_dequeue_timeout(1, long).unwrap();
    assert_eq!((taken[0].id, taken[0].attempt), (id, 2));
    assert_eq!(mail.blocking_reject(id), Ok(true));
    assert_eq!(mail.blocking_dead_letters(0, 9).unwrap().len(), 1);
    assert_eq!(store.blocking_requeue(id), Ok(true));
    assert_eq!(mail.blocking_dequeue(1).unwrap()[0].id, id);
    assert_eq!(mail.blocking_reject(id), Ok(true));
    assert_eq!(store.blocking_delete_dead_letter(id), Ok(true));
    assert_eq!(mail.blocking_stats().unwrap().dead_letters, 0);
    assert_eq!(store.blocking_dead_letters(None, 0, 9), Ok(Vec::new()));
}

/// Between any two steps of it: the queue is free then, or will be in a moment.
#[tokio::test]
async fn a_cancelled_spawn_leaves_the_queue_free() {
    let store = open(&SimDisk::new());
    for polls in 1..6 {
        let spawning = builder(lanemesh_runtime::testing::Sink::<(), Num>::new)
            .durable_low(&store, "sink")
            .spawn();
        {
            let mut spawning = std::pin::pin!(spawning);
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(spawning.as_mut().poll(cx).is_ready())
                });
                if polled.await {
                    break;
                }
                // What it has asked for is answered, and it does not look.
                store.stats().await.unwrap();
            }
        }
        let mut waits = 0..1000;
        loop {
            let sink = builder(lanemesh_runtime::testing::Sink::<(), Num>::new);
            match sink.durable_low(&store, "sink").spawn().await {
                Ok((handle, child)) => {
                    drop(handle);
                    child.await;
                    break;
                }
                // It is given back by another lane, or an actor that was started ends in a moment.
                Err(StoreError::InUse) if waits.next().is_some() => {
                    store.stats().await.unwrap();
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("after {polls} polls: {error}"),
            }
        }
    }
}
