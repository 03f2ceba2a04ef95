//! Messages that a crash finds outside of the lanes, and events that are not handled.

use lanemesh::Message;
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, ExitNotice, Restart, builder,
    crash::{DeadLetter, Undelivered},
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
