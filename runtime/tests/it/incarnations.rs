//! What belongs to one incarnation, and what must not outlive it; surprises in hooks.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Context, ExitNotice, ExitReason, IntoBuilder,
    LocalActor, LocalContext, Phase, Restart, SpawnError, System, WorkerThread, builder, local,
    patterns::{SlowPolicy, Topic},
    spawn,
    supervision::{Backoff, Health, Strategy, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::timeout};

use crate::common::{Control, Log, SECOND, Worker, hush};

fn rules(strategy: Strategy) -> Supervision {
    Supervision::new(strategy)
        .intensity(10, SECOND)
        .backoff(Backoff::none())
}

async fn reach<A: Actor>(handle: &ActorHandle<A>, incarnation: u32) {
    while handle.incarnation() != incarnation || handle.phase() != Phase::Running {
        tokio::task::yield_now().await;
    }
}

/// Subscribes itself when it starts.
struct Subscriber {
    topic: Topic<u32>,
    log: Log,
}

impl Actor for Subscriber {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if let Some(this) = ctx.handle() {
            self.topic
                .subscribe_recipient(this.low_recipient(), SlowPolicy::Drop);
        }
        Ok(())
    }

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("told to fail"))
    }

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.log.add(number.to_string());
        Ok(())
    }
}

#[tokio::test]
async fn subscription_ends_with_its_incarnation() {
    let (topic, log) = (Topic::new(), Log::default());
    let (topics, logged) = (topic.clone(), log.clone());
    let (mut handle, child) = builder(move || Subscriber {
        topic: topics.clone(),
        log: logged.clone(),
    })
    .restart(Restart::Permanent)
    .supervision(rules(Strategy::OneForOne))
    .spawn();
    for incarnation in 2..5 {
        handle.send_high(()).await.unwrap();
        reach(&handle, incarnation).await;
    }
    assert_eq!(topic.subscribers(), 1);
    topic.publisher().publish(7).await;
    handle.idle().await;
    assert_eq!(log.take(), ["7"]);
    child.stop().await;
    assert_eq!(topic.subscribers(), 0);
}

#[tokio::test]
async fn subscription_does_not_keep_its_actor_running() {
    let (topic, log) = (Topic::new(), Log::default());
    let (handle, child) = spawn(Subscriber {
        topic: topic.clone(),
        log: log.clone(),
    });
    handle.idle().await;
    let mut publisher = topic.publisher();
    assert_eq!(publisher.try_publish(1).queued, 1);
    let idle = handle.idle();
    idle.await;
    // The topic and the publisher have lanes. What was accepted before is handled.
    assert_eq!(publisher.try_publish(2).queued, 1);
    drop(handle);
    assert!(matches!(child.await, ExitReason::Normal));
    assert_eq!(log.take(), ["1", "2"]);
    assert_eq!(publisher.try_publish(3).queued, 0);
    assert_eq!(topic.subscribers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_handle_is_noticed_while_publishers_come_and_go() {
    for _ in 0..500 {
        let topic = Topic::new();
        let (handle, child) = spawn(Subscriber {
            topic: topic.clone(),
            log: Log::default(),
        });
        handle.idle().await;
        let other = handle.clone();
        let publishers = tokio::spawn(async move {
            for _ in 0..4 {
                topic.publisher().clone().try_publish(1);
            }
            topic
        });
        let clones = tokio::spawn(async move { drop(other.clone()) });
        drop(handle);
        let reason = timeout(60 * SECOND, child).await;
        assert!(matches!(reason, Ok(ExitReason::Normal)), "{reason:?}");
        clones.await.unwrap();
        drop(publishers.await.unwrap());
    }
}

/// What blocks a thread until the sender is dropped.
type Gate = (oneshot::Sender<()>, mpsc::Receiver<()>);

/// Blocks its thread, or fails.
struct Blocker;

impl Actor for Blocker {
    type HighPriorityMsg = Option<Gate>;
    type LowPriorityMsg = ();

    async fn on_high(&mut self, gate: Option<Gate>, _: &mut Context<Self>) -> ActorResult {
        let Some((blocks, gate)) = gate else {
            return Err(ActorError::msg("told to fail"));
        };
        blocks.send(()).unwrap();
        let _ = gate.recv();
        Ok(())
    }
}

async fn block(handle: &mut ActorHandle<Blocker>) -> mpsc::Sender<()> {
    let (open, gate) = mpsc::channel();
    let (blocks, blocked) = oneshot::channel();
    handle.send_high(Some((blocks, gate))).await.unwrap();
    blocked.await.unwrap();
    open
}

/// Starts a child on a worker thread in its first incarnation.
struct Parent {
    log: Log,
    worker_thread: WorkerThread,
    share: Arc<Mutex<Option<ActorHandle<Blocker>>>>,
}

impl Actor for Parent {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if ctx.incarnation() == 1 {
            let child = Blocker.into_builder().on(&self.worker_thread);
            let (handle, child) = ctx.spawn(child);
            child.detach();
            *self.share.lock().unwrap() = Some(handle);
        }
        Ok(())
    }

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("told to fail"))
    }

    async fn on_child_exit(&mut self, _: ExitNotice, ctx: &mut Context<Self>) -> ActorResult {
        self.log.add(ctx.incarnation().to_string());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn exit_of_a_late_child_does_not_reach_the_next_incarnation() {
    let (log, share) = (Log::default(), Arc::default());
    let worker_thread = WorkerThread::new("blocked").unwrap();
    let (logged, shared) = (log.clone(), Arc::clone(&share));
    let (mut parent, _child) = builder(move || Parent {
        log: logged.clone(),
        worker_thread: worker_thread.clone(),
        share: Arc::clone(&shared),
    })
    .restart(Restart::Permanent)
    .supervision(rules(Strategy::OneForOne))
    .spawn();
    parent.idle().await;
    let mut blocker = share.lock().unwrap().take().unwrap();
    let open = block(&mut blocker).await;
    parent.send_high(()).await.unwrap();
    while parent.incarnation() != 2 || parent.phase() != Phase::Running {
        tokio::time::sleep(SECOND).await;
    }
    drop(open);
    blocker.monitor().await;
    parent.idle().await;
    assert!(log.take().is_empty());
}

/// Fails when it is told to, and at each restart of the actor "first".
struct CannotRestart;

impl Actor for CannotRestart {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if &*ctx.name() == "first" && ctx.incarnation() > 1 {
            return Err(ActorError::msg("cannot start again"));
        }
        Ok(())
    }

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        Err(ActorError::msg("told to fail"))
    }
}

