//! Slices in and out, waiting for all conditions or one, and what channels and threads tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorError, ActorResult, AskError, Context, ExitReason, Restart, SendError,
    WorkerThread,
    actor::{Batch, Waited},
    builder,
    observe::ThreadStats,
    spawn,
    supervision::{Backoff, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::timeout};

use crate::common::{Control, Counted, Ledger, Log, SECOND, Worker};

/// Waits for ten numbers and a permission, or for a tick; notes what it had.
struct Gatherer {
    log: Log,
    permission: Arc<AtomicBool>,
    tick: Duration,
}

impl Actor for Gatherer {
    type HighPriorityMsg = bool;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, fails: bool, _: &mut Context<Self>) -> ActorResult {
        match fails {
            true => Err(ActorError::msg("told to fail")),
            false => Ok(()),
        }
    }

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("left {number}"));
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        loop {
            let permission = self.permission.clone();
            let allowed = std::future::poll_fn(move |_| match permission.load(Ordering::Relaxed) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            });
            let tick = tokio::time::sleep(self.tick);
            let waited = ctx.wait_all_or(self, 10, allowed, tick).await?;
            if waited == Waited::Over {
                return Ok(());
            }
            let mut batch = ctx.take_batch();
            self.log
                .add(format!("{waited:?} {}", batch.drain().count()));
            ctx.put_batch(batch);
        }
    }
}

fn gatherer(log: &Log, is_allowed: bool, tick: Duration) -> lanemesh_runtime::Builder<Gatherer> {
    let (log, permission) = (log.clone(), Arc::new(AtomicBool::new(is_allowed)));
    builder(move || Gatherer {
        log: log.clone(),
        permission: permission.clone(),
        tick,
    })
    .restart(Restart::Transient)
    .supervision(Supervision::default().backoff(Backoff::none()))
}

