//! Handles: policies, expiry, deadlines, asks, and invalid input.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorResult, AskError, Context, ExitReason, Message, Overflow, Reply, Restart,
    SendError, Sent, SpawnError, builder,
    crash::Undelivered,
    spawn,
    testing::{Sink, probe},
    try_spawn,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::common::{Control, Log, SECOND, Worker, hush};

/// A worker that blocks until the gate opens.
async fn blocked(
    capacity: usize,
) -> (
    lanemesh_runtime::ActorHandle<Worker>,
    lanemesh_runtime::Child,
    oneshot::Sender<()>,
) {
    let log = Log::default();
    let (mut handle, child) = builder(Worker::factory("w", &log))
        .low_capacity(capacity)
        .spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    while handle.stats().high == 0 && handle.phase() != lanemesh_runtime::Phase::Running {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    (handle, child, open)
}

#[tokio::test]
async fn full_lane_policies() {
    let (mut handle, _child, open) = blocked(2).await;
    handle.send_low(1).await.unwrap();
    handle.send_low(2).await.unwrap();

    handle.set_low_overflow(Overflow::Reject);
    assert_eq!(handle.send_low(4).await, Err(SendError::Full(4)));
    assert_eq!(handle.try_send_low(4), Err(SendError::Full(4)));

    handle.set_low_overflow(Overflow::Drop);
    assert_eq!(handle.send_low(8).await, Ok(Sent::Dropped));

    handle.set_low_overflow(Overflow::Wait);
    let mut waiting = tokio::spawn({
        let mut handle = handle.clone();
        async move {
            for number in [16, 32, 64] {
                handle.send_low(number).await.unwrap();
            }
        }
    });
    tokio::task::yield_now().await;
    assert!(futures_pending(&mut waiting).await);
    open.send(()).unwrap();
    waiting.await.unwrap();
    handle.idle().await;
    assert_eq!(
        handle.ask(Control::Sum, SECOND).await,
        Ok(1 + 2 + 16 + 32 + 64)
    );
    let stats = handle.stats();
    assert_eq!((stats.rejected, stats.dropped), (2, 1));
}

#[tokio::test]
async fn urgent_full_lane_policies() {
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log)).high_capacity(1).spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    let (reply, answer) = Reply::pair();
    handle.send_high(Control::Sum(reply)).await.unwrap(); // waits until the gate is taken

    handle.set_high_overflow(Overflow::Reject);
    let outcome = handle.send_high(Control::Stop).await;
    assert!(matches!(outcome, Err(SendError::Full(Control::Stop))));

    handle.set_high_overflow(Overflow::Drop);
    assert_eq!(
        handle.send_high(Control::Stop).await.ok(),
        Some(Sent::Dropped)
    );
    // An ask is not dropped silently.
    let outcome = handle.ask(Control::Sum, SECOND).await;
    assert_eq!(outcome, Err(AskError::Full));

    open.send(()).unwrap();
    assert_eq!(answer.receive(SECOND).await, Ok(0));
    handle.idle().await;
    assert!(handle.is_alive());
    let stats = handle.stats();
    assert_eq!((stats.high, stats.rejected, stats.dropped), (2, 2, 1));
}

/// Whether a task has not ended yet, after the scheduler ran once.
async fn futures_pending<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::task::yield_now().await;
    !task.is_finished()
}

