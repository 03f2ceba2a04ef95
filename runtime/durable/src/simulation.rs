//! Random schedules of those who wait for the journal: for receipts, for messages, for what became of an
//! acknowledgement, and for the end. The journal makes its turns between their polls, on one thread, and the seed
//! decides who is next, who is cancelled, and when the disk fails. A future is polled only when it was woken, so that a
//! wake-up that is lost is a wait without an end.
//!
//! `SIMULATION_SEEDS=100000` runs as many, `SIMULATION_SEED=7` only this one.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    Delivery, Durable, Mailbox, QueueOptions, StoreError, StoreOptions,
    disk::SimDisk,
    journal::{Journal, mutant},
};

const IN_FLIGHT: usize = 5;

/// What the tasks know together.
#[derive(Default)]
struct Book {
    sent: u64,
    /// These have receipts.
    stored: BTreeSet<u64>,
    /// Taken, and nothing was decided yet; with their attempts.
    held: BTreeMap<u64, u32>,
    /// The last attempt of each.
    attempts: BTreeMap<u64, u32>,
    /// An acknowledgement or a rejection of these was sent.
    decided: BTreeSet<u64>,
    /// It was confirmed for these.
    acknowledged: BTreeSet<u64>,
    /// Whether the store may fail, and whether it was closed.
    may_fail: bool,
    is_closed: bool,
}

type SharedBook = Rc<RefCell<Book>>;

fn payload(n: u64) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    // Some fill a segment soon.
    bytes.resize(8 + (n as usize * 131) % 900, 0);
    bytes
}

fn number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().unwrap())
}

fn check_error(book: &SharedBook, error: &StoreError) {
    let book = book.borrow();
    let is_expected = match error {
        StoreError::Closed => book.is_closed,
        StoreError::Poisoned(_) => book.may_fail,
        StoreError::Full => true,
        _ => false,
    };
    assert!(is_expected, "{error}");
}

async fn produce(mut mail: Mailbox, book: SharedBook, count: u64) {
    for _ in 0..count {
        let n = {
            let mut book = book.borrow_mut();
            book.sent += 1;
            book.sent
        };
        // Its first poll sends it, also if the store is closed in the moment after.
        let was_closed = book.borrow().is_closed;
        match mail
            .enqueue_with(payload(n), n.is_multiple_of(3), Default::default())
            .await
        {
            Ok(_) => drop(book.borrow_mut().stored.insert(n)),
            Err(refused) => {
                assert_eq!(refused.message, payload(n));
                check_error(&book, &refused.error);
                let is_lost = refused.error == StoreError::Closed && !was_closed;
                assert!(!is_lost, "{n} was sent before the store was closed");
            }
        }
    }
}

async fn consume(mut mail: Mailbox, book: SharedBook, mut random: fastrand::Rng) {
    for _ in 0..random.u8(1..6) {
        let taken = match mail.dequeue(random.usize(1..4)).await {
            Ok(taken) => taken,
            Err(error) => return check_error(&book, &error),
        };
        assert!(!taken.is_empty());
        for message in &taken {
            note_taken(&book, message);
        }
        for message in taken {
            let (n, id) = (number(&message.payload), message.id);
            let choice = random.u8(..8);
            if choice == 0 {
                continue; // it keeps it
            }
            book.borrow_mut().held.remove(&n);
            let done = match choice {
                1 | 2 => mail.retry(id, None).await,
                3 => decide(&book, n, mail.reject(id)).await,
                _ => {
                    decide(&book, n, async {
                        mail.ack(&[id]).await.map(|acked| acked == 1)
                    })
                    .await
                }
            };
            match done {
                Err(StoreError::Full) => {
                    // It could not be rejected, and is still taken.
                    let mut book = book.borrow_mut();
                    book.decided.remove(&n);
                    book.held.insert(n, message.attempt);
                }
                Ok(done) => assert!(done, "{n} was not in flight"),
                Err(error) => return check_error(&book, &error),
            }
        }
    }
}

fn note_taken(book: &SharedBook, message: &Delivery) {
    let mut book = book.borrow_mut();
    let (n, attempt) = (number(&message.payload), message.attempt);
    assert!(
        !book.acknowledged.contains(&n),
        "{n} came after it was acknowledged"
    );
    assert!(
        book.held.insert(n, attempt).is_none(),
        "{n} is in two hands"
    );
    let last = book.attempts.insert(n, attempt);
    assert!(last < Some(attempt), "{n}: {attempt} after {last:?}");
}

