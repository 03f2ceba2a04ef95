//! Hooks that panic or return an error.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, AskError, Child, Context, CrashPolicy, ExitNotice,
    ExitReason, Restart,
    actor::Batch,
    builder,
    supervision::{Backoff, Health, Supervision},
    testing::Sink,
};

use crate::common::{SECOND, hush};

/// Fails in the given hooks, in its first incarnation.
struct Fragile<const BATCH: usize> {
    hooks: &'static [&'static str],
    /// It returns an error instead of a panic.
    returns: bool,
}

impl<const BATCH: usize> Fragile<BATCH> {
    fn at(&self, hook: &str) -> ActorResult {
        let fails = self.hooks.contains(&hook);
        if fails && self.returns {
            return Err(ActorError::msg(format!("provoked in {hook}")));
        }
        assert!(!fails, "provoked in {hook}");
        Ok(())
    }
}

impl<const BATCH: usize> Actor for Fragile<BATCH> {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();
    const BATCH: usize = BATCH;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let (sink, child) = ctx.spawn(Sink::<(), ()>::new());
        ctx.watch(&sink, CrashPolicy::Compensate);
        drop(child); // its exit is reported by two notices
        self.at("started")
    }

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        self.at("on_high")
    }

    async fn on_low(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        self.at("on_low")
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<()>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        self.at("on_low_batch")?;
        while let Some(()) = batch.next(ctx) {
            self.on_low((), ctx).await?;
        }
        Ok(())
    }

    async fn on_child_exit(&mut self, _: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.at("on_child_exit")
    }

    async fn on_peer_exit(&mut self, _: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.at("on_peer_exit")
    }

    async fn healthy(&mut self, _: &mut Context<Self>) -> ActorResult {
        self.at("healthy")
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        self.at("run")?;
        ctx.run(self).await
    }

    async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
        assert!(ctx.children().is_empty(), "the children end first");
        self.at("stopped")
    }
}

impl<const BATCH: usize> Drop for Fragile<BATCH> {
    fn drop(&mut self) {
        assert!(!self.hooks.contains(&"drop"), "provoked in drop");
    }
}

/// Starts it, and makes it call every hook except those at the end.
async fn start<const BATCH: usize>(
    hooks: &'static [&'static str],
    returns: bool,
    restart: Restart,
) -> (ActorHandle<Fragile<BATCH>>, Child) {
    hush();
    let mut count = 0;
    let (mut handle, child) = builder(move || {
        count += 1;
        let hooks = if count == 1 { hooks } else { &[] };
        assert!(!hooks.contains(&"factory"), "provoked in factory");
        Fragile::<BATCH> { hooks, returns }
    })
    .restart(restart)
    .supervision(Supervision::default().backoff(Backoff::none()))
    .health(Health::every(SECOND))
    .spawn();
    handle.send_high(()).await.unwrap();
    handle.send_low(()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    (handle, child)
}

/// It fails once in the hook, and then continues.
async fn fails_once<const BATCH: usize>(hooks: &'static [&'static str], returns: bool) {
    let (handle, child) = start::<BATCH>(hooks, returns, Restart::Transient).await;
    let case = format!("{hooks:?}, returns: {returns}, batch: {BATCH}");
    assert_eq!(handle.incarnation(), 2, "{case}");
    assert_eq!(handle.stats().failures, 1, "{case}");
    let reason = child.stop().await;
    assert!(matches!(reason, ExitReason::Stopped), "{case}: {reason}");
}

#[tokio::test(start_paused = true)]
async fn panic_or_error_in_each_hook() {
    let hooks: [&[_]; 7] = [
        &["started"],
        &["on_high"],
        &["on_low"],
        &["on_child_exit"],
        &["on_peer_exit"],
        &["healthy"],
        &["run"],
    ];
    for hook in hooks {
        for returns in [false, true] {
            fails_once::<1>(hook, returns).await;
            fails_once::<8>(hook, returns).await;
        }
    }
    fails_once::<8>(&["on_low_batch"], false).await;
    fails_once::<8>(&["on_low_batch"], true).await;
    fails_once::<1>(&["factory"], false).await;
}

#[tokio::test(start_paused = true)]
async fn panic_or_error_at_the_end_is_the_reason() {
    let cases: [(&[_], _, _); 3] = [
        (&["stopped"], false, "panicked: provoked in stopped"),
        (&["stopped"], true, "failed: provoked in stopped"),
        (&["drop"], false, "panicked: provoked in drop"),
    ];
    for (hooks, returns, expected) in cases {
        let (handle, child) = start::<1>(hooks, returns, Restart::Permanent).await;
        // A stopped actor is not restarted, even then.
        assert_eq!(child.stop().await.to_string(), expected);
        assert_eq!(handle.incarnation(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn panic_at_the_end_after_a_failure() {
    let first = "panicked: provoked in on_high; its clean-up panicked: provoked in";
    let cases: [(&[_], _); 3] = [
        (&["on_high", "stopped"], "stopped"),
        (&["on_high", "drop"], "drop"),
        (&["on_high", "stopped", "drop"], "stopped"),
    ];
    for (hooks, expected) in cases {
        fails_once::<1>(hooks, false).await;
        let (_handle, child) = start::<1>(hooks, false, Restart::Temporary).await;
        assert_eq!(child.await.to_string(), format!("{first} {expected}"));
    }
}

/// A payload whose drop panics, again and again.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

/// Panics with a payload that panics when it is dropped.
struct Bomber;

impl Actor for Bomber {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        std::panic::panic_any(Bomb)
    }
}

#[tokio::test(start_paused = true)]
async fn payload_whose_drop_panics_fails_the_incarnation_only() {
    hush();
    let rules = Supervision::default().backoff(Backoff::none());
    let (mut handle, child) = builder(|| Bomber)
        .restart(Restart::Permanent)
        .supervision(rules)
        .spawn();
    handle.send_high(()).await.unwrap();
    handle.idle().await;
    assert_eq!(handle.incarnation(), 2);
    let reason = child.stop().await;
    assert!(matches!(reason, ExitReason::Stopped), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn panic_in_an_inspection_fails_the_inspection_only() {
    hush();
    let (handle, child) = lanemesh_runtime::spawn(Sink::<(), ()>::new());
    let answer = handle.inspect(|_| panic!("provoked"), SECOND);
    assert_eq!(answer.await, Err::<(), _>(AskError::Crashed));
    assert_eq!(handle.inspect(|_| 1, SECOND).await, Ok(1));
    let reason = child.stop().await;
    assert!(matches!(reason, ExitReason::Stopped), "{reason}");
}
