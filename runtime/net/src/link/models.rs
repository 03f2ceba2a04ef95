//! Models of what tasks of a link hand to each other: in every order of their steps, everything that was appended is
//! written, credit is never negative, and nobody sleeps although there is something to do.
//!
//! The sources are those of the link, compiled once more over the locks of loom.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use lanemesh_runtime::ExitReason;
use loom::{future::block_on, model::Builder, thread};
use tokio::io::AsyncWrite;

use self::{
    opened::{OpenLane, Reply},
    outbox::{Outbox, Turn},
};
use super::{
    credit::{Count, Credit},
    owing,
};
use crate::wire::{Class, Codec};

mod sync {
    pub(super) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    };
}
/// The module of the link where these are in the link.
mod credit {
    pub(super) use super::super::credit::{Count, Credit};
}
#[path = "opened.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod opened;
#[path = "outbox.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod outbox;

/// Runs a model in every order with up to three preemptions.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// What was written, in order.
#[derive(Clone)]
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// How many bytes that is at the end.
    all: usize,
}

impl Log {
    fn of(all: usize) -> Self {
        let bytes = Arc::default();
        Self { bytes, all }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// Closes the outbox when all is written, and no sooner: who closes it wakes its task, and hides that others forgot to.
    fn look(&self, outbox: &Outbox) {
        if self.bytes().len() == self.all {
            outbox.finish();
        }
    }

    fn write(&self, turn: &mut Turn, end: usize) {
        let bytes = &mut turn.bytes;
        let part = &bytes.buffer[bytes.written..end];
        self.bytes.lock().unwrap().extend_from_slice(part);
        bytes.written = end;
    }
}

/// A connection: what is written is logged by hand.
struct Connection;

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        unreachable!("the models write to the log")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn outbox(limit: usize) -> loom::sync::Arc<Outbox> {
    let outbox = Outbox::new(limit, 1);
    outbox.connect(Box::new(Connection));
    loom::sync::Arc::new(outbox)
}

/// As `Link::flush`: writes at once what `allow` lets through, of which the connection takes up to `most` bytes.
fn flush(outbox: &Outbox, log: &Log, most: usize, allow: fn(usize) -> usize) {
    let Some(mut turn) = outbox.take_turn(allow) else {
        return;
    };
    let end = turn.bytes.allowed.min(most);
    log.write(&mut turn, end);
    outbox.end_turn(turn.connection, turn.bytes, false);
    log.look(outbox);
}

/// As `io::write`: the connection's own task, until the outbox is closed.
fn write(outbox: &Outbox, log: &Log) {
    block_on(async {
        while let Ok(work) = poll_fn(|cx| outbox.poll_work(cx)).await {
            let mut turn = work.turn;
            let end = turn.bytes.buffer.len();
            log.write(&mut turn, end);
            outbox.end_work(turn.connection, turn.bytes);
            log.look(outbox);
        }
    });
}

fn spawn_writer(outbox: &loom::sync::Arc<Outbox>, log: &Log) -> thread::JoinHandle<()> {
    let (outbox, log) = (outbox.clone(), log.clone());
    thread::spawn(move || write(&outbox, &log))
}

fn append(outbox: &Outbox, bytes: &[u8]) {
    outbox
        .append(|buffer| buffer.extend_from_slice(bytes))
        .unwrap();
}

#[test]
fn all_that_is_appended_is_written_in_order() {
    model(|| {
        let (outbox, log) = (outbox(64), Log::of(3));
        let writer = spawn_writer(&outbox, &log);
        append(&outbox, &[1, 2]);
        flush(&outbox, &log, 1, |wanted| wanted);
        append(&outbox, &[3]);
        flush(&outbox, &log, 1, |wanted| wanted);
        writer.join().unwrap();
        assert_eq!(log.bytes(), [1, 2, 3]);
    });
}

#[test]
fn two_that_append_and_the_connections_task_lose_nothing() {
    model(|| {
        let (outbox, log) = (outbox(64), Log::of(2));
        let writer = spawn_writer(&outbox, &log);
        let other = {
            let (outbox, log) = (outbox.clone(), log.clone());
            thread::spawn(move || {
                append(&outbox, &[1]);
                flush(&outbox, &log, 9, |wanted| wanted);
            })
        };
        append(&outbox, &[2]);
        flush(&outbox, &log, 9, |wanted| wanted);
        other.join().unwrap();
        writer.join().unwrap();
        let mut written = log.bytes();
        written.sort_unstable();
        assert_eq!(written, [1, 2]);
    });
}

#[test]
fn who_waits_for_room_gets_it_or_learns_of_the_end() {
    for is_closed in [false, true] {
        model(move || {
            let (outbox, log) = (outbox(1), Log::of(2));
            append(&outbox, &[1]);
            let pump = {
                let (outbox, log) = (outbox.clone(), log.clone());
                thread::spawn(move || {
                    let room = block_on(poll_fn(|cx| outbox.poll_room(cx)));
                    let appended = room.and_then(|()| outbox.append(|buffer| buffer.push(2)));
                    // The window is used up: the connection's own task is to write.
                    flush(&outbox, &log, 0, |_| 0);
                    appended.is_ok()
                })
            };
            if is_closed {
                outbox.close();
            } else {
                write(&outbox, &log);
            }
            let is_appended = pump.join().unwrap();
            match is_closed {
                true => assert!(log.bytes().is_empty()),
                false => assert_eq!((log.bytes(), is_appended), (vec![1, 2], true)),
            }
        });
    }
}

fn lane() -> loom::sync::Arc<OpenLane> {
    let lane = loom::sync::Arc::new(OpenLane::default());
    let opened = Reply::Opened {
        version: 1,
        codec: Codec::Postcard,
        has_traces: false,
    };
    lane.reply(opened, [Credit::new(1, 10); 2]).unwrap();
    lane
}

/// Spends credit for a message when there is some. Returns whether there was, before the link was down.
fn spend(lane: &OpenLane) -> bool {
    block_on(poll_fn(|cx| {
        lane.look(cx, |inside| {
            let is_down = inside.is_down();
            let credit = inside.credit(Class::Low);
            match credit.allows(1) {
                true => {
                    credit.spend(1);
                    Poll::Ready(true)
                }
                false if is_down => Poll::Ready(false),
                false => Poll::Pending,
            }
        })
    }))
}

#[test]
fn pump_without_credit_is_woken_by_each_report() {
    let one = Count {
        messages: 1,
        bytes: 1,
    };
    model(move || {
        let lane = lane();
        assert!(spend(&lane));
        let reader = {
            let lane = lane.clone();
            thread::spawn(move || lane.confirm(Class::Low, one).unwrap())
        };
        assert!(spend(&lane));
        assert_eq!(lane.lock().unconfirmed(), 1);
        reader.join().unwrap();
    });
    model(move || {
        let lane = lane();
        assert!(spend(&lane));
        let reader = {
            let lane = lane.clone();
            thread::spawn(move || {
                let room = Count {
                    messages: 2,
                    bytes: 10,
                };
                lane.grow(Class::Low, room);
            })
        };
        assert!(spend(&lane));
        assert_eq!(lane.lock().unconfirmed(), 2);
        reader.join().unwrap();
    });
}

#[test]
fn pump_without_credit_learns_of_the_end_of_its_link_and_of_its_actor() {
    model(|| {
        let lane = lane();
        assert!(spend(&lane));
        let link = {
            let lane = lane.clone();
            thread::spawn(move || lane.down())
        };
        assert!(!spend(&lane));
        assert_eq!(lane.lock().unconfirmed(), 1);
        link.join().unwrap();
    });
    model(|| {
        let lane = lane();
        let reader = {
            let lane = lane.clone();
            thread::spawn(move || lane.end(ExitReason::Normal))
        };
        let ended = |cx: &mut Context<'_>| {
            lane.look(cx, |inside| match inside.ended() {
                Some(reason) => Poll::Ready(reason.clone()),
                None => Poll::Pending,
            })
        };
        assert!(matches!(block_on(poll_fn(ended)), ExitReason::Normal));
        reader.join().unwrap();
    });
}
