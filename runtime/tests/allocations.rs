//! No allocation per message: sending twice as many messages allocates no more. What comes and goes
//! leaves no memory behind.
//!
//! A binary of its own: the allocator that counts is global.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, Reply,
    actor::Batch,
    actor_loop,
    patterns::{SlowPolicy, Topic},
    spawn,
    testing::Sink,
};
use tokio::{runtime::Runtime, sync::mpsc};

const SECOND: Duration = Duration::from_secs(1);
const MANY: u64 = 1_000;

/// Adds up numbers, and answers with the sum.
struct Sum<const BATCH: usize>(u64);

impl<const BATCH: usize> Actor for Sum<BATCH> {
    type HighPriorityMsg = Reply<u64>;
    type LowPriorityMsg = u64;
    const BATCH: usize = BATCH;

    async fn on_high(&mut self, reply: Reply<u64>, _: &mut Context<Self>) -> ActorResult {
        // The asker may be gone.
        let _ = reply.send(self.0);
        Ok(())
    }

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.0 += number;
        Ok(())
    }

    async fn on_low_batch(&mut self, batch: &mut Batch<u64>, _: &mut Context<Self>) -> ActorResult {
        self.0 += batch.drain().sum::<u64>();
        Ok(())
    }
}

/// A sum with a loop of its own.
struct Armed {
    sum: u64,
    extra: mpsc::Receiver<u64>,
}

impl Actor for Armed {
    type HighPriorityMsg = u64;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.sum += number;
        Ok(())
    }

    async fn on_low(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        self.sum += number;
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            Some(number) = self.extra.recv() => {
                self.sum += number;
            },
        )
    }
}

fn executor() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

/// Fails unless, after a warm-up, twice the number of rounds allocates as often as once.
fn constant<T>(executor: &Runtime, mut state: T, turns: impl AsyncFn(&mut T, u64)) {
    let mut count = |times| {
        allocation_counter::measure(|| executor.block_on(turns(&mut state, times))).count_total
    };
    // Queues that grow with the backlog have reached their size.
    for _ in 0..4 {
        count(2 * MANY);
    }
    assert_eq!(count(MANY), count(2 * MANY));
}

fn spawned<A: Actor>(executor: &Runtime, actor: A) -> ActorHandle<A> {
    let _entered = executor.enter();
    let (handle, child) = spawn(actor);
    child.detach();
    handle
}

#[test]
fn no_allocation_per_low_message() {
    let executor = executor();
    let sum = spawned(&executor, Sum::<1>(0));
    constant(&executor, sum, async |sum, times| {
        for number in 0..times {
            sum.send_low(number).await.unwrap();
        }
        sum.idle().await;
    });
}

#[test]
fn no_allocation_per_message_that_finds_its_actor_idle() {
    let executor = executor();
    let sink = spawned(&executor, Sink::<u64, u64>::new());
    constant(&executor, sink, async |sink, times| {
        for number in 0..times {
            sink.try_send_low(number).unwrap();
            tokio::task::yield_now().await;
            sink.try_send_high(number).unwrap();
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn no_allocation_per_high_message_in_a_burst_over_low_ones() {
    let executor = executor();
    let sink = spawned(&executor, Sink::<u64, u64>::new());
    constant(&executor, sink, async |sink, times| {
        for number in 0..times {
            sink.send_high(number).await.unwrap();
            sink.send_low(number).await.unwrap();
        }
        sink.idle().await;
    });
}

#[test]
fn no_allocation_per_question() {
    let executor = executor();
    let sum = spawned(&executor, Sum::<1>(0));
    constant(&executor, sum, async |sum, times| {
        for _ in 0..times {
            sum.ask(|reply| reply, SECOND).await.unwrap();
        }
    });
}

#[test]
fn no_allocation_per_question_to_a_shared() {
    let executor = executor();
    let sum = spawned(&executor, Sum::<1>(0));
    let shared = sum.shared();
    constant(&executor, shared, async |shared, times| {
        for _ in 0..times {
            // Two at a time: each has its own oneshot and timer.
            let one = shared.ask(|reply| reply, SECOND);
            let other = shared.ask(|reply| reply, SECOND);
            let (one, other) = tokio::join!(one, other);
            assert_eq!(one, other);
        }
    });
}

#[test]
fn no_allocation_per_message_of_a_vector() {
    let executor = executor();
    let sink = spawned(&executor, Sink::<u64, u64>::new());
    constant(
        &executor,
        (sink, Vec::new()),
        async |(sink, batch), times| {
            for number in 0..times {
                batch.extend([number; 8]);
                assert_eq!(sink.send_vec_low(batch).await, Ok(8));
                batch.extend([number; 8]);
                assert_eq!(sink.send_vec_high(batch).await, Ok(8));
            }
            sink.idle().await;
        },
    );
}

#[test]
fn no_allocation_per_batch() {
    let executor = executor();
    let sum = spawned(&executor, Sum::<32>(0));
    constant(&executor, sum, async |sum, times| {
        for number in 0..times {
            sum.send_low(number).await.unwrap();
        }
        sum.idle().await;
    });
}

#[test]
fn no_allocation_per_turn_of_a_loop_with_arms() {
    let executor = executor();
    let (extra, arm) = mpsc::channel(8);
    let armed = spawned(&executor, Armed { sum: 0, extra: arm });
    constant(&executor, (armed, extra), async |(armed, extra), times| {
        for number in 0..times {
            armed.send_low(number).await.unwrap();
            armed.send_high(number).await.unwrap();
            extra.send(number).await.unwrap();
        }
        armed.idle().await;
    });
}

/// Does nothing by itself.
struct Idle;

impl Actor for Idle {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;
}

#[tokio::test(flavor = "current_thread")]
async fn subscriptions_that_an_actor_ends_itself_leave_no_memory_behind() {
    let topic = Topic::new();
    let (handle, _child) = spawn(Idle);
    let own = handle.clone();
    let subscribed = topic.clone();
    let left = handle
        .inspect(
            move |_: &mut Idle| {
                let churn = |count| {
                    for _ in 0..count {
                        let recipient = own.low_recipient();
                        let key = subscribed.subscribe_recipient(recipient, SlowPolicy::Drop);
                        subscribed.unsubscribe(key);
                    }
                };
                churn(100);
                allocation_counter::measure(|| churn(10_000)).bytes_current
            },
            Duration::from_secs(60),
        )
        .await
        .unwrap();
    assert!(left < 1024, "{left} bytes");
    assert_eq!(topic.subscribers(), 0);
}
