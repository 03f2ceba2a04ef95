//! Every value is dropped exactly once, whatever becomes of it on its way.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorResult, AskError, Context, ExitReason, Message, Reply, Restart, SendError,
    actor::Batch,
    builder,
    crash::{DeadLetter, Undelivered},
    spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::Instant};

use crate::common::{Counted, Ledger, Log, SECOND, hush};

fn at_once() -> Supervision {
    Supervision::new(Strategy::OneForOne)
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

/// The low letters that have come, and why.
fn read(letters: &mut lanemesh::Receiver<DeadLetter<Urgent, Counted>>) -> Vec<(u64, Undelivered)> {
    let mut read = Vec::new();
    while let Ok(letter) = letters.try_recv() {
        match letter.message {
            Message::Low(value) => read.push((value.number, letter.why)),
            Message::High(_) => panic!("an urgent letter"),
        }
    }
    read
}

#[tokio::test]
async fn messages_handled_and_left_at_a_stop() {
    let ledger = Ledger::default();
    let (mut handle, child) = spawn(Sink::<(), Counted>::new());
    for number in 0..100 {
        handle.send_low(ledger.value(number)).await.unwrap();
        if number == 50 {
            handle.idle().await;
            assert_eq!(ledger.alive(), 0);
        }
    }
    child.stop().await; // with messages in the queue
    let refused = handle.send_low(ledger.value(100)).await;
    assert!(matches!(&refused, Err(SendError::Closed(value)) if value.number == 100));
    drop((handle, refused));
    assert_eq!(ledger.all_dropped_once(), 101);
}

/// Tells [`Clerk`] and [`Batcher`] to block, or to answer.
#[derive(Clone)]
enum Urgent {
    Note,
}

/// Handles one message at a time, depending on its number.
struct Clerk {
    log: Log,
    gate: Option<oneshot::Receiver<()>>,
}

const GATE: u64 = 1_000;
const CRASH: u64 = 1_001;
const STOP: u64 = 1_002;
const CONTROL: u64 = 1_003;

impl Actor for Clerk {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = Counted;

    async fn on_high(&mut self, _: Urgent, _: &mut Context<Self>) -> ActorResult {
        self.log.add("urgent");
        Ok(())
    }

    async fn on_low(&mut self, value: Counted, ctx: &mut Context<Self>) -> ActorResult {
        self.log.add(value.number.to_string());
        match value.number {
            GATE => {
                if let Some(gate) = self.gate.take() {
                    gate.await?;
                }
            }
            CRASH => panic!("provoked"),
            STOP => ctx.stop(),
            CONTROL => {
                if let Some(mut own) = ctx.handle() {
                    own.send_high(Urgent::Note).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A clerk with its log, blocked at the gate until `open` is used.
fn clerk(log: &Log) -> (lanemesh_runtime::Builder<Clerk>, oneshot::Sender<()>) {
    let (open, gate) = oneshot::channel();
    let (log, mut gate) = (log.clone(), Some(gate));
    let builder = builder(move || Clerk {
        log: log.clone(),
        gate: gate.take(),
    });
    (
        builder.restart(Restart::Permanent).supervision(at_once()),
        open,
    )
}

/// The numbers from `first` on, the special ones at their places.
fn numbers(special: &[(usize, u64)]) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..300).collect();
    for (place, number) in special {
        numbers[*place] = *number;
    }
    numbers
}

#[tokio::test]
async fn messages_taken_ahead_are_overtaken_survive_a_crash_and_are_buried() {
    hush();
    let (ledger, log) = (Ledger::default(), Log::default());
    let (letters, mut dead) = lanemesh::channel(1_024);
    let (clerk, open) = clerk(&log);
    let (mut handle, child) = clerk.low_capacity(1_024).dead_letters(letters).spawn();
    let numbers = numbers(&[(0, GATE), (10, CONTROL), (20, CRASH), (25, STOP)]);
    for number in &numbers {
        handle.send_low(ledger.value(*number)).await.unwrap();
    }
    open.send(()).unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
    let mut expected: Vec<_> = numbers.iter().map(u64::to_string).collect();
    expected.insert(11, "urgent".to_owned());
    // All are in order, and messages taken together with earlier ones are not lost.
    assert_eq!(log.take(), expected[..27]);
    let left: Vec<_> = read(&mut dead);
    let expected = numbers[26..].iter().map(|n| (*n, Undelivered::Left));
    assert_eq!(left, expected.collect::<Vec<_>>());
    assert_eq!(handle.incarnation(), 2);
    drop(handle);
    assert_eq!(ledger.all_dropped_once(), 300);
}

#[tokio::test]
async fn messages_taken_ahead_are_handled_before_a_drained_actor_ends() {
    let (ledger, log) = (Ledger::default(), Log::default());
    let (clerk, open) = clerk(&log);
    let (mut handle, child) = clerk.spawn();
    let mut other = handle.clone();
    for number in numbers(&[(0, GATE)]) {
        handle.send_low(ledger.value(number)).await.unwrap();
        other.send_low(ledger.value(number)).await.unwrap();
    }
    handle.drain();
    open.send(()).unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
    assert_eq!(log.take().len(), 600);
    assert_eq!(handle.stats().low, 600);
    assert_eq!(ledger.all_dropped_once(), 600);
}

#[tokio::test]
async fn messages_left_without_a_lane_for_dead_letters() {
    hush();
    let (ledger, log) = (Ledger::default(), Log::default());
    let (clerk, open) = clerk(&log);
    let (mut handle, child) = clerk.spawn();
    for number in numbers(&[(0, GATE), (5, CRASH), (40, STOP)]) {
        handle.send_low(ledger.value(number)).await.unwrap();
    }
    open.send(()).unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
    assert_eq!(log.take().len(), 41);
    drop(handle);
    assert_eq!(ledger.all_dropped_once(), 300);
}

#[tokio::test]
async fn redelivered_messages_and_dead_letters() {
    hush();
    let (ledger, log) = (Ledger::default(), Log::default());
    let (letters, mut dead) = lanemesh::channel(2);
    let (clerk, _open) = clerk(&log);
    let clerk = clerk.redeliver(2).dead_letters(letters);
    let (mut handle, child) = clerk.spawn();
    for number in [1, CRASH, 2, CRASH, 3, CRASH, 4] {
        handle.send_low(ledger.value(number)).await.unwrap();
    }
    handle.idle().await;
    let three = ["1001"; 3].join(" ");
    assert_eq!(
        log.take().join(" "),
        format!("1 {three} 2 {three} 3 {three} 4")
    );
    assert_eq!(handle.stats().redelivered, 6);
    // The recipient has room for two; the third is dropped, and only once.
    assert_eq!(handle.stats().dead_letters, 2);
    assert_eq!(read(&mut dead), [(CRASH, Undelivered::Crashed); 2]);
    // Nothing is left, neither the copies nor the originals.
    assert_eq!(ledger.alive(), 0);
    child.stop().await;
    drop(handle);
    // Each message, and a copy of it for each time that it was handed out.
    let copies = 4 + 3 * 3;
    assert_eq!(ledger.all_dropped_once(), 7 + copies);
}

#[tokio::test(start_paused = true)]
async fn expired_messages() {
    let (ledger, log) = (Ledger::default(), Log::default());
    let (letters, mut dead) = lanemesh::channel(8);
    let (clerk, open) = clerk(&log);
    let (mut handle, child) = clerk.dead_letters(letters).spawn();
    handle.send_low(ledger.value(GATE)).await.unwrap();
    let soon = Instant::now() + Duration::from_millis(5);
    for number in 0..10 {
        handle.send_low(ledger.value(number)).await.unwrap();
        handle
            .send_low_by(ledger.value(100 + number), soon)
            .await
            .unwrap();
    }
    let late = handle.send_low_by(ledger.value(7), Instant::now()).await;
    assert!(matches!(&late, Err(SendError::Expired(value)) if value.number == 7));
    drop(late);
    tokio::time::sleep(SECOND).await;
    open.send(()).unwrap();
    handle.idle().await;
    let expected = (100..108).map(|number| (number, Undelivered::Expired));
    assert_eq!(read(&mut dead), expected.collect::<Vec<_>>());
    assert_eq!(handle.stats().expired, 10);
    assert_eq!(ledger.all_dropped_once(), 22);
    child.stop().await;
}

/// Takes messages out of each batch in a different way.
struct Batcher {
    gate: Option<oneshot::Receiver<()>>,
    sizes: Log,
    /// Messages from the batches, stored until the end.
    kept: Vec<Counted>,
}

impl Actor for Batcher {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = Counted;
    const BATCH: usize = 50;

    async fn on_high(&mut self, _: Urgent, _: &mut Context<Self>) -> ActorResult {
        if let Some(gate) = self.gate.take() {
            gate.await?;
        }
        Ok(())
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Counted>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        self.sizes.add(batch.len().to_string());
        match batch.iter().next().map_or(0, |value| value.number) {
            // One by one, and the rest comes again.
            0 => {
                while let Some(value) = batch.next(ctx) {
                    if value.number == 9 {
                        return Ok(());
                    }
                }
            }
            // In place: the same number for all of them, then some are taken.
            10 => {
                batch
                    .as_mut_slice()
                    .iter_mut()
                    .for_each(|value| value.number = 50);
                self.kept.extend(batch.drain().take(30));
            }
            50 => batch.clear(),
            // While one is being handled and others follow, which the next incarnation gets.
            100 => {
                let value = batch.next(ctx);
                assert!(value.is_none(), "provoked");
            }
            101 => {
                self.kept.extend(batch.next(ctx));
                return Err(lanemesh_runtime::ActorError::msg("on purpose"));
            }
            102 => drop(batch.drain()),
            // Left where it is, for the end.
            _ => ctx.stop(),
        }
        Ok(())
    }
}

#[tokio::test]
async fn batches_taken_apart_left_and_crashed_in() {
    hush();
    let (ledger, sizes) = (Ledger::default(), Log::default());
    let (letters, mut dead) = lanemesh::channel(1_024);
    let (open, gate) = oneshot::channel();
    let (mut gate, log) = (Some(gate), sizes.clone());
    let (mut handle, child) = builder(move || Batcher {
        gate: gate.take(),
        sizes: log.clone(),
        kept: Vec::new(),
    })
    .restart(Restart::Permanent)
    .supervision(at_once())
    .dead_letters(letters)
    .spawn();
    handle.send_high(Urgent::Note).await.unwrap();
    let mut values: Vec<_> = (0..300).map(|number| ledger.value(number)).collect();
    handle.send_vec_low(&mut values).await.unwrap();
    assert!(values.is_empty());
    open.send(()).unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
    assert_eq!(sizes.take(), ["50", "40", "50", "50", "49", "48", "50"]);
    let expected = (150..300).map(|number| (number, Undelivered::Left));
    assert_eq!(read(&mut dead), expected.collect::<Vec<_>>());
    assert_eq!(handle.incarnation(), 3);
    // A batch for an actor that is gone stays with its sender.
    let mut values: Vec<_> = (0..3).map(|number| ledger.value(number)).collect();
    assert_eq!(
        handle.send_vec_low(&mut values).await,
        Err(SendError::Closed(0))
    );
    assert_eq!(values.len(), 3);
    drop((handle, values));
    assert_eq!(ledger.all_dropped_once(), 303);
}

#[tokio::test]
async fn batch_that_does_not_fit() {
    let ledger = Ledger::default();
    let (mut handle, child) = builder(Sink::<(), Counted>::new).low_capacity(4).spawn();
    let mut values: Vec<_> = (0..6).map(|number| ledger.value(number)).collect();
    assert_eq!(handle.try_send_vec_low(&mut values), Ok(4));
    assert_eq!(values.len(), 2);
    handle.idle().await;
    assert_eq!(ledger.alive(), 2);
    child.stop().await;
    drop((handle, values));
    assert_eq!(ledger.all_dropped_once(), 6);
}

/// Stores an ask until the next one arrives.
struct Slow(Option<Reply<Counted>>, Ledger);

impl Actor for Slow {
    type HighPriorityMsg = Reply<Counted>;
    type LowPriorityMsg = ();

    async fn on_high(&mut self, reply: Reply<Counted>, _: &mut Context<Self>) -> ActorResult {
        if let Some(last) = self.0.replace(reply) {
            let refused = last.send(self.1.value(0));
            assert!(refused.is_err(), "whoever asked has gone");
        }
        Ok(())
    }

    async fn on_low(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        if let Some(last) = self.0.take() {
            assert!(last.send(self.1.value(1)).is_ok());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn answers_taken_and_not_wanted() {
    let ledger = Ledger::default();
    let (mut handle, child) = spawn(Slow(None, ledger.clone()));
    assert!(matches!(
        handle.ask(|reply| reply, SECOND).await,
        Err(AskError::Timeout)
    ));
    let mut asker = handle.clone();
    let answer = tokio::spawn(async move { asker.ask(|reply| reply, SECOND).await });
    while handle.stats().high < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ledger.all_dropped_once(), 1);
    handle.send_low(()).await.unwrap();
    assert_eq!(answer.await.unwrap().map(|value| value.number), Ok(1));
    child.stop().await;
    assert_eq!(ledger.all_dropped_once(), 2);
}
