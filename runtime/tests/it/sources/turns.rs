//! The turns of sources, the mailbox and extra arms; batches.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use futures_util::stream;
use lanemesh_runtime::{Actor, ActorResult, Context, ExitReason, actor::Batch, actor_loop, spawn};
use tokio::{sync::mpsc, time::sleep};

use super::{Scripted, ms, step};
use crate::common::Log;

/// Counts in which order its messages come.
struct Flooded {
    order: Arc<Mutex<Vec<char>>>,
    limit: usize,
}

impl Flooded {
    fn new(limit: usize) -> (Self, Arc<Mutex<Vec<char>>>) {
        let order = Arc::<Mutex<Vec<char>>>::default();
        let actor = Self {
            order: order.clone(),
            limit,
        };
        (actor, order)
    }

    fn note(&self, letter: char, ctx: &mut Context<Self>) {
        let mut order = self.order.lock().unwrap();
        order.push(letter);
        if order.len() >= self.limit {
            ctx.stop();
        }
    }
}

impl Actor for Flooded {
    type HighPriorityMsg = char;
    type LowPriorityMsg = char;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.attach_low(stream::repeat('s'));
        ctx.attach_low(stream::repeat('t'));
        Ok(())
    }

    async fn on_high(&mut self, letter: char, ctx: &mut Context<Self>) -> ActorResult {
        if letter == 'S' {
            ctx.attach_high(stream::repeat('H'));
        }
        self.note(letter, ctx);
        Ok(())
    }

    async fn on_low(&mut self, letter: char, ctx: &mut Context<Self>) -> ActorResult {
        self.note(letter, ctx);
        Ok(())
    }
}

#[tokio::test]
async fn stream_and_messages_take_turns() {
    let (actor, order) = Flooded::new(200);
    let (mut handle, child) = spawn(actor);
    for _ in 0..100 {
        handle.try_send_low('m').unwrap();
    }
    child.await;
    let order: String = order.lock().unwrap().iter().collect();
    assert_eq!(order, "smtm".repeat(50), "of {order}");
}

#[tokio::test]
async fn urgent_stream_starves_neither_messages_nor_low_streams() {
    let (actor, order) = Flooded::new(2_000);
    let (mut handle, child) = spawn(actor);
    handle.try_send_high('S').unwrap();
    for _ in 0..50 {
        handle.try_send_high('h').unwrap();
    }
    for _ in 0..10 {
        handle.try_send_low('m').unwrap();
    }
    child.await;
    let order: String = order.lock().unwrap().iter().collect();
    assert!(order.starts_with("SHhHhHh"), "of {order}");
    let low: String = order
        .chars()
        .filter(|letter| letter.is_lowercase())
        .collect();
    assert!(
        low.starts_with(&"h".repeat(31)),
        "the first burst is 64 messages, of {low}"
    );
    // After each burst of 64, one low message: in turn from the streams and from the mailbox.
    let low: String = low.chars().filter(|letter| *letter != 'h').collect();
    assert!(low.starts_with("smtmsmtmsm"), "of {low}");
    assert_eq!(low.len(), 2_000 / 65);
}

#[tokio::test]
async fn flood_of_messages_does_not_starve_a_timer() {
    struct Busy(u64);
    impl Actor for Busy {
        type HighPriorityMsg = ();
        type LowPriorityMsg = u64;
        async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
            ctx.send_low_after(Duration::from_millis(1), 1);
            Ok(())
        }
        async fn on_low(&mut self, n: u64, ctx: &mut Context<Self>) -> ActorResult {
            // The flood never ends: each message is followed by another.
            if n == 0 {
                self.0 += 1;
                if let Some(mut me) = ctx.handle() {
                    me.try_send_low(0)?;
                }
            } else {
                ctx.stop();
            }
            Ok(())
        }
    }
    let (mut handle, child) = spawn(Busy(0));
    handle.try_send_low(0).unwrap();
    assert!(matches!(child.await, ExitReason::Stopped));
}

