//! Conversations, topics, pools, routes and worker threads.

use std::{
    cell::Cell,
    collections::HashSet,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{self, Poll, Wake, Waker},
    thread::ThreadId,
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, CrashPolicy, ExitReason, LocalActor,
    LocalContext, Restart, SendError, SpawnError, System, WorkerThread,
    actor::Local,
    actor_loop, builder, local,
    patterns::{Conversation, ConversationError, Pool, Request, Route, SlowPolicy, Topic},
    spawn,
    supervision::{Backoff, Strategy, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::Instant};

use crate::common::{Control, Log, POISON, SECOND, Worker, hush};

/// Answers with its number, panics at 13, never answers 0.
struct Participant {
    number: u32,
    kept: Vec<Request<u32, u32>>,
}

impl Actor for Participant {
    type HighPriorityMsg = oneshot::Receiver<()>;
    type LowPriorityMsg = Request<u32, u32>;

    async fn on_high(&mut self, gate: oneshot::Receiver<()>, _: &mut Context<Self>) -> ActorResult {
        drop(gate.await);
        Ok(())
    }

    async fn on_low(&mut self, ask: Request<u32, u32>, _: &mut Context<Self>) -> ActorResult {
        match *ask.body() {
            0 => self.kept.push(ask),
            13 => panic!("provoked"),
            _ => ask.answer(self.number),
        }
        Ok(())
    }
}

fn participant(number: u32) -> lanemesh_runtime::Builder<Participant> {
    builder(move || Participant {
        number,
        kept: Vec::new(),
    })
    .restart(Restart::Permanent)
    .supervision(Supervision::new(Strategy::OneForOne).backoff(Backoff::none()))
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn crash_releases_a_waiting_receive() {
    hush();
    let (first, _first_child) = participant(1).spawn();
    let (mut talk, child) = Conversation::builder()
        .participant(&first, CrashPolicy::Fail)
        .spawn();
    let mut waiting = talk.clone();
    let receive = tokio::spawn(async move { waiting.receive(HOUR).await });
    while talk.state(SECOND).await.unwrap().waiting == 0 {}
    talk.send(13).await.unwrap();
    let crashed = ConversationError::ParticipantCrashed(first.id());
    assert_eq!(receive.await.unwrap(), Err(crashed));
    // The policy is to fail too: a failure that a supervisor would handle.
    assert!(matches!(child.await, ExitReason::Failed(_)));
    assert_eq!(talk.receive(HOUR).await, Err(ConversationError::Closed));
}

#[tokio::test]
async fn crash_policies_of_participants() {
    hush();
    let (first, first_child) = participant(1).spawn();
    let (second, _second_child) = participant(2).spawn();
    let (mut talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .participant(&second, CrashPolicy::Compensate)
        .compensate(|body, _| (*body == 13).then_some(99))
        .spawn();
    assert_eq!(talk.request(5, HOUR).await, Ok(1));
    // It crashes the first, goes to the second, crashes that one too, and is compensated for.
    assert_eq!(talk.request(13, HOUR).await, Ok(99));
    first.idle().await;
    second.idle().await;
    assert_eq!((first.incarnation(), second.incarnation()), (2, 2));
    first_child.stop().await;
    assert_eq!(talk.request(5, HOUR).await, Ok(2));
    assert_eq!(talk.state(SECOND).await.unwrap().participants, 1);
    second.stop();
    second.monitor().await;
    assert_eq!(
        talk.request(5, HOUR).await,
        Err(ConversationError::NoParticipant)
    );
}

#[tokio::test(start_paused = true)]
async fn receive_times_out_and_loses_nothing() {
    let (first, _first_child) = participant(1).spawn();
    let (mut talk, child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .spawn();
    assert_eq!(talk.receive(SECOND).await, Err(ConversationError::Timeout));
    assert_eq!(
        talk.request(0, SECOND).await,
        Err(ConversationError::Timeout)
    );
    talk.send(7).await.unwrap();
    assert_eq!(talk.receive(SECOND).await, Ok(1)); // not to the cancelled one
    let mut waiting = talk.clone();
    let receive = tokio::spawn(async move { waiting.receive(HOUR).await });
    while talk.state(SECOND).await.unwrap().waiting == 0 {}
    talk.close();
    assert_eq!(receive.await.unwrap(), Err(ConversationError::Closed));
    assert!(matches!(child.await, ExitReason::Stopped));
}

#[tokio::test(start_paused = true)]
async fn receive_is_released_when_the_last_participant_ends() {
    for policy in [CrashPolicy::Fail, CrashPolicy::RouteToNext] {
        let (first, first_child) = participant(1).spawn();
        let (second, second_child) = participant(2).spawn();
        let (mut talk, _child) = Conversation::builder()
            .participant(&first, policy)
            .participant(&second, policy)
            .spawn();
        let begun = Instant::now();
        let receives: Vec<_> = (0..2)
            .map(|_| {
                let mut waiting = talk.clone();
                tokio::spawn(async move { waiting.receive(HOUR).await })
            })
            .collect();
        while talk.state(SECOND).await.unwrap().waiting < 2 {}
        talk.send(7).await.unwrap();
        talk.actor().idle().await;
        first.idle().await;
        first_child.stop().await;
        second_child.stop().await;
        let mut outcomes = Vec::new();
        for receive in receives {
            outcomes.push(receive.await.unwrap());
        }
        // The answer is not lost, and a receive that waits for another one is released.
        outcomes.sort_by_key(|outcome| outcome.is_err());
        assert_eq!(outcomes, [Ok(1), Err(ConversationError::NoParticipant)]);
        let late = talk.receive(HOUR).await;
        assert_eq!(late, Err(ConversationError::NoParticipant));
        assert_eq!(Instant::now(), begun);
    }
}

#[tokio::test(start_paused = true)]
async fn reply_to_a_cancelled_receive_goes_to_the_next() {
    let (first, _first_child) = participant(1).spawn();
    let (mut talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .spawn();
    let mut other = talk.clone();
    let mut receive = Box::pin(other.receive(HOUR));
    poll_fn(|cx| {
        assert!(receive.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    while talk.state(SECOND).await.unwrap().waiting == 0 {}
    talk.send(7).await.unwrap();
    // The reply is sent to the waiting receive, which is not polled any more.
    while talk.state(SECOND).await.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    drop(receive);
    assert_eq!(talk.receive(SECOND).await, Ok(1));
}

#[tokio::test]
async fn topic_policies() {
    let topic = Topic::new();
    let mut all = topic.subscribe(100, SlowPolicy::Wait);
    let mut some = topic.subscribe(2, SlowPolicy::Drop);
    let mut none = topic.subscribe(1, SlowPolicy::Disconnect);
    let mut publisher = topic.publisher();
    for number in 0..5 {
        publisher.publish(number).await;
    }
    assert_eq!(
        std::iter::from_fn(|| all.try_recv()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(
        std::iter::from_fn(|| some.try_recv()).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!((some.missed(), topic.dropped()), (3, 3));
    assert_eq!(none.recv().await, Some(0));
    assert_eq!(topic.subscribers(), 2);
    drop(some);
    assert_eq!(topic.subscribers(), 1);
    let mut late = topic.subscribe(1, SlowPolicy::Wait);
    assert_eq!(publisher.try_publish(5).queued, 2);
    assert_eq!(late.recv().await, Some(5));
    // A publisher that waits continues when there is room.
    let mut second = topic.publisher();
    let publishing = tokio::spawn(async move {
        second.publish(6).await;
        second.publish(7).await
    });
    assert_eq!((late.recv().await, late.recv().await), (Some(6), Some(7)));
    assert_eq!(publishing.await.unwrap().queued, 2);
}

#[tokio::test]
async fn subscription_ends_when_nobody_can_publish() {
    let topic = Topic::<u32>::new();
    let mut subscription = topic.subscribe(1, SlowPolicy::Disconnect);
    let mut publisher = topic.publisher();
    publisher.publish(1).await;
    assert_eq!(publisher.publish(2).await.ended, 1);
    assert_eq!(subscription.recv().await, Some(1));
    assert_eq!(subscription.recv().await, None);
}

#[tokio::test]
async fn pool_goes_around_a_dead_worker() {
    hush();
    let log = Log::default();
    let system = System::supervised(
        "s",
        Supervision::new(Strategy::OneForOne)
            .intensity(0, SECOND)
            .backoff(Backoff::none()),
    );
    let (mut pool, _children) = Pool::spawn_in(&system, "w", 3, move |_| Worker::new("w", &log));
    pool.send_low(POISON).await.unwrap();
    let first = pool.workers().next().unwrap().clone();
    first.monitor().await;
    for _ in 0..10 {
        pool.send_low(1).await.unwrap();
    }
    pool.idle().await;
    let handled: Vec<u64> = pool.workers().map(|worker| worker.stats().low).collect();
    assert_eq!(handled, [1, 5, 5]);
    let workers: Vec<_> = pool.workers().cloned().collect();
    for worker in workers {
        worker.stop();
        worker.monitor().await;
    }
    assert_eq!(pool.send_low(1).await, Err(SendError::Closed(1)));
}

#[tokio::test]
async fn pool_waits_for_room_anywhere() {
    let log = Log::default();
    let make = |log: &Log| builder(Worker::factory("w", log)).low_capacity(1).spawn();
    let workers: Vec<_> = (0..2).map(|_| make(&log)).collect();
    let mut gates = Vec::new();
    for (worker, _) in &workers {
        let (open, gate) = oneshot::channel();
        worker
            .clone()
            .send_high(Control::Block(gate))
            .await
            .unwrap();
        gates.push(open);
    }
    let mut pool = Pool::of(workers.iter().map(|(worker, _)| worker.clone()).collect());
    for _ in 0..2 {
        pool.send_low(1).await.unwrap();
    }
    assert_eq!(pool.try_send_low(1), Err(SendError::Full(1)));
    let send = tokio::spawn(async move { pool.send_low(1).await });
    tokio::task::yield_now().await;
    assert!(!send.is_finished());
    gates.pop().unwrap().send(()).unwrap();
    send.await.unwrap().unwrap();
    // Only the job that no worker took counts; neither workers that were skipped nor the one that waited.
    let rejected = |(worker, _): &(ActorHandle<Worker>, Child)| worker.stats().rejected;
    assert_eq!(workers.iter().map(rejected).sum::<u64>(), 1);
}

#[tokio::test]
async fn route_goes_to_the_next_peer() {
    let (first, first_child) = spawn(Sink::<u8, u64>::new());
    let (second, second_child) = spawn(Sink::<u8, u64>::new());
    let mut route = Route::new([first.clone(), second.clone()]);
    route.send_low(1).await.unwrap();
    first.idle().await;
    first_child.stop().await;
    route.send_low(2).await.unwrap();
    route.send_high(3).await.unwrap();
    second.idle().await;
    assert_eq!(
        (first.stats().messages(), second.stats().messages()),
        (1, 2)
    );
    second_child.stop().await;
    assert_eq!(route.send_low(4).await, Err(SendError::Closed(4)));
    assert!(route.current().is_none());
}

/// Not `Send`, across await points too.
struct Rider {
    threads: Arc<Mutex<HashSet<ThreadId>>>,
    count: Rc<Cell<u64>>,
}

impl LocalActor for Rider {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, _: (), _: &mut LocalContext<Self>) -> ActorResult {
        panic!("provoked")
    }

    async fn on_low(&mut self, n: u64, _: &mut LocalContext<Self>) -> ActorResult {
        let count = self.count.clone();
        tokio::task::yield_now().await;
        count.set(count.get() + n);
        self.threads
            .lock()
            .unwrap()
            .insert(std::thread::current().id());
        Ok(())
    }

    async fn run(this: &mut Local<Self>, ctx: &mut LocalContext<Self>) -> ActorResult {
        let mut never = tokio::time::interval(HOUR);
        never.tick().await;
        actor_loop!(this, ctx, _ = never.tick() => {},)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn team_runs_local_actors_on_one_thread() {
    hush();
    let worker_thread = WorkerThread::new("t").unwrap();
    let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
    let mut handles = Vec::new();
    let mut children = Vec::new();
    for _ in 0..3 {
        let threads = Arc::clone(&threads);
        let (handle, child) = local(move || Rider {
            threads: threads.clone(),
            count: Rc::default(),
        })
        .restart(Restart::Permanent)
        .supervision(Supervision::new(Strategy::OneForOne).backoff(Backoff::none()))
        .on(&worker_thread)
        .spawn();
        handles.push(handle);
        children.push(child);
    }
    drop(worker_thread); // its actors keep the thread running
    for handle in &mut handles {
        handle.send_low(1).await.unwrap();
        handle.idle().await;
        handle.send_high(()).await.unwrap(); // a restart happens on the same thread
        handle.send_low(2).await.unwrap();
        handle.idle().await;
        assert_eq!(handle.incarnation(), 2);
        assert_eq!(
            handle.inspect(|rider| rider.count.get(), SECOND).await,
            Ok(2)
        );
    }
    assert_eq!(threads.lock().unwrap().len(), 1);
    for child in children {
        assert!(matches!(child.stop().await, ExitReason::Stopped));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_actor_needs_a_team() {
    let rider = local(|| Rider {
        threads: Arc::default(),
        count: Rc::default(),
    });
    assert_eq!(
        rider.try_spawn().map(|_| ()),
        Err(SpawnError::NeedsWorkerThread)
    );
}

/// Ends the thread that it runs on: a timer of that thread wakes a waker that panics, outside of any task.
struct EndsThread;

impl Wake for EndsThread {
    fn wake(self: Arc<Self>) {
        panic!("provoked")
    }
}

impl Actor for EndsThread {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn on_high(&mut self, _: (), _: &mut Context<Self>) -> ActorResult {
        let mut timer = pin!(tokio::time::sleep(Duration::from_millis(1)));
        let waker = Waker::from(Arc::new(Self));
        let fired = timer.as_mut().poll(&mut task::Context::from_waker(&waker));
        assert!(fired.is_pending());
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_team_whose_thread_has_ended_takes_no_more_actors() {
    hush();
    let worker_thread = WorkerThread::new("short").unwrap();
    let (mut handle, child) = builder(|| EndsThread).on(&worker_thread).spawn();
    handle.send_high(()).await.unwrap();
    let ended = handle.monitor().await;
    assert!(matches!(ended, ExitReason::Killed), "{ended:?}");
    assert!(!child.is_alive());
    let next = builder(|| EndsThread).on(&worker_thread);
    let refused = next.try_spawn().map(|_| ());
    assert_eq!(refused, Err(SpawnError::WorkerThreadClosed));
    // Elsewhere actors start as usual.
    let (handle, child) = spawn(EndsThread);
    assert!(handle.is_alive());
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

/// Answers where it runs: the name of the thread, and the cores that the thread may use.
struct Where(tokio::sync::mpsc::UnboundedSender<(Option<String>, Vec<usize>)>);

impl Actor for Where {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let name = std::thread::current().name().map(String::from);
        self.0.send((name, cores()))?;
        ctx.stop();
        Ok(())
    }
}

/// The cores of this thread's mask on Linux; those of the system elsewhere.
fn cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// Whether the system lets a thread choose its core.
fn may_pin(core: usize) -> bool {
    let pin = move || core_affinity::set_for_current(core_affinity::CoreId { id: core });
    std::thread::spawn(pin).join().unwrap()
}

#[tokio::test]
async fn team_per_core() {
    let own = cores();
    let worker_threads = WorkerThread::per_core("core").unwrap();
    assert_eq!(worker_threads.len(), own.len().max(1));
    let (sender, mut places) = tokio::sync::mpsc::unbounded_channel();
    for (index, worker_thread) in worker_threads.iter().enumerate() {
        let sender = sender.clone();
        let (_handle, child) = builder(move || Where(sender.clone()))
            .on(worker_thread)
            .keep_running()
            .spawn();
        child.await;
        let (name, mask) = places.recv().await.unwrap();
        assert_eq!(name.as_deref(), Some(worker_thread.name()));
        if !own.get(index).is_some_and(|core| may_pin(*core)) {
            println!("not asserted: this system does not let a thread choose its core");
            assert_eq!(worker_thread.core(), None);
            continue;
        }
        assert_eq!(worker_thread.core(), Some(index));
        if cfg!(target_os = "linux") {
            assert_eq!(mask, [own[index]], "the mask of the worker thread");
        } else {
            println!("not asserted: this system does not tell a thread's cores");
        }
    }
    // Only the worker threads were pinned.
    assert_eq!(cores(), own);
}
