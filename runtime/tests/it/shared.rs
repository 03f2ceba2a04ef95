//! Handles that are shared, and cloned where they are used.

use std::{collections::BTreeSet, fs, future::poll_fn, path::Path, task::Poll, time::Duration};

use lanemesh_runtime::{
    Actor, ActorResult, AskError, Context, CrashPolicy, ExitNotice, ExitReason, Handler, Overflow,
    Reply, SendError, Sent, SharedHandle,
    actor::{Observe, Priority},
    builder,
    handle::Recipient,
    spawn,
    testing::{Probed, Sink, probe},
};
use tokio::time::{Instant, sleep};

use crate::common::{Log, SECOND};

/// Writes numbers down; negative ones are urgent.
struct Tape {
    numbers: Vec<i64>,
    log: Log,
}

enum Msg {
    Number(i64),
    Numbers(Reply<Vec<i64>>),
    /// Sends the number to the other one, and waits for room.
    Forward(SharedHandle<Tape>, i64),
    Watch(SharedHandle<Tape>),
}

impl Handler for Tape {
    type Msg = Msg;

    fn priority(msg: &Msg) -> Priority {
        match msg {
            Msg::Number(..0) => Priority::High,
            _ => Priority::Low,
        }
    }

    async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Number(number) => self.numbers.push(number),
            Msg::Numbers(reply) => drop(reply.send(self.numbers.clone())),
            Msg::Forward(other, number) => {
                for _ in 0..4 {
                    if let Err(error) = other.tell(Msg::Number(number)).await {
                        self.log.add(format!("{number}: {error}"));
                        break;
                    }
                }
            }
            Msg::Watch(other) => ctx.watch(&other, CrashPolicy::Compensate),
        }
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} {}", notice.name, notice.reason));
        Ok(())
    }
}

impl Observe for Tape {
    type State = usize;

    fn observe(&self) -> usize {
        self.numbers.len()
    }
}

fn tape(capacity: usize) -> (SharedHandle<Tape>, lanemesh_runtime::Child) {
    tape_with(capacity, &Log::default())
}

fn tape_with(capacity: usize, log: &Log) -> (SharedHandle<Tape>, lanemesh_runtime::Child) {
    let log = log.clone();
    let (handle, child) = builder(move || Tape {
        numbers: Vec::new(),
        log: log.clone(),
    })
    .low_capacity(capacity)
    .high_capacity(capacity)
    .spawn();
    (handle.shared(), child)
}

async fn numbers(handle: &SharedHandle<Tape>) -> Vec<i64> {
    handle.ask(Msg::Numbers, SECOND).await.unwrap()
}

#[tokio::test]
async fn clone_for_each_message_keeps_order_and_capacity() {
    let (handle, _child) = tape(4);
    for number in 0..4 {
        handle.clone().try_send_low(Msg::Number(number)).unwrap();
    }
    let full = handle.clone().try_send_low(Msg::Number(4));
    assert!(matches!(full, Err(SendError::Full(Msg::Number(4)))));
    assert_eq!(handle.stats().rejected, 1);
    assert_eq!(handle.stats().depth, 4);
    let waiting: Vec<_> = (4..100)
        .map(|number| {
            let handle = handle.clone();
            async move { handle.clone().send_low(Msg::Number(number)).await.unwrap() }
        })
        .collect();
    // In the order in which they begin to wait.
    futures_util::future::join_all(waiting).await;
    assert_eq!(numbers(&handle).await, (0..100).collect::<Vec<i64>>());
    assert_eq!(handle.stats().brief_handles, 0);
}

#[tokio::test]
async fn handles_with_lanes_of_their_own_are_counted_when_they_are_brief() {
    let (mut handle, _child) = spawn(Sink::<(), u64>::new());
    for number in 0..10 {
        handle.clone().try_send_low(number).unwrap();
    }
    assert_eq!(handle.stats().brief_handles, 10);
    // Not these: no message, a batch, two messages, an own use that goes on in another form.
    drop(handle.clone());
    handle.clone().try_send_vec_low(&mut vec![1, 2]).unwrap();
    let mut other = handle.clone();
    other.try_send_low(1).unwrap();
    other.try_send_low(2).unwrap();
    drop(other);
    handle.try_send_low(3).unwrap();
    let shared = handle.shared();
    assert_eq!(shared.stats().brief_handles, 10);
    shared.idle().await;
    assert_eq!(shared.stats().low, 15);
}

