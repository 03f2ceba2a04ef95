//! Messages that a crash finds outside of the lanes, and events that are not handled.

use lanemesh::Message;
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitNotice, Phase, Restart,
    actor::Batch,
    builder,
    crash::{DeadLetter, Keeper, Undelivered},
    spawn,
    supervision::{Backoff, Supervision},
    testing::Sink,
};

use crate::common::{Log, SECOND};

/// Fails a given number of times at each message below 10.
struct Clerk {
    log: Log,
    failures: u32,
}

impl Clerk {
    fn handle(&self, class: &str, number: u32) -> ActorResult {
        self.log.add(format!("{class}{number}"));
        let handled = self.log.all();
        let entry = format!("{class}{number}");
        let times = handled.iter().filter(|known| **known == entry).count();

        if number < 10 && times <= self.failures as usize {
            return Err(ActorError::msg("told to fail"));
        }
        Ok(())
    }
}

impl Actor for Clerk {
    type HighPriorityMsg = u32;
    type LowPriorityMsg = u32;

    async fn on_high(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.handle("h", number)
    }

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.handle("l", number)
    }
}

fn rules() -> Supervision {
    Supervision::default()
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

#[tokio::test(start_paused = true)]
async fn urgent_messages_behind_a_crash_keep_their_order() {
    let log = Log::default();
    let logged = log.clone();
    let clerk = move || Clerk {
        log: logged.clone(),
        failures: 2,
    };
    let (mut handle, _child) = builder(clerk)
        .restart(Restart::Permanent)
        .supervision(rules())
        .redeliver(3)
        .spawn();
    for number in [1, 10, 2, 11] {
        handle.try_send_high(number).unwrap();
    }
    handle.idle().await;
    assert_eq!(
        log.take(),
        ["h1", "h1", "h1", "h10", "h2", "h2", "h2", "h11"]
    );
    assert_eq!(handle.stats().redelivered, 4);
}

#[tokio::test(start_paused = true)]
async fn held_low_message_survives_crashes_at_urgent_ones() {
    let log = Log::default();
    let logged = log.clone();
    let clerk = move || Clerk {
        log: logged.clone(),
        failures: 1,
    };
    let (mut handle, _child) = builder(clerk)
        .restart(Restart::Permanent)
        .supervision(rules().backoff(Backoff::new(SECOND / 10, SECOND / 10)))
        .redeliver(3)
        .spawn();
    handle.try_send_low(1).unwrap();
    handle.try_send_low(10).unwrap();
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    // It waits to restart.
    handle.try_send_high(2).unwrap();
    handle.try_send_high(11).unwrap();
    handle.idle().await;
    assert_eq!(log.take(), ["l1", "h2", "h2", "h11", "l1", "l10"]);
    assert_eq!(handle.stats().redelivered, 2);
}

#[tokio::test(start_paused = true)]
async fn crashing_message_is_a_dead_letter_or_counted() {
    for copies in [false, true] {
        let (letters, mut read) = lanemesh::channel::<DeadLetter<u32, u32>>(16);
        let clerk = || Clerk {
            log: Log::default(),
            failures: 1,
        };
        let clerk = builder(clerk)
            .restart(Restart::Permanent)
            .supervision(rules())
            .dead_letters(letters);
        let clerk = if copies { clerk.redeliver(0) } else { clerk };
        let (mut handle, child) = clerk.spawn();
        handle.try_send_low(1).unwrap();
        handle.try_send_low(10).unwrap();
        handle.idle().await;
        let stats = handle.stats();
        let (interrupted, dead) = (u64::from(!copies), u64::from(copies));
        assert_eq!((stats.interrupted, stats.dead_letters), (interrupted, dead));
        drop((handle, child));
        let letter = read.recv().await;
        assert_eq!(letter.is_some(), copies);
        if let Some(letter) = letter {
            assert_eq!(letter.why, Undelivered::Crashed);
            assert!(matches!(letter.message, Message::Low(1)));
        }
    }
}

/// Drops each event once before it handles it.
struct Forgetful {
    log: Log,
}

impl Actor for Forgetful {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        let (_handle, child) = ctx.spawn(Sink::<(), ()>::new());
        drop(child);
        Ok(())
    }

    async fn on_low(&mut self, number: u32, _: &mut Context<Self>) -> ActorResult {
        self.log.add(number.to_string());
        Ok(())
    }

    async fn on_child_exit(&mut self, _: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add("child");
        Ok(())
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        loop {
            let _ = ctx.next().await;
            let event = ctx.next().await;
            if !ctx.handle_event(self, event).await? {
                return Ok(());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn event_that_is_dropped_comes_again() {
    let log = Log::default();
    let (mut handle, child) = spawn(Forgetful { log: log.clone() });
    while log.all().is_empty() {
        tokio::task::yield_now().await;
    }
    for number in [1, 2] {
        handle.send_low(number).await.unwrap();
    }
    let look = handle.inspect(|actor| actor.log.add("inspected"), SECOND);
    assert_eq!(look.await, Ok(()));
    handle.idle().await;
    let mut seen = log.take();
    seen.sort();
    assert_eq!(seen, ["1", "2", "child", "inspected"]);
    child.stop().await;
}

/// Takes batches one by one, and has no other hook for low messages; crashes twice at 2, and each
/// time at 4.
struct Packer {
    log: Log,
    gathers: bool,
}

impl Packer {
    fn pack(&self, batch: &mut Batch<u32>, ctx: &mut Context<Self>) -> ActorResult {
        while let Some(number) = batch.next(ctx) {
            self.log.add(number.to_string());
            if number == 4 || (number == 2 && ctx.incarnation() < 3) {
                return Err(ActorError::msg("told to fail"));
            }
        }
        Ok(())
    }
}

impl Actor for Packer {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;
    const BATCH: usize = 8;

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<u32>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        self.pack(batch, ctx)
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if !self.gathers {
            return ctx.run(self).await;
        }
        while ctx.wait_all(self, 1, async {}).await? {
            let mut batch = ctx.take_batch();
            self.pack(&mut batch, ctx)?;
            ctx.put_batch(batch);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn message_of_a_batch_comes_again_as_the_first_of_a_batch() {
    for gathers in [false, true] {
        let log = Log::default();
        let (letters, mut dead) = lanemesh::channel::<DeadLetter<(), u32>>(8);
        let made = log.clone();
        let packer = builder(move || Packer {
            log: made.clone(),
            gathers,
        });
        let (mut packer, _child) = packer
            .restart(Restart::Permanent)
            .supervision(rules())
            .redeliver(2)
            .dead_letters(letters)
            .spawn();
        packer.send_vec_low(&mut (1..=5).collect()).await.unwrap();
        packer.idle().await;
        let expected = ["1", "2", "2", "2", "3", "4", "4", "4", "5"];
        assert_eq!(log.take(), expected, "gathers: {gathers}");
        let letter = dead.try_recv().unwrap();
        assert_eq!(
            (letter.message, letter.why),
            (Message::Low(4), Undelivered::Crashed)
        );
        let stats = packer.stats();
        assert_eq!((stats.low, stats.redelivered), (5, 4));
        assert_eq!(
            (stats.interrupted, stats.dead_letters, stats.failures),
            (0, 1, 5)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn message_of_a_batch_that_waits_to_come_again_at_the_end_has_crashed() {
    let log = Log::default();
    let (letters, mut dead) = lanemesh::channel::<DeadLetter<(), u32>>(8);
    let made = log.clone();
    let packer = builder(move || Packer {
        log: made.clone(),
        gathers: false,
    });
    let backoff = Backoff::new(SECOND, SECOND);
    let (mut packer, child) = packer
        .restart(Restart::Permanent)
        .supervision(Supervision::default().backoff(backoff))
        .redeliver(2)
        .dead_letters(letters)
        .spawn();
    packer.send_vec_low(&mut (1..=3).collect()).await.unwrap();
    while packer.phase() != Phase::Waiting {
        tokio::task::yield_now().await;
    }
    child.stop().await;
    let mut ends = Vec::new();
    while let Ok(letter) = dead.try_recv() {
        ends.push((letter.message, letter.why));
    }
    assert_eq!(
        ends,
        [
            (Message::Low(2), Undelivered::Crashed),
            (Message::Low(3), Undelivered::Left),
        ]
    );
    assert_eq!((packer.stats().low, packer.stats().redelivered), (2, 0));
}

/// Stashes even numbers until it is told to release them. It works on a batch in place.
struct Hoarder<const BATCH: usize> {
    is_open: bool,
}

impl<const BATCH: usize> Actor for Hoarder<BATCH> {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;
    const BATCH: usize = BATCH;

    async fn on_high(&mut self, (): (), ctx: &mut Context<Self>) -> ActorResult {
        self.is_open = true;
        ctx.unstash();
        Ok(())
    }

    async fn on_low(&mut self, number: u32, ctx: &mut Context<Self>) -> ActorResult {
        if !self.is_open && number.is_multiple_of(2) {
            ctx.stash_low(number)?;
        }
        Ok(())
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<u32>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        for number in batch.iter() {
            self.on_low(*number, ctx).await?;
        }
        batch.clear();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn stashed_message_of_a_batch_is_counted_once_when_it_was_worked_on_in_place() {
    let (mut hoarder, _child) = spawn(Hoarder::<8> { is_open: false });
    hoarder.send_vec_low(&mut (1..=7).collect()).await.unwrap();
    hoarder.idle().await;
    let stats = hoarder.stats();
    assert_eq!((stats.low, stats.depth), (4, 3));
    hoarder.send_high(()).await.unwrap();
    hoarder.idle().await;
    let stats = hoarder.stats();
    assert_eq!((stats.low, stats.depth, stats.interrupted), (7, 0, 0));
}

/// Notes what becomes of each message.
#[derive(Clone)]
struct Book(Log);

impl Keeper for Book {
    fn begin(&mut self, token: u32) {
        self.0.add(format!("{token} begun"));
    }

    fn handled(&mut self, token: u32) {
        self.0.add(format!("{token} handled"));
    }

    fn failed(&mut self, token: u32) {
        self.0.add(format!("{token} failed"));
    }
}

#[tokio::test(start_paused = true)]
async fn actor_with_a_keeper_stashes_nothing_whatever_its_capacity() {
    type Build = lanemesh_runtime::Builder<Hoarder<1>>;
    let orders: [fn(Build, Book) -> Build; 2] = [
        |hoarder, book| hoarder.stash_capacity(5).keeper(book),
        |hoarder, book| hoarder.keeper(book).stash_capacity(5),
    ];
    for build in orders {
        let log = Log::default();
        let hoarder = builder(|| Hoarder::<1> { is_open: false })
            .restart(Restart::Permanent)
            .supervision(rules());
        let (mut hoarder, _child) = build(hoarder, Book(log.clone())).spawn();
        for number in 1..=2 {
            hoarder.try_send_low_kept(number, number).unwrap();
        }
        hoarder.idle().await;
        let known = ["1 begun", "1 handled", "2 begun", "2 failed"];
        assert_eq!(log.take(), known);
        assert_eq!((hoarder.incarnation(), hoarder.stats().depth), (2, 0));
    }
}