#[tokio::test]
async fn round_outlives_the_worker_thread_of_the_failed_actor() {
    let system = System::supervised("s", rules(Strategy::OneForAll).intensity(2, 3_600 * SECOND));
    let worker_thread = WorkerThread::new("first").unwrap();
    let actor = |name| {
        builder(|| CannotRestart)
            .restart(Restart::Permanent)
            .name(name)
    };
    let (mut first, _first) = system.spawn(actor("first").on(&worker_thread));
    drop(worker_thread);
    let (mut second, _second) = system.spawn(actor("second"));
    first.idle().await;
    second.idle().await;
    first.send_high(()).await.unwrap();
    let reason = first.monitor().await;
    assert!(matches!(reason, ExitReason::RestartsSpent(_)), "{reason}");
    while second.phase() != Phase::Running {
        tokio::task::yield_now().await;
    }
    // The next failure is answered, and does not wait for the round.
    let before = second.incarnation();
    second.send_high(()).await.unwrap();
    reach(&second, before + 1).await;
}

#[tokio::test(start_paused = true)]
async fn round_goes_on_without_a_sibling_that_blocks_its_thread() {
    hush();
    let system = System::supervised("s", rules(Strategy::OneForAll));
    let worker_thread = WorkerThread::new("blocked").unwrap();
    let blocker = builder(|| Blocker)
        .restart(Restart::Permanent)
        .on(&worker_thread);
    let (mut blocker, _blocker) = system.spawn(blocker);
    let log = Log::default();
    let worker = || builder(Worker::factory("w", &log)).restart(Restart::Permanent);
    let (mut failing, _failing) = system.spawn(worker());
    let (healthy, _healthy) = system.spawn(worker());
    let open = block(&mut blocker).await;
    failing.send_high(Control::Fail).await.unwrap();
    let begun = tokio::time::Instant::now();
    for handle in [&failing, &healthy] {
        while handle.incarnation() != 2 || handle.phase() != Phase::Running {
            assert!(begun.elapsed() < 10 * SECOND);
            tokio::time::sleep(SECOND / 10).await;
        }
    }
    assert_eq!(blocker.incarnation(), 1);
    drop(open);
    while blocker.incarnation() != 2 {
        tokio::task::yield_now().await;
    }
}