#[tokio::test(start_paused = true)]
async fn proceeds_upon_the_tick_or_when_all_is_there() {
    let log = Log::default();
    let (mut handle, child) = gatherer(&log, true, SECOND).spawn();
    handle
        .send_slice_low(&(0..25).collect::<Vec<_>>())
        .await
        .unwrap();
    tokio::time::sleep(SECOND + SECOND / 2).await;
    assert_eq!(log.take(), ["All 10", "All 10", "Proceed(()) 5"]);
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), ["Proceed(()) 0"]);
    assert_eq!(handle.stats().low, 25);
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_survives_a_crash_and_a_drain() {
    let log = Log::default();
    let (mut handle, child) = gatherer(&log, false, 100 * SECOND).spawn();
    handle.send_slice_low(&[1, 2, 3]).await.unwrap();
    tokio::time::sleep(SECOND).await;
    handle.send_high(true).await.unwrap();
    handle.send_slice_low(&[4, 5]).await.unwrap();
    handle.idle().await;
    assert_eq!((handle.incarnation(), log.take().len()), (2, 0));
    assert!(matches!(
        timeout(SECOND, child.drain()).await,
        Ok(ExitReason::Stopped)
    ));
    // What was gathered when the mailbox closes goes to the hooks.
    let left: Vec<_> = (1..=5).map(|number| format!("left {number}")).collect();
    assert_eq!(log.take(), left);
    assert_eq!(handle.stats().low, 5);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_urgent_messages_does_not_hold_up_a_tick() {
    let log = Log::default();
    let (mut handle, child) = gatherer(&log, true, Duration::ZERO)
        .high_capacity(500)
        .spawn();
    for _ in 0..500 {
        handle.try_send_high(false).unwrap();
    }
    while handle.stats().depth > 0 || log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(log.take().len() > 3);
    // A future that is always ready does not keep it from stopping.
    assert!(matches!(
        timeout(SECOND, child.stop()).await,
        Ok(ExitReason::Stopped)
    ));
}

/// Takes three messages at a time into an array, and fails when it has taken a number above 90.
struct Taker {
    taken: [Option<Counted>; 3],
    seen: Log,
}

impl Actor for Taker {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Option<Counted>;
    const BATCH: usize = 16;

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Option<Counted>>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        let (first, second) = batch.as_slices();
        assert!(first.iter().chain(second).eq(&*batch));
        batch.consume(1);
        while !batch.is_empty() {
            let count = batch.take_into(&mut self.taken);
            for taken in self.taken[..count].iter().flatten() {
                self.seen.add(taken.number.to_string());
                if taken.number > 90 {
                    return Err(ActorError::msg("told to fail"));
                }
            }
        }
        batch.consume(7);
        Ok(())
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

#[tokio::test(start_paused = true)]
async fn slices_lose_no_message() {
    let (ledger, log) = (Ledger::default(), Log::default());
    let seen = log.clone();
    let (mut handle, child) = builder(move || Taker {
        taken: [None, None, None],
        seen: seen.clone(),
    })
    .low_capacity(8)
    .restart(Restart::Permanent)
    .supervision(Supervision::default().backoff(Backoff::none()))
    .spawn();
    let messages: Vec<_> = [0, 1, 2, 3, 91, 4, 5, 6]
        .map(|number| Some(ledger.value(number)))
        .into();
    assert_eq!(handle.try_send_slice_low(&messages), Ok(8));
    assert_eq!(handle.try_send_slice_low(&messages), Ok(0));
    assert_eq!(handle.stats().rejected, 1);
    handle.idle().await;
    // 0 is consumed; 91, 4 and 5 are in hand at the failure; 6 is left, and is consumed then.
    assert_eq!(log.take(), ["1", "2", "3", "91"]);
    assert_eq!(handle.send_slice_low(&messages[..4]).await, Ok(4));
    child.stop().await;
    assert_eq!(
        handle.send_slice_low(&messages).await,
        Err(SendError::Closed(0))
    );
    drop((messages, handle));
    ledger.all_dropped_once();
}

#[tokio::test(start_paused = true)]
async fn slice_waits_for_room_and_ends_with_its_receiver() {
    let log = Log::default();
    let (mut worker, child) = builder(Worker::factory("w", &log)).low_capacity(4).spawn();
    let (open, gate) = oneshot::channel();
    worker.send_high(Control::Block(gate)).await.unwrap();
    let numbers: Vec<u64> = (1..=300).collect();
    let mut sender = worker.clone();
    let sends = tokio::spawn(async move { sender.send_slice_low(&numbers).await });
    tokio::time::sleep(SECOND).await;
    open.send(()).unwrap();
    assert_eq!(sends.await.unwrap(), Ok(300));
    worker.idle().await;
    assert_eq!(worker.ask(Control::Sum, SECOND).await, Ok(300 * 301 / 2));

    let (_open, gate) = oneshot::channel();
    worker.send_high(Control::Block(gate)).await.unwrap();
    let mut sender = worker.clone();
    let sends = tokio::spawn(async move { sender.send_slice_low(&[1; 300]).await });
    tokio::time::sleep(SECOND).await;
    child.stop_within(Duration::ZERO).await;
    assert_eq!(sends.await.unwrap(), Err(SendError::Closed(4)));
}

#[tokio::test(start_paused = true)]
async fn channels_tell_lanes_and_fill() {
    let log = Log::default();
    let (mut worker, child) = builder(Worker::factory("w", &log)).spawn();
    let mut other = worker.clone();
    for number in 0..10 {
        worker.try_send_low(number).unwrap();
    }
    other.try_send_low(1).unwrap();
    worker.idle().await;
    let channels = worker.channels(SECOND).await.unwrap();
    assert_eq!((channels.low.lanes_open, channels.low.messages), (2, 11));
    assert_eq!((channels.low.depth, channels.high.messages), (0, 0));
    assert!(channels.low.high_water >= 1 && channels.low.senders >= 2);
    drop(other);
    worker.send_low(1).await.unwrap();
    worker.idle().await;
    assert_eq!(worker.channels(SECOND).await.unwrap().low.lanes_open, 1);
    // Between two messages: not while a handler runs.
    let (_open, gate) = oneshot::channel();
    worker.send_high(Control::Block(gate)).await.unwrap();
    while worker.stats().depth > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.channels(SECOND).await, Err(AskError::Timeout));
    child.stop_within(Duration::ZERO).await;
    assert_eq!(worker.channels(SECOND).await, Err(AskError::Closed));
}

#[tokio::test]
async fn memory_of_actors_is_told() {
    let log = Log::default();
    let (mut worker, child) = builder(Worker::factory("w", &log)).spawn();
    worker.idle().await;
    let idle = worker.stats().bytes;
    assert!((100..2048).contains(&idle), "{idle}");
    let (_open, gate) = oneshot::channel();
    worker.send_high(Control::Block(gate)).await.unwrap();
    for number in 0..100 {
        worker.try_send_low(number).unwrap();
    }
    let queued = worker.stats();
    assert!(
        queued.bytes >= idle + queued.depth * size_of::<u64>(),
        "{queued:?}"
    );
    assert!(queued.depth >= 100);
    let tree = child.tree();
    assert_eq!(tree.bytes(), tree.stats.bytes);
    child.stop_within(Duration::ZERO).await;
    assert_eq!(worker.stats().bytes, 0);
}

#[tokio::test]
async fn threads_tell_their_load() {
    let thread = WorkerThread::new("busy").unwrap();
    let before = thread.stats();
    let log = Log::default();
    let (mut worker, child) = builder(Worker::factory("w", &log)).on(&thread).spawn();
    for _ in 0..1_000 {
        worker.send_low(1).await.unwrap();
    }
    worker.idle().await;
    assert_eq!(thread.stats().tasks, before.tasks + 1);
    child.stop().await;
    let mut after = thread.stats();
    while after.parks == before.parks || after.tasks > before.tasks {
        tokio::task::yield_now().await;
        after = thread.stats();
    }
    assert!(after.busy > before.busy);
    let load = after.load_since(&before);
    assert!(load > 0.0 && load <= 1.0, "{load}");
    assert_eq!(before.load_since(&before), 0.0);
    assert_eq!(before.load_since(&after), 0.0);
    assert_eq!(after.core, None);
    // Also after its end.
    let (sink, sink_child) = builder(Sink::<(), ()>::new).on(&thread).spawn();
    drop((sink, sink_child));
    let own = ThreadStats::of_runtime(&tokio::runtime::Handle::current());
    assert_eq!(own.len(), 1);
    spawn(Sink::<(), ()>::new()).1.detach();
}
