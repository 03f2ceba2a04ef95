//! The order of the event loop, and that nothing starves.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, ExitNotice, ExitReason, Reply,
    actor::Batch,
    actor_loop, builder, spawn,
    testing::{Sink, simulate},
};
use tokio::sync::{mpsc, oneshot};

use crate::common::{Log, SECOND};

/// Records what it gets; a gate delays its first message so that a queue builds up.
struct Scribe {
    log: Log,
    extra: Option<mpsc::UnboundedReceiver<u32>>,
}

enum Urgent {
    Note(u32),
    Gate(oneshot::Receiver<()>),
}

impl Actor for Scribe {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = u32;

    async fn on_high(&mut self, msg: Urgent, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Urgent::Note(n) => self.log.add(format!("high {n}")),
            Urgent::Gate(gate) => drop(gate.await),
        }
        Ok(())
    }

    async fn on_low(&mut self, msg: u32, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("low {msg}"));
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let Some(mut extra) = self.extra.take() else {
            return ctx.run(self).await;
        };
        actor_loop!(self, ctx,
            Some(n) = extra.recv() => {
                self.log.add(format!("extra {n}"));
            },
        )
    }
}

#[tokio::test]
async fn high_overtakes_the_queue() {
    let log = Log::default();
    let (mut handle, _child) = spawn(Scribe {
        log: log.clone(),
        extra: None,
    });
    let (open, gate) = oneshot::channel();
    handle.send_high(Urgent::Gate(gate)).await.unwrap();
    for n in 0..100 {
        handle.send_low(n).await.unwrap();
    }
    handle.send_high(Urgent::Note(1)).await.unwrap();
    open.send(()).unwrap();
    handle.idle().await;
    let log = log.take();
    assert_eq!(log.len(), 101);
    assert_eq!(log[0], "high 1");
    assert_eq!(log[1], "low 0");
}

/// Has a child, and passes on its handle.
struct Parent {
    log: Log,
    child: Option<oneshot::Sender<ActorHandle<Sink<(), ()>>>>,
}

impl Actor for Parent {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let (handle, child) = ctx.spawn(builder(Sink::new).name("child"));
        child.detach();
        let give = self.child.take().expect("one incarnation");
        assert!(give.send(handle).is_ok());
        Ok(())
    }

    async fn on_high(&mut self, msg: Urgent, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Urgent::Note(n) => self.log.add(format!("high {n}")),
            Urgent::Gate(gate) => drop(gate.await),
        }
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} {}", notice.name, notice.reason));
        Ok(())
    }
}

#[tokio::test]
async fn exit_notices_come_before_high() {
    let log = Log::default();
    let (give, child) = oneshot::channel();
    let (mut handle, _child) = spawn(Parent {
        log: log.clone(),
        child: Some(give),
    });
    let child = child.await.unwrap();
    let (open, gate) = oneshot::channel();
    handle.send_high(Urgent::Gate(gate)).await.unwrap();
    handle.send_high(Urgent::Note(1)).await.unwrap();
    while handle.stats().depth > 1 {
        tokio::task::yield_now().await;
    }
    // The parent is in its handler, and the message waits; then the child ends.
    child.stop();
    child.monitor().await;
    assert!(log.all().is_empty());
    open.send(()).unwrap();
    handle.idle().await;
    assert_eq!(log.take(), ["child stopped", "high 1"]);
}

#[tokio::test]
async fn high_comes_first_when_a_waiting_loop_finds_both() {
    let log = Log::default();
    let (_tx, rx) = mpsc::unbounded_channel();
    let (mut handle, _child) = spawn(Scribe {
        log: log.clone(),
        extra: Some(rx),
    });
    handle.idle().await;
    handle.send_low(1).await.unwrap();
    handle.send_high(Urgent::Note(2)).await.unwrap();
    handle.idle().await;
    assert_eq!(log.take(), ["high 2", "low 1"]);
}

