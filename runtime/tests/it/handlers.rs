//! Actors with one type of messages.

use std::time::Duration;

use futures_util::stream;
use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Context, CrashPolicy, ExitNotice, ExitReason,
    Handler, Overflow, Reply, Restart, SendError, Sent, System,
    actor::{Batch, Observe, Priority},
    builder, spawn,
    testing::Sink,
};
use tokio::time::{Instant, sleep};

use crate::common::{Log, SECOND};

enum Msg {
    Add(u64),
    Get(Reply<u64>),
    UrgentGet(Reply<u64>),
    Reset,
    Fail,
    Watch(ActorHandle<Sink<(), ()>>),
    Timers,
}

/// Adds up, with all of the hooks.
struct Sum {
    sum: u64,
    log: Log,
}

impl Sum {
    fn new(log: &Log) -> Self {
        Self {
            sum: 0,
            log: log.clone(),
        }
    }
}

impl Handler for Sum {
    type Msg = Msg;

    fn priority(msg: &Msg) -> Priority {
        match msg {
            Msg::UrgentGet(_) | Msg::Reset | Msg::Fail => Priority::High,
            _ => Priority::Low,
        }
    }

    async fn handle(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Add(n) => self.sum += n,
            Msg::Get(reply) | Msg::UrgentGet(reply) => drop(reply.send(self.sum)),
            Msg::Reset => self.sum = 0,
            Msg::Fail => return Err(ActorError::msg("wrong")),
            Msg::Watch(peer) => {
                ctx.watch(&peer, CrashPolicy::Compensate);
                ctx.spawn(Sink::<(), ()>::new()).1.detach();
            }
            Msg::Timers => {
                ctx.send_after(SECOND, Msg::Add(1));
                ctx.send_after(SECOND, Msg::Reset);
                ctx.attach(stream::iter([Msg::Add(10), Msg::Add(10)]));
                ctx.pipe(async { Msg::Add(100) });
                ctx.send_interval(2 * SECOND, || Msg::Add(1000));
            }
        }
        Ok(())
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("started {}", ctx.incarnation()));
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("child {}", notice.reason));
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("peer {}", notice.reason));
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("stopped: {reason}"));
        Ok(())
    }
}

impl Observe for Sum {
    type State = u64;

    fn observe(&self) -> u64 {
        self.sum
    }
}

#[tokio::test]
async fn message_takes_the_lane_of_its_priority() {
    let (mut sum, _child) = spawn(Sum::new(&Log::default()));
    for n in 1..=3 {
        assert_eq!(sum.tell(Msg::Add(n)).await.unwrap(), Sent::Queued);
    }
    // The actor has not run yet: the urgent question overtakes, the other keeps its place.
    assert_eq!(sum.ask(Msg::UrgentGet, SECOND).await, Ok(0));
    assert_eq!(sum.ask(Msg::Get, SECOND).await, Ok(6));
    assert_eq!(
        sum.ask_low(Msg::UrgentGet, SECOND).await,
        Ok(6),
        "as the caller says"
    );
    sum.try_tell(Msg::Add(1)).unwrap();
    sum.try_tell(Msg::Reset).unwrap();
    sum.tell_by(Msg::Add(1), Instant::now() + SECOND)
        .await
        .unwrap();
    sum.tell_by(Msg::Reset, Instant::now() + SECOND)
        .await
        .unwrap();
    sum.idle().await;
    assert_eq!(sum.state(SECOND).await, Ok(2), "resets overtake");
    assert_eq!((sum.stats().high, sum.stats().low), (3, 7));
}

