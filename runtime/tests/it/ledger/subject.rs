//! The actors of a scenario.

use std::{sync::MutexGuard, time::Duration};

use futures_util::{StreamExt, stream};
use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Child, Context, ExitNotice, ExitReason, Message, StashFull,
    actor::{Batch, SourceHandle, Waited},
    actor_loop,
    crash::DeadLetter,
    patterns::Topic,
};
use tokio::time::{Interval, interval, sleep};

use super::{
    book::{Act, Book, Crash, Item, Random, Sending},
    world::{self, World},
};

/// How an actor runs its loop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    Plain,
    /// With an extra arm.
    Arms,
    /// Drops some events before it handles them.
    Forgetful,
    /// Gathers its low messages.
    Gather,
}

/// What a batch handler does.
#[derive(Clone, Copy, Debug)]
pub(super) enum BatchStyle {
    OneByOne,
    Drain,
    InPlace,
}

/// What the incarnations of an actor have in common. The chances are in percent.
#[derive(Clone)]
pub(super) struct Traits {
    pub(super) style: Style,
    pub(super) batch_style: BatchStyle,
    /// Of a crash in each of the other hooks.
    pub(super) hook_crashes: u64,
    /// Milliseconds.
    pub(super) clean_up: u64,
    pub(super) children: u64,
    pub(super) sources: u64,
    pub(super) topic: Option<Topic<Item>>,
}

/// `B` is how many messages it takes at once.
pub(super) struct Subject<const B: usize> {
    world: World,
    traits: Traits,
    tick: Option<Interval>,
    source: Option<SourceHandle>,
    children: Vec<Child>,
}

impl<const B: usize> Subject<B> {
    pub(super) fn new(world: &World, traits: &Traits) -> Self {
        let arms = matches!(traits.style, Style::Arms | Style::Gather);
        Self {
            world: world.clone(),
            traits: traits.clone(),
            tick: arms.then(|| interval(Duration::from_millis(3))),
            source: None,
            children: Vec::new(),
        }
    }

    fn random(&self) -> MutexGuard<'_, Random> {
        self.world.random()
    }

    fn book(&self) -> &Book {
        &self.world.book
    }

    /// Crashes, perhaps.
    fn hook(&self, name: &str) -> ActorResult {
        let chance = self.traits.hook_crashes;
        let (crashes, panics) = {
            let mut random = self.random();
            (random.percent(chance), random.percent(50))
        };
        if crashes && panics {
            panic!("provoked in {name}");
        }
        if crashes {
            return Err(ActorError::msg(format!("provoked in {name}")));
        }
        Ok(())
    }

    /// Handles a message that has been delivered.
    async fn act(&mut self, mut item: Item, ctx: &mut Context<Self>) -> ActorResult {
        if let Some(is_high) = self.book().stash(&item) {
            let stashed = if is_high {
                ctx.stash_high(item)
            } else {
                ctx.stash_low(item)
            };
            match stashed {
                Ok(()) => return Ok(()),
                Err(StashFull(back)) => item = back,
            }
        }
        let count = self.book().deliver(item.id, ctx.id());
        self.wait(&item, ctx).await;
        let plan = item.plan;
        if count <= plan.crashes {
            match plan.crash {
                Some(Crash::Panic) => panic!("provoked by a message"),
                Some(Crash::Fail) => {
                    item.defuse();
                    return Err(ActorError::msg("provoked by a message"));
                }
                None => {}
            }
        }
        item.defuse();
        self.complete(&item);
        Ok(())
    }

    fn complete(&self, item: &Item) {
        self.book().complete(item.id);
        let reply = item
            .reply
            .as_ref()
            .and_then(|reply| reply.lock().unwrap().take());
        if let Some(reply) = reply {
            let _ = reply.send(item.id); // the asker may be gone
        }
    }

    async fn wait(&mut self, item: &Item, ctx: &mut Context<Self>) {
        match item.plan.act {
            Act::Nothing | Act::Stash => {}
            Act::Unstash => ctx.unstash(),
            Act::Pause => ctx.pause_low(),
            Act::Yield => tokio::task::yield_now().await,
            Act::Sleep(millis) => sleep(Duration::from_millis(millis)).await,
            Act::Hang => std::future::pending().await,
            Act::Stop => ctx.stop(),
            Act::Forward => {
                if let Some(to) = self.world.any_handle() {
                    world::forward(&self.world, to).await;
                }
            }
            Act::Spawn => self.spawn_child(ctx),
            Act::AddSource => self.add_source(ctx),
        }
    }

    /// Something that brings messages until the incarnation ends.
    fn add_source(&mut self, ctx: &mut Context<Self>) {
        let world = self.world.clone();
        let lane = world.book.lane();
        let (is_high, way, millis, count) = {
            let mut random = self.random();
            let (is_high, way) = (random.percent(30), random.below(4));
            (is_high, way, random.between(1, 20), random.between(1, 20))
        };
        let delay = Duration::from_millis(millis);
        // What a source has made is taken at once.
        let made = {
            let world = world.clone();
            move || {
                let item = world.safe_item(lane, is_high);
                world.book.of_source(item.id, Sending::Accepted);
                item
            }
        };
        let source = match way {
            0 => {
                let item = world.safe_item(lane, is_high);
                world.book.of_source(item.id, Sending::Unknown);
                if is_high {
                    ctx.send_high_after(delay, item)
                } else {
                    ctx.send_low_after(delay, item)
                }
            }
            1 if is_high => ctx.send_high_interval(delay, made),
            1 => ctx.send_low_interval(delay, made),
            2 => {
                let items = stream::iter(0..count).map(move |_| made());
                if is_high {
                    ctx.attach_high(items)
                } else {
                    ctx.attach_low(items)
                }
            }
            _ => {
                let item = async move {
                    sleep(delay).await;
                    made()
                };
                if is_high {
                    ctx.pipe_high(item)
                } else {
                    ctx.pipe_low(item)
                }
            }
        };
        let before = self.source.replace(source);
        if let Some(before) = before
            && world.random().percent(50)
        {
            before.cancel();
        }
    }

    fn spawn_child(&mut self, ctx: &mut Context<Self>) {
        let world = self.world.clone();
        if world.may_spawn() {
            let keep = self.random().percent(50);
            let child = world.spawn_child(ctx);
            if keep {
                self.children.push(child);
            } else {
                child.detach();
            }
        }
    }

    /// Several messages at once, which are complete together.
    fn act_all(&mut self, items: Vec<Item>, ctx: &mut Context<Self>) -> ActorResult {
        let mut crash = None;
        for item in &items {
            let count = self.book().deliver(item.id, ctx.id());
            if count <= item.plan.crashes {
                crash = crash.or(item.plan.crash);
            }
        }
        let mut items = items;
        items.iter_mut().for_each(Item::defuse);
        match crash {
            Some(Crash::Panic) => panic!("provoked by a batch"),
            Some(Crash::Fail) => Err(ActorError::msg("provoked by a batch")),
            None => {
                items.iter().for_each(|item| self.complete(item));
                Ok(())
            }
        }
    }

    async fn gather(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        loop {
            let (millis, proceed) = {
                let mut random = self.random();
                (random.below(4), random.between(1, 10))
            };
            let others = sleep(Duration::from_millis(millis));
            let proceed = sleep(Duration::from_millis(proceed));
            if ctx.wait_all_or(self, 4, others, proceed).await? == Waited::Over {
                return Ok(());
            }
            let mut batch = ctx.take_batch();
            let (some, drop_it) = {
                let mut random = self.random();
                (random.percent(50), random.percent(50))
            };
            if some {
                let items: Vec<Item> = batch.drain().collect();
                self.act_all(items, ctx)?;
                ctx.put_batch(batch);
            } else if drop_it {
                drop(batch);
                // What was left is taken by the next batch.
                let mut batch = ctx.take_batch();
                let items = batch.drain().collect();
                self.act_all(items, ctx)?;
                ctx.put_batch(batch);
            } else {
                ctx.put_batch(batch);
            }
        }
    }
}