#[tokio::test]
async fn sample_of_each_message_counts_brief_handles_too() {
    let sink = builder(Sink::<(), u64>::new).timing(lanemesh_runtime::observe::Timing::Every(1));
    let (handle, _child) = sink.spawn();
    handle.clone().try_send_low(1).unwrap();
    let mut other = handle.clone();
    other.try_send_low(1).unwrap();
    other.try_send_low(1).unwrap();
    drop(other);
    handle.idle().await;
    assert_eq!(handle.stats().brief_handles, 1);
    assert_eq!(handle.stats().queueing.count(), 3);
    let shared = handle.shared();
    shared.try_send_low(1).unwrap();
    shared.idle().await;
    assert_eq!(shared.stats().queueing.count(), 4);
}

#[tokio::test]
async fn priorities_and_asks() {
    let (handle, _child) = tape(8);
    handle.tell(Msg::Number(1)).await.unwrap();
    handle.try_tell(Msg::Number(-1)).unwrap();
    handle
        .tell_by(Msg::Number(-2), Instant::now() + SECOND)
        .await
        .unwrap();
    assert_eq!(numbers(&handle).await, [-1, -2, 1]);
    assert_eq!(
        handle
            .ask_low(Msg::Numbers, SECOND)
            .await
            .map(|all| all.len()),
        Ok(3)
    );
    assert_eq!(handle.state(SECOND).await, Ok(3));
    assert_eq!(
        handle.inspect(|tape| tape.numbers.pop(), SECOND).await,
        Ok(Some(1))
    );
    assert_eq!(
        handle.ask(Msg::Numbers, Duration::ZERO).await,
        Err(AskError::Timeout)
    );
    handle.stop();
    assert!(matches!(handle.monitor().await, ExitReason::Stopped));
    assert!(!handle.is_alive() && handle.is_closed());
    assert_eq!(
        handle.ask(Msg::Numbers, SECOND).await,
        Err(AskError::Closed)
    );
    let closed = handle.send_high(Msg::Number(5)).await;
    assert!(matches!(closed, Err(SendError::Closed(Msg::Number(5)))));
}

#[tokio::test(start_paused = true)]
async fn policies_deadlines_and_expiry() {
    let (mut handle, _child) = tape(1);
    handle.try_send_low(Msg::Number(0)).unwrap();
    let expired = handle.send_low_by(Msg::Number(1), Instant::now()).await;
    assert!(matches!(expired, Err(SendError::Expired(Msg::Number(1)))));
    handle.set_low_overflow(Overflow::Reject);
    handle.set_high_overflow(Overflow::Drop);
    // The actor has not run yet; none of these waits.
    let rejected = handle.send_low(Msg::Number(2)).await;
    assert!(matches!(rejected, Err(SendError::Full(Msg::Number(2)))));
    handle.try_send_high(Msg::Number(3)).unwrap();
    let dropped = handle.send_high(Msg::Number(4)).await;
    assert!(matches!(dropped, Ok(Sent::Dropped)));
    assert_eq!(
        handle.ask_low(Msg::Numbers, SECOND).await,
        Err(AskError::Full)
    );
    assert_eq!((handle.stats().rejected, handle.stats().dropped), (2, 1));
    assert_eq!(numbers_when_idle(&handle).await, [3, 0]);

    let (mut blocked, _child) = builder(|| Blocked).low_capacity(1).spawn();
    blocked.send_high(SECOND).await.unwrap();
    sleep(Duration::from_millis(1)).await; // it has begun
    let mut blocked = blocked.shared();
    blocked.set_expiry(Some(Duration::from_millis(10)));
    blocked.send_low(1).await.unwrap();
    let start = Instant::now();
    // It waits for room until it would have expired.
    assert_eq!(blocked.send_low(2).await, Err(SendError::Expired(2)));
    assert_eq!(start.elapsed().as_millis(), 10);
    sleep(SECOND).await;
    blocked.idle().await;
    assert_eq!((blocked.stats().expired, blocked.stats().low), (1, 0));
}

async fn numbers_when_idle(handle: &SharedHandle<Tape>) -> Vec<i64> {
    handle.idle().await;
    handle
        .inspect(|tape| tape.numbers.clone(), SECOND)
        .await
        .unwrap()
}

/// Blocks for as long as an urgent message says.
struct Blocked;

impl Actor for Blocked {
    type HighPriorityMsg = Duration;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, time: Duration, _: &mut Context<Self>) -> ActorResult {
        sleep(time).await;
        Ok(())
    }

    async fn on_low(&mut self, _: u64, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}

