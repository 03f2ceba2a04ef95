//! The tasks that send messages.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{
    ActorHandle, AskError, Reply, SendError, Sent, SharedHandle,
    handle::AnyRecipient,
    patterns::{Pool, Topic},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    book::{Item, Order, Sending},
    subject::Subject,
    world::{AnyHandle, World, on},
};

/// Notes how the send of a message has ended; one that was refused does not panic.
fn note(world: &World, id: usize, outcome: Result<Sent, SendError<Item>>) {
    let sending = match outcome {
        Ok(Sent::Queued) => Sending::Accepted,
        Ok(Sent::Dropped) => Sending::Dropped,
        Err(error) => {
            error.into_inner().defuse();
            Sending::Refused
        }
    };
    world.book.sent(id, sending);
}

pub(super) async fn forward<const B: usize>(
    world: &World,
    mut to: ActorHandle<Subject<B>>,
    lane: u64,
) {
    let item = world.safe_item(lane, false);
    let id = item.id;
    let waits = world.random().percent(50);
    let outcome = if waits {
        to.send_low(item).await
    } else {
        to.try_send_low(item).map(|()| Sent::Queued)
    };
    note(world, id, outcome);
}

/// Sends messages to one actor, in one of several ways.
pub(super) async fn run(world: World, to: AnyHandle) {
    let (count, way) = {
        let mut random = world.random();
        (random.between(1, 60), random.below(100))
    };
    on!(to, to => {
        let lane = world.book.lane();
        match way {
            0..65 => {
                let mut sender = Direct { world, to, lane };
                for _ in 0..count {
                    sender.step().await;
                }
            }
            65..85 => {
                let shared = to.clone().shared();
                let tasks = world.random().between(1, 3);
                let tasks: Vec<_> = (0..tasks)
                    .map(|_| {
                        let sender = Shared {
                            lane: world.book.lane(),
                            world: world.clone(),
                            to: shared.clone(),
                        };
                        tokio::spawn(sender.run(count / tasks))
                    })
                    .collect();
                drop((shared, to));
                for task in tasks {
                    task.await.unwrap();
                }
            }
            _ => {
                let is_high = world.random().percent(30);
                let recipient: AnyRecipient<Item> = if is_high {
                    Box::new(to.high_recipient())
                } else {
                    Box::new(to.low_recipient())
                };
                drop(to);
                through(&world, recipient, lane, is_high, count).await;
            }
        }
    });
}

async fn pause(world: &World) {
    let millis = world.random().pick(&[0, 0, 0, 0, 1, 3]);
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}

fn millis(world: &World, last: u64) -> Duration {
    Duration::from_millis(world.random().below(last + 1))
}

struct Direct<const B: usize> {
    world: World,
    to: ActorHandle<Subject<B>>,
    lane: u64,
}

impl<const B: usize> Direct<B> {
    async fn step(&mut self) {
        pause(&self.world).await;
        let (is_high, way) = {
            let mut random = self.world.random();
            (random.percent(40), random.below(100))
        };
        match way {
            0..40 => self.try_send(is_high),
            40..60 => self.send(is_high).await,
            60..68 => self.send_by(is_high).await,
            68..80 => self.send_vec(is_high).await,
            80..90 => self.send_reply(is_high).await,
            _ => self.ask().await,
        }
    }

    fn try_send(&mut self, is_high: bool) {
        let mut item = self.world.item(self.lane, is_high);
        self.world.book.address(&mut item, Some(self.to.id()));
        let id = item.id;
        let outcome = if is_high {
            self.to.try_send_high(item)
        } else {
            self.to.try_send_low(item)
        };
        note(&self.world, id, outcome.map(|()| Sent::Queued));
    }

    /// May be cancelled.
    async fn send(&mut self, is_high: bool) {
        let item = self.world.safe_item(self.lane, is_high);
        let id = item.id;
        let limit = if self.world.random().percent(50) {
            millis(&self.world, 4)
        } else {
            Duration::from_secs(1_000)
        };
        let outcome = if is_high {
            timeout(limit, self.to.send_high(item)).await
        } else {
            timeout(limit, self.to.send_low(item)).await
        };
        if let Ok(outcome) = outcome {
            note(&self.world, id, outcome);
        }
    }

