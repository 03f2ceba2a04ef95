//! The stash, and low lanes that are left alone: crashes, stops and drains lose no message.

use std::time::Duration;

use lanemesh::Message;
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, AskError, Context, ExitReason, Handler, Reply, Restart,
    StashFull,
    actor::{Batch, Priority},
    actor_loop, builder,
    crash::{DeadLetter, Undelivered},
    spawn,
    supervision::{Backoff, Supervision},
};
use tokio::time::timeout;

use crate::common::{Counted, Ledger, Log, SECOND, hush};

/// What the messages tell a [`Gate`] to do.
#[derive(Clone, Debug, PartialEq)]
enum Say {
    /// Noted while the gate is open, stashed while it is shut.
    Item(u32),
    Open,
    Shut,
    Fail,
    /// Stashed while the gate is shut; the first two incarnations panic then.
    StashAndPanic(u32),
}

/// Notes what it handles: h or l and a number.
struct Gate {
    log: Log,
    is_open: bool,
}

impl Gate {
    fn handle(
        &mut self,
        class: char,
        say: &Say,
        ctx: &mut Context<Self>,
    ) -> Result<bool, ActorError> {
        match say {
            Say::Item(number) if self.is_open => self.log.add(format!("{class}{number}")),
            Say::Item(_) => return Ok(false),
            Say::Open => {
                self.is_open = true;
                ctx.unstash();
            }
            Say::Shut => self.is_open = false,
            Say::Fail => return Err(ActorError::msg("told to fail")),
            Say::StashAndPanic(number) if self.is_open => self.log.add(format!("{class}{number}")),
            Say::StashAndPanic(_) => return Ok(false),
        }
        Ok(true)
    }
}

impl Actor for Gate {
    type HighPriorityMsg = Say;
    type LowPriorityMsg = Say;

    async fn on_high(&mut self, say: Say, ctx: &mut Context<Self>) -> ActorResult {
        if !self.handle('h', &say, ctx)? {
            let panics = ctx.incarnation() < 3 && matches!(say, Say::StashAndPanic(_));
            ctx.stash_high(say)?;
            assert!(!panics, "provoked");
        }
        Ok(())
    }

    async fn on_low(&mut self, say: Say, ctx: &mut Context<Self>) -> ActorResult {
        if !self.handle('l', &say, ctx)? {
            let panics = ctx.incarnation() < 3 && matches!(say, Say::StashAndPanic(_));
            ctx.stash_low(say)?;
            assert!(!panics, "provoked");
        }
        Ok(())
    }

    /// With an extra arm that is never ready: it takes the other way through the loop.
    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if ctx.incarnation().is_multiple_of(2) {
            return actor_loop!(self, ctx, () = std::future::pending() => {},);
        }
        ctx.run(self).await
    }
}

fn gate(log: &Log) -> lanemesh_runtime::Builder<Gate> {
    let log = log.clone();
    builder(move || Gate {
        log: log.clone(),
        is_open: false,
    })
    .restart(Restart::Permanent)
    .supervision(
        Supervision::default()
            .intensity(1_000, SECOND)
            .backoff(Backoff::none()),
    )
}

