//! Threads that run no tasks; recipients that wait; lanes without a bound.

use std::{thread, time::Duration};

use lanemesh_runtime::{
    ActorHandle, AskError, Child, ExitReason, Overflow, Restart, SendError, Sent, System, builder,
    handle::{AnyRecipient, Recipient},
    supervision::{Backoff, Supervision},
    testing::{Probed, Sink, probe},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use crate::common::{Control, Log, SECOND, Worker, hush};

/// Actors on a runtime of their own; the test's thread runs no tasks.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn worker(runtime: &Runtime, capacity: usize) -> (ActorHandle<Worker>, Child) {
    let _entered = runtime.enter();
    builder(Worker::factory("w", &Log::default()))
        .low_capacity(capacity)
        .high_capacity(8)
        .restart(Restart::Permanent)
        .supervision(Supervision::default().backoff(Backoff::none()))
        .spawn()
}

#[test]
fn thread_sends_and_asks() {
    hush();
    let runtime = runtime();
    let (mut handle, child) = worker(&runtime, 4);
    for _ in 0..1_000 {
        assert_eq!(handle.blocking_send_low(1), Ok(Sent::Queued)); // waits for room
    }
    // The low ones come before a low question only.
    let thread = {
        let shared = handle.clone().shared();
        thread::spawn(move || {
            for _ in 0..1_000 {
                assert_eq!(shared.blocking_send_low(1), Ok(Sent::Queued));
            }
            assert!(shared.blocking_ask(Control::Sum, SECOND * 10).unwrap() >= 1_000);
            assert_eq!(
                shared.blocking_ask(Control::Ignore, SECOND * 10),
                Err(AskError::Crashed)
            );
        })
    };
    thread.join().unwrap();
    runtime.block_on(handle.idle());
    assert_eq!(handle.blocking_ask(Control::Sum, SECOND * 10), Ok(2_000));
    assert_eq!(
        handle.blocking_ask(Control::PanicAsked, SECOND * 10),
        Err(AskError::Crashed)
    );
    handle.blocking_send_high(Control::Fail).unwrap();
    assert_eq!(
        handle.blocking_ask(Control::Sum, SECOND * 10),
        Ok(0),
        "of a new incarnation"
    );
    assert_eq!(
        handle.blocking_ask(Control::Sum, Duration::ZERO),
        Err(AskError::Timeout)
    );
    assert!(matches!(
        runtime.block_on(child.stop()),
        ExitReason::Stopped
    ));
    assert_eq!(handle.blocking_send_low(1), Err(SendError::Closed(1)));
    assert_eq!(
        handle.blocking_ask(Control::Sum, SECOND),
        Err(AskError::Closed)
    );
}

#[test]
fn thread_waits_no_longer_than_it_was_told() {
    let runtime = runtime();
    let (mut handle, child) = worker(&runtime, 1);
    let (open, gate) = oneshot::channel();
    handle.blocking_send_high(Control::Block(gate)).unwrap();
    while handle.try_send_low(1).is_ok() {}
    let short = Duration::from_millis(5);
    // Full for good: the handler blocks.
    assert_eq!(
        handle.blocking_ask(Control::Sum, short),
        Err(AskError::Timeout)
    );
    handle.set_expiry(Some(short));
    assert_eq!(handle.blocking_send_low(2), Err(SendError::Expired(2)));
    handle.set_expiry(None);
    handle.set_low_overflow(Overflow::Reject);
    assert_eq!(handle.blocking_send_low(3), Err(SendError::Full(3)));
    handle.set_low_overflow(Overflow::Drop);
    assert_eq!(handle.blocking_send_low(4), Ok(Sent::Dropped));
    handle.set_high_overflow(Overflow::Reject);
    while handle.try_send_high(Control::Stop).is_ok() {}
    assert_eq!(
        handle.blocking_ask(Control::Sum, SECOND),
        Err(AskError::Full)
    );
    handle.set_high_overflow(Overflow::Wait);
    assert_eq!(
        handle.blocking_ask(Control::Sum, short),
        Err(AskError::Full)
    );
    let mut shared = handle.shared();
    shared.set_low_overflow(Overflow::Wait);
    shared.set_expiry(Some(short));
    while shared.try_send_low(1).is_ok() {}
    assert_eq!(shared.blocking_send_low(5), Err(SendError::Expired(5)));
    // A sender that waits hears of the end.
    shared.set_expiry(None);
    let waiting = thread::spawn(move || shared.blocking_send_low(6));
    open.send(()).unwrap(); // the first `Stop`
    let reason = runtime.block_on(child);
    assert!(matches!(reason, ExitReason::Stopped), "{reason}");
    assert_eq!(waiting.join().unwrap(), Err(SendError::Closed(6)));
}

