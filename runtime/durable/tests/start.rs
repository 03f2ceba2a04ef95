//! Promise 7: a million queued messages of 256 bytes are there in under two seconds. What that rests on, without a
//! clock: a start reads each byte of the log once, decodes no payload, and allocates for the index and for one
//! segment. The shape `durable` of the benches has the time.
//!
//! A binary of its own: the allocator that counts is global.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lanemesh_durable::{
    CodecError, Durable, DurableExt, DurableMessage, StoreOptions,
    disk::{Disk, DiskFile, SimDisk, Words},
};
use lanemesh_runtime::{builder, testing::Sink};
use serde::{Deserialize, Serialize};

const MESSAGES: u64 = 20_000;
const SEGMENT: u64 = 256 << 10;

/// How often a payload was decoded.
static DECODED: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize, Deserialize)]
struct Packet(Vec<u8>);

impl DurableMessage for Packet {
    const NAME: &'static str = "packet";

    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&self.0);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        Ok(Self(bytes.to_vec()))
    }
}

/// Counts the bytes that are read.
#[derive(Debug)]
struct Counting {
    disk: SimDisk,
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn DiskFile>,
    read: Arc<AtomicU64>,
}

impl Counting {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let read = self.read.clone();
        Box::new(CountingFile { file, read })
    }
}

impl Disk for Counting {
    fn lock(&mut self) -> io::Result<()> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str, size: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.create(name, size)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(Disk::open(&self.disk, name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn words(&self, name: &str, count: usize) -> io::Result<Words> {
        self.disk.words(name, count)
    }

    fn peek_words(&self, name: &str) -> io::Result<Vec<u64>> {
        self.disk.peek_words(name)
    }
}

impl DiskFile for CountingFile {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(into.len() as u64, Ordering::Relaxed);
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn options() -> StoreOptions {
    StoreOptions::default()
        .segment_size(SEGMENT)
        .max_in_flight(16)
}

/// A store with messages that nobody handles.
async fn fill(disk: &SimDisk) {
    let store = Durable::open_on(disk.clone(), &options()).unwrap();
    let sink = builder(Sink::<(), Packet>::new).durable_low(&store, "packets");
    let (mut handle, child) = sink.spawn().await.unwrap();
    drop(child.kill().await);
    for _ in 0..MESSAGES / 1000 {
        let messages = (0..1000).map(|n| Packet(vec![n as u8; 256])).collect();
        handle.low().tell_many(messages).await.unwrap();
    }
    drop(handle);
    store.close().await;
}

#[test]
fn a_start_reads_each_byte_once_and_decodes_no_payload() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let disk = SimDisk::new();
    runtime.block_on(fill(&disk));
    let read = Arc::<AtomicU64>::default();
    let counting = Counting {
        disk: disk.clone(),
        read: read.clone(),
    };
    let mut store = None;
    let allocated = allocation_counter::measure(|| {
        store = Some(Durable::open_on(counting, &options()).unwrap());
    });
    let store = store.unwrap();
    let stats = store.blocking_stats().unwrap();
    assert_eq!(stats.queue("packets").unwrap().low.ready as u64, MESSAGES);
    assert_eq!(DECODED.load(Ordering::Relaxed), 0);
    // The last segment is looked at before the others, and each head, to know which are needed.
    let read = read.load(Ordering::Relaxed);
    let heads = stats.disk / SEGMENT * 1024;
    assert!(
        read <= stats.disk + SEGMENT + heads,
        "{read} bytes of {}",
        stats.disk
    );
    // Some for each segment, whose file is opened anew when it is needed, and none for a message.
    assert!(
        allocated.count_total < MESSAGES / 25,
        "{allocated:?} for {MESSAGES} messages"
    );
    let bound = 32 * MESSAGES + 2 * SEGMENT;
    assert!(
        allocated.bytes_max < bound,
        "{allocated:?}, more than {bound}"
    );
    store.blocking_close();
}
