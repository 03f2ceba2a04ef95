//! Timers, streams and futures that bring an actor messages, and their end.

use std::{
    future::pending,
    pin::Pin,
    task::{Context as PollContext, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitReason, Restart, System, actor::SourceHandle,
    builder, spawn,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

mod turns;

use crate::common::{Counted, Ledger, Log, SECOND, hush};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

type Step = Box<dyn FnOnce(&mut Scripted, &mut Context<Scripted>) + Send>;

/// Runs the steps that it is sent as urgent messages; writes down its low messages and when they
/// came.
struct Scripted {
    log: Log,
    start: Instant,
    handle: Option<SourceHandle>,
    /// How long a low message takes.
    work: Duration,
}

impl Scripted {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            start: Instant::now(),
            handle: None,
            work: Duration::ZERO,
        }
    }

    fn note(&self, text: &str) {
        let at = self.start.elapsed().as_millis();
        self.log.add(format!("{at} {text}"));
    }
}

impl Actor for Scripted {
    type HighPriorityMsg = Step;
    type LowPriorityMsg = &'static str;

    async fn on_high(&mut self, step: Step, ctx: &mut Context<Self>) -> ActorResult {
        step(self, ctx);
        Ok(())
    }

    async fn on_low(&mut self, text: &'static str, _: &mut Context<Self>) -> ActorResult {
        self.note(text);
        if !self.work.is_zero() {
            sleep(self.work).await;
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.note("stopped");
        Ok(())
    }
}

fn step(step: impl FnOnce(&mut Scripted, &mut Context<Scripted>) + Send + 'static) -> Step {
    Box::new(step)
}

#[tokio::test(start_paused = true)]
async fn timers_fire_in_time_and_in_order() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let set = step(|actor, ctx| {
        ctx.send_low_after(ms(30), "30");
        ctx.send_low_after(ms(10), "10");
        ctx.send_low_after(Duration::ZERO, "0");
        ctx.send_low_after(Duration::MAX, "never");
        ctx.send_high_after(ms(20), step(|actor, _| actor.note("high 20")));
        actor.note("set");
    });
    handle.send_high(set).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(log.take(), ["0 set", "0 0", "10 10", "20 high 20", "30 30"]);
    assert_eq!((handle.stats().high, handle.stats().low), (2, 3));
    child.stop().await;
    assert_eq!(log.take(), ["1000 stopped"]);
}

#[tokio::test(start_paused = true)]
async fn ticks_that_were_missed_become_one() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let set = step(|actor, ctx| {
        actor.handle = Some(ctx.send_low_interval(ms(10), || "tick"));
    });
    handle.send_high(set).await.unwrap();
    sleep(ms(25)).await;
    assert_eq!(log.take(), ["10 tick", "20 tick"]);
    // The tick at 30 keeps the actor busy until 65: those at 40, 50 and 60 become one.
    handle
        .send_high(step(|actor, _| actor.work = ms(35)))
        .await
        .unwrap();
    sleep(ms(6)).await;
    let easy = step(|actor, _| actor.work = Duration::ZERO);
    handle.send_high(easy).await.unwrap();
    sleep(ms(60)).await;
    assert_eq!(
        log.take(),
        ["30 tick", "65 tick", "70 tick", "80 tick", "90 tick"]
    );
    child.stop().await;
}

