//! What a start makes of words and records that only a kill at one instruction leaves.

use super::{Engine, Meta, QueueOptions, Stored, hands::Word, now, take::Taken};
use crate::{
    disk::{RealDisk, SimDisk},
    engine::{Hands, Stage},
    options::StoreOptions,
};

fn open(disk: &SimDisk) -> Engine {
    let options = StoreOptions::default()
        .segment_size(8 << 10)
        .max_in_flight(8);
    let (mut engine, _) = Engine::open(Box::new(disk.clone()), &options).unwrap();
    assert_eq!(engine.queue("box", QueueOptions::default()), Ok(0));
    engine
}

fn put(engine: &mut Engine, due: Option<u64>) -> u64 {
    let meta = Meta {
        at: now(),
        due,
        ..Meta::default()
    };
    let Ok(Stored::New(id)) = engine.put(0, 1, &meta, b"payload") else {
        panic!("it is new");
    };
    engine.commit().unwrap();
    id
}

fn take(engine: &mut Engine) -> Option<Taken> {
    engine.take(0, 1, now())
}

/// The words as a kill has left them.
fn leave(hands: &Hands, slot: u32, stage: Stage, id: u64, attempt: u32) {
    hands.set(slot, Word { stage, id, attempt });
}

#[test]
fn an_attempt_is_counted_once_when_its_record_and_its_word_are_there() {
    let disk = SimDisk::new();
    let mut engine = open(&disk);
    let id = put(&mut engine, None);
    let taken = take(&mut engine).unwrap();
    engine.hands().advance(taken.slot, Stage::Started);
    engine.fail(id, None, now());
    engine.commit().unwrap();
    let hands = engine.hands();
    drop(engine);
    leave(&hands, taken.slot, Stage::Started, id, 1);
    for _ in 0..3 {
        let mut engine = open(&disk);
        assert_eq!(take(&mut engine).unwrap().attempt, 2);
        // Nobody has begun with it.
        drop(engine);
    }
}

#[test]
fn words_of_two_attempts_are_both_counted_whatever_their_slots() {
    for (first, second) in [(0, 1), (1, 0)] {
        let disk = SimDisk::new();
        let mut engine = open(&disk);
        let id = put(&mut engine, None);
        let hands = engine.hands();
        drop(engine);
        // The log had no room for the record of the first.
        leave(&hands, first, Stage::Started, id, 1);
        leave(&hands, second, Stage::Started, id, 2);
        let mut engine = open(&disk);
        assert_eq!(take(&mut engine).unwrap().attempt, 3);
    }
}

#[test]
fn what_was_done_is_acknowledged_although_the_clock_has_gone_back() {
    let disk = SimDisk::new();
    let mut engine = open(&disk);
    let later = now() + 3_600_000;
    let (done, begun) = (put(&mut engine, Some(later)), put(&mut engine, Some(later)));
    let hands = engine.hands();
    drop(engine);
    // They were due in the process before.
    leave(&hands, 0, Stage::Done, done, 1);
    leave(&hands, 1, Stage::Started, begun, 1);
    let mut engine = open(&disk);
    assert_eq!(engine.stats(now())[0].low.delayed, 1);
    assert!(engine.take(0, 1, now()).is_none());
    let taken = engine.take(0, 1, later).unwrap();
    assert_eq!((taken.id, taken.attempt), (begun, 2));
}

#[test]
fn times_before_those_of_the_log_panic_nowhere() {
    let disk = SimDisk::new();
    let mut engine = open(&disk);
    put(&mut engine, None);
    put(&mut engine, Some(u64::MAX));
    assert_eq!(engine.stats(0)[0].low.oldest_age, 0);
    assert_eq!(engine.next_due(0), Some(u64::MAX));
    let id = engine.take(0, 1, 0).unwrap().id;
    engine.fail(id, Some(u64::MAX), 0);
    assert!(engine.take(0, 1, 0).is_none());
    engine.commit().unwrap();
    drop(engine);
    assert_eq!(open(&disk).stats(0)[0].low.delayed, 2);
}