async fn decide(
    book: &SharedBook,
    n: u64,
    said: impl Future<Output = Result<bool, StoreError>>,
) -> Result<bool, StoreError> {
    book.borrow_mut().decided.insert(n);
    let done = said.await;
    if done == Ok(true) {
        book.borrow_mut().acknowledged.insert(n);
    }
    done
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        // ORDERING: one thread.
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        // ORDERING: one thread.
        self.0.swap(false, Ordering::Relaxed)
    }
}

struct Task {
    is_consumer: bool,
    flag: Arc<Flag>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// One life of a process.
struct Life {
    store: Durable,
    /// None when it has ended.
    journal: Option<Journal>,
    tasks: Vec<Task>,
}

impl Life {
    fn begin(disk: &SimDisk, slots: usize) -> Self {
        let options = StoreOptions::default()
            .segment_size(8 << 10)
            .max_in_flight(slots);
        let (store, journal) = Durable::stepped(disk.clone(), &options).unwrap();
        Self {
            store,
            journal: Some(journal),
            tasks: Vec::new(),
        }
    }

    fn open_mailbox(&mut self) -> Mailbox {
        let store = self.store.clone();
        let options = QueueOptions::default().in_flight(IN_FLIGHT).max_attempts(6);
        self.wait_for(store.mailbox("box", options)).unwrap()
    }

    fn spawn(&mut self, is_consumer: bool, future: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task {
            is_consumer,
            flag: Flag::new(),
            future: Box::pin(future),
        });
    }

    /// One turn of the journal, which never blocks: there is something in its mailbox.
    fn turn(&mut self) {
        let stats = self.store.stats();
        let _ = pin!(stats).poll(&mut Context::from_waker(Waker::noop()));
        if let Some(journal) = &mut self.journal
            && !journal.turn()
            && let Some(journal) = self.journal.take()
        {
            journal.end();
        }
    }

    /// Polls a task if it was woken. Returns whether it was.
    fn poll(&mut self, index: usize) -> bool {
        let Some(task) = self.tasks.get_mut(index) else {
            return false;
        };
        if !task.flag.take() {
            return false;
        }
        let waker = Waker::from(task.flag.clone());
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            drop(self.tasks.swap_remove(index));
        }
        true
    }

    fn wait_for<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        for _ in 0..100 {
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(output) = polled {
                return output;
            }
            self.turn();
        }
        panic!("it waits without an end");
    }

    /// Until nobody can go on.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 4 {
            quiet += 1;
            self.turn();
            for index in (0..self.tasks.len()).rev() {
                while self.poll(index) {
                    quiet = 0;
                }
            }
        }
    }

    /// Who waits now waits for others, and nothing is in nobody's hands.
    fn check(&mut self, book: &SharedBook) {
        self.settle();
        let waiting = self.tasks.len();
        let consumers = self.tasks.iter().filter(|task| task.is_consumer).count();
        assert_eq!(waiting, consumers, "an answer did not come");
        if self.journal.is_none() || book.borrow().is_closed {
            assert_eq!(waiting, 0, "somebody waits for a store that is closed");
            return;
        }
        let stats = {
            let store = self.store.clone();
            self.wait_for(async { store.stats().await }).unwrap()
        };
        if stats.poisoned.is_some() {
            assert_eq!(waiting, 0, "somebody waits for a store that is poisoned");
            return;
        }
        let Some(queue) = stats.queue("box") else {
            return;
        };
        let in_flight = queue.high.in_flight + queue.low.in_flight;
        assert_eq!(in_flight, book.borrow().held.len(), "in flight");
        let is_free = |class: &crate::ClassStats| class.ready > 0 && class.in_flight < IN_FLIGHT;
        if is_free(&queue.high) || is_free(&queue.low) {
            assert_eq!(waiting, 0, "a waiter was forgotten");
        }
    }
}

fn schedule(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = SimDisk::new();
    let book = SharedBook::default();
    for _ in 0..random.u8(1..4) {
        live(&disk, &book, &mut random);
    }
    account(&disk, &book);
}