#[tokio::test]
async fn batches_keep_what_was_not_sent() {
    let (handle, _child) = tape(4);
    let mut batch: Vec<Msg> = (0..6).map(Msg::Number).collect();
    assert_eq!(handle.try_send_vec_low(&mut batch), Ok(4));
    assert!(matches!(batch[..], [Msg::Number(4), Msg::Number(5)]));
    assert_eq!(handle.stats().rejected, 1);
    batch.extend((6..20).map(Msg::Number));
    {
        // Cancelled while it waits: what was sent is gone from the vector, the rest is in order.
        let mut send = std::pin::pin!(handle.send_vec_low(&mut batch));
        poll_fn(|cx| {
            assert!(send.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    assert_eq!(batch.len(), 16);
    assert_eq!(handle.send_vec_low(&mut batch).await, Ok(16));
    assert!(batch.is_empty());
    let mut urgent = vec![Msg::Number(-1), Msg::Number(-2)];
    assert_eq!(handle.send_vec_high(&mut urgent).await, Ok(2));
    urgent.push(Msg::Number(-3));
    assert_eq!(handle.try_send_vec_high(&mut urgent), Ok(1));
    let mut seen = numbers(&handle).await;
    assert_eq!(
        seen.extract_if(.., |number| *number < 0)
            .collect::<Vec<_>>(),
        [-1, -2, -3]
    );
    assert_eq!(seen, (0..20).collect::<Vec<i64>>());
    handle.stop();
    handle.monitor().await;
    let mut late = vec![Msg::Number(1)];
    assert_eq!(
        handle.send_vec_low(&mut late).await,
        Err(SendError::Closed(0))
    );
    assert_eq!(
        handle.try_send_vec_high(&mut late),
        Err(SendError::Closed(0))
    );
    assert_eq!(late.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn deadlock_between_shared_handles_is_found() {
    let log = Log::default();
    let ((one, _one), (two, _two)) = (tape_with(1, &log), tape_with(1, &log));
    one.send_low(Msg::Forward(two.clone(), 1)).await.unwrap();
    two.send_low(Msg::Forward(one.clone(), 2)).await.unwrap();
    one.idle().await;
    two.idle().await;
    let text = "the actors wait for room in each other's lanes";
    let told = log.take();
    assert!(!told.is_empty(), "one of the two gives up");
    assert!(told.iter().all(|entry| entry.ends_with(text)), "{told:?}");
}

#[tokio::test]
async fn recipients_share_the_lanes() {
    let (handle, _child) = tape(2);
    let mut low = handle.low_recipient();
    let mut high = handle.high_recipient();
    assert_eq!(low.target(), Some(handle.id()));
    low.try_send(Msg::Number(1)).unwrap();
    poll_fn(|cx| low.poll_ready(cx)).await.unwrap();
    poll_fn(|cx| low.poll_ready(cx)).await.unwrap();
    // The room is kept for this recipient.
    let full = handle.try_send_low(Msg::Number(9));
    assert!(matches!(full, Err(SendError::Full(_))));
    let mut other = low.boxed_clone();
    assert!(matches!(
        other.try_send(Msg::Number(9)),
        Err(SendError::Full(_))
    ));
    low.try_send(Msg::Number(2)).unwrap();
    high.try_send(Msg::Number(3)).unwrap();
    // Two that wait get room in the order in which they began.
    let waiting = futures_util::future::join(
        async {
            poll_fn(|cx| low.poll_ready(cx)).await.unwrap();
            low.try_send(Msg::Number(4)).unwrap();
        },
        async {
            poll_fn(|cx| other.poll_ready(cx)).await.unwrap();
            other.try_send(Msg::Number(5)).unwrap();
        },
    );
    waiting.await;
    assert_eq!(numbers(&handle).await, [3, 1, 2, 4, 5]);
    handle.stop();
    handle.monitor().await;
    assert!(low.is_closed());
    assert_eq!(
        poll_fn(|cx| high.poll_ready(cx)).await,
        Err(SendError::Closed(()))
    );
    assert!(matches!(
        high.try_send(Msg::Number(6)),
        Err(SendError::Closed(_))
    ));
}

#[tokio::test]
async fn room_is_waited_for() {
    let (handle, _child) = tape(4);
    for number in 0..4 {
        handle.try_send_low(Msg::Number(number)).unwrap();
    }
    for wait in [3, 100] {
        handle.low_room(wait).await;
        for number in 0..wait.min(4) as i64 {
            handle.try_send_low(Msg::Number(number)).unwrap();
        }
    }
    handle.low_ready().await.unwrap();
    handle.try_send_low(Msg::Number(7)).unwrap();
    for number in -4..0 {
        handle.try_send_high(Msg::Number(number)).unwrap();
    }
    handle.high_ready().await.unwrap();
    handle.try_send_high(Msg::Number(-5)).unwrap();
    handle.stop();
    handle.monitor().await;
    handle.low_room(4).await;
    assert_eq!(handle.high_ready().await, Err(SendError::Closed(())));
    assert_eq!(handle.low_ready().await, Err(SendError::Closed(())));
}

#[tokio::test]
async fn shared_handle_names_its_actor() {
    let log = Log::default();
    let (watcher, _watcher) = tape_with(8, &log);
    let (handle, child) = tape(8);
    watcher.tell(Msg::Watch(handle.clone())).await.unwrap();
    watcher.idle().await;
    assert_eq!(handle.watchers(), 1);
    let own_lanes = handle.handle();
    assert_eq!(
        (own_lanes.id(), own_lanes.name()),
        (handle.id(), handle.name())
    );
    assert_eq!((handle.id(), handle.incarnation()), (child.id(), 1));
    handle.drain();
    let reason = child.await;
    assert!(matches!(reason, ExitReason::Stopped));
    assert!(matches!(handle.exit_reason(), Some(ExitReason::Stopped)));
    watcher.idle().await;
    assert_eq!(log.take(), [format!("{} stopped", handle.name())]);
}

#[tokio::test]
async fn last_clone_ends_the_loop_after_the_last_message() {
    let (handle, mut probe, child) = probe::<(), u64>();
    let handle = handle.shared();
    for number in 0..10 {
        handle.clone().try_send_low(number).unwrap();
    }
    drop(handle);
    assert!(matches!(child.await, ExitReason::Normal));
    for number in 0..10 {
        assert_eq!(probe.expect(SECOND).await, Ok(Probed::Low(number)));
    }
}

#[tokio::test]
async fn slices_are_sent_as_clones_as_far_as_there_is_room() {
    let (handle, child) = builder(Sink::<u64, u64>::new)
        .low_capacity(3)
        .high_capacity(2)
        .spawn();
    let handle = handle.shared();
    let numbers = [1, 2, 3, 4, 5];
    assert_eq!(handle.try_send_slice_low(&numbers), Ok(3));
    assert_eq!(handle.try_send_slice_high(&numbers), Ok(2));
    assert_eq!(handle.send_slice_low(&numbers[3..]).await, Ok(2));
    assert_eq!(handle.send_slice_high(&numbers[2..]).await, Ok(3));
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.low, stats.high), (5, 5));
    child.stop().await;
    assert_eq!(
        handle.try_send_slice_low(&numbers),
        Err(SendError::Closed(0))
    );
}

#[tokio::test(start_paused = true)]
async fn weak_handle_of_a_shared_one_keeps_no_actor_running() {
    let (handle, child) = spawn(Sink::<(), u64>::new());
    let handle = handle.shared();
    let weak = handle.downgrade();
    weak.upgrade().unwrap().send_low(1).await.unwrap();
    drop(handle);
    assert!(matches!(child.await, ExitReason::Normal));
    assert!(weak.upgrade().is_none());
}

/// The public methods in the `impl` blocks of a type, of all files in a folder.
fn methods(folder: &Path, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut methods(&path, of));
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let mut is_inside = false;
        for line in source.lines() {
            if line.starts_with("impl<") {
                is_inside = line.ends_with(&format!("> {of}<A> {{"));
            }
            if is_inside && let Some(rest) = line.strip_prefix("    pub ") {
                let words = rest.trim_start_matches("async ").strip_prefix("fn ");
                let name = words.and_then(|words| words.split(['(', '<']).next());
                found.extend(name.map(str::to_owned));
            }
        }
    }
    found
}

/// What one of the two handles has, the other has too.
#[test]
fn handles_have_the_same_methods() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/handle");
    let mut own = methods(&folder, "ActorHandle");
    let mut shared = methods(&folder, "SharedHandle");
    assert!(own.len() > 30, "{own:?}");
    assert!(own.remove("shared"), "makes the other one");
    assert!(shared.remove("handle"), "makes the other one");
    // A keeper is one thread with a handle of its own.
    for class in ["high", "low"] {
        assert!(own.remove(&format!("try_send_{class}_kept")));
    }
    assert_eq!(own, shared);
}