/// Who looks when a message is due may do so a moment after it has looked for messages.
#[test]
fn a_hold_that_is_over_is_still_due() {
    let mut engine = open(&SimDisk::new());
    let strict = QueueOptions::default().strict_order(true);
    assert_eq!(engine.queue("box", strict), Ok(0));
    let id = put(&mut engine, None);
    let now = now();
    assert_eq!(engine.take(0, 1, now).unwrap().id, id);
    engine.fail(id, Some(5), now);
    assert!(engine.take(0, 1, now + 4).is_none());
    assert_eq!(engine.next_due(0), Some(now + 5));
    engine.commit().unwrap();
    assert_eq!(engine.take(0, 1, now + 5).unwrap().attempt, 2);
    assert_eq!(engine.next_due(0), None);
}

#[test]
fn what_waits_does_not_wait_longer_when_the_clock_is_set_back() {
    const HOUR: u64 = 3_600_000;
    let disk = SimDisk::new();
    let mut engine = open(&disk);
    let began = now();
    let (first, second) = (
        put(&mut engine, Some(began + 60_000)),
        put(&mut engine, Some(began + 90_000)),
    );
    engine.set_back(HOUR);
    assert!(engine.take(0, 1, began - HOUR + 59_000).is_none());
    assert_eq!(engine.next_due(0), Some(began - HOUR + 60_000));
    let due = began - HOUR + 60_000;
    assert_eq!(engine.take(0, 1, due).unwrap().id, first);
    engine.fail(first, Some(1_000), due);
    engine.set_back(HOUR);
    assert!(engine.take(0, 1, due - HOUR + 999).is_none());
    assert_eq!(engine.take(0, 1, due - HOUR + 1_000).unwrap().id, first);
    assert!(engine.ack(first));
    // Strict order holds all messages of the class.
    let strict = QueueOptions::default().strict_order(true);
    assert_eq!(engine.queue("box", strict), Ok(0));
    let due = due - HOUR + 30_000;
    assert_eq!(engine.take(0, 1, due).unwrap().id, second);
    engine.fail(second, Some(1_000), due);
    engine.set_back(HOUR);
    assert!(engine.take(0, 1, due - HOUR + 999).is_none());
    assert_eq!(engine.take(0, 1, due - HOUR + 1_000).unwrap().id, second);
}

/// Promise 6, of all that a store keeps in memory.
#[test]
fn memory_is_what_is_in_flight_and_32_bytes_a_queued_message() {
    const MESSAGES: usize = 20_000;
    const BATCH: usize = 500;
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions::default().segment_size(1 << 20);
    let meta = Meta {
        at: now(),
        ..Meta::default()
    };
    let mut engine = None;
    let queued = allocation_counter::measure(|| {
        let disk = RealDisk::new(directory.path()).unwrap();
        let (mut store, _) = Engine::open(Box::new(disk), &options).unwrap();
        assert_eq!(store.queue("box", QueueOptions::default()), Ok(0));
        for n in 1..=MESSAGES {
            store.put(0, 1, &meta, &[7; 256]).unwrap();
            if n % BATCH == 0 {
                store.commit().unwrap();
            }
        }
        engine = Some(store);
    });
    let mut engine = engine.unwrap();
    // The slots, and the batch that is made and the one before it.
    let fixed = 4 * (1 << 14) + 2 * BATCH * 512 + (64 << 10);
    let bound = (32 * MESSAGES + fixed) as i64;
    assert!(queued.bytes_current < bound, "{queued:?}");
    let mut taken = Vec::new();
    let in_flight = allocation_counter::measure(|| {
        while let Some(message) = take(&mut engine) {
            taken.push(message);
        }
    });
    assert_eq!(taken.len(), 256);
    let each = in_flight.bytes_current / taken.len() as i64;
    assert!(each < 256 + 512, "{each} bytes a message in flight");
}