#[tokio::test]
async fn blocking_in_a_task_panics_and_says_why() {
    let (handle, _child) = lanemesh_runtime::spawn(Sink::<(), u64>::new());
    let shared = handle.clone().shared();
    let mut own = handle.clone();
    let calls: [Box<dyn FnOnce() + Send>; 2] = [
        Box::new(move || drop(own.blocking_send_low(1))),
        Box::new(move || drop(shared.blocking_send_low(1))),
    ];
    hush();
    for call in calls {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("Cannot block the current thread"), "{text}");
    }
    handle.idle().await;
    assert_eq!(handle.stats().low, 0, "nothing was sent");
    // A thread for blocking work may.
    let mut other = handle.clone();
    let sent = tokio::task::spawn_blocking(move || other.blocking_send_low(1));
    assert_eq!(sent.await.unwrap(), Ok(Sent::Queued));
}

#[tokio::test]
async fn recipient_waits_for_room() {
    let small = builder(Sink::<u64, u64>::new)
        .low_capacity(1)
        .high_capacity(1);
    let (handle, child) = small.spawn();
    let (tx, mut rx) = lanemesh::channel(1);
    let mut recipients: Vec<AnyRecipient<u64>> = vec![
        Box::new(handle.low_recipient()),
        Box::new(handle.high_recipient()),
        Box::new(handle.clone().shared().low_recipient()),
        Box::new(handle.clone().shared().high_recipient()),
        Box::new(lanemesh_runtime::handle::map_recipient(
            handle.low_recipient(),
            |n: u64| n + 1,
            |n| n - 1,
        )),
    ];
    for recipient in &mut recipients {
        for number in 0..100 {
            recipient.send(number).await.unwrap();
        }
    }
    handle.idle().await;
    assert_eq!((handle.stats().low, handle.stats().high), (300, 200));
    child.stop().await;
    for recipient in &mut recipients {
        assert_eq!(recipient.send(7).await, Err(SendError::Closed(7)));
    }
    let mut plain = tx;
    let receive = async {
        let mut all = Vec::new();
        while let Some(number) = rx.recv().await {
            all.push(number);
        }
        all
    };
    let send = async move {
        for number in 0..100 {
            Recipient::send(&mut plain, number).await.unwrap();
        }
    };
    let ((), all) = tokio::join!(send, receive);
    assert_eq!(all, (0..100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn lanes_without_a_bound_take_everything_in_order() {
    let log = Log::default();
    let system = System::new("system");
    let worker = builder(Worker::factory("w", &log))
        .low_unbounded()
        .high_unbounded();
    let (mut handle, child) = system.spawn(worker);
    child.detach();
    for number in 0..10_000 {
        handle.try_send_low(number).unwrap();
    }
    let (answers, mut waiting) = (0..1_000, Vec::new());
    for _ in answers {
        let (reply, answer) = lanemesh_runtime::Reply::pair();
        handle.try_send_high(Control::Sum(reply)).unwrap();
        waiting.push(answer);
    }
    let shared = handle.clone().shared();
    for number in 0..10_000 {
        shared.try_send_low(number).unwrap();
    }
    let mut batch: Vec<u64> = (0..10_000).collect();
    assert_eq!(handle.try_send_vec_low(&mut batch), Ok(10_000));
    handle.low_room(100).await;
    let report = system.drain(SECOND * 60).await;
    assert!(report.is_clean(), "{report}");
    for answer in waiting {
        assert!(answer.receive(SECOND).await.is_ok());
    }
    assert_eq!(handle.stats().high, 1_000);
    assert_eq!(handle.stats().low, 30_000);
}

#[tokio::test]
async fn probe_reports_through_a_named_handle() {
    use lanemesh_runtime::testing::{Probe, ProbeHandle};
    struct Fixture {
        to: ProbeHandle<(), u8>,
        probe: Probe<(), u8>,
    }
    let (to, probe, _child) = probe();
    let mut fixture = Fixture { to, probe };
    fixture.to.send_low(3).await.unwrap();
    assert_eq!(fixture.probe.expect(SECOND).await, Ok(Probed::Low(3)));
}
