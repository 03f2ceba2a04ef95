//! Ends without a clean-up, and when an actor ended.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, CrashPolicy, ExitNotice, ExitReason, Phase, Restart,
    System, builder,
    crash::{DeadLetter, Undelivered},
    spawn,
    supervision::{Backoff, Supervision},
    testing::{Probed, Sink, probe},
};
use tokio::time::{Instant, sleep};

use crate::common::{Control, Ledger, Log, SECOND, Worker, hush};

/// Hangs in its handler, with a value in hand.
struct Stuck {
    log: Log,
    ledger: Ledger,
    child: Option<ActorHandle<Worker>>,
}

impl Actor for Stuck {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let child = Worker::new("child", &self.log);
        let (handle, child) = ctx.spawn(builder_of(child).name("child"));
        child.detach();
        self.child = Some(handle);
        Ok(())
    }

    async fn on_low(&mut self, n: u64, _: &mut Context<Self>) -> ActorResult {
        let _value = self.ledger.value(n);
        self.log.add("hangs");
        std::future::pending().await
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add("stopped");
        Ok(())
    }
}

fn builder_of<A: Actor>(actor: A) -> lanemesh_runtime::Builder<A> {
    lanemesh_runtime::IntoBuilder::into_builder(actor)
}

#[tokio::test(start_paused = true)]
async fn kill_ends_a_stuck_actor_without_its_clean_up() {
    let (log, ledger) = (Log::default(), Ledger::default());
    let (letters, mut dead, _letters) = probe::<(), DeadLetter<(), u64>>();
    let system = System::new("system");
    let (for_log, for_ledger) = (log.clone(), ledger.clone());
    let stuck = builder(move || Stuck {
        log: for_log.clone(),
        ledger: for_ledger.clone(),
        child: None,
    })
    .restart(Restart::Permanent)
    .dead_letters(letters.low_recipient());
    let (mut handle, child) = system.spawn(stuck);
    handle.send_low(1).await.unwrap();
    handle.send_low(2).await.unwrap();
    sleep(SECOND).await;
    let start = Instant::now();
    assert!(matches!(child.kill().await, ExitReason::Killed));
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "it does not wait for the grace period"
    );
    assert_eq!(ledger.all_dropped_once(), 1);
    assert_eq!(
        (handle.incarnation(), handle.phase()),
        (1, Phase::Dead),
        "no restart"
    );
    let told = log.take();
    assert_eq!(told, ["hangs", "child started", "child stopped: stopped"]);
    let Ok(Probed::Low(letter)) = dead.expect(SECOND).await else {
        panic!("what was queued is a dead letter")
    };
    assert_eq!(letter.why, Undelivered::Left);
    let report = system.shutdown(SECOND).await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn kill_between_two_incarnations() {
    hush();
    let log = Log::default();
    let slow = Supervision::default().backoff(Backoff::new(SECOND, SECOND));
    let worker = builder(Worker::factory("w", &log)).supervision(slow);
    let (mut handle, child) = worker.restart(Restart::Permanent).spawn();
    handle.send_high(Control::Panic).await.unwrap();
    while handle.phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    handle.kill();
    assert!(matches!(child.await, ExitReason::Killed));
    assert_eq!(handle.incarnation(), 1);
    handle.kill(); // of an actor that has ended: nothing
    handle.shared().kill();
}

/// Notes which peers ended, and when.
struct Watcher {
    log: Log,
    start: Instant,
    peers: Vec<lanemesh_runtime::handle::Monitor>,
}

impl Actor for Watcher {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_low(&mut self, _: (), ctx: &mut Context<Self>) -> ActorResult {
        for peer in &self.peers {
            ctx.watch(peer, CrashPolicy::Compensate);
        }
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        let at = notice.at.duration_since(self.start).as_secs();
        self.log
            .add(format!("{} {} at {at}", notice.name, notice.reason));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn notice_has_the_instant_of_the_end_also_for_a_late_watch() {
    let log = Log::default();
    let start = Instant::now();
    let (early, early_child) = builder(Sink::<(), ()>::new).name("early").spawn();
    let (late, late_child) = builder(Sink::<(), ()>::new).name("late").spawn();
    let (mut watcher, _child) = spawn(Watcher {
        log: log.clone(),
        start,
        peers: vec![early.monitor(), late.monitor()],
    });
    sleep(SECOND).await;
    early_child.stop().await;
    sleep(SECOND).await;
    watcher.send_low(()).await.unwrap();
    watcher.idle().await;
    sleep(SECOND).await;
    late_child.kill().await;
    watcher.idle().await;
    assert_eq!(log.take(), ["early stopped at 1", "late killed at 3"]);
}
