//! Batches: one wake-up for many messages, on both sides.

use std::thread;

fn main() {
    const MESSAGES: u32 = 100_000;

    let (mut tx, mut rx) = lanemesh::channel(1024);
    let producer = thread::spawn(move || {
        // From a `Vec`, which is drained as far as there is room.
        let mut batch: Vec<u32> = (0..100).collect();
        assert_eq!(tx.try_send_vec(&mut batch), Ok(100));
        assert!(batch.is_empty());

        // An iterator: only what fits is taken from it.
        let mut numbers = 100..1000;
        while !numbers.is_empty() {
            tx.try_send_many(numbers.by_ref())
                .expect("the receiver is there");
        }

        // One by one, then published together.
        for n in 1000..MESSAGES {
            if tx.try_feed(n).is_err() {
                tx.flush().expect("the receiver is there");
                tx.blocking_send(n).expect("the receiver is there");
            }
        }
        tx.flush().expect("the receiver is there");
    });

    let (mut got, mut next, mut batches) = (Vec::with_capacity(512), 0, 0);
    while let Some(first) = rx.blocking_recv() {
        got.push(first);
        // Perhaps nothing more is there yet.
        let _ = rx.try_recv_many(&mut got, 511);
        batches += 1;
        for n in got.drain(..) {
            assert_eq!(n, next);
            next += 1;
        }
    }
    assert_eq!(next, MESSAGES);
    assert!(batches <= MESSAGES);
    producer.join().expect("the producer does not panic");
    println!("{MESSAGES} messages in {batches} batches");
}