#[tokio::test]
async fn each_priority_has_its_capacity_and_policy() {
    let factory = || Sum::new(&Log::default());
    let small = builder(factory).low_capacity(1).high_capacity(1);
    let (mut sum, child) = small.high_overflow(Overflow::Reject).spawn();
    sum.try_tell(Msg::Add(1)).unwrap();
    let full = sum.try_tell(Msg::Add(2));
    assert!(matches!(full, Err(SendError::Full(Msg::Add(2)))));
    sum.tell(Msg::Reset).await.unwrap();
    let full = sum.tell(Msg::Reset).await;
    assert!(matches!(full, Err(SendError::Full(Msg::Reset))));
    let late = sum.tell_by(Msg::Add(3), Instant::now()).await;
    assert!(matches!(late, Err(SendError::Expired(Msg::Add(3)))));
    child.stop().await;
    let closed = sum.tell(Msg::Add(4)).await;
    assert!(matches!(closed, Err(SendError::Closed(Msg::Add(4)))));
}

#[tokio::test(start_paused = true)]
async fn all_hooks_are_called() {
    let log = Log::default();
    let (peer, peer_child) = spawn(Sink::<(), ()>::new());
    let system = System::new("system");
    let for_factory = log.clone();
    let sum = builder(move || Sum::new(&for_factory)).restart(Restart::Transient);
    let (mut sum, child) = system.spawn(sum);
    sum.tell(Msg::Fail).await.unwrap();
    while sum.incarnation() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    sum.tell(Msg::Watch(peer)).await.unwrap();
    // Both end when their handles are gone.
    assert!(matches!(peer_child.await, ExitReason::Normal));
    sum.idle().await;
    child.stop().await;
    let expected = [
        "started 1",
        "stopped: failed: wrong",
        "started 2",
        "child ended normally",
        "peer ended normally",
        "stopped: stopped",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn sources_of_a_handler() {
    let (mut sum, _child) = spawn(Sum::new(&Log::default()));
    sum.tell(Msg::Timers).await.unwrap();
    sum.idle().await;
    assert_eq!(sum.state(SECOND).await, Ok(120));
    sleep(SECOND + Duration::from_millis(1)).await;
    assert_eq!(
        sum.state(SECOND).await,
        Ok(1),
        "the urgent timer comes first"
    );
    sleep(SECOND).await;
    assert_eq!(sum.state(SECOND).await, Ok(1001));
}

#[tokio::test]
async fn batches_of_a_handler() {
    struct Batched(Vec<Vec<u8>>);
    impl Handler for Batched {
        type Msg = u8;
        const BATCH: usize = 3;
        fn priority(msg: &u8) -> Priority {
            if *msg == 0 {
                Priority::High
            } else {
                Priority::Low
            }
        }
        async fn handle(&mut self, msg: u8, _: &mut Context<Self>) -> ActorResult {
            self.0.push(vec![msg]);
            Ok(())
        }
        async fn handle_batch(
            &mut self,
            batch: &mut Batch<u8>,
            _: &mut Context<Self>,
        ) -> ActorResult {
            self.0.push(batch.drain().collect());
            Ok(())
        }
    }
    let (mut handle, _child) = spawn(Batched(Vec::new()));
    for n in [1, 2, 3, 4, 0] {
        handle.try_tell(n).unwrap();
    }
    handle.idle().await;
    let seen = handle
        .inspect(|actor| actor.0.clone(), SECOND)
        .await
        .unwrap();
    assert_eq!(seen, [vec![0], vec![1, 2, 3], vec![4]]);
}

#[tokio::test]
async fn handler_works_wherever_an_actor_does() {
    fn name<A: Actor>(_: &ActorHandle<A>) -> &'static str {
        std::any::type_name::<A>()
    }
    struct Echo;
    impl Handler for Echo {
        type Msg = Reply<u8>;
        async fn handle(&mut self, reply: Reply<u8>, _: &mut Context<Self>) -> ActorResult {
            drop(reply.send(7));
            Ok(())
        }
    }
    let (mut echo, child) = spawn(Echo);
    assert!(name(&echo).ends_with("Echo"));
    assert_eq!(echo.ask(|reply| reply, SECOND).await, Ok(7));
    assert_eq!(echo.stats().low, 1, "low by default");
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}
