//! This process's side: what is sent, and what is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lanemesh_net::{Config, Event, Node};
use lanemesh_runtime::{ActorHandle, ExitReason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::broadcast,
    time::{Instant, sleep, sleep_until},
};

use crate::far::{Accountant, Echo, PAYLOAD, PORT, RAW_PORT, SECRET, Told, patient};
use crate::network::FAR;

const MINUTE: Duration = Duration::from_secs(60);

async fn linked(config: Config) -> (Node, ActorHandle<Accountant>) {
    let node = Node::builder("near").secret(SECRET).config(config);
    let node = node.build();
    node.connect(&format!("tcp://{FAR}:{PORT}")).await.unwrap();
    let handle = node.lookup("accountant").await.unwrap();
    (node, handle)
}

fn payload(number: u64) -> Told {
    Told::Payload(number, "x".repeat(PAYLOAD))
}

async fn echo(handle: &mut ActorHandle<Accountant>, number: u64) -> Duration {
    let began = Instant::now();
    let answer = handle.ask(|reply| Echo([number; 8], reply), 10 * MINUTE);
    assert_eq!(answer.await, Ok([number; 8]));
    began.elapsed()
}

/// Sends without pause until `is_over`, and returns how many.
async fn flood(mut handle: ActorHandle<Accountant>, is_over: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    // ORDERING: a flag, and nothing else.
    while !is_over.load(Ordering::Relaxed) && handle.send_low(payload(number)).await.is_ok() {
        number += 1;
    }
    number
}

/// Everything arrives over a link that loses packets, in order, and answers overtake the flood.
pub(crate) async fn loss() {
    const MANY: u64 = 3000;
    let (node, mut handle) = linked(patient()).await;
    let mut sender = handle.clone();
    let flood = tokio::spawn(async move {
        for number in 0..MANY {
            sender.send_low(payload(number)).await.unwrap();
        }
        sender.ask_low(Told::Account, 10 * MINUTE).await
    });
    let mut overtook = 0;
    while !flood.is_finished() {
        echo(&mut handle, overtook).await;
        overtook += 1;
    }
    assert_eq!(flood.await.unwrap(), Ok((MANY, true)));
    assert!(overtook > 1, "an answer came before all that was sent");
    handle.idle().await;
    assert_eq!(node.links()[0].unconfirmed, 0);
}

async fn next_down(events: &mut broadcast::Receiver<Event>) -> (u64, u64) {
    let mut unconfirmed = 0;
    loop {
        match events.recv().await.unwrap() {
            Event::LinkDown(down) => unconfirmed = down.unconfirmed,
            Event::LaneEnded { dead_letters, .. } => return (unconfirmed, dead_letters),
            _ => {}
        }
    }
}

/// The link is cut during a flood and comes back: everything is accounted for. `cut` takes it down,
/// and up with `true`.
pub(crate) async fn cut(cut: impl Fn(bool)) {
    let config = Config {
        heartbeat: Duration::from_millis(100),
        dead_after: Duration::from_secs(5),
        ..patient()
    };
    let (node, mut handle) = linked(config).await;
    let mut events = node.events();
    let is_over = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(flood(handle.clone(), is_over.clone()));
    for number in 0..10 {
        echo(&mut handle, number).await;
    }
    cut(false);
    assert!(matches!(handle.monitor().await, ExitReason::Unreachable));
    let sent = sending.await.unwrap();
    let (unconfirmed, dead) = next_down(&mut events).await;
    cut(true);
    while !matches!(events.recv().await.unwrap(), Event::LinkUp { .. }) {}
    let mut handle = node.lookup::<Accountant>("accountant").await.unwrap();
    let (count, is_in_order) = handle.ask_low(Told::Account, 10 * MINUTE).await.unwrap();
    assert!(is_in_order);
    // The questions may be among the unconfirmed messages, too.
    assert!(
        count <= sent - dead && count + dead + unconfirmed >= sent,
        "{count} of {sent} arrived; {dead} dead letters, {unconfirmed} unconfirmed"
    );
}

/// Bytes a second of one TCP connection, until all have arrived.
async fn raw_rate(seconds: f64) -> f64 {
    let mut raw = TcpStream::connect((FAR, RAW_PORT)).await.unwrap();
    let buffer = vec![0; 1 << 16];
    let (mut sent, began) = (0, Instant::now());
    while began.elapsed().as_secs_f64() < seconds {
        raw.write_all(&buffer).await.unwrap();
        sent += buffer.len() as u64;
    }
    raw.shutdown().await.unwrap();
    assert_eq!(raw.read_u64().await.unwrap(), sent);
    sent as f64 / began.elapsed().as_secs_f64()
}

fn quantiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort();
    [0.5, 0.99].map(|part| {
        let index = ((times.len() - 1) as f64 * part) as usize;
        times[index].as_secs_f64() * 1e3
    })
}

/// Round trips on high every 20 ms for this long.
async fn round_trips(handle: &mut ActorHandle<Accountant>, seconds: u64) -> [f64; 2] {
    let mut times = Vec::new();
    let mut next = Instant::now();
    for number in 0..50 * seconds {
        sleep_until(next).await;
        times.push(echo(handle, number).await);
        next += Duration::from_millis(20);
    }
    quantiles(times)
}

/// One row of the table: what a flood on low adds to a round trip on high, and what it uses of the link.
pub(crate) async fn row(seconds: u64) {
    let (node, mut handle) = linked(patient()).await;
    let raw = raw_rate(8.0).await;
    let bare = round_trips(&mut handle, 5).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(flood(handle.clone(), is_over.clone()));
    sleep(Duration::from_secs(6)).await; // until the window is found
    let account = async |handle: &ActorHandle<Accountant>| {
        let mut handle = handle.clone();
        handle.ask_low(Told::Account, MINUTE).await.unwrap().0
    };
    let before = (account(&handle).await, Instant::now());
    let high = round_trips(&mut handle, seconds).await;
    let window = node.links()[0].window;
    let count = account(&handle).await - before.0;
    let rate = (count * 1200) as f64 / before.1.elapsed().as_secs_f64();
    // ORDERING: a flag, and nothing else.
    is_over.store(true, Ordering::Relaxed);
    sending.await.unwrap();
    println!(
        "\nrow bare {:.2}/{:.2} ms, under the flood {:.2}/{:.2} ms: +{:.2}/+{:.2} ms; {:.1} % of {:.2} MB/s; window {} KiB",
        bare[0],
        bare[1],
        high[0],
        high[1],
        high[0] - bare[0],
        high[1] - bare[1],
        100.0 * rate / raw,
        raw / 1e6,
        window >> 10,
    );
}
