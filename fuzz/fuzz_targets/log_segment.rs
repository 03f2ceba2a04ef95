//! Segments of the durable log: arbitrary bytes never panic and never yield a record that was not
//! written.
#![no_main]

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use arbitrary::Arbitrary;
use lanemesh_durable::{
    disk::SimDisk,
    log::{
        header::{DATA, Header},
        record::{self, Batch, Head, Kind},
        scan,
    },
    offline,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    generation: u16,
    /// The content of the segment before: what a recycled one has.
    stale: Vec<Record>,
    records: Vec<Record>,
    damage: Vec<(u16, u8)>,
    /// Written behind the records, as a message of a user may.
    raw: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Record {
    kind: u8,
    class: u8,
    queue: u8,
    id: u16,
    body: Vec<u8>,
}

impl Record {
    fn head(&self) -> Head {
        let kinds = [
            Kind::Batch,
            Kind::Put,
            Kind::Attempt,
            Kind::Ack,
            Kind::Dead,
            Kind::Requeue,
            Kind::Retry,
            Kind::Queue,
            Kind::Mark,
        ];
        Head {
            kind: kinds[usize::from(self.kind) % kinds.len()],
            class: self.class % 3,
            queue: u16::from(self.queue % 4),
            attempt: 0,
            id: u64::from(self.id),
        }
    }
}

const SIZE: usize = 8 << 10;

fn write(segment: &mut [u8], header: Header, records: &[Record]) -> HashMap<u64, (Head, Vec<u8>)> {
    segment[..DATA as usize].copy_from_slice(&header.encode());
    let mut bytes = Vec::new();
    let mut written = HashMap::new();
    for record in records {
        let at = bytes.len();
        let head = record.head();
        let mut body = record.body.clone();
        if head.kind == Kind::Batch {
            let synced = lanemesh_durable::log::Position {
                generation: header.generation,
                offset: u64::from(record.id),
            };
            body = Batch {
                synced,
                oldest: u64::from(record.queue),
            }
            .encode()
            .to_vec();
        }
        record::encode(&mut bytes, header.seed(), head, &body);
        if DATA as usize + bytes.len() > SIZE {
            bytes.truncate(at);
            break;
        }
        written.insert(DATA + at as u64, (head, body));
    }
    segment[DATA as usize..][..bytes.len()].copy_from_slice(&bytes);
    written
}

fuzz_target!(|input: Input| {
    // Of all bytes, so that none of them can hold a record that fits it.
    let mut hasher = DefaultHasher::new();
    format!("{input:?}").hash(&mut hasher);
    let nonce = hasher.finish() as u32;
    let mut segment = vec![0; SIZE];
    let header = |generation: u64, nonce| Header {
        generation,
        nonce,
        previous_end: 0,
        next_id: 1,
        log: 7,
    };
    let generation = u64::from(input.generation) + 2;
    write(&mut segment, header(generation - 1, !nonce), &input.stale);
    let written = write(&mut segment, header(generation, nonce), &input.records);
    let end = written
        .iter()
        .map(|(at, (_, body))| *at as usize + record::length(body.len()))
        .max()
        .unwrap_or(DATA as usize);
    let raw = input.raw.len().min(SIZE - end);
    segment[end..end + raw].copy_from_slice(&input.raw[..raw]);
    for (at, value) in &input.damage {
        segment[usize::from(*at) % SIZE] ^= value;
    }
    if let Some(contents) = scan::read(&segment)
        && contents.header == header(generation, nonce)
    {
        for (offset, head, body) in contents.records {
            assert_eq!(
                written.get(&offset),
                Some(&(head, body)),
                "not written, at {offset}"
            );
        }
    }
    // The whole store: it is whole or says why not, and does not panic.
    let disk = SimDisk::new();
    disk.insert("00000001.log", segment.clone());
    disk.insert("00000002.log", input.raw.clone());
    let _ = offline::verify_on(disk);
});