#[tokio::test]
async fn future_that_wakes_itself_does_not_keep_messages_waiting() {
    let log = Log::default();
    let (mut handle, child) = spawn(Scripted::new(&log));
    let set = step(|_, ctx| {
        ctx.pipe_low(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<&'static str>::Pending
        }));
    });
    handle.send_high(set).await.unwrap();
    for _ in 0..100 {
        handle.send_low("message").await.unwrap();
    }
    while handle.stats().low < 100 {
        tokio::task::yield_now().await;
    }
    child.stop().await;
}

/// Its loop has an extra arm.
struct Looping {
    extra: mpsc::Receiver<&'static str>,
    seen: Vec<&'static str>,
}

impl Actor for Looping {
    type HighPriorityMsg = &'static str;
    type LowPriorityMsg = &'static str;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.send_low_after(ms(10), "low timer");
        ctx.send_high_after(ms(20), "high timer");
        ctx.attach_low(stream::iter(["item"; 40]));
        ctx.send_high_after(ms(30), "end");
        Ok(())
    }

    async fn on_high(&mut self, text: &'static str, _: &mut Context<Self>) -> ActorResult {
        self.seen.push(text);
        Ok(())
    }

    async fn on_low(&mut self, text: &'static str, _: &mut Context<Self>) -> ActorResult {
        self.seen.push(text);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        actor_loop!(self, ctx,
            Some(text) = self.extra.recv() => {
                self.seen.push(text);
                if self.seen.contains(&"end") {
                    break;
                }
            },
        )
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        let extra = self.seen.iter().position(|text| *text == "extra").unwrap();
        assert!(
            extra <= 33,
            "an arm has its turn after 32 low messages, not after {extra}"
        );
        self.seen.retain(|text| *text != "item");
        assert_eq!(
            self.seen,
            ["extra", "low timer", "high timer", "end", "extra"]
        );
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn sources_work_in_a_loop_with_extra_arms() {
    let (tx, extra) = mpsc::channel(8);
    let seen = Vec::new();
    let (handle, child) = spawn(Looping { extra, seen });
    tx.send("extra").await.unwrap();
    sleep(ms(40)).await;
    assert_eq!(handle.stats().low, 41);
    tx.send("extra").await.unwrap();
    assert!(matches!(child.await, ExitReason::Normal));
}

/// Gathers batches, from its mailbox and from a stream.
struct Gathering {
    waits_for_all: bool,
    batches: Vec<Vec<u64>>,
    urgent: u64,
}

impl Actor for Gathering {
    type HighPriorityMsg = u64;
    type LowPriorityMsg = u64;
    const BATCH: usize = 8;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.attach_low(stream::iter(100..104));
        ctx.send_high_after(ms(1), 1);
        Ok(())
    }

    async fn on_high(&mut self, n: u64, ctx: &mut Context<Self>) -> ActorResult {
        self.urgent += n;
        if self.urgent == 2 {
            ctx.stop();
        }
        Ok(())
    }

    async fn on_low_batch(&mut self, batch: &mut Batch<u64>, _: &mut Context<Self>) -> ActorResult {
        self.batches.push(batch.drain().collect());
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if !self.waits_for_all {
            return ctx.run(self).await;
        }
        while ctx.wait_all(self, 4, async {}).await? {
            let mut batch = ctx.take_batch();
            self.batches.push(batch.drain().collect());
            ctx.put_batch(batch);
        }
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        let mut all: Vec<u64> = self.batches.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 100, 101, 102, 103]);
        if self.waits_for_all {
            assert!(self.batches.iter().all(|batch| batch.len() == 4));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn sources_fill_batches() {
    for waits_for_all in [false, true] {
        let (mut handle, child) = spawn(Gathering {
            waits_for_all,
            batches: Vec::new(),
            urgent: 0,
        });
        for n in 0..4 {
            handle.try_send_low(n).unwrap();
        }
        sleep(ms(2)).await;
        assert_eq!(handle.stats().high, 1, "the timer has fired");
        handle.send_high(1).await.unwrap();
        let reason = child.await;
        assert!(matches!(reason, ExitReason::Stopped), "{reason}");
    }
}