#[tokio::test(start_paused = true)]
async fn stashed_messages_come_first_and_in_order() {
    let log = Log::default();
    let (mut gate, _child) = gate(&log).spawn();
    for number in 1..=3 {
        gate.try_send_low(Say::Item(number)).unwrap();
        gate.try_send_high(Say::Item(number)).unwrap();
    }
    gate.idle().await; // with stashed messages alone
    let stats = gate.stats();
    assert_eq!((stats.high, stats.low, stats.depth), (0, 0, 6));
    gate.try_send_high(Say::Open).unwrap();
    gate.try_send_high(Say::Item(4)).unwrap();
    gate.try_send_low(Say::Item(4)).unwrap();
    gate.idle().await;
    assert_eq!(log.take(), ["h1", "h2", "h3", "h4", "l1", "l2", "l3", "l4"]);
    let stats = gate.stats();
    assert_eq!((stats.high, stats.low, stats.depth), (5, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn messages_stashed_again_keep_their_order() {
    let log = Log::default();
    let (mut gate, _child) = gate(&log).spawn();
    for number in 1..=3 {
        gate.try_send_high(Say::Item(number)).unwrap();
    }
    // Stashed in the middle: when it opens, the first is handled, and the gate shuts again.
    gate.try_send_low(Say::Item(1)).unwrap();
    gate.try_send_low(Say::Shut).unwrap();
    gate.idle().await;
    gate.try_send_high(Say::Open).unwrap();
    gate.try_send_high(Say::Shut).unwrap();
    gate.try_send_high(Say::Item(4)).unwrap();
    gate.try_send_high(Say::Open).unwrap();
    gate.idle().await;
    assert_eq!(log.take(), ["h1", "h2", "h3", "h4", "l1"]);
}

#[tokio::test(start_paused = true)]
async fn crash_loses_no_stashed_message() {
    hush();
    for redeliveries in [None, Some(0), Some(3)] {
        let log = Log::default();
        let mut gate = gate(&log);
        if let Some(times) = redeliveries {
            gate = gate.redeliver(times);
        }
        let (mut gate, _child) = gate.spawn();
        for number in 1..=2 {
            gate.try_send_low(Say::Item(number)).unwrap();
            gate.try_send_high(Say::Item(number)).unwrap();
        }
        gate.idle().await;
        gate.try_send_high(Say::Fail).unwrap(); // they are offered to the next, which stashes them
        gate.try_send_low(Say::Item(3)).unwrap();
        gate.idle().await;
        assert_eq!(gate.stats().depth, 5);
        gate.try_send_high(Say::Open).unwrap();
        gate.idle().await;
        assert_eq!(log.take(), ["h1", "h2", "l1", "l2", "l3"]);
        let fails = 1 + u64::from(redeliveries.unwrap_or(0));
        assert_eq!(gate.stats().failures, fails);
    }
}

#[tokio::test(start_paused = true)]
async fn message_stashed_by_a_handler_that_crashes_is_handled_once() {
    hush();
    for (is_high, redeliveries) in [
        (true, None),
        (false, None),
        (true, Some(3)),
        (false, Some(3)),
    ] {
        let log = Log::default();
        let mut gate = gate(&log);
        if let Some(times) = redeliveries {
            gate = gate.redeliver(times);
        }
        let (mut gate, _child) = gate.spawn();
        match is_high {
            true => gate.try_send_high(Say::StashAndPanic(7)).unwrap(),
            false => gate.try_send_low(Say::StashAndPanic(7)).unwrap(),
        }
        // Two incarnations crash, the third keeps it.
        gate.idle().await;
        assert_eq!(gate.incarnation(), 3);
        gate.try_send_high(Say::Open).unwrap();
        gate.idle().await;
        assert_eq!(log.take(), [if is_high { "h7" } else { "l7" }]);
        let stats = gate.stats();
        assert_eq!((stats.interrupted, stats.redelivered), (0, 0));
        assert_eq!(stats.messages(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn stop_and_drain_make_dead_letters_of_the_stash() {
    type Letter = DeadLetter<Say, Say>;
    for drains in [false, true] {
        let log = Log::default();
        let (letters, mut left) = lanemesh::channel::<Letter>(16);
        let (mut gate, child) = gate(&log).dead_letters(letters).spawn();
        for number in 1..=2 {
            gate.try_send_low(Say::Item(number)).unwrap();
            gate.try_send_high(Say::Item(number)).unwrap();
        }
        gate.idle().await;
        let reason = match drains {
            true => child.drain().await,
            false => child.stop().await,
        };
        assert!(matches!(reason, ExitReason::Stopped));
        let mut messages = Vec::new();
        while let Ok(letter) = left.try_recv() {
            assert_eq!(letter.why, Undelivered::Left);
            messages.push(match letter.message {
                Message::High(Say::Item(number)) => format!("h{number}"),
                Message::Low(Say::Item(number)) => format!("l{number}"),
                other => panic!("{other:?}"),
            });
        }
        messages.sort();
        assert_eq!(messages, ["h1", "h2", "l1", "l2"]);
        assert_eq!(gate.stats().dead_letters, 4);
        assert!(log.take().is_empty());
    }
}

/// Stashes every question.
struct Later;

impl Actor for Later {
    type HighPriorityMsg = Reply<u32>;
    type LowPriorityMsg = Counted;
    const BATCH: usize = 8;

    async fn on_high(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> ActorResult {
        let _ = ctx.stash_high(reply);
        Ok(())
    }

    /// Stashes even numbers of a batch that it takes one by one, and then the rest at once.
    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Counted>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        if ctx.incarnation() > 1 {
            batch.clear();
            return Ok(());
        }
        if let Some(first) = batch.next(ctx)
            && let Err(StashFull(first)) = ctx.stash_low(first)
        {
            drop(first);
        }
        let mut last = None;
        for number in batch.drain() {
            last = ctx.stash_low(number).err();
        }
        match last {
            Some(StashFull(last)) if last.number == 99 => Err(ActorError::msg("told to fail")),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stashed_asks_are_answered_at_the_end() {
    let (mut handle, child) = spawn(Later);
    let mut asker = handle.clone();
    let asks = tokio::spawn(async move { asker.ask(|reply| reply, 100 * SECOND).await });
    tokio::task::yield_now().await;
    child.stop().await;
    assert_eq!(
        timeout(SECOND, asks).await.unwrap().unwrap(),
        Err(AskError::Closed)
    );
    assert_eq!(
        handle.ask(|reply| reply, SECOND).await,
        Err(AskError::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn batches_are_stashed_within_the_bound() {
    let ledger = Ledger::default();
    let (mut handle, child) = builder(|| Later)
        .stash_capacity(5)
        .restart(Restart::Permanent)
        .supervision(Supervision::default().backoff(Backoff::none()))
        .spawn();
    for number in [1, 2, 3, 4, 5, 6, 99] {
        handle.try_send_low(ledger.value(number)).unwrap();
    }
    while handle.stats().failures == 0 {
        tokio::task::yield_now().await;
    }
    handle.idle().await;
    // Five were stashed and came again; of the other two the handler has made an end.
    assert_eq!(handle.stats().low, 7);
    assert_eq!(ledger.all_dropped_once(), 7);
    child.stop().await;
}

/// Holds jobs until they are done; takes no more than two.
struct Desk {
    log: Log,
    jobs: Vec<u32>,
}

enum Control {
    Done,
    Fail,
}

impl Actor for Desk {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, job: u32, ctx: &mut Context<Self>) -> ActorResult {
        self.log.add(job.to_string());
        self.jobs.push(job);
        if self.jobs.len() == 2 {
            ctx.pause_low();
        }
        Ok(())
    }

    async fn on_high(&mut self, control: Control, ctx: &mut Context<Self>) -> ActorResult {
        match control {
            Control::Done => {
                self.jobs.clear();
                ctx.resume_low();
                Ok(())
            }
            Control::Fail => Err(ActorError::msg("told to fail")),
        }
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if self.log.all().is_empty() {
            return ctx.run(self).await;
        }
        actor_loop!(self, ctx, () = std::future::pending() => {},)
    }
}

fn desk(log: &Log) -> lanemesh_runtime::Builder<Desk> {
    let log = log.clone();
    builder(move || Desk {
        log: log.clone(),
        jobs: Vec::new(),
    })
    .low_capacity(4)
    .restart(Restart::Permanent)
    .supervision(Supervision::default().backoff(Backoff::none()))
}

#[tokio::test(start_paused = true)]
async fn low_lanes_that_are_left_alone_hold_their_senders() {
    let log = Log::default();
    let (mut desk, child) = desk(&log).spawn();
    let mut sender = desk.clone();
    let sends = tokio::spawn(async move {
        for job in 0..8 {
            sender.send_low(job).await.unwrap();
        }
    });
    for (at, expected) in [2, 4, 6].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(log.all().len(), expected);
        // A crash begins anew, and the next incarnation takes two.
        let control = if at == 1 {
            Control::Fail
        } else {
            Control::Done
        };
        desk.send_high(control).await.unwrap();
    }
    sends.await.unwrap();
    desk.idle().await;
    let jobs: Vec<_> = (0..8).map(|job: u32| job.to_string()).collect();
    assert_eq!(log.take(), jobs);
    assert_eq!(desk.stats().low, 8);
    child.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drain_and_last_handle_end_a_pause() {
    for drains in [false, true] {
        let log = Log::default();
        let (mut desk, child) = desk(&log).spawn();
        desk.send_low(0).await.unwrap();
        desk.send_low(1).await.unwrap();
        desk.idle().await;
        desk.send_low(2).await.unwrap();
        desk.send_low(3).await.unwrap();
        let reason = if drains {
            timeout(SECOND, child.drain()).await.unwrap()
        } else {
            drop(desk);
            timeout(SECOND, child).await.unwrap()
        };
        assert!(!reason.is_failure());
        assert_eq!(log.take(), ["0", "1", "2", "3"]);
    }
}

/// A state machine that logs in at each start and crashes at poison. It stashes what comes before.
struct Session {
    log: Log,
    is_logged_in: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Wire {
    LoggedIn,
    Item(u32),
    Poison,
    Urgent(Box<Wire>),
}

impl Handler for Session {
    type Msg = Wire;

    fn priority(wire: &Wire) -> Priority {
        match wire {
            Wire::Urgent(_) => Priority::High,
            _ => Priority::Low,
        }
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.send_after(Duration::from_millis(5), Wire::LoggedIn);
        Ok(())
    }

    async fn handle(&mut self, wire: Wire, ctx: &mut Context<Self>) -> ActorResult {
        if wire == Wire::LoggedIn {
            self.is_logged_in = true;
            ctx.unstash();
            return Ok(());
        }
        if !self.is_logged_in {
            ctx.stash(wire)?;
            return Ok(());
        }
        self.log.add(format!("{wire:?}"));
        match wire {
            Wire::Urgent(inner) if *inner == Wire::Poison => Err(ActorError::msg("poison")),
            Wire::Poison => Err(ActorError::msg("poison")),
            _ => Ok(()),
        }
    }
}

fn session(log: &Log) -> lanemesh_runtime::Builder<Session> {
    let log = log.clone();
    builder(move || Session {
        log: log.clone(),
        is_logged_in: false,
    })
    .restart(Restart::Permanent)
    .supervision(
        Supervision::default()
            .intensity(1_000, SECOND)
            .backoff(Backoff::none()),
    )
}

#[tokio::test(start_paused = true)]
async fn stashed_poison_is_a_dead_letter_after_as_many_crashes() {
    for poison in [Wire::Poison, Wire::Urgent(Box::new(Wire::Poison))] {
        let log = Log::default();
        let (letters, mut dead) = lanemesh::channel::<DeadLetter<Wire, Wire>>(8);
        let (mut session, _child) = session(&log).redeliver(2).dead_letters(letters).spawn();
        session.tell(poison.clone()).await.unwrap();
        session.tell(Wire::Item(1)).await.unwrap();
        let letter = timeout(SECOND, dead.recv()).await.unwrap().unwrap();
        assert_eq!(letter.why, Undelivered::Crashed);
        tokio::time::sleep(SECOND).await;
        let poison = format!("{poison:?}");
        assert_eq!(log.take(), [&poison, &poison, &poison, "Item(1)"]);
        let stats = session.stats();
        // Logged in four times.
        assert_eq!((stats.messages(), stats.redelivered), (4 + 2, 2));
        assert_eq!((stats.interrupted, stats.dead_letters), (0, 1));
        assert_eq!(stats.failures, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn poison_that_is_stashed_at_the_end_has_crashed() {
    let log = Log::default();
    let (letters, mut dead) = lanemesh::channel::<DeadLetter<Wire, Wire>>(8);
    let (mut session, child) = session(&log).redeliver(2).dead_letters(letters).spawn();
    session.tell(Wire::Item(1)).await.unwrap();
    session.tell(Wire::Poison).await.unwrap();
    session.tell(Wire::Item(2)).await.unwrap();
    while session.incarnation() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    session.idle().await; // all of them are stashed
    child.stop().await;
    let mut ends = Vec::new();
    while let Ok(letter) = dead.try_recv() {
        ends.push((letter.message, letter.why));
    }
    assert_eq!(
        ends,
        [
            (Message::Low(Wire::Poison), Undelivered::Crashed),
            (Message::Low(Wire::Item(2)), Undelivered::Left),
        ]
    );
    let stats = session.stats();
    assert_eq!((stats.low, stats.redelivered), (3, 0)); // logged in, an item, the poison
    assert_eq!((stats.left, stats.interrupted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn urgent_message_of_a_handler_is_stashed_in_either_class() {
    /// Stashes everything in the low class.
    struct Lower(bool, Log);

    impl Handler for Lower {
        type Msg = Wire;

        fn priority(wire: &Wire) -> Priority {
            Session::priority(wire)
        }

        async fn handle(&mut self, wire: Wire, ctx: &mut Context<Self>) -> ActorResult {
            if wire == Wire::LoggedIn {
                self.0 = true;
                ctx.unstash();
            } else if self.0 {
                self.1.add(format!("{wire:?}"));
            } else {
                ctx.stash_low(wire)?;
            }
            Ok(())
        }
    }

    let log = Log::default();
    let (mut lower, _child) = spawn(Lower(false, log.clone()));
    lower
        .tell(Wire::Urgent(Box::new(Wire::Item(1))))
        .await
        .unwrap();
    lower.tell(Wire::Item(2)).await.unwrap();
    lower.idle().await;
    let stats = lower.stats();
    assert_eq!((stats.high, stats.low, stats.depth), (0, 0, 2));
    lower.tell(Wire::LoggedIn).await.unwrap();
    lower.idle().await;
    assert_eq!(log.take(), ["Urgent(Item(1))", "Item(2)"]);
    let stats = lower.stats();
    assert_eq!((stats.high, stats.low, stats.depth), (0, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn deadline_of_a_stashed_message_stays() {
    let log = Log::default();
    let (mut session, _child) = session(&log).spawn();
    let soon = tokio::time::Instant::now() + Duration::from_millis(2);
    session.tell_by(Wire::Item(1), soon).await.unwrap();
    let urgent = Wire::Urgent(Box::new(Wire::Item(2)));
    session.tell_by(urgent, soon).await.unwrap();
    session.tell(Wire::Item(3)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), ["Item(3)"]);
    assert_eq!(
        (session.stats().expired, session.stats().messages()),
        (2, 2)
    );
}