fn live(disk: &SimDisk, book: &SharedBook, random: &mut fastrand::Rng) {
    let mut life = Life::begin(disk, 64);
    let mail = life.open_mailbox();
    for _ in 0..random.u8(10..100) {
        match random.u8(..32) {
            0..4 => {
                let producer = produce(mail.clone(), book.clone(), random.u64(1..4));
                life.spawn(false, producer);
            }
            4..7 => {
                let consumer = consume(mail.clone(), book.clone(), random.fork());
                life.spawn(true, consumer);
            }
            7 if !life.tasks.is_empty() => {
                let index = random.usize(..life.tasks.len());
                drop(life.tasks.swap_remove(index));
            }
            8 => life.check(book),
            9 if random.u8(..8) == 0 => {
                book.borrow_mut().may_fail = true;
                match random.bool() {
                    true => disk.fail_sync_after(random.u64(..3)),
                    false => disk.cut_power_after(random.u64(..4000)),
                }
            }
            10 if random.u8(..16) == 0 => {
                // From its first poll on.
                let (store, book) = (life.store.clone(), book.clone());
                life.spawn(false, async move {
                    book.borrow_mut().is_closed = true;
                    store.close().await;
                });
            }
            11 if random.u8(..4) == 0 => disk.set_limit(match random.bool() {
                true => Some(disk.allocated()),
                false => None,
            }),
            11..18 => life.turn(),
            _ if !life.tasks.is_empty() => drop(life.poll(random.usize(..life.tasks.len()))),
            _ => {}
        }
    }
    end(life, mail, disk, book, random);
}

fn end(
    mut life: Life,
    mail: Mailbox,
    disk: &SimDisk,
    book: &SharedBook,
    random: &mut fastrand::Rng,
) {
    let way = random.u8(..4);
    if way == 0 {
        // In order.
        life.check(book);
        let store = life.store.clone();
        life.wait_for(store.close());
        assert!(life.journal.is_none());
        book.borrow_mut().is_closed = true;
        life.check(book);
    } else {
        // Nobody looks at what was answered meanwhile.
        for _ in 0..random.u8(..3) {
            life.turn();
        }
    }
    let may_fail = book.borrow().may_fail;
    // Killed: not even what it would do at its end.
    if let Some(journal) = life.journal.take()
        && way != 0
    {
        journal.be_killed();
    }
    drop((life, mail));
    let loses_power = may_fail || way == 1;
    match loses_power {
        true => disk.lose_power(|| random.bool()),
        false => disk.kill(),
    }
    let mut book = book.borrow_mut();
    book.held.clear();
    if loses_power {
        // Those that were not synced may come again, with attempts that were not either.
        book.acknowledged.clear();
        book.attempts.clear();
    }
    (book.may_fail, book.is_closed) = (false, false);
    disk.set_limit(None);
}

/// Everything with a receipt is there, or somebody had it and decided.
fn account(disk: &SimDisk, book: &SharedBook) {
    let mut life = Life::begin(disk, 64);
    let mut mail = life.open_mailbox();
    let mut found = BTreeSet::new();
    loop {
        let queue = life.wait_for(mail.stats()).unwrap();
        if queue.high.ready + queue.low.ready == 0 {
            assert_eq!(queue.high.delayed + queue.low.delayed, 0);
            break;
        }
        for message in life.wait_for(mail.dequeue(16)).unwrap() {
            note_taken(book, &message);
            assert_eq!(life.wait_for(mail.ack(&[message.id])), Ok(1));
            found.insert(number(&message.payload));
        }
    }
    let dead = life.wait_for(mail.dead_letters(0, usize::MAX)).unwrap();
    found.extend(dead.iter().map(|letter| number(&letter.payload)));
    let book = book.borrow();
    let lost: Vec<_> = book
        .stored
        .iter()
        .filter(|n| !found.contains(n) && !book.decided.contains(n))
        .collect();
    assert!(lost.is_empty(), "{lost:?} had receipts, and are lost");
    assert!(found.iter().all(|n| *n <= book.sent));
    let store = life.store.clone();
    life.wait_for(store.close());
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn who_waits_gets_an_answer_that_is_true_in_every_schedule() {
    let seeds = match variable("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("SIMULATION_SEEDS").unwrap_or(1000),
    };
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| schedule(seed)));
        assert!(outcome.is_ok(), "SIMULATION_SEED={seed}");
    }
}

/// Weaker code fails: the schedules reach what it gets wrong.
#[test]
fn each_mutant_of_the_hand_over_fails_in_some_schedule() {
    // They are expected to, in this thread.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if mutant::chosen().is_empty() {
            usual(panic);
        }
    }));
    let survivors: Vec<_> = mutant::ALL
        .into_iter()
        .filter(|name| {
            mutant::choose(name);
            (0..2000).all(|seed| catch_unwind(AssertUnwindSafe(|| schedule(seed))).is_ok())
        })
        .collect();
    mutant::choose("");
    assert!(survivors.is_empty(), "{survivors:?} survive");
}