/// Gathers batches of four, and throws them away.
struct Gatherer;

impl Actor for Gatherer {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        while ctx.wait_all(self, 4, std::future::ready(())).await? {
            let mut batch = ctx.take_batch();
            batch.clear();
            ctx.put_batch(batch);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn actor_that_gathers_is_idle_when_nothing_else_is_queued() {
    let (mut handle, _child) = spawn(Gatherer);
    for count in [0, 4, 5, 3] {
        for number in 0..count {
            handle.send_low(number).await.unwrap();
        }
        let idle = tokio::time::timeout(SECOND, handle.idle());
        idle.await.unwrap_or_else(|_| panic!("idle after {count}"));
    }
}

/// Takes three seconds to start.
struct SlowStart;

impl Actor for SlowStart {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        tokio::time::sleep(3 * SECOND).await;
        Ok(())
    }

    async fn on_low(&mut self, (): (), _: &mut Context<Self>) -> ActorResult {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn health_check_does_not_judge_the_start() {
    let (mut handle, child) = builder(|| SlowStart).health(Health::every(SECOND)).spawn();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(handle.phase(), Phase::Running);
    handle.send_low(()).await.unwrap();
    assert!(matches!(child.await, ExitReason::Unhealthy));
}

#[tokio::test]
async fn actor_given_by_value_has_no_restart_policy() {
    let sink = Sink::<(), ()>::new().into_builder();
    let error = sink.restart(Restart::Permanent).try_spawn().unwrap_err();
    assert_eq!(error, SpawnError::NeedsFactory);
    let sink = Sink::<(), ()>::new().into_builder();
    assert!(sink.restart(Restart::Temporary).try_spawn().is_ok());
}

/// Starts a child again whenever it ends.
struct Respawner {
    log: Log,
}

impl Actor for Respawner {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let sink = Sink::<(), ()>::new().into_builder();
        ctx.spawn(sink.keep_running()).1.detach();
        Ok(())
    }

    async fn on_child_exit(&mut self, _: ExitNotice, ctx: &mut Context<Self>) -> ActorResult {
        let (mut handle, child) = ctx.spawn(Sink::<(), ()>::new());
        self.log.add(format!("stopping {}", ctx.is_stopping()));
        assert!(handle.try_send_low(()).is_err());
        self.log.add(child.await.to_string());
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add("cleaned up");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn child_started_during_a_stop_has_ended() {
    let log = Log::default();
    let system = System::new("s");
    let (handle, _child) = system.spawn(Respawner { log: log.clone() });
    handle.idle().await;
    let report = system.shutdown(SECOND).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.take(), ["stopping true", "stopped", "cleaned up"]);
}

/// Adds up numbers in local tasks.
struct LocalSum(Rc<Cell<u64>>);

impl LocalActor for LocalSum {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_low(&mut self, number: u64, _: &mut LocalContext<Self>) -> ActorResult {
        let sum = self.0.clone();
        let task = tokio::task::spawn_local(async move { sum.set(sum.get() + number) });
        Ok(task.await?)
    }
}

#[tokio::test]
async fn local_actor_spawns_local_tasks() {
    let worker_thread = WorkerThread::new("local").unwrap();
    let sum = local(|| LocalSum(Rc::default())).on(&worker_thread);
    let (mut handle, child) = sum.spawn();
    for number in 1..=3 {
        handle.send_low(number).await.unwrap();
    }
    handle.idle().await;
    let sum = handle.inspect(|sum| sum.0.get(), Duration::from_secs(60));
    assert_eq!(sum.await, Ok(6));
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

#[tokio::test]
async fn weak_handle_leads_to_the_next_incarnation_and_to_nothing_after_a_stop() {
    hush();
    let log = Log::default();
    let system = System::supervised("s", rules(Strategy::OneForOne));
    let worker = builder(Worker::factory("w", &log)).restart(Restart::Permanent);
    let (mut handle, child) = system.spawn(worker);
    let weak = handle.downgrade();
    handle.send_high(Control::Panic).await.unwrap();
    reach(&handle, 2).await;
    let mut again = weak.upgrade().expect("it is restarted");
    again.send_low(7).await.unwrap();
    again.idle().await;
    assert_eq!(again.ask(Control::Sum, SECOND).await, Ok(7));
    assert_eq!(again.id(), weak.id());
    child.stop().await;
    assert!(weak.upgrade().is_none(), "stopped, though handles are left");
    assert!(!weak.is_alive());
}