#[tokio::test]
async fn flood_does_not_starve_extra_arm() {
    let log = Log::default();
    let (tx, rx) = mpsc::unbounded_channel();
    let (mut handle, _child) = spawn(Scribe {
        log: log.clone(),
        extra: Some(rx),
    });
    let (open, gate) = oneshot::channel();
    handle.send_high(Urgent::Gate(gate)).await.unwrap();
    for n in 0..1000 {
        handle.send_low(n).await.unwrap();
    }
    for n in 0..3 {
        tx.send(n).unwrap();
    }
    open.send(()).unwrap();
    handle.idle().await;
    let log = log.take();
    assert_eq!(log.len(), 1003);
    // Each extra gets its turn after one burst of 32 low messages at the latest.
    for n in 0..3 {
        let at = log
            .iter()
            .position(|entry| *entry == format!("extra {n}"))
            .unwrap();
        assert!(at <= 34 * (n + 1), "extra {n} came at {at}");
    }
}

#[tokio::test]
async fn busy_extra_arm_does_not_starve_the_mailbox() {
    let log = Log::default();
    let (tx, rx) = mpsc::unbounded_channel();
    for n in 0..1000 {
        tx.send(n).unwrap();
    }
    let (mut handle, child) = spawn(Scribe {
        log: log.clone(),
        extra: Some(rx),
    });
    for n in 0..10 {
        handle.send_low(n).await.unwrap();
    }
    handle.idle().await;
    let log = log.take();
    let last = log.iter().position(|entry| entry == "low 9").unwrap();
    assert!(last < 100, "the last low message came at {last}");
    child.stop().await;
}

#[tokio::test]
async fn high_burst_does_not_starve_low_or_extra() {
    let log = Log::default();
    let (tx, rx) = mpsc::unbounded_channel();
    let scribe = Scribe {
        log: log.clone(),
        extra: Some(rx),
    };
    let mut scribe = Some(scribe);
    let (mut handle, _child) = builder(move || scribe.take().expect("one incarnation"))
        .high_capacity(2048)
        .spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Urgent::Gate(gate)).await.unwrap();
    for n in 0..1000 {
        handle.send_high(Urgent::Note(n)).await.unwrap();
    }
    handle.send_low(0).await.unwrap();
    tx.send(0).unwrap();
    open.send(()).unwrap();
    handle.idle().await;
    let log = log.take();
    for entry in ["low 0", "extra 0"] {
        let at = log.iter().position(|known| known == entry).unwrap();
        assert!(at < 150, "{entry} came at {at}");
    }
}

#[tokio::test]
async fn never_empty_mailbox_yields_to_other_tasks() {
    /// Sends itself the next message: its mailbox is never empty. It gives up rather than occupy
    /// the thread forever.
    struct Loop(u32);
    impl Actor for Loop {
        type HighPriorityMsg = ();
        type LowPriorityMsg = ();
        async fn on_low(&mut self, _: (), ctx: &mut Context<Self>) -> ActorResult {
            self.0 += 1;
            assert!(self.0 < 1_000_000, "nobody else gets a turn");
            if let Some(mut own) = ctx.handle() {
                own.send_low(()).await?;
            }
            Ok(())
        }
    }
    let (mut handle, child) = spawn(Loop(0));
    handle.send_low(()).await.unwrap();
    // On the one thread of this runtime, the test itself must get turns.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(child.stop().await, ExitReason::Stopped));
}

/// Takes batches, and records their sizes.
struct Batcher {
    log: Log,
}

impl Actor for Batcher {
    type HighPriorityMsg = Urgent;
    type LowPriorityMsg = u32;
    const BATCH: usize = 64;

