//! Plain threads: several producers, one consumer, no executor.

use std::thread;

fn main() {
    const PRODUCERS: usize = 4;
    const MESSAGES: u64 = 10_000;

    let (tx, rx) = lanemesh::channel(256);
    let sum: u64 = thread::scope(|scope| {
        for producer in 0..PRODUCERS as u64 {
            // Each clone is a producer with a lane of its own.
            let mut tx = tx.clone();
            scope.spawn(move || {
                for n in 0..MESSAGES {
                    tx.blocking_send((producer, n))
                        .expect("the receiver is there");
                }
            });
        }
        // The channel ends when the last sender is dropped.
        drop(tx);

        let mut next = [0; PRODUCERS];
        rx.into_iter()
            .map(|(producer, n)| {
                let expected = &mut next[producer as usize];
                assert_eq!(n, *expected, "each producer's messages come in order");
                *expected += 1;
                n
            })
            .sum()
    });
    assert_eq!(sum, PRODUCERS as u64 * (0..MESSAGES).sum::<u64>());
    println!("{PRODUCERS} threads sent {MESSAGES} messages each, in order; their sum is {sum}");
}
