//! What the parts of a scenario share: the book, the random numbers, and the actors there are.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use lanemesh_runtime::{
    ActorHandle, ActorId, Builder, Child, Context, ExitReason, Overflow, Restart, System, builder,
    crash::DeadLetter,
    observe::ActorStats,
    patterns::{Balance, Pool, SlowPolicy, Topic},
    supervision::{Backoff, Health, Strategy, Supervision},
};

use super::{
    book::{Act, Book, Crash, Item, Order, Path, Plan, Random},
    sender,
    subject::{BatchStyle, Style, Subject, Traits},
};

/// A handle to an actor of either kind.
#[derive(Clone)]
pub(super) enum AnyHandle {
    One(ActorHandle<Subject<1>>),
    Many(ActorHandle<Subject<8>>),
}

/// Evaluates an expression with the handle in an [`AnyHandle`].
macro_rules! on {
    ($any:expr, $handle:ident => $body:expr) => {
        match $any {
            $crate::ledger::world::AnyHandle::One($handle) => $body,
            $crate::ledger::world::AnyHandle::Many($handle) => $body,
        }
    };
}
pub(super) use on;

/// An actor that was started: its handle or its owner or both.
pub(super) struct Record {
    pub(super) handle: Option<AnyHandle>,
    pub(super) child: Option<Child>,
    pub(super) id: ActorId,
}

impl Record {
    pub(super) fn stats(&self) -> ActorStats {
        match (&self.handle, &self.child) {
            (Some(handle), _) => on!(handle, handle => handle.stats()),
            (None, Some(child)) => child.stats(),
            (None, None) => unreachable!("one of them is kept"),
        }
    }

    pub(super) fn exit_reason(&mut self) -> Option<ExitReason> {
        match (&self.handle, &mut self.child) {
            (Some(handle), _) => on!(handle, handle => handle.exit_reason()),
            (None, Some(child)) => {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                match std::pin::Pin::new(child).poll(&mut cx) {
                    std::task::Poll::Ready(reason) => Some(reason),
                    std::task::Poll::Pending => None,
                }
            }
            (None, None) => unreachable!("one of them is kept"),
        }
    }
}

pub(super) struct Inner {
    pub(super) book: Book,
    random: Mutex<Random>,
    pub(super) records: Mutex<Vec<Record>>,
    pub(super) letters: Mutex<Vec<lanemesh::Receiver<DeadLetter<Item, Item>>>>,
    pub(super) topics: Mutex<Vec<Topic<Item>>>,
    pub(super) pools: Mutex<Vec<(Pool<Subject<1>>, Order)>>,
    children: Mutex<u32>,
}

#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