    async fn on_high(&mut self, msg: Urgent, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Urgent::Note(n) => self.log.add(format!("high {n}")),
            Urgent::Gate(gate) => drop(gate.await),
        }
        Ok(())
    }

    async fn on_low(&mut self, msg: u32, ctx: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("low {msg}"));
        if msg == 10
            && let Some(mut own) = ctx.handle()
        {
            // A control message arrives while a batch is being handled.
            own.send_high(Urgent::Note(10)).await?;
        }
        Ok(())
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<u32>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        self.log.add(format!("batch {}", batch.len()));
        while let Some(msg) = batch.next(ctx) {
            self.on_low(msg, ctx).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn high_is_looked_at_between_the_items_of_a_batch() {
    let log = Log::default();
    let (mut handle, _child) = spawn(Batcher { log: log.clone() });
    let (open, gate) = oneshot::channel();
    handle.send_high(Urgent::Gate(gate)).await.unwrap();
    let mut numbers: Vec<u32> = (0..50).collect();
    handle.send_vec_low(&mut numbers).await.unwrap();
    assert!(numbers.is_empty());
    open.send(()).unwrap();
    handle.idle().await;
    let entries = log.take();
    assert_eq!(entries[0], "batch 50");
    let high = entries.iter().position(|entry| entry == "high 10").unwrap();
    assert_eq!(entries[high - 1], "low 10");
    assert_eq!(entries[high + 1], "batch 39");
    assert_eq!(handle.stats().low, 50);
    assert_eq!(handle.stats().batches, 2);
}

/// Forwards when there is enough input, room, and a beat.
struct Gatherer {
    log: Log,
    beat: Option<mpsc::UnboundedReceiver<()>>,
    output: ActorHandle<Scribe>,
}

impl Actor for Gatherer {
    type HighPriorityMsg = Reply<usize>;
    type LowPriorityMsg = u32;
    const BATCH: usize = 8;

    async fn on_high(&mut self, reply: Reply<usize>, ctx: &mut Context<Self>) -> ActorResult {
        let batch = ctx.take_batch();
        let _ = reply.send(batch.len());
        ctx.put_batch(batch);
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let mut beat = self.beat.take().expect("one incarnation");
        let mut output = self.output.clone();
        loop {
            let others = async { tokio::join!(beat.recv(), output.low_room(1)) };
            if !ctx.wait_all(self, 8, others).await? {
                return Ok(());
            }
            let mut batch = ctx.take_batch();
            let sum: u32 = batch.drain().sum();
            ctx.put_batch(batch);
            self.log.add(format!("sum {sum}"));
            output.try_send_low(sum)?;
        }
    }
}

#[tokio::test]
async fn several_conditions_at_once() {
    let log = Log::default();
    let (beats, beat) = mpsc::unbounded_channel();
    let written = Log::default();
    let mut scribe = Some(Scribe {
        log: written.clone(),
        extra: None,
    });
    let (mut output, _scribe) = builder(move || scribe.take().expect("one incarnation"))
        .low_capacity(1)
        .spawn();
    let (open, gate) = oneshot::channel();
    output.send_high(Urgent::Gate(gate)).await.unwrap();
    let (mut handle, child) = spawn(Gatherer {
        log: log.clone(),
        beat: Some(beat),
        output: output.clone(),
    });
    for n in 0..7 {
        handle.send_low(n).await.unwrap();
    }
    beats.send(()).unwrap();
    // Seven of eight are there; urgent messages are handled during the wait for the last one.
    while handle.ask(|reply| reply, SECOND).await.unwrap() < 7 {}
    assert!(log.all().is_empty());
    handle.send_low(7).await.unwrap();
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.take(), ["sum 28"]);

    // Eight more and a beat, but the output has no room.
    for n in 8..16 {
        handle.send_low(n).await.unwrap();
    }
    beats.send(()).unwrap();
    while handle.ask(|reply| reply, SECOND).await.unwrap() < 8 {}
    assert!(log.all().is_empty());
    open.send(()).unwrap();
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.take(), ["sum 92"]);
    output.idle().await;
    assert_eq!(written.take(), ["low 28", "low 92"]);
    assert!(matches!(
        child.stop().await,
        lanemesh_runtime::ExitReason::Stopped
    ));
}

#[test]
fn a_simulation_repeats_itself() {
    let run = |seed| {
        simulate(seed, async {
            let log = Log::default();
            let mut handles = Vec::new();
            let mut children = Vec::new();
            for _ in 0..4 {
                let (handle, child) = spawn(Scribe {
                    log: log.clone(),
                    extra: None,
                });
                handles.push(handle);
                children.push(child);
            }
            for round in 0..20 {
                for (index, handle) in handles.iter_mut().enumerate() {
                    handle.send_low(round * 10 + index as u32).await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            log.take()
        })
        .unwrap()
    };
    assert_eq!(run(1), run(1));
    let orders: std::collections::BTreeSet<_> = (1..20).map(run).collect();
    assert!(orders.len() > 1, "the seed decides nothing");
}