impl<const B: usize> Actor for Subject<B> {
    type HighPriorityMsg = Item;
    type LowPriorityMsg = Item;
    const BATCH: usize = B;

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        self.hook("started")?;
        for _ in 0..self.traits.children {
            self.spawn_child(ctx);
        }
        for _ in 0..self.traits.sources {
            self.add_source(ctx);
        }
        if let (Some(topic), Some(own)) = (&self.traits.topic, ctx.handle()) {
            world::subscribe(&self.world, topic, own);
        }
        tokio::task::yield_now().await;
        self.book().started(ctx.id());
        Ok(())
    }

    async fn on_high(&mut self, item: Item, ctx: &mut Context<Self>) -> ActorResult {
        ctx.resume_low();
        self.act(item, ctx).await
    }

    async fn on_low(&mut self, item: Item, ctx: &mut Context<Self>) -> ActorResult {
        self.act(item, ctx).await
    }

    async fn on_low_batch(
        &mut self,
        batch: &mut Batch<Item>,
        ctx: &mut Context<Self>,
    ) -> ActorResult {
        match self.traits.batch_style {
            BatchStyle::OneByOne => {
                while let Some(item) = batch.next(ctx) {
                    self.act(item, ctx).await?;
                }
                self.hook("a batch")
            }
            BatchStyle::Drain => {
                let items = batch.drain().collect();
                self.act_all(items, ctx)
            }
            BatchStyle::InPlace => {
                self.hook("a batch")?;
                for item in batch.as_mut_slice() {
                    self.book().deliver(item.id, ctx.id());
                    item.defuse();
                    self.complete(item);
                }
                batch.clear();
                Ok(())
            }
        }
    }

    async fn on_child_exit(&mut self, _: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        self.hook("on_child_exit")
    }

    async fn healthy(&mut self, _: &mut Context<Self>) -> ActorResult {
        self.hook("healthy")
    }

    async fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) -> ActorResult {
        self.book().cleaned_up(ctx.id());
        if self.traits.clean_up > 0 {
            sleep(Duration::from_millis(self.traits.clean_up)).await;
        }
        self.hook("stopped")
    }

    async fn run(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        match self.traits.style {
            Style::Plain => ctx.run(self).await,
            Style::Gather => self.gather(ctx).await,
            Style::Forgetful => loop {
                let event = ctx.next().await;
                if self.random().percent(30) {
                    continue; // it comes again
                }
                if !ctx.handle_event(self, event).await? {
                    return Ok(());
                }
            },
            Style::Arms => {
                actor_loop!(self, ctx,
                    _ = tick(&mut self.tick) => {
                        self.hook("an arm")?;
                    },
                )
            }
        }
    }
}

async fn tick(tick: &mut Option<Interval>) {
    match tick {
        Some(tick) => drop(tick.tick().await),
        None => std::future::pending().await,
    }
}

/// A letter that was read, without its message.
pub(super) fn read(book: &Book, letter: DeadLetter<Item, Item>) {
    let (Message::High(mut item) | Message::Low(mut item)) = letter.message;
    item.defuse();
    book.letter(item.id, letter.why);
}
