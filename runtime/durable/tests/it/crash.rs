//! Power losses on a simulated disk, and damage.

use std::collections::BTreeMap;

use lanemesh_durable::{
    Durable, Mailbox, OpenError, QueueOptions, Terms,
    disk::{Disk, SimDisk},
    log::{record::Kind, scan},
    offline,
};

use crate::common::small;

/// What became of a message, as its sender and its receiver know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Sent, without a receipt.
    Sent,
    Stored,
    Taken,
    Acked,
}

#[derive(Debug, Default)]
struct History {
    messages: BTreeMap<u64, Known>,
    next: u64,
}

fn payload(n: u64) -> Vec<u8> {
    // Of different lengths, and not aligned.
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(8 + (n * 7 % 40) as usize, n as u8);
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(n), "altered");
    n
}

fn open(disk: &SimDisk) -> (Durable, Mailbox) {
    let store = Durable::open_on(disk.clone(), &small()).unwrap();
    let options = QueueOptions::default().max_attempts(u32::MAX);
    let mailbox = store.blocking_mailbox("box", options).unwrap();
    (store, mailbox)
}

impl History {
    fn send(&mut self, mailbox: &mut Mailbox) -> bool {
        let n = self.next;
        self.next += 1;
        self.messages.insert(n, Known::Sent);
        let stored = mailbox.blocking_enqueue_with(payload(n), n.is_multiple_of(3), Terms::new());
        if stored.is_ok() {
            self.messages.insert(n, Known::Stored);
        }
        stored.is_ok()
    }

    /// Takes up to `limit` messages and acknowledges every second one.
    fn handle(&mut self, mailbox: &mut Mailbox, limit: usize) -> bool {
        let Ok(taken) = mailbox.blocking_dequeue(limit) else {
            return false;
        };
        for (index, message) in taken.iter().enumerate() {
            let n = number(&message.payload);
            assert_eq!(message.is_high, n.is_multiple_of(3));
            self.messages.insert(n, Known::Taken);
            if index % 2 == 0 && mailbox.blocking_ack(&[message.id]).is_ok() {
                self.messages.insert(n, Known::Acked);
            }
        }
        true
    }

    /// Some messages in, some out, over more than two segments.
    fn run(&mut self, mailbox: &mut Mailbox, steps: usize) {
        for step in 0..steps {
            if !self.send(mailbox) {
                return;
            }
            if step % 4 == 3 && !self.handle(mailbox, 3) {
                return;
            }
        }
    }

