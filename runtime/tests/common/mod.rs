//! Actors that several tests use.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{Actor, ActorError, ActorResult, Context, ExitNotice, ExitReason, Reply};
use tokio::sync::oneshot;

pub const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// How often each value that it has made was dropped.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Vec<u32>>>);

impl Ledger {
    /// A new value.
    pub fn value(&self, number: u64) -> Counted {
        let mut drops = self.0.lock().unwrap();
        drops.push(0);
        Counted {
            number,
            entry: drops.len() - 1,
            ledger: self.clone(),
        }
    }

    /// How many values have not been dropped.
    pub fn alive(&self) -> usize {
        let drops = self.0.lock().unwrap();
        drops.iter().filter(|drops| **drops == 0).count()
    }

    /// How many values were made. Asserts that each was dropped exactly once.
    pub fn all_dropped_once(&self) -> usize {
        let drops = self.0.lock().unwrap();
        for (entry, drops) in drops.iter().enumerate() {
            assert_eq!(*drops, 1, "drops of value {entry}");
        }
        drops.len()
    }
}

/// A value that is counted when it is made, cloned and dropped.
#[derive(Debug)]
pub struct Counted {
    pub number: u64,
    entry: usize,
    ledger: Ledger,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.ledger.value(self.number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ledger.0.lock().unwrap()[self.entry] += 1;
    }
}

/// Urgent messages of [`Worker`].
pub enum Control {
    Panic,
    Fail,
    Sum(Reply<u64>),
    Ignore(Reply<u64>),
    PanicAsked(Reply<u64>),
    FailAsked(Reply<u64>),
    /// Waits for the sender before it continues.
    Block(oneshot::Receiver<()>),
    Stop,
}

/// Adds up numbers; writes its lifecycle into a log.
pub struct Worker {
    pub name: &'static str,
    pub log: Log,
    pub sum: u64,
}

impl Worker {
    pub fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            log: log.clone(),
            sum: 0,
        }
    }

    pub fn factory(name: &'static str, log: &Log) -> impl FnMut() -> Self + Send + 'static {
        let log = log.clone();
        move || Self::new(name, &log)
    }
}

/// A low message at which [`Worker`] panics.
pub const POISON: u64 = u64::MAX;

impl Actor for Worker {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = u64;

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} started", self.name));
        Ok(())
    }

    async fn on_high(&mut self, msg: Control, ctx: &mut Context<Self>) -> ActorResult {
        match msg {
            Control::Panic => panic!("told to panic"),
            Control::Fail => return Err(ActorError::msg("told to fail")),
            Control::Sum(reply) => drop(reply.send(self.sum)),
            Control::Ignore(reply) => drop(reply),
            Control::PanicAsked(_reply) => panic!("asked to panic"),
            Control::FailAsked(_reply) => return Err(ActorError::msg("asked to fail")),
            Control::Block(gate) => drop(gate.await),
            Control::Stop => ctx.stop(),
        }
        Ok(())
    }

    async fn on_low(&mut self, msg: u64, _: &mut Context<Self>) -> ActorResult {
        assert_ne!(msg, POISON, "poisoned");
        self.sum += msg;
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!(
            "{} heard {}: {}",
            self.name, notice.name, notice.reason
        ));
        Ok(())
    }

    async fn on_peer_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!(
            "{} saw {}: {}",
            self.name, notice.name, notice.reason
        ));
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.add(format!("{} stopped: {reason}", self.name));
        Ok(())
    }
}

/// Silences panics that a test provokes.
pub fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("");
            let provoked = ["told to", "asked to", "poisoned", "provoked"];
            if !provoked.iter().any(|word| text.contains(word)) {
                loud(info);
            }
        }));
    });
}
