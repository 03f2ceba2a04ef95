//! Restarts on demand: the next incarnation starts when somebody needs it.

use std::time::Duration;

use lanemesh_runtime::{
    AskError, Builder, ExitReason, Phase, Restart, System, builder, spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::Sink,
};
use tokio::time::{Instant, timeout};

use crate::common::{Control, Log, POISON, SECOND, Worker, hush};

const HOUR: Duration = Duration::from_secs(3600);

fn lazy(log: &Log) -> Builder<Worker> {
    builder(Worker::factory("w", log))
        .restart(Restart::Permanent)
        .supervision(rules())
        .restart_on_demand()
}

fn rules() -> Supervision {
    Supervision::new(Strategy::OneForAll)
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

#[tokio::test(start_paused = true)]
async fn starts_again_for_a_message_an_ask_or_a_look() {
    hush();
    let log = Log::default();
    let (mut handle, child) = lazy(&log).spawn();
    for need in 0..4 {
        handle.send_high(Control::Fail).await.unwrap();
        handle.idle().await;
        tokio::time::sleep(HOUR).await;
        assert_eq!(
            (handle.phase(), handle.incarnation()),
            (Phase::Waiting, need + 1)
        );
        assert_eq!(
            log.take().last().unwrap(),
            "w stopped: failed: told to fail"
        );
        match need {
            0 => drop(handle.send_low(3).await.unwrap()),
            1 => assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(0)),
            2 => assert_eq!(handle.inspect(|worker| worker.sum, SECOND).await, Ok(0)),
            _ => {
                // The message with which it begins may fail it, too.
                let answer = handle.ask(Control::PanicAsked, SECOND).await;
                assert_eq!(answer, Err(AskError::Crashed));
                break;
            }
        }
        handle.idle().await;
        assert_eq!(
            (handle.phase(), handle.incarnation()),
            (Phase::Running, need + 2)
        );
        assert_eq!(log.all(), ["w started"]);
    }
    handle.idle().await;
    assert_eq!((handle.phase(), handle.incarnation()), (Phase::Waiting, 5));
    assert_eq!(handle.stats().low, 1);
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn queued_messages_are_a_need() {
    hush();
    let log = Log::default();
    let (mut handle, _child) = lazy(&log).spawn();
    for number in [1, POISON, 2, POISON, 4] {
        handle.try_send_low(number).unwrap();
    }
    handle.idle().await;
    assert_eq!((handle.phase(), handle.incarnation()), (Phase::Running, 3));
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_the_backoff() {
    hush();
    let log = Log::default();
    let backoff = rules().backoff(Backoff::new(SECOND, SECOND));
    let (mut handle, _child) = lazy(&log).supervision(backoff).spawn();
    handle.send_low(POISON).await.unwrap();
    while handle.phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    handle.send_low(1).await.unwrap();
    handle.idle().await;
    assert!(begun.elapsed() >= SECOND / 2, "{:?}", begun.elapsed());
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn ends_while_nobody_needs_it() {
    hush();
    for how in 0..4 {
        let log = Log::default();
        let (mut handle, child) = lazy(&log).spawn();
        handle.send_high(Control::Fail).await.unwrap();
        handle.idle().await;
        let watch = handle.monitor();
        let ended = async {
            match how {
                0 => child.stop().await,
                1 => child.drain().await,
                2 => {
                    drop(handle);
                    child.await
                }
                _ => {
                    drop(child);
                    watch.await
                }
            }
        };
        let reason = timeout(SECOND, ended).await.unwrap();
        assert!(!reason.is_failure(), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_left_at_a_stop_is_a_dead_letter() {
    hush();
    let log = Log::default();
    let (letters, sink) = spawn(Sink::new());
    let backoff = rules().backoff(Backoff::new(HOUR, HOUR));
    let worker = lazy(&log)
        .supervision(backoff)
        .dead_letters(letters.low_recipient());
    let (mut handle, child) = worker.spawn();
    handle.send_high(Control::Fail).await.unwrap();
    while handle.phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    handle.send_low(1).await.unwrap();
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    assert_eq!(handle.stats().dead_letters, 1);
    let letters: &lanemesh_runtime::ActorHandle<Sink<(), _>> = &letters;
    letters.idle().await;
    assert_eq!(letters.stats().low, 1);
    sink.stop().await;
}

#[tokio::test(start_paused = true)]
async fn siblings_restart_together_with_one_that_waits() {
    hush();
    let (log, other_log) = (Log::default(), Log::default());
    let system = System::supervised("s", rules().backoff(Backoff::new(SECOND, SECOND)));
    let alone = builder(Worker::factory("other", &other_log)).restart(Restart::Permanent);
    let (mut other, _other) = system.spawn(alone);
    let (mut handle, _child) = system.spawn(lazy(&log));
    // A failure of its own restarts both, at once: the round starts it.
    handle.send_high(Control::Fail).await.unwrap();
    for (a, b) in [(2, 2), (3, 3), (4, 4)] {
        while (handle.incarnation(), other.incarnation()) != (a, b)
            || (handle.phase(), other.phase()) != (Phase::Running, Phase::Running)
        {
            tokio::time::sleep(SECOND / 100).await;
        }
        other.send_high(Control::Fail).await.unwrap();
        // Needed in the middle of the round.
        tokio::time::sleep(SECOND / 10).await;
        handle.send_low(1).await.unwrap();
    }
    timeout(HOUR, handle.idle()).await.unwrap();
    assert_eq!(handle.stats().low, 3);
    assert!(system.drain(HOUR).await.failed.is_empty());
}