    /// What a start finds agrees with what was known before. `is_power_lost` says that
    /// acknowledgements that were not synced may be lost.
    fn check(&self, mailbox: &mut Mailbox, is_power_lost: bool) {
        let mut found = BTreeMap::new();
        loop {
            let stats = runtime().block_on(mailbox.stats()).unwrap();
            if stats.high.ready + stats.low.ready == 0 {
                break;
            }
            let taken = mailbox.blocking_dequeue(usize::MAX).unwrap();
            let mut last = [None; 2];
            for message in taken {
                let n = number(&message.payload);
                let last = &mut last[usize::from(message.is_high)];
                assert!(*last < Some(n), "out of order: {n}");
                *last = Some(n);
                assert_eq!(found.insert(n, message.attempt), None, "twice: {n}");
            }
        }
        for (n, known) in &self.messages {
            match (known, found.get(n)) {
                (Known::Sent, attempt) => assert!(attempt.is_none_or(|attempt| *attempt == 1)),
                (Known::Stored, attempt) => assert_eq!(attempt, Some(&1), "{n}: {self:?}"),
                (Known::Taken, attempt) => {
                    // A word may be lost with the power, and the attempt with it.
                    let attempt = *attempt.unwrap_or_else(|| panic!("{n} is lost: {self:?}"));
                    assert!(attempt >= 2 || is_power_lost, "{n}: {self:?}");
                }
                (Known::Acked, None) => {}
                (Known::Acked, Some(_)) => assert!(is_power_lost, "{n} came again: {self:?}"),
            }
        }
        assert!(found.keys().all(|n| self.messages.contains_key(n)));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// How many bytes a run writes.
fn bytes_of(steps: usize) -> u64 {
    let disk = SimDisk::new();
    let (store, mut mailbox) = open(&disk);
    let before = disk.written();
    History::default().run(&mut mailbox, steps);
    drop(mailbox);
    store.blocking_close();
    disk.written() - before
}

/// Promises 1 and 2, when power is lost at every byte: the write there is torn, and of what was not
/// synced any subset of sectors is kept.
#[test]
fn a_receipt_is_true_after_a_power_loss_at_every_byte() {
    let steps = 16;
    let written = bytes_of(steps);
    for bytes in 0..written {
        for keep in 0..3 {
            let mut random = fastrand::Rng::with_seed(bytes * 3 + keep);
            let disk = SimDisk::new();
            let (store, mut mailbox) = open(&disk);
            disk.cut_power_after(bytes);
            let mut history = History::default();
            history.run(&mut mailbox, steps);
            drop(mailbox);
            store.blocking_close();
            disk.lose_power(|| match keep {
                0 => false,
                1 => true,
                _ => random.bool(),
            });
            let (store, mut mailbox) = open(&disk);
            history.check(&mut mailbox, true);
            drop(mailbox);
            store.blocking_close();
            if keep == 2 && bytes % 16 == 0 {
                second_life(&disk, &mut random);
            }
        }
    }
}

/// A store that was cut goes on, over segments, and loses nothing at the next power loss.
fn second_life(disk: &SimDisk, random: &mut fastrand::Rng) {
    let (store, mut mailbox) = open(disk);
    let stats = runtime().block_on(mailbox.stats()).unwrap();
    let ready = stats.high.ready + stats.low.ready;
    if ready > 0 {
        let taken = mailbox.blocking_dequeue(usize::MAX).unwrap();
        let ids: Vec<u64> = taken.iter().map(|message| message.id).collect();
        assert_eq!(ids.len(), ready);
        assert_eq!(mailbox.blocking_ack(&ids), Ok(ready));
    }
    let mut history = History {
        next: 1 << 20,
        ..History::default()
    };
    history.run(&mut mailbox, 8);
    drop(mailbox);
    store.blocking_close();
    disk.lose_power(|| random.bool());
    let (_store, mut mailbox) = open(disk);
    history.check(&mut mailbox, true);
}

/// Promise 2: the words outlive a kill although nothing was synced, or even written, for an
/// acknowledgement.
#[test]
fn nothing_acknowledged_comes_again_after_a_kill() {
    for steps in 1..40 {
        let disk = SimDisk::new();
        let (store, mut mailbox) = open(&disk);
        let mut history = History::default();
        history.run(&mut mailbox, steps);
        // The journal's thread is not asked to end in order: all it could still do fails.
        disk.cut_power_after(0);
        drop(mailbox);
        store.blocking_close();
        disk.kill();
        let (_store, mut mailbox) = open(&disk);
        history.check(&mut mailbox, false);
    }
}

/// The data of a run that was closed in order: its files in the order of their generations.
pub(crate) fn some_log() -> (SimDisk, Vec<(u64, String)>) {
    let disk = SimDisk::new();
    let (store, mut mailbox) = open(&disk);
    for n in 0..200 {
        mailbox
            .blocking_enqueue_with(payload(n), false, Terms::new())
            .unwrap();
    }
    drop(mailbox);
    store.blocking_close();
    let files = used_files(&disk);
    assert!(files.len() > 2, "{files:?}");
    (disk, files)
}

/// The segments that have a head, oldest first.
fn used_files(disk: &SimDisk) -> Vec<(u64, String)> {
    let names = Disk::list(disk).unwrap();
    let used = names.into_iter().filter_map(|name| {
        let contents = scan::read(&disk.content(&name)?)?;
        Some((contents.header.generation, name))
    });
    let mut files: Vec<_> = used.collect();
    files.sort();
    files
}

/// Promise 4.
#[test]
fn damage_before_what_was_synced_refuses_to_open_and_names_the_place() {
    let (disk, files) = some_log();
    for (_, name) in &files {
        let whole = disk.content(name).unwrap();
        let contents = scan::read(&whole).unwrap();
        let last = contents.records.len() - 1;
        let some = |index: &usize| index.is_multiple_of(5) || *index == last;
        for index in (0..=last).filter(some) {
            let (offset, head, _) = &contents.records[index];
            assert!(matches!(head.kind, Kind::Put | Kind::Queue));
            disk.damage(name, |bytes| bytes[*offset as usize + 9] ^= 0x40);
            match Durable::open_on(disk.clone(), &small()) {
                Err(OpenError::Damaged {
                    file,
                    offset: found,
                    ..
                }) => {
                    assert_eq!((&file, found), (name, *offset));
                    let error = offline::verify_on(disk.clone()).unwrap_err();
                    assert!(
                        error.to_string().contains(&format!("offset {offset}")),
                        "{error}"
                    );
                }
                other => panic!("{name}, record {index}: {other:?}"),
            }
            disk.damage(name, |bytes| bytes.clone_from(&whole));
        }
    }
}

#[test]
fn damage_beyond_what_was_synced_is_cut_and_reported() {
    let disk = SimDisk::new();
    let (store, mut mailbox) = open(&disk);
    for n in 0..3 {
        mailbox.blocking_enqueue_low(payload(n)).unwrap();
    }
    let taken = mailbox.blocking_dequeue(2).unwrap();
    mailbox.blocking_ack(&[taken[0].id]).unwrap();
    // This is answered when it and what came before are written; nobody waits for a sync.
    assert_eq!(mailbox.blocking_retry(taken[1].id, None), Ok(true));
    disk.cut_power_after(0);
    drop(mailbox);
    store.blocking_close();
    disk.kill();
    let files = used_files(&disk);
    let (_, name) = files.last().unwrap();
    let contents = scan::read(&disk.content(name).unwrap()).unwrap();
    let mut records = contents.records.iter();
    let (offset, ..) = *records.find(|(_, head, _)| head.kind == Kind::Ack).unwrap();
    disk.damage(name, |bytes| bytes[offset as usize + 16] ^= 1);
    let report = offline::verify_on(disk.clone()).unwrap();
    let cut = report.cut.clone().expect("something is cut");
    assert_eq!((&cut.file, cut.offset), (name, offset));
    assert!(report.to_string().contains("torn"), "{report}");
    let (store, mailbox) = open(&disk);
    assert_eq!(store.cut(), Some(&cut));
    // With the acknowledgement, which nobody had waited for.
    assert_eq!(runtime().block_on(mailbox.stats()).unwrap().low.ready, 3);
    let mut mailbox = mailbox;
    mailbox
        .blocking_enqueue_with(payload(7), false, Terms::new())
        .unwrap();
    drop(mailbox);
    store.blocking_close();
    let (store, _mailbox) = open(&disk);
    assert_eq!(store.cut(), None);
}

#[test]
fn one_bad_sector_of_a_head_is_survived_and_a_missing_segment_is_named() {
    let (disk, files) = some_log();
    let (generation, name) = &files[1];
    disk.damage(name, |bytes| bytes[..512].fill(0xff));
    assert_eq!(
        offline::verify_on(disk.clone()).unwrap().segments,
        files.len()
    );
    disk.damage(name, |bytes| bytes[512..1024].fill(0xff));
    let error = offline::verify_on(disk.clone()).unwrap_err();
    assert!(
        matches!(error, OpenError::Missing { generation: g } if g == *generation),
        "{error}"
    );
}

/// A segment that is used again has whole records of its earlier use, which are none now.
#[test]
fn stale_records_of_a_recycled_segment_are_not_read() {
    let disk = SimDisk::new();
    let (store, mut mailbox) = open(&disk);
    for n in 0..900 {
        mailbox
            .blocking_enqueue_with(payload(n), false, Terms::new())
            .unwrap();
        let taken = mailbox.blocking_dequeue(1).unwrap();
        assert_eq!(number(&taken[0].payload), n);
        mailbox.blocking_ack(&[taken[0].id]).unwrap();
    }
    let stats = runtime().block_on(store.stats()).unwrap();
    assert!(stats.written > 4 * stats.disk, "{stats:?}");
    drop(mailbox);
    store.blocking_close();
    let (_store, mailbox) = open(&disk);
    assert_eq!(runtime().block_on(mailbox.stats()).unwrap().low.ready, 0);
}