#[tokio::test(start_paused = true)]
async fn period_of_zero_is_a_millisecond() {
    let log = Log::default();
    let (mut handle, _child) = spawn(Scripted::new(&log));
    let set = step(|_, ctx| {
        ctx.send_low_interval(Duration::ZERO, || "tick");
    });
    handle.send_high(set).await.unwrap();
    sleep(Duration::from_micros(3_500)).await;
    assert_eq!(log.take(), ["1 tick", "2 tick", "3 tick"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_after_a_cancel() {
    let log = Log::default();
    let ledger = Ledger::default();
    let (mut handle, _child) = spawn(Scripted::new(&log));
    let (tx, rx) = oneshot::channel();
    let value = ledger.value(1);
    let set = step(move |_, ctx| {
        let timer = ctx.send_low_after(ms(10), "timer");
        let interval = ctx.send_low_interval(ms(10), || "tick");
        let stream = ctx.attach_low(stream::pending());
        let future = ctx.pipe_low(async move {
            pending::<()>().await;
            drop(value);
            "future"
        });
        let _ = tx.send([timer, interval, stream, future]);
    });
    handle.send_high(set).await.unwrap();
    let handles = rx.await.unwrap();
    // From outside, and before the actor has had the chance of a look.
    sleep(ms(5)).await;
    for handle in &handles {
        assert!(!handle.is_finished());
        handle.cancel();
        assert!(handle.is_finished());
    }
    handle.idle().await;
    assert_eq!(
        ledger.all_dropped_once(),
        1,
        "a cancelled future is dropped"
    );
    sleep(SECOND).await;
    assert_eq!(log.take(), [""; 0]);
    // From the handler, when the timer is due already.
    let set = step(|_, ctx| {
        let timer = ctx.send_low_after(Duration::ZERO, "due");
        timer.cancel();
    });
    handle.send_high(set).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn handle_tells_that_its_source_is_finished() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let (tx, rx) = oneshot::channel();
    let set = step(move |_, ctx| {
        let timer = ctx.send_low_after(ms(10), "timer");
        let stream = ctx.attach_low(stream::iter(["item"]));
        let future = ctx.pipe_low(async { "future" });
        let interval = ctx.send_low_interval(SECOND, || "tick");
        let _ = tx.send([timer, stream, future, interval]);
    });
    handle.send_high(set).await.unwrap();
    let [timer, stream, future, interval] = rx.await.unwrap();
    handle.idle().await;
    assert!(stream.is_finished() && future.is_finished() && !timer.is_finished());
    sleep(ms(20)).await;
    assert!(timer.is_finished() && !interval.is_finished());
    child.stop().await;
    assert!(interval.is_finished(), "it ends with its actor");
}

/// Sets up a timer, an interval, a stream and a future in its first incarnation, then crashes.
struct Crashing {
    log: Log,
    ledger: Ledger,
}

impl Actor for Crashing {
    type HighPriorityMsg = ();
    type LowPriorityMsg = String;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let incarnation = ctx.incarnation();
        let values: Vec<Counted> = (0..4).map(|number| self.ledger.value(number)).collect();
        let [timer, interval, stream, future] = values.try_into().unwrap();
        ctx.send_low_after(ms(10), format!("timer of {incarnation}"));
        drop(timer);
        ctx.send_low_interval(ms(20), move || {
            format!("tick {} of {incarnation}", interval.number)
        });
        ctx.attach_low(stream::once(async move {
            sleep(ms(30)).await;
            format!("item {} of {incarnation}", stream.number)
        }));
        ctx.pipe_low(async move {
            sleep(ms(40)).await;
            format!("output {} of {incarnation}", future.number)
        });
        Ok(())
    }

    async fn on_low(&mut self, text: String, _: &mut Context<Self>) -> ActorResult {
        self.log.add(text.clone());
        if text == "crash" {
            return Err(ActorError::msg("told to fail"));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_an_old_incarnation_arrives() {
    let (log, ledger) = (Log::default(), Ledger::default());
    let (for_factory, for_values) = (log.clone(), ledger.clone());
    let factory = move || Crashing {
        log: for_factory.clone(),
        ledger: for_values.clone(),
    };
    let (mut handle, child) = builder(factory).restart(Restart::Permanent).spawn();
    handle.idle().await;
    handle.send_low("crash".into()).await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(
        ledger.alive(),
        0,
        "what the first incarnation has set up is gone"
    );
    while handle.incarnation() < 2 {
        sleep(ms(1)).await;
    }
    let start = Instant::now();
    sleep(ms(45)).await;
    assert!(start.elapsed() < ms(60));
    let expected = [
        "crash",
        "timer of 2",
        "tick 1 of 2",
        "item 2 of 2",
        "tick 1 of 2",
        "output 3 of 2",
    ];
    let mut seen = log.take();
    // The tick and the output of 40 ms are due together.
    seen[4..].sort_by_key(|text| !text.starts_with("tick"));
    assert_eq!(seen, expected);
    child.stop().await;
    assert_eq!(ledger.all_dropped_once(), 8);
}

#[tokio::test(start_paused = true)]
async fn stop_drops_all_sources_before_the_clean_up() {
    let (log, ledger) = (Log::default(), Ledger::default());
    let (mut handle, child) = spawn(Scripted::new(&log));
    let values = [ledger.value(0), ledger.value(1)];
    let set = step(move |_, ctx| {
        let [stream, future] = values;
        ctx.attach_low(
            stream::pending().map(move |_: ()| if stream.number == 0 { "item" } else { "" }),
        );
        ctx.pipe_low(async move {
            sleep(ms(10)).await;
            drop(future);
            "output"
        });
        ctx.send_low_after(ms(10), "timer");
        ctx.stop();
    });
    handle.send_high(set).await.unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
    assert_eq!(ledger.all_dropped_once(), 2);
    sleep(SECOND).await;
    assert_eq!(log.take(), ["0 stopped"]);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_futures_and_ends_the_rest() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let set = step(|_, ctx| {
        ctx.send_low_after(ms(10), "timer");
        ctx.send_low_interval(ms(10), || "tick");
        ctx.attach_low(stream::repeat("item").then(|item| async move {
            sleep(ms(10)).await;
            item
        }));
        ctx.pipe_low(async {
            sleep(ms(50)).await;
            "output"
        });
        // The output of a future may be the start of another.
        ctx.pipe_high(async {
            sleep(ms(60)).await;
            step(|_, ctx| {
                ctx.pipe_low(async {
                    sleep(ms(10)).await;
                    "second output"
                });
                ctx.send_low_after(Duration::ZERO, "timer in a drain");
            })
        });
        ctx.pipe_low(pending()).cancel();
    });
    handle.send_high(set).await.unwrap();
    handle.send_low("queued").await.unwrap();
    assert!(matches!(child.drain().await, ExitReason::Stopped));
    let expected = ["0 queued", "50 output", "70 second output", "70 stopped"];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn drain_does_not_outlast_its_deadline_for_a_future() {
    let log = Log::default();
    let system = System::new("system");
    let (mut handle, child) = system.spawn(Scripted::new(&log));
    let set = step(|_, ctx| {
        ctx.pipe_low(pending());
    });
    handle.send_high(set).await.unwrap();
    child.detach();
    let start = Instant::now();
    let report = system.drain(SECOND).await;
    assert!(!report.is_clean(), "it was killed at the deadline");
    assert!(start.elapsed() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_handles_futures_are_awaited_and_timers_are_not() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let set = step(|_, ctx| {
        ctx.send_low_after(ms(20), "early timer");
        ctx.send_low_after(SECOND, "late timer");
        ctx.pipe_low(async {
            sleep(ms(50)).await;
            "output"
        });
    });
    handle.send_high(set).await.unwrap();
    drop(handle);
    assert!(matches!(child.await, ExitReason::Normal));
    let expected = ["20 early timer", "50 output", "50 stopped"];
    assert_eq!(log.take(), expected);
    // With `keep_running` it lives on its timers.
    let for_factory = log.clone();
    let kept = builder(move || Scripted::new(&for_factory)).keep_running();
    let (mut handle, child) = kept.spawn();
    let set = step(|_, ctx| {
        ctx.send_high_after(SECOND, step(|_, ctx| ctx.stop()));
    });
    handle.send_high(set).await.unwrap();
    drop(handle);
    assert!(matches!(child.await, ExitReason::Stopped));
    assert_eq!(log.take(), ["1000 stopped"]);
}

/// Panics when it is polled, or when it is dropped.
struct Panicking {
    at_poll: bool,
}

impl Stream for Panicking {
    type Item = &'static str;

    fn poll_next(self: Pin<&mut Self>, _: &mut PollContext<'_>) -> Poll<Option<&'static str>> {
        assert!(!self.at_poll, "told to panic when polled");
        Poll::Pending
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        assert!(self.at_poll, "told to panic when dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_stream_fails_its_actor() {
    hush();
    for at_poll in [true, false] {
        let log = Log::default();
        let (mut handle, child) = spawn(Scripted::new(&log));
        let set = step(move |_, ctx| {
            ctx.attach_low(Panicking { at_poll });
        });
        handle.send_high(set).await.unwrap();
        handle.idle().await;
        handle.stop();
        let reason = child.await;
        let ExitReason::Panicked(text) = &reason else {
            panic!("it is {reason}")
        };
        let when = if at_poll { "polled" } else { "dropped" };
        assert_eq!(&**text, format!("told to panic when {when}"));
        assert_eq!(log.take(), ["0 stopped"], "it cleans up");
    }
}

#[tokio::test(start_paused = true)]
async fn sources_set_up_while_stopping_have_no_effect() {
    hush();
    struct Late(Log);
    impl Actor for Late {
        type HighPriorityMsg = ();
        type LowPriorityMsg = &'static str;
        async fn on_low(&mut self, text: &'static str, _: &mut Context<Self>) -> ActorResult {
            self.0.add(text);
            Ok(())
        }
        async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
            ctx.pipe_low(async { "late" });
            ctx.attach_low(Panicking { at_poll: false });
            Ok(())
        }
    }
    let log = Log::default();
    let (_handle, child) = spawn(Late(log.clone()));
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn message_of_a_timer_is_redelivered() {
    hush();
    struct Fragile(Log);
    impl Actor for Fragile {
        type HighPriorityMsg = ();
        type LowPriorityMsg = u64;
        async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
            if ctx.incarnation() == 1 {
                ctx.send_low_after(ms(1), 7);
            }
            Ok(())
        }
        async fn on_low(&mut self, n: u64, ctx: &mut Context<Self>) -> ActorResult {
            let incarnation = ctx.incarnation();
            self.0.add(format!("{n} in {incarnation}"));
            assert!(incarnation > 1, "told to panic");
            Ok(())
        }
    }
    let log = Log::default();
    let for_factory = log.clone();
    let fragile = builder(move || Fragile(for_factory.clone()))
        .restart(Restart::Permanent)
        .redeliver(1);
    let (handle, child) = fragile.spawn();
    sleep(SECOND).await;
    assert_eq!(log.take(), ["7 in 1", "7 in 2"]);
    assert_eq!(handle.stats().redelivered, 1);
    child.stop().await;
}
