//! Bugs that other actor systems had, each as the test that would have caught it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorId, ActorResult, AskError, Context, ExitReason, Restart, SendError,
    builder, spawn,
    supervision::{Backoff, Strategy, Supervision},
};
use tokio::time::timeout;

use crate::common::{Control, Log, POISON, SECOND, Worker, hush};

fn at_once() -> Supervision {
    Supervision::new(Strategy::OneForOne)
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

#[tokio::test]
async fn mailbox_kept_over_restart() {
    hush();
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(at_once())
        .spawn();
    for message in [1, POISON, 2, 4] {
        handle.send_low(message).await.unwrap();
    }
    handle.idle().await;
    // The first incarnation handled 1 and crashed at the poison; the second handled the rest.
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(6));
    assert_eq!(handle.incarnation(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incarnations_never_overlap() {
    struct Alone(Arc<AtomicUsize>);
    impl Drop for Alone {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    impl Actor for Alone {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
            assert_eq!(
                self.0.fetch_add(1, Ordering::SeqCst),
                0,
                "two incarnations at once"
            );
            tokio::task::yield_now().await;
            Ok(())
        }
        async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
            panic!("provoked")
        }
        async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
            tokio::task::yield_now().await;
            Ok(())
        }
    }
    hush();
    let alive = Arc::new(AtomicUsize::new(0));
    let counter = alive.clone();
    let (mut handle, child) = builder(move || Alone(counter.clone()))
        .restart(Restart::Permanent)
        .supervision(at_once())
        .spawn();
    for _ in 0..50 {
        handle.send_high(()).await.unwrap();
    }
    handle.idle().await;
    assert_eq!(handle.incarnation(), 51);
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn stale_handle_after_restart() {
    hush();
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Transient)
        .supervision(at_once())
        .spawn();
    let mut old = handle.clone();
    old.send_low(1).await.unwrap();
    handle.idle().await;
    let id = handle.id();
    handle.send_high(Control::Panic).await.unwrap();
    handle.idle().await;
    assert_eq!((old.id(), old.incarnation()), (id, 2));
    old.send_low(5).await.unwrap();
    old.idle().await;
    assert_eq!(old.ask(Control::Sum, SECOND).await, Ok(5)); // fresh state, same handle
}

#[tokio::test]
async fn stopped_permanent_child_stays_stopped() {
    let log = Log::default();
    for by_owner in [true, false] {
        let (mut handle, child) = builder(Worker::factory("w", &log))
            .restart(Restart::Permanent)
            .supervision(at_once())
            .spawn();
        let reason = if by_owner {
            child.stop().await
        } else {
            handle.send_high(Control::Stop).await.unwrap();
            child.await
        };
        assert!(matches!(reason, ExitReason::Stopped), "{reason}");
        assert_eq!(handle.incarnation(), 1);
        assert!(!handle.is_alive());
    }
}

#[tokio::test]
async fn stop_is_heard_during_backoff() {
    hush();
    let log = Log::default();
    let hour = Duration::from_secs(3600);
    let (mut handle, child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(Supervision::default().backoff(Backoff::new(hour, hour)))
        .spawn();
    handle.send_high(Control::Panic).await.unwrap();
    while handle.phase() != lanemesh_runtime::Phase::Waiting {
        tokio::task::yield_now().await;
    }
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

#[tokio::test]
async fn budget_spent_with_tells_queued() {
    hush();
    let log = Log::default();
    let (letters, mut dead) = lanemesh::channel(16);
    let (mut handle, child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(at_once().intensity(2, SECOND))
        .dead_letters(letters)
        .spawn();
    for message in [POISON, POISON, POISON, 7, 8] {
        handle.send_low(message).await.unwrap();
    }
    let reason = child.await;
    assert!(matches!(reason, ExitReason::RestartsSpent(_)), "{reason}");
    assert!(matches!(reason.root_cause(), ExitReason::Panicked(_)));
    // Nothing leaks: queued messages are dropped or become dead letters, and senders get an error.
    let mut left = Vec::new();
    while let Ok(letter) = dead.try_recv() {
        if let lanemesh_runtime::Message::Low(number) = letter.message {
            left.push(number);
        }
    }
    assert_eq!(left, [7, 8]);
    assert_eq!(handle.send_low(9).await, Err(SendError::Closed(9)));
    assert_eq!(
        handle.ask(Control::Sum, SECOND).await,
        Err(AskError::Closed)
    );
    assert_eq!(handle.incarnation(), 3);
}

#[tokio::test]
async fn exit_monitor_armed_after_death() {
    hush();
    let log = Log::default();
    let (mut handle, child) = spawn(Worker::new("w", &log));
    handle.send_high(Control::Fail).await.unwrap();
    assert!(matches!(child.await, ExitReason::Failed(_)));
    let reason = handle.monitor().await;
    assert_eq!(reason.to_string(), "failed: told to fail");
    assert!(matches!(handle.exit_reason(), Some(ExitReason::Failed(_))));
}

#[tokio::test]
async fn blocked_receive_released_by_crash() {
    hush();
    let log = Log::default();
    let (handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(at_once())
        .spawn();
    // A timeout of an hour: only the crash can release it.
    let hour = Duration::from_secs(3600);
    assert_eq!(
        handle.clone().ask(Control::PanicAsked, hour).await,
        Err(AskError::Crashed)
    );
    assert_eq!(
        handle.clone().ask(Control::FailAsked, hour).await,
        Err(AskError::Crashed)
    );
    assert_eq!(
        handle.clone().ask(Control::Ignore, hour).await,
        Err(AskError::Crashed)
    );
    assert_eq!(handle.clone().ask(Control::Sum, hour).await, Ok(0));
}

/// Sends to its peer's full lane from inside a handler.
struct Pusher {
    peer: Option<lanemesh_runtime::ActorHandle<Pusher>>,
    diagnosed: Arc<AtomicUsize>,
}

impl Actor for Pusher {
    type HighPriorityMsg = lanemesh_runtime::ActorHandle<Pusher>;
    type LowPriorityMsg = u32;

    async fn on_high(
        &mut self,
        peer: lanemesh_runtime::ActorHandle<Pusher>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        self.peer = Some(peer);
        Ok(())
    }

    async fn on_low(&mut self, hops: u32, _: &mut Context<Self>) -> ActorResult {
        let Some(peer) = &mut self.peer else {
            return Ok(());
        };
        if hops == 0 {
            return Ok(());
        }
        // Two messages for each one received, into lanes of two: both sides fill up.
        for _ in 0..2 {
            match peer.send_low(hops - 1).await {
                Ok(_) => {}
                Err(SendError::Deadlock { cycle, .. }) => {
                    assert_eq!(cycle.len(), 2);
                    self.diagnosed.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => panic!("{error}"),
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn two_full_lanes_to_each_other_are_diagnosed() {
    let diagnosed = Arc::new(AtomicUsize::new(0));
    let make = || Pusher {
        peer: None,
        diagnosed: diagnosed.clone(),
    };
    let (mut left, left_child) = builder({
        let first = make();
        let mut first = Some(first);
        move || first.take().expect("one incarnation")
    })
    .low_capacity(2)
    .spawn();
    let (mut right, right_child) = builder({
        let mut first = Some(make());
        move || first.take().expect("one incarnation")
    })
    .low_capacity(2)
    .spawn();
    left.send_high(right.clone()).await.unwrap();
    right.send_high(left.clone()).await.unwrap();
    left.idle().await;
    right.idle().await;
    for _ in 0..2 {
        left.send_low(8).await.unwrap();
        right.send_low(8).await.unwrap();
    }
    left.idle().await;
    right.idle().await;
    left.idle().await;
    assert!(
        diagnosed.load(Ordering::SeqCst) > 0,
        "the lanes never filled up"
    );
    assert!(matches!(left_child.stop().await, ExitReason::Stopped));
    assert!(matches!(right_child.stop().await, ExitReason::Stopped));
}

/// Sends more to the next than its lane holds.
struct Neighbour {
    next: Option<ActorHandle<Neighbour>>,
    log: Arc<Mutex<Vec<Vec<ActorId>>>>,
}

impl Actor for Neighbour {
    type HighPriorityMsg = ActorHandle<Neighbour>;
    type LowPriorityMsg = bool;

    async fn on_high(
        &mut self,
        next: ActorHandle<Neighbour>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        self.next = Some(next);
        Ok(())
    }

    async fn on_low(&mut self, push: bool, _: &mut Context<Self>) -> ActorResult {
        let Some(next) = self.next.as_mut().filter(|_| push) else {
            return Ok(());
        };
        for _ in 0..3 {
            if let Err(SendError::Deadlock { message, cycle }) = next.send_low(false).await {
                assert!(!message);
                self.log.lock().unwrap().push(cycle);
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_to_oneself_and_a_cycle_of_three_are_told() {
    for size in [1, 3] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (mut handles, _children): (Vec<_>, Vec<_>) = (0..size)
            .map(|_| {
                let log = log.clone();
                builder(move || Neighbour {
                    next: None,
                    log: log.clone(),
                })
                .low_capacity(2)
                .spawn()
            })
            .unzip();
        for at in 0..size {
            let next = handles[(at + 1) % size].clone();
            handles[at].send_high(next).await.unwrap();
        }
        for handle in &mut handles {
            handle.send_low(true).await.unwrap();
        }
        for handle in &handles {
            let idle = timeout(Duration::from_secs(60), handle.idle()).await;
            assert!(idle.is_ok(), "they wait forever");
        }
        let cycles = log.lock().unwrap().clone();
        assert!(!cycles.is_empty());
        let ids: Vec<ActorId> = handles.iter().map(ActorHandle::id).collect();
        for mut cycle in cycles {
            // From the sender on, each waits for the next.
            let first = cycle.iter().position(|id| *id == ids[0]).unwrap();
            cycle.rotate_left(first);
            assert_eq!(cycle, ids);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_overcrowded_lane_is_no_deadlock() {
    // Waiting behind a slow actor is not a cycle, however long it lasts.
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log)).low_capacity(1).spawn();
    let (gate, closed) = tokio::sync::oneshot::channel();
    handle.send_high(Control::Block(closed)).await.unwrap();
    handle.send_low(1).await.unwrap();
    let mut sender = handle.clone();
    let sends = tokio::spawn(async move {
        for _ in 0..10 {
            sender.send_low(1).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!sends.is_finished());
    gate.send(()).unwrap();
    sends.await.unwrap();
    handle.idle().await;
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(11));
}