impl Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Children in a scenario at most.
const CHILDREN: u32 = 40;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            book: Book::default(),
            random: Mutex::new(Random::new(seed)),
            records: Mutex::default(),
            letters: Mutex::default(),
            topics: Mutex::default(),
            pools: Mutex::default(),
            children: Mutex::default(),
        }))
    }

    pub(super) fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap()
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap()
    }

    /// The handle of one of the actors.
    pub(super) fn any_handle(&self) -> Option<AnyHandle> {
        let records = self.records();
        let handles: Vec<_> = records
            .iter()
            .filter_map(|record| record.handle.clone())
            .collect();
        (!handles.is_empty()).then(|| self.random().pick(&handles))
    }

    pub(super) fn may_spawn(&self) -> bool {
        let mut children = self.children.lock().unwrap();
        *children += 1;
        *children <= CHILDREN
    }

    fn record(&self, handle: AnyHandle) {
        let id = on!(&handle, handle => handle.id());
        self.records().push(Record {
            handle: Some(handle),
            child: None,
            id,
        });
    }

    pub(super) fn spawn_child<const B: usize>(&self, ctx: &mut Context<Subject<B>>) -> Child {
        if self.random().percent(70) {
            let (handle, child) = ctx.spawn(self.build::<1>(0));
            self.record(AnyHandle::One(handle));
            child
        } else {
            let (handle, child) = ctx.spawn(self.build::<8>(0));
            self.record(AnyHandle::Many(handle));
            child
        }
    }

    pub(super) fn spawn_in(&self, system: &System) {
        let levels = u64::from(self.random().percent(40));
        let child = if self.random().percent(60) {
            let Ok((handle, child)) = system.try_spawn(self.build::<1>(levels)) else {
                return;
            };
            self.record(AnyHandle::One(handle));
            child
        } else {
            let Ok((handle, child)) = system.try_spawn(self.build::<8>(levels)) else {
                return;
            };
            self.record(AnyHandle::Many(handle));
            child
        };
        if let Some(record) = self.records().last_mut() {
            record.child = Some(child);
        }
    }

    pub(super) fn any_pool(&self) -> Option<(Pool<Subject<1>>, Order)> {
        self.pools.lock().unwrap().first().cloned()
    }

    pub(super) fn spawn_pool(&self, system: &System) {
        let mut traits = self.traits(0);
        traits.topic = None;
        let (order, size, balance) = {
            let mut random = self.random();
            let balance = random.pick(&[Balance::RoundRobin, Balance::LeastLoaded]);
            (
                random.pick(&[Order::Key, Order::Any]),
                random.between(1, 3),
                balance,
            )
        };
        if order == Order::Key {
            // A worker that puts a job off may have handed on the next ones before it handles it.
            traits.style = Style::Plain;
        }
        let (world, options) = (self.clone(), self.clone());
        let factory = move |_| Subject::<1>::new(&world, &traits);
        let mut pool = Pool::builder("pool", factory)
            .balance(balance)
            .workers(move |worker| options.with_options(worker));
        if order == Order::Key {
            pool = pool.by_key(|job: &Item| Some(job.lane));
        }
        let (mut pool, children) = pool.spawn_in(system, size as usize);
        let workers: Vec<_> = pool.workers().cloned().collect();
        for (worker, child) in workers.into_iter().zip(children) {
            self.record_worker(worker, child);
        }
        self.pools.lock().unwrap().push((pool, order));
    }

    /// Starts another worker of a pool, unless all have ended.
    pub(super) fn grow_pool(&self, system: &System) {
        let Some((mut pool, _)) = self.any_pool() else {
            return;
        };
        let Ok(child) = pool.add_worker_in(system) else {
            return;
        };
        let worker = pool.workers().find(|worker| worker.id() == child.id());
        if let Some(worker) = worker.cloned() {
            self.record_worker(worker, child);
        }
    }

    fn record_worker(&self, worker: ActorHandle<Subject<1>>, child: Child) {
        self.book.pages().workers.insert(worker.id());
        self.record(AnyHandle::One(worker));
        if let Some(record) = self.records().last_mut() {
            record.child = Some(child);
        }
    }

    /// An actor with options by chance.
    fn build<const B: usize>(&self, levels: u64) -> Builder<Subject<B>> {
        let traits = self.traits(levels);
        if std::env::var("LEDGER_SEED").is_ok() {
            println!(
                "{B} {:?} {:?} {}",
                traits.style, traits.batch_style, traits.hook_crashes
            );
        }
        let world = self.clone();
        let mut is_first = true;
        let factory_panics = self.random().percent(3);
        let factory = move || {
            let panics = !is_first && factory_panics && world.random().percent(30);
            is_first = false;
            assert!(!panics, "provoked in the factory");
            Subject::<B>::new(&world, &traits)
        };
        self.with_options(builder(factory))
    }

    fn traits(&self, levels: u64) -> Traits {
        let mut random = self.random();
        let topic = random.percent(20).then(Topic::new);
        if let Some(topic) = &topic {
            self.topics.lock().unwrap().push(topic.clone());
        }
        Traits {
            style: random.pick(&[
                Style::Plain,
                Style::Plain,
                Style::Arms,
                Style::Forgetful,
                Style::Gather,
            ]),
            batch_style: random.pick(&[
                BatchStyle::OneByOne,
                BatchStyle::Drain,
                BatchStyle::InPlace,
            ]),
            hook_crashes: random.pick(&[0, 0, 1, 10]),
            clean_up: random.pick(&[0, 0, 2, 10, 200]),
            children: levels * random.between(1, 3),
            sources: random.pick(&[0, 0, 0, 1, 3]),
            topic,
        }
    }

    /// Sets options by chance.
    fn with_options<const B: usize>(&self, builder: Builder<Subject<B>>) -> Builder<Subject<B>> {
        let peer = self.any_handle();
        let mut random = self.random();
        let overflow = [
            Overflow::Wait,
            Overflow::Wait,
            Overflow::Reject,
            Overflow::Drop,
        ];
        let mut builder = builder
            .high_capacity(random.between(1, 8) as usize)
            .low_capacity(random.pick(&[1, 2, 8, 64, 300]))
            .high_overflow(random.pick(&overflow))
            .low_overflow(random.pick(&overflow))
            .restart(random.pick(&[
                Restart::Permanent,
                Restart::Permanent,
                Restart::Transient,
                Restart::Temporary,
            ]))
            .grace(Duration::from_millis(random.between(1, 100)));
        if random.percent(15) {
            builder = builder.expiry(Duration::from_millis(random.between(1, 10)));
        }
        if random.percent(50) {
            builder = builder.redeliver(random.below(4) as u32);
        }
        if random.percent(50) {
            let (letters, read) = lanemesh::channel(random.pick(&[1, 4, 1_000]));
            self.letters.lock().unwrap().push(read);
            builder = builder.dead_letters(letters);
        }
        if random.percent(20) {
            let every = Duration::from_millis(random.between(2, 10));
            builder = builder.health(Health::every(every).timeout(every));
        }
        if random.percent(15) {
            builder = builder.restart_on_demand();
        }
        if random.percent(10) {
            builder = builder.keep_running();
        }
        if let Some(peer) = peer
            && random.percent(30)
        {
            builder = on!(peer, peer => if random.percent(50) {
                builder.after(&peer)
            } else {
                builder.before(&peer)
            });
        }
        builder
    }

    pub(super) fn rules(&self) -> Supervision {
        let mut random = self.random();
        let strategy = random.pick(&[
            Strategy::OneForOne,
            Strategy::OneForOne,
            Strategy::OneForAll,
            Strategy::RestForOne,
        ]);
        let backoff = if random.percent(50) {
            Backoff::none()
        } else {
            let first = Duration::from_millis(random.between(1, 5));
            Backoff::new(first, first * 4).jitter(0.0)
        };
        let rules = Supervision::new(strategy)
            .intensity(random.pick(&[0, 2, 20, 1_000]), Duration::from_secs(1))
            .backoff(backoff);
        if random.percent(20) {
            rules.total_intensity(random.between(1, 50) as u32, Duration::from_secs(1))
        } else {
            rules
        }
    }

    /// A message of `lane` with a plan by chance.
    pub(super) fn item(&self, lane: u64, is_high: bool) -> Item {
        let plan = self.random().plan();
        let order = Order::Lane;
        self.book.item(
            Path {
                lane,
                is_high,
                order,
            },
            plan,
        )
    }

    /// A message that does not panic by itself.
    pub(super) fn safe_item(&self, lane: u64, is_high: bool) -> Item {
        self.safe(Path {
            lane,
            is_high,
            order: Order::Lane,
        })
    }

    /// A message to a pool.
    pub(super) fn job(&self, lane: u64, order: Order) -> Item {
        self.safe(Path {
            lane,
            is_high: false,
            order,
        })
    }

    fn safe(&self, path: Path) -> Item {
        let mut plan = self.random().plan();
        plan.is_bomb = false;
        plan.is_unique = false;
        self.book.item(path, plan)
    }
}