#[tokio::test(start_paused = true)]
async fn expired_messages_are_not_handled() {
    let (letters, mut dead) = lanemesh::channel(8);
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .dead_letters(letters)
        .spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    handle.send_low_by(1, soon).await.unwrap();
    handle
        .send_low_by(2, Instant::now() + 10 * SECOND)
        .await
        .unwrap();
    handle.set_expiry(Some(Duration::from_millis(100)));
    handle.send_low(4).await.unwrap();
    handle.set_expiry(None);
    handle.send_low(8).await.unwrap();
    tokio::time::sleep(SECOND).await;
    open.send(()).unwrap();
    handle.idle().await;
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(2 + 8));
    assert_eq!(handle.stats().expired, 2);
    for expected in [1, 4] {
        let letter = dead.try_recv().unwrap();
        assert_eq!(letter.why, Undelivered::Expired);
        assert!(matches!(letter.message, Message::Low(number) if number == expected));
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_in_the_past() {
    let log = Log::default();
    let (mut handle, _child) = spawn(Worker::new("w", &log));
    let past = Instant::now();
    assert_eq!(
        handle.send_low_by(5, past).await,
        Err(SendError::Expired(5))
    );
    let outcome = handle.send_high_by(Control::Panic, past).await;
    assert!(matches!(outcome, Err(SendError::Expired(Control::Panic))));
    assert_eq!(
        handle.ask(Control::Sum, Duration::ZERO).await,
        Err(AskError::Timeout)
    );
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn deadline_that_passes_while_room_is_waited_for() {
    let (mut handle, _child, open) = blocked(1).await;
    handle.send_low(1).await.unwrap();
    let soon = Instant::now() + SECOND;
    let outcome = timeout(60 * SECOND, handle.send_low_by(5, soon)).await;
    assert_eq!(outcome, Ok(Err(SendError::Expired(5))));
    assert!(Instant::now() >= soon); // it has waited, and the actor is blocked
    handle.set_expiry(Some(SECOND));
    let outcome = timeout(60 * SECOND, handle.send_low(6)).await;
    assert_eq!(outcome, Ok(Err(SendError::Expired(6))));
    handle.set_expiry(None);

    // Room that appears in time is used.
    let later = Instant::now() + SECOND;
    let (sent, _) = tokio::join!(handle.send_low_by(2, later), async { open.send(()) });
    assert_eq!(sent, Ok(Sent::Queued));
    handle.idle().await;
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(1 + 2));
    assert_eq!(handle.stats().expired, 0);
}

#[tokio::test(start_paused = true)]
async fn urgent_deadline_that_passes_while_room_is_waited_for() {
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log)).high_capacity(1).spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    handle.send_high(Control::Stop).await.unwrap(); // waits until the gate is taken
    let soon = Instant::now() + SECOND;
    let outcome = timeout(60 * SECOND, handle.send_high_by(Control::Panic, soon)).await;
    let back = outcome.expect("waits past its deadline").unwrap_err();
    assert!(matches!(back, SendError::Expired(Control::Panic)));
    drop(open);
    assert!(matches!(handle.monitor().await, ExitReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn question_that_is_queued_at_a_failure() {
    hush();
    let log = Log::default();
    // An actor that is not restarted drops the ask.
    let (mut handle, _child) = spawn(Worker::new("w", &log));
    handle.send_high(Control::Panic).await.unwrap();
    let outcome = handle.ask(Control::Sum, SECOND).await;
    assert_eq!(outcome, Err(AskError::Crashed));
    let outcome = handle.ask(Control::Sum, SECOND).await;
    assert_eq!(outcome, Err(AskError::Closed));

    // The next incarnation handles it.
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .spawn();
    handle.send_high(Control::Panic).await.unwrap();
    assert_eq!(handle.ask(Control::Sum, 60 * SECOND).await, Ok(0));

    // One that was stopped had no failure.
    handle.send_high(Control::Stop).await.unwrap();
    let outcome = handle.ask(Control::Sum, SECOND).await;
    assert_eq!(outcome, Err(AskError::Closed));
}

#[tokio::test]
async fn dead_target_gives_the_message_back() {
    let (mut handle, child) = spawn(Sink::<u8, u64>::new());
    let mut batch = vec![1, 2, 3];
    child.stop().await;
    assert_eq!(handle.send_low(7).await, Err(SendError::Closed(7)));
    assert_eq!(handle.try_send_low(7), Err(SendError::Closed(7)));
    assert_eq!(handle.send_high(7).await, Err(SendError::Closed(7)));
    assert_eq!(
        handle.send_vec_low(&mut batch).await,
        Err(SendError::Closed(0))
    );
    assert_eq!(batch, [1, 2, 3]);
    assert_eq!(handle.low_ready().await, Err(SendError::Closed(())));
    handle.low_room(1).await;
    handle.idle().await;
    assert!(handle.is_closed() && !handle.is_alive());
    assert_eq!(handle.inspect(|_| (), SECOND).await, Err(AskError::Closed));
}

/// Answers a low-priority ask with the numbers that came before it.
struct Clerk(Vec<u64>);

enum Entry {
    Number(u64),
    Numbers(Reply<Vec<u64>>),
}

impl Actor for Clerk {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Entry;

    async fn on_low(&mut self, entry: Entry, _: &mut Context<Self>) -> ActorResult {
        match entry {
            Entry::Number(number) => self.0.push(number),
            Entry::Numbers(reply) => drop(reply.send(self.0.clone())),
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn low_question_is_answered_after_what_is_queued() {
    let (mut handle, child) = spawn(Clerk(Vec::new()));
    for number in 0..10 {
        handle.send_low(Entry::Number(number)).await.unwrap();
    }
    let numbers = handle.ask_low(Entry::Numbers, SECOND).await.unwrap();
    assert_eq!(numbers, Vec::from_iter(0..10));
    child.stop().await;
    assert_eq!(
        handle.ask_low(Entry::Numbers, SECOND).await,
        Err(AskError::Closed)
    );
}

#[tokio::test]
async fn reply_to_a_gone_asker() {
    let (reply, answer) = Reply::pair();
    drop(answer);
    assert!(reply.is_closed());
    assert_eq!(reply.send(5).map_err(|error| error.0), Err(5));
}

#[tokio::test]
async fn bad_descriptions_are_refused() {
    let sink = Sink::<(), ()>::new;
    for builder in [
        builder(sink).low_capacity(0),
        builder(sink).high_capacity(0),
    ] {
        assert_eq!(
            builder.try_spawn().map(|_| ()),
            Err(SpawnError::ZeroCapacity)
        );
    }
    let outside = std::thread::spawn(move || try_spawn(Sink::<(), ()>::new()).map(|_| ()));
    assert_eq!(outside.join().unwrap(), Err(SpawnError::NoRuntime));
}

#[tokio::test]
async fn capacity_is_honoured() {
    let (handle, _child, open) = blocked(3).await;
    for _ in 0..2 {
        // Each clone has a lane of its own with room for three.
        let mut clone = handle.clone();
        let sent = (0..10).filter(|n| clone.try_send_low(*n).is_ok()).count();
        assert_eq!(sent, 3);
    }
    open.send(()).unwrap();
}

#[tokio::test]
async fn batches_keep_order_and_what_did_not_fit() {
    let (mut handle, _child, open) = blocked(4).await;
    let mut numbers: Vec<u64> = (1..=6).collect();
    assert_eq!(handle.try_send_vec_low(&mut numbers), Ok(4));
    assert_eq!(numbers, [5, 6]);
    open.send(()).unwrap();
    assert_eq!(handle.send_vec_low(&mut numbers).await, Ok(2));
    handle.idle().await;
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(21));
}

#[tokio::test]
async fn only_refused_batches_count_as_rejected() {
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log)).low_capacity(2).spawn();
    let mut numbers: Vec<u64> = (0..10).collect();
    assert_eq!(handle.send_vec_low(&mut numbers).await, Ok(10));
    assert_eq!(handle.stats().rejected, 0);
    handle.idle().await;
    numbers.extend(0..3);
    assert_eq!(handle.try_send_vec_low(&mut numbers), Ok(2));
    assert_eq!(handle.stats().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn urgent_batches_keep_order_wait_for_room_and_overtake() {
    let log = Log::default();
    let (mut handle, child) = builder(Tape::factory(&log)).high_capacity(4).spawn();
    handle.send_low(100).await.unwrap();
    let mut orders: Vec<u64> = (1..=6).collect();
    assert_eq!(handle.try_send_vec_high(&mut orders), Ok(4));
    assert_eq!(orders, [5, 6]);
    assert_eq!(handle.stats().rejected, 1);
    assert_eq!(handle.send_vec_high(&mut orders).await, Ok(2));
    handle.idle().await;
    assert_eq!(log.take(), ["1", "2", "3", "4", "100", "5", "6"]);
    child.stop().await;
    orders.extend([7, 8]);
    assert_eq!(
        handle.send_vec_high(&mut orders).await,
        Err(SendError::Closed(0))
    );
    assert_eq!(orders, [7, 8]);
}

/// Records what it gets.
struct Tape(Log);

impl Tape {
    fn factory(log: &Log) -> impl FnMut() -> Self + Send + 'static {
        let log = log.clone();
        move || Self(log.clone())
    }
}

impl Actor for Tape {
    type HighPriorityMsg = u64;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0.add(number.to_string());
        Ok(())
    }

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0.add(number.to_string());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn all_handles_gone_ends_the_loop_after_the_last_message() {
    let (mut handle, mut probe, child) = probe::<(), u64>();
    for number in 0..10 {
        handle.send_low(number).await.unwrap();
    }
    drop(handle);
    assert!(matches!(child.await, ExitReason::Normal));
    for number in 0..10 {
        assert_eq!(
            probe.expect(SECOND).await,
            Ok(lanemesh_runtime::testing::Probed::Low(number))
        );
    }
}

#[tokio::test]
async fn room_is_waited_for() {
    let (mut handle, _child, open) = blocked(8).await;
    for number in 0..8 {
        handle.try_send_low(number).unwrap();
    }
    let mut wait = tokio::spawn(async move {
        handle.low_room(5).await;
        handle
    });
    assert!(futures_pending(&mut wait).await);
    open.send(()).unwrap();
    let mut handle = wait.await.unwrap();
    for number in 0..5 {
        handle.try_send_low(number).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn shared_handle_waits_in_turn_and_keeps_order() {
    let (handle, mut probe, _child) = probe::<Reply<u32>, u32>();
    let mut tight = handle.clone();
    tight.set_low_overflow(Overflow::Wait);
    let shared = tight.shared();
    let senders: Vec<_> = (0..4u32)
        .map(|sender| {
            let shared = shared.clone();
            tokio::spawn(async move {
                for number in 0..2_000 {
                    shared.send_low(sender * 10_000 + number).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..8_000 {
        let Ok(lanemesh_runtime::testing::Probed::Low(message)) = probe.expect(SECOND).await else {
            panic!("a message is missing");
        };
        let sender = (message / 10_000) as usize;
        assert_eq!(message % 10_000, next[sender], "out of order");
        next[sender] += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    // The probe does not drop the reply, so the ask times out.
    let short = Duration::from_millis(1);
    assert_eq!(
        shared.ask(|reply| reply, short).await,
        Err(AskError::Timeout)
    );
}

#[tokio::test]
async fn shared_handle_policies() {
    let (handle, _child, open) = blocked(2).await;
    let policies = [
        (Overflow::Reject, Err(SendError::Full(9))),
        (Overflow::Drop, Ok(Sent::Dropped)),
    ];
    for (policy, expected) in policies {
        let mut handle = handle.clone();
        handle.set_low_overflow(policy);
        let shared = handle.clone().shared();
        while shared.try_send_low(1).is_ok() {}
        assert_eq!(shared.send_low(9).await, expected);
    }
    let asked = handle.clone().shared();
    open.send(()).unwrap();
    handle.idle().await;
    assert!(asked.ask(Control::Sum, SECOND).await.is_ok());
    assert!(asked.is_alive());
}