    async fn send_by(&mut self, is_high: bool) {
        let item = self.world.safe_item(self.lane, is_high);
        let id = item.id;
        let deadline = Instant::now() + millis(&self.world, 5);
        let outcome = if is_high {
            self.to.send_high_by(item, deadline).await
        } else {
            self.to.send_low_by(item, deadline).await
        };
        note(&self.world, id, outcome);
    }

    async fn send_vec(&mut self, is_high: bool) {
        let count = self.world.random().between(1, 80);
        let mut items: Vec<_> = (0..count)
            .map(|_| self.world.safe_item(self.lane, is_high))
            .collect();
        let ids: Vec<_> = items.iter().map(|item| item.id).collect();
        let limit = millis(&self.world, 10);
        let tries = self.world.random().percent(30);
        for id in &ids {
            self.world.book.sent(*id, Sending::Unknown);
        }
        // Cancelled or not: what is not in the vector any more was sent.
        let _ = match (is_high, tries) {
            (true, true) => self.to.try_send_vec_high(&mut items),
            (false, true) => self.to.try_send_vec_low(&mut items),
            (true, false) => {
                let sent = timeout(limit, self.to.send_vec_high(&mut items)).await;
                sent.unwrap_or(Ok(0))
            }
            (false, false) => {
                let sent = timeout(limit, self.to.send_vec_low(&mut items)).await;
                sent.unwrap_or(Ok(0))
            }
        };
        let sent = ids.len() - items.len();
        let unsent: Vec<_> = items.iter().map(|item| item.id).collect();
        assert_eq!(ids[sent..], unsent, "the rest of a vector is in order");
        for id in &ids[..sent] {
            self.world.book.sent(*id, Sending::Accepted);
        }
        for id in &ids[sent..] {
            self.world.book.sent(*id, Sending::Refused);
        }
    }

    async fn send_reply(&mut self, is_high: bool) {
        let mut item = self.world.safe_item(self.lane, is_high);
        let id = item.id;
        let (reply, answer) = Reply::pair();
        item.reply = Some(Arc::new(Mutex::new(Some(reply))));
        let outcome = if is_high {
            self.to.send_high(item).await
        } else {
            self.to.send_low(item).await
        };
        note(&self.world, id, outcome);
        if let Ok(answer) = answer.receive(millis(&self.world, 5)).await {
            assert_eq!(answer, id);
        }
    }

    async fn ask(&mut self) {
        let limit = millis(&self.world, 8) + Duration::from_millis(1);
        let (world, lane) = (self.world.clone(), self.lane);
        let mut asked = None;
        let question = |reply| question(&world, lane, &mut asked, reply);
        let outcome = self.to.ask(question, limit).await;
        note_ask(&self.world, asked, outcome, Sending::Accepted);
    }
}

fn question(world: &World, lane: u64, asked: &mut Option<usize>, reply: Reply<usize>) -> Item {
    let mut item = world.safe_item(lane, true);
    *asked = Some(item.id);
    world.book.sent(item.id, Sending::Unknown);
    item.reply = Some(Arc::new(Mutex::new(Some(reply))));
    item
}

/// `timed_out` is what a time-out means for the message.
fn note_ask(
    world: &World,
    asked: Option<usize>,
    outcome: Result<usize, AskError>,
    timed_out: Sending,
) {
    let Some(id) = asked else {
        return;
    };
    let sending = match outcome {
        Ok(answer) => {
            assert_eq!(answer, id);
            Sending::Accepted
        }
        Err(AskError::Crashed) => Sending::Accepted,
        Err(AskError::Full) => Sending::Refused,
        Err(AskError::Timeout) => timed_out,
        Err(_) => Sending::Unknown,
    };
    world.book.sent(id, sending);
}