impl Random {
    fn plan(&mut self) -> Plan {
        let act = match self.below(100) {
            0..70 => Act::Nothing,
            70..76 => Act::Yield,
            76..84 => Act::Sleep(self.between(1, 4)),
            84..85 => Act::Hang,
            85..86 => Act::Stop,
            86..89 => Act::Forward,
            89..90 => self.pick(&[Act::Spawn, Act::AddSource]),
            90..95 => Act::Stash,
            95..97 => Act::Unstash,
            97..98 => Act::Pause,
            _ => Act::Sleep(self.between(5, 50)),
        };
        let crash = self
            .percent(if matches!(act, Act::Stash) { 90 } else { 6 })
            .then(|| self.pick(&[Crash::Fail, Crash::Panic]));
        Plan {
            act,
            crash,
            crashes: if crash.is_some() {
                self.pick(&[1, 1, 2, 4, u32::MAX])
            } else {
                0
            },
            is_bomb: self.percent(3),
            is_unique: self.percent(1),
        }
    }
}

/// Subscribes an actor to its own topic.
pub(super) fn subscribe<const B: usize>(
    world: &World,
    topic: &Topic<Item>,
    own: ActorHandle<Subject<B>>,
) {
    let policy = world.random().pick(&[SlowPolicy::Drop, SlowPolicy::Wait]);
    topic.subscribe_recipient(own.low_recipient(), policy);
}

/// Sends one message from a handler.
pub(super) async fn forward(world: &World, to: AnyHandle) {
    let lane = world.book.lane();
    on!(to, to => sender::forward(world, to, lane).await);
}
