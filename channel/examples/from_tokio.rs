//! A small tokio program, turned into one of ours: the imports change, and three lines more. Each
//! comment that starts with `tokio:` is what the line below it was, or what differs.

use std::time::Duration;

// tokio: use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use lanemesh::{self as mpsc, Receiver, SendOrError, Sender, TrySendError};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};

enum Request {
    Add(u64),
    Total(oneshot::Sender<u64>),
}

/// Owns the state, and serves requests until all senders are gone.
async fn serve(mut requests: Receiver<Request>) -> u64 {
    let mut total = 0;
    // tokio: the same. Here the requests of one client are in order; those of several clients are
    // taken lane by lane, not in the order of their sends.
    while let Some(request) = requests.recv().await {
        match request {
            Request::Add(n) => total += n,
            // Nobody may wait for the answer any more.
            Request::Total(reply) => drop(reply.send(total)),
        }
    }
    total
}

/// Adds 100 numbers, then asks for the total.
// tokio: the sender need not be `mut`. Here each client has a lane of its own, so a send takes
// `&mut self`; a server that sends through `&self` calls `Sender::shared`.
async fn client(mut server: Sender<Request>) -> u64 {
    for _ in 0..100 {
        server.send(Request::Add(1)).await.expect("it serves");
    }
    let (reply, answer) = oneshot::channel();
    // tokio: the same. The permit of tokio cannot fail; this one does if the channel has closed.
    let permit = server.reserve().await.expect("it serves");
    permit.send(Request::Total(reply)).expect("it serves");
    answer.await.expect("it answers")
}

/// What a full channel does.
async fn full() {
    // tokio: the same. Here each sender has room for `n` messages; `Builder::total_capacity(n)`
    // bounds all of them together, as tokio does.
    let (mut tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).expect("there is room");
    assert!(matches!(tx.try_send(2), Err(TrySendError::Full(2))));

    // tokio: tx.send_timeout(2, Duration::from_millis(1)).await
    // Here `send_timeout` blocks a thread. In a task, any timer bounds the wait.
    match tx.send_or(2, sleep(Duration::from_millis(1))).await {
        Err(SendOrError::Stopped(message, ())) => assert_eq!(message, 2),
        _ => unreachable!("nobody receives"),
    }

    // tokio: the same, for `blocking_recv`, `close`, `len` and others: see "Coming from tokio's
    // mpsc" in the documentation of the crate.
    assert_eq!(rx.recv().await, Some(1));
    rx.close();
    // tokio: the same.
    assert!(matches!(tx.try_send(3), Err(TrySendError::Closed(3))));
}

#[tokio::main]
async fn main() {
    // tokio: the same.
    let (tx, rx) = mpsc::channel(16);
    let server = tokio::spawn(serve(rx));
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        // tokio: the same. Here the clone is a producer of its own.
        clients.spawn(client(tx.clone()));
    }
    // tokio: the same. The channel closes with its last sender.
    drop(tx);
    // Each client's own messages came before its question.
    while let Some(seen) = clients.join_next().await {
        let seen = seen.expect("no client panics");
        assert!((100..=1000).contains(&seen));
    }
    assert_eq!(server.await.expect("it does not panic"), 1000);
    full().await;
    println!("10 clients, 1000 requests");
}
