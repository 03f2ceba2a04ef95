//! Strategies, limits, escalation, health, and what survives a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Builder, Child, Context, ExitNotice, ExitReason, Overflow,
    Phase, Restart, System, builder,
    crash::{Lease, Persistent},
    spawn,
    supervision::{Backoff, Health, Strategy, Supervision},
};

use crate::common::{Control, Counted, Ledger, Log, POISON, SECOND, Worker, hush};

type Share = Arc<std::sync::Mutex<Vec<ActorHandle<Worker>>>>;

/// A parent of three workers.
struct Parent {
    log: Log,
    supervision: Supervision,
    children: Vec<(ActorHandle<Worker>, Child)>,
    share: Share,
}

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.supervise(self.supervision);
        for name in ["a", "b", "c"] {
            let child = builder(Worker::factory(name, &self.log))
                .name(name)
                .restart(Restart::Permanent);
            self.children.push(ctx.spawn(child));
        }
        *self.share.lock().unwrap() = self
            .children
            .iter()
            .map(|(handle, _)| handle.clone())
            .collect();
        self.log.add("parent started");
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log
            .add(format!("parent heard {}: {}", notice.name, notice.reason));
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("parent stopped: {reason}"));
        Ok(())
    }
}

struct Family {
    log: Log,
    parent: ActorHandle<Parent>,
    child: Child,
    share: Share,
}

impl Family {
    async fn start(supervision: Supervision, restart: Restart) -> Self {
        hush();
        let log = Log::default();
        let share: Share = Arc::default();
        let (logged, shared) = (log.clone(), Arc::clone(&share));
        let (parent, child) = builder(move || Parent {
            log: logged.clone(),
            supervision,
            children: Vec::new(),
            share: shared.clone(),
        })
        .name("parent")
        .restart(restart)
        .supervision(Supervision::default().backoff(Backoff::none()))
        .spawn();
        parent.idle().await;
        let family = Self {
            log,
            parent,
            child,
            share,
        };
        for index in 0..3 {
            family.worker(index).idle().await;
        }
        family.log.take();
        family
    }

    fn worker(&self, index: usize) -> ActorHandle<Worker> {
        self.share.lock().unwrap()[index].clone()
    }

    /// Waits until all three have reached these incarnations and run.
    async fn reach(&self, incarnations: [u32; 3]) {
        for (index, incarnation) in incarnations.into_iter().enumerate() {
            let worker = self.worker(index);
            while worker.incarnation() != incarnation || worker.phase() != Phase::Running {
                tokio::task::yield_now().await;
            }
        }
    }
}

fn strategy(strategy: Strategy) -> Supervision {
    Supervision::new(strategy)
        .intensity(10, SECOND)
        .backoff(Backoff::none())
}

#[tokio::test]
async fn one_for_one_restarts_the_child_alone() {
    let family = Family::start(strategy(Strategy::OneForOne), Restart::Temporary).await;
    family.worker(1).send_high(Control::Panic).await.unwrap();
    family.reach([1, 2, 1]).await;
    assert_eq!(
        family.log.take(),
        ["b stopped: panicked: told to panic", "b started"]
    );
}