struct Shared<const B: usize> {
    world: World,
    to: SharedHandle<Subject<B>>,
    lane: u64,
}

impl<const B: usize> Shared<B> {
    async fn run(self, count: u64) {
        for _ in 0..count {
            pause(&self.world).await;
            let (is_high, way) = {
                let mut random = self.world.random();
                (random.percent(40), random.below(100))
            };
            if way < 15 {
                self.ask().await;
                continue;
            }
            let item = self.world.safe_item(self.lane, is_high);
            let id = item.id;
            let limit = if way < 60 {
                Duration::from_secs(1_000)
            } else {
                millis(&self.world, 4)
            };
            let outcome = match (is_high, way < 30) {
                (true, true) => Ok(self.to.try_send_high(item).map(|()| Sent::Queued)),
                (false, true) => Ok(self.to.try_send_low(item).map(|()| Sent::Queued)),
                (true, false) => timeout(limit, self.to.send_high(item)).await,
                (false, false) => timeout(limit, self.to.send_low(item)).await,
            };
            if let Ok(outcome) = outcome {
                note(&self.world, id, outcome);
            }
        }
    }

    async fn ask(&self) {
        let limit = millis(&self.world, 8) + Duration::from_millis(1);
        let mut asked = None;
        let question = |reply| question(&self.world, self.lane, &mut asked, reply);
        let outcome = self.to.ask(question, limit).await;
        note_ask(&self.world, asked, outcome, Sending::Unknown);
    }
}

async fn through(
    world: &World,
    mut recipient: AnyRecipient<Item>,
    lane: u64,
    is_high: bool,
    count: u64,
) {
    for _ in 0..count {
        pause(world).await;
        if world.random().percent(30) {
            let ready = poll_fn(|cx| recipient.poll_ready(cx));
            if timeout(millis(world, 4), ready).await.is_err() {
                continue;
            }
        }
        let mut item = world.item(lane, is_high);
        world.book.address(&mut item, recipient.target());
        let id = item.id;
        note(world, id, recipient.try_send(item).map(|()| Sent::Queued));
    }
}

/// Sends jobs to the workers of a pool, with a few keys.
pub(super) async fn hand_out(world: World, mut pool: Pool<Subject<1>>, order: Order) {
    let keys: Vec<_> = (0..3).map(|_| world.book.lane()).collect();
    let count = world.random().between(1, 60);
    for _ in 0..count {
        pause(&world).await;
        let (key, way) = {
            let mut random = world.random();
            (random.pick(&keys), random.below(100))
        };
        let job = world.job(key, order);
        let id = job.id;
        let outcome = match way {
            0..40 => Ok(pool.try_send_low(job)),
            40..70 => timeout(millis(&world, 4), pool.send_low(job)).await,
            _ => timeout(Duration::from_secs(1_000), pool.send_low(job)).await,
        };
        if let Ok(outcome) = outcome {
            note(&world, id, outcome.map(|()| Sent::Queued));
        }
    }
}

/// Publishes to the topic of one actor.
pub(super) async fn publish(world: World, topic: Topic<Item>) {
    let mut publisher = topic.publisher();
    let count = world.random().between(1, 30);
    for _ in 0..count {
        pause(&world).await;
        // A restarted actor subscribes anew: then the order of a publisher begins anew too.
        let item = world.safe_item(world.book.lane(), false);
        let id = item.id;
        world.book.sent(id, Sending::Unknown);
        let published = if world.random().percent(50) {
            publisher.try_publish(item)
        } else {
            let publish = publisher.publish(item);
            match timeout(Duration::from_secs(1_000), publish).await {
                Ok(published) => published,
                Err(_) => panic!("a publisher waits for ever"),
            }
        };
        assert!(published.queued <= 1, "an actor is subscribed twice");
        let sending = if published.queued == 1 {
            Sending::Accepted
        } else {
            Sending::Refused
        };
        world.book.sent(id, sending);
    }
}