#[tokio::test]
async fn one_for_all_restarts_everybody_in_order() {
    let family = Family::start(strategy(Strategy::OneForAll), Restart::Temporary).await;
    family.worker(1).send_high(Control::Fail).await.unwrap();
    family.reach([2, 2, 2]).await;
    assert_eq!(
        family.log.take(),
        [
            "b stopped: failed: told to fail",
            "c stopped: ended for a restart together with a sibling",
            "a stopped: ended for a restart together with a sibling",
            "a started",
            "b started",
            "c started",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_for_one_restarts_those_started_later() {
    let family = Family::start(strategy(Strategy::RestForOne), Restart::Temporary).await;
    family.worker(1).send_high(Control::Panic).await.unwrap();
    family.reach([1, 2, 2]).await;
    assert_eq!(
        family.log.take(),
        [
            "b stopped: panicked: told to panic",
            "c stopped: ended for a restart together with a sibling",
            "b started",
            "c started",
        ]
    );
}

/// Tokio's timers fire at the next millisecond, which never comes here: the clock is paused while a task is ready.
#[tokio::test(start_paused = true)]
async fn restart_without_backoff_waits_for_no_timer() {
    for (chosen, incarnations) in [
        (Strategy::OneForOne, [1, 2, 1]),
        (Strategy::OneForAll, [2, 2, 2]),
    ] {
        let family = Family::start(strategy(chosen), Restart::Temporary).await;
        tokio::time::advance(Duration::from_micros(300)).await;
        family.worker(1).send_high(Control::Panic).await.unwrap();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        let reached = [0, 1, 2].map(|index| family.worker(index).incarnation());
        assert_eq!(reached, incarnations, "{chosen:?}");
    }
}

#[tokio::test]
async fn siblings_keep_their_messages_in_a_round() {
    let family = Family::start(strategy(Strategy::OneForAll), Restart::Temporary).await;
    let (open, gate) = tokio::sync::oneshot::channel();
    let mut sibling = family.worker(2);
    sibling.send_high(Control::Block(gate)).await.unwrap();
    for _ in 0..10 {
        sibling.send_low(1).await.unwrap();
    }
    family.worker(0).send_high(Control::Panic).await.unwrap();
    while family.worker(0).phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    family.reach([2, 2, 2]).await;
    sibling.idle().await;
    assert_eq!(sibling.ask(Control::Sum, SECOND).await, Ok(10));
}

#[tokio::test]
async fn spent_restarts_escalate_to_the_parent() {
    let rules = strategy(Strategy::OneForOne).intensity(1, SECOND);
    let mut family = Family::start(rules, Restart::Temporary).await;
    for _ in 0..2 {
        family.worker(0).send_high(Control::Panic).await.unwrap();
    }
    let reason = (&mut family.child).await;
    let ExitReason::Escalated { cause, .. } = &reason else {
        panic!("{reason}")
    };
    assert!(matches!(**cause, ExitReason::RestartsSpent(_)));
    assert!(matches!(reason.root_cause(), ExitReason::Panicked(_)));
    for index in 0..3 {
        assert!(
            !family.worker(index).is_alive(),
            "a child outlived its parent"
        );
    }
}

#[tokio::test]
async fn escalated_parent_restarts_with_fresh_children() {
    let rules = strategy(Strategy::OneForAll).intensity(0, SECOND);
    let family = Family::start(rules, Restart::Transient).await;
    let old = family.worker(0);
    old.clone().send_high(Control::Panic).await.unwrap();
    assert!(old.monitor().await.is_failure());
    while family.parent.incarnation() != 2 || family.parent.phase() != Phase::Running {
        tokio::task::yield_now().await;
    }
    assert_ne!(family.worker(0).id(), old.id());
    family.reach([1, 1, 1]).await;
}

#[tokio::test]
async fn transient_and_temporary() {
    hush();
    let log = Log::default();
    let rules = strategy(Strategy::OneForOne);
    let (mut transient, child) = builder(Worker::factory("w", &log))
        .restart(Restart::Transient)
        .supervision(rules)
        .spawn();
    transient.send_high(Control::Panic).await.unwrap();
    transient.idle().await;
    assert_eq!(transient.incarnation(), 2);
    drop(transient); // all handles gone: a normal end, so no restart
    assert!(matches!(child.await, ExitReason::Normal));

    let (mut temporary, child) = builder(Worker::factory("w", &log)).spawn();
    temporary.send_high(Control::Panic).await.unwrap();
    assert!(matches!(child.await, ExitReason::Panicked(_)));
}

#[tokio::test(start_paused = true)]
async fn backoff_grows_between_restarts() {
    hush();
    let log = Log::default();
    let ms = Duration::from_millis;
    let rules = Supervision::default().backoff(Backoff::new(ms(100), ms(300)).jitter(0.0));
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Permanent)
        .supervision(rules)
        .spawn();
    for expected in [100, 200, 300] {
        let begun = tokio::time::Instant::now();
        handle.send_high(Control::Panic).await.unwrap();
        handle.idle().await;
        assert_eq!(begun.elapsed().as_millis(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn hung_handler_fails_its_health_check() {
    let log = Log::default();
    let (mut handle, _child) = builder(Worker::factory("w", &log))
        .restart(Restart::Transient)
        .supervision(strategy(Strategy::OneForOne))
        .health(Health::every(SECOND).timeout(Duration::from_millis(200)))
        .spawn();
    let (_never, gate) = tokio::sync::oneshot::channel();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(handle.incarnation(), 1);
    handle.send_high(Control::Block(gate)).await.unwrap();
    handle.send_low(3).await.unwrap();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(handle.incarnation(), 2);
    assert_eq!(log.take()[1], "w stopped: failed its health checks");
    assert_eq!(handle.ask(Control::Sum, SECOND).await, Ok(3));
}

/// Counts in a persistent value; crashes at every hundredth message.
struct Tally {
    sum: Lease<u64>,
    handled: Arc<AtomicU64>,
}

impl Actor for Tally {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Counted;
    const BATCH: usize = 16;

    async fn on_low(&mut self, msg: Counted, _: &mut Context<Self>) -> ActorResult {
        *self.sum += 1;
        self.handled.fetch_add(1, Ordering::SeqCst);
        assert!(!msg.number.is_multiple_of(100), "provoked");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_storm_loses_no_queued_message() {
    hush();
    const SENDERS: u64 = 4;
    const EACH: u64 = 2_000;
    let ledger = Ledger::default();
    let sum = Persistent::new(0);
    let handled = Arc::new(AtomicU64::new(0));
    let (persistent, counter) = (sum.clone(), handled.clone());
    let (handle, child) = builder(move || Tally {
        sum: persistent.lease(),
        handled: counter.clone(),
    })
    .low_capacity(64)
    .restart(Restart::Permanent)
    .supervision(strategy(Strategy::OneForOne).intensity(100_000, SECOND))
    .spawn();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let mut handle = handle.clone();
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for number in 1..=EACH {
                    let value = ledger.value(sender * EACH + number);
                    handle.send_low(value).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    handle.idle().await;
    // Each message was handled once, including those that crashed; none is left.
    assert_eq!(handled.load(Ordering::SeqCst), SENDERS * EACH);
    assert_eq!(ledger.all_dropped_once() as u64, SENDERS * EACH);
    assert_eq!(u64::from(handle.incarnation()), SENDERS * EACH / 100 + 1);
    assert_eq!(handle.stats().low, SENDERS * EACH);
    child.stop().await;
    assert_eq!(sum.with(|sum| *sum), Some(SENDERS * EACH));
}

#[tokio::test]
async fn redelivery_then_dead_letter() {
    hush();
    let log = Log::default();
    let (letters, mut dead) = lanemesh::channel(16);
    let (mut handle, _child) = builder(move || Twice { log: log.clone() })
        .restart(Restart::Permanent)
        .supervision(strategy(Strategy::OneForOne))
        .redeliver(2)
        .dead_letters(letters)
        .spawn();
    for message in [1, POISON, 2] {
        handle.send_low(message).await.unwrap();
    }
    handle.idle().await;
    // It crashed at the poison three times: at the first delivery and at two redeliveries.
    assert_eq!(handle.incarnation(), 4);
    let stats = handle.stats();
    assert_eq!(
        (stats.redelivered, stats.dead_letters, stats.failures),
        (2, 1, 3)
    );
    let letter = dead.try_recv().unwrap();
    assert_eq!(letter.why, lanemesh_runtime::crash::Undelivered::Crashed);
    assert!(matches!(
        letter.message,
        lanemesh_runtime::Message::Low(POISON)
    ));
}

struct Twice {
    log: Log,
}

impl Actor for Twice {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_low(&mut self, msg: u64, _: &mut Context<Self>) -> ActorResult {
        self.log.add(msg.to_string());
        assert_ne!(msg, POISON, "poisoned");
        Ok(())
    }
}

#[tokio::test]
async fn system_reports_a_failure_that_it_cannot_mend() {
    hush();
    let log = Log::default();
    let rules = strategy(Strategy::OneForOne).intensity(0, SECOND);
    let system = System::supervised("s", rules);
    let (mut handle, _child) = system.spawn(
        builder(Worker::factory("w", &log))
            .restart(Restart::Permanent)
            .low_overflow(Overflow::Reject),
    );
    handle.send_high(Control::Panic).await.unwrap();
    let failure = system.failed().await;
    assert!(matches!(failure.root_cause(), ExitReason::Panicked(_)));
    let report = system.shutdown(SECOND).await;
    assert!(!report.is_clean() && report.late.is_empty());
}

/// Starts once; after that it fails at every restart.
struct Stillborn {
    lives: Arc<AtomicU64>,
}

impl Actor for Stillborn {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        let lives = self.lives.fetch_add(1, Ordering::SeqCst);
        assert!(lives == 0, "provoked");
        Ok(())
    }

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        panic!("provoked")
    }
}

fn stillborn() -> Builder<Stillborn> {
    let lives = Arc::new(AtomicU64::new(0));
    builder(move || Stillborn {
        lives: lives.clone(),
    })
    .name("stillborn")
    .restart(Restart::Permanent)
}

#[tokio::test(start_paused = true)]
async fn child_that_spends_the_restarts_in_a_round_ends() {
    hush();
    for kind in [Strategy::OneForAll, Strategy::RestForOne] {
        let log = Log::default();
        let system = System::supervised("s", strategy(kind).intensity(3, 100 * SECOND));
        let sibling = || builder(Worker::factory("w", &log)).restart(Restart::Permanent);
        let (_before, _before_child) = system.spawn(sibling());
        let (mut handle, child) = system.spawn(stillborn());
        let (mut after, _after_child) = system.spawn(sibling());
        handle.send_high(()).await.unwrap();
        let failure = system.failed().await;
        assert!(matches!(failure.root_cause(), ExitReason::Panicked(_)));
        let reason = tokio::time::timeout(100 * SECOND, child).await.unwrap();
        assert!(matches!(reason, ExitReason::RestartsSpent(_)), "{reason}");
        assert_eq!(handle.incarnation(), 4);
        // The one that was stopped for the round continues.
        after.send_low(3).await.unwrap();
        let idle = tokio::time::timeout(100 * SECOND, after.idle()).await;
        idle.unwrap();
        assert_eq!(after.ask(Control::Sum, 100 * SECOND).await, Ok(3));
        assert!(system.shutdown(SECOND).await.late.is_empty());
    }
}

/// A parent of a child that uses up the restarts in a round.
struct Bereft {
    log: Log,
    share: Arc<std::sync::Mutex<Option<ActorHandle<Stillborn>>>>,
}

impl Actor for Bereft {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.supervise(strategy(Strategy::OneForAll).intensity(3, SECOND));
        let (handle, child) = ctx.spawn(stillborn());
        child.detach();
        *self.share.lock().unwrap() = Some(handle);
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(notice.reason.to_string());
        Ok(())
    }
}

#[tokio::test]
async fn parent_hears_that_its_child_has_spent_the_restarts_in_a_round() {
    hush();
    let (log, share) = (Log::default(), Arc::default());
    let parent = Bereft {
        log: log.clone(),
        share: Arc::clone(&share),
    };
    let (parent, child) = spawn(parent);
    parent.idle().await;
    let stillborn = share.lock().unwrap().clone();
    stillborn.unwrap().send_high(()).await.unwrap();
    let reason = child.await;
    assert!(matches!(reason, ExitReason::Escalated { .. }), "{reason}");
    assert_eq!(
        log.take(),
        ["used up its restarts; the last time it panicked: provoked"]
    );
}

#[tokio::test(start_paused = true)]
async fn restarts_are_counted_for_each_child_and_on_demand_for_all() {
    hush();
    let log = Log::default();
    for total in [None, Some(3)] {
        let mut rules = strategy(Strategy::OneForOne).intensity(2, 100 * SECOND);
        if let Some(total) = total {
            rules = rules.total_intensity(total, 100 * SECOND);
        }
        let system = System::supervised("s", rules);
        let worker = || builder(Worker::factory("w", &log)).restart(Restart::Permanent);
        let mut children = Vec::new();
        for _ in 0..2 {
            let (mut handle, child) = system.spawn(worker());
            for _ in 0..2 {
                handle.send_high(Control::Fail).await.unwrap();
            }
            tokio::time::sleep(SECOND).await;
            children.push((handle, child));
        }
        assert!(children[0].1.is_alive());
        // Its own two restarts, or the fourth of all.
        assert_eq!(children[1].1.is_alive(), total.is_none());
        let (handle, child) = &mut children[0];
        handle.send_high(Control::Fail).await.unwrap();
        let reason = child.await;
        assert!(matches!(reason, ExitReason::RestartsSpent(_)), "{reason}");
    }
}
