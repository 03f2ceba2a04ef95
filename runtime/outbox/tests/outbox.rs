//! Outboxes and inboxes of two nodes in one process.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lanemesh_durable::{
    Codec, CodecError, Durable, DurableExt, DurableMessage, Postcard, QueueOptions, StoreError,
};
use lanemesh_net::{ExportOptions, Node, transport::InProcess};
use lanemesh_outbox::{Inbox, Outbox, OutboxOptions, Outboxes, export_durable, export_handled};
use lanemesh_runtime::{builder, testing::Sink};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order(u64);

/// Orders from here on cannot be read, until this is set.
const UNREADABLE: u64 = 1000;
static IS_READABLE: AtomicBool = AtomicBool::new(false);

impl DurableMessage for Order {
    const NAME: &'static str = "order";

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let order: Self = Postcard::decode(bytes)?;
        // ORDERING: a flag, and nothing else.
        match order.0 < UNREADABLE || IS_READABLE.load(Ordering::Relaxed) {
            true => Ok(order),
            false => Err(CodecError::new("of a later program")),
        }
    }
}

struct Pair {
    home: Node,
    away: Node,
    store: Durable,
    _directory: TempDir,
}

async fn pair() -> Pair {
    let network = InProcess::default();
    let node = |name| {
        Node::builder(name)
            .transport("mem", network.clone())
            .build()
    };
    let (home, away) = (node("home"), node("away"));
    home.bind("mem:home").await.unwrap();
    let directory = TempDir::new().unwrap();
    Pair {
        store: Durable::open(directory.path()).unwrap(),
        home,
        away,
        _directory: directory,
    }
}

impl Pair {
    async fn outboxes(&self) -> Outboxes {
        let options = OutboxOptions {
            backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(10),
            timeout: Duration::from_secs(3600),
            ..OutboxOptions::default()
        };
        let opened = Outboxes::open_with(&self.store, &self.away, options);
        opened.await.unwrap()
    }
}

type Log = Arc<Mutex<Vec<u64>>>;

/// An inbox that keeps a log, and refuses each order of these once.
fn logging(home: &Node, refused: &[u64]) -> (Inbox, Log) {
    let log = Log::default();
    let kept = log.clone();
    let mut refused = refused.to_vec();
    let handle = move |Order(number)| {
        let index = refused.iter().position(|refused| *refused == number);
        let refused = index.map(|index| refused.remove(index));
        let kept = kept.clone();
        async move {
            if refused.is_some() {
                return Err("not yet");
            }
            kept.lock().unwrap().push(number);
            Ok(())
        }
    };
    let inbox = export_handled(home, "orders", handle, ExportOptions::new());
    (inbox.unwrap(), log)
}

async fn tell(outbox: &mut Outbox<Order>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        outbox.tell(Order(number)).await.unwrap();
    }
}

#[tokio::test]
async fn messages_wait_for_their_inbox_and_come_again_after_an_error_in_order() {
    let pair = pair().await;
    let outboxes = pair.outboxes().await;
    let mut orders = outboxes.to::<Order>("home", "orders").await.unwrap();
    tell(&mut orders, 0..20).await;
    orders.tell_high(Order(20)).await.unwrap();
    assert!(orders.stats().await.unwrap().queued > 0);
    pair.away.connect("mem:home").await.unwrap();
    // Still without an inbox.
    while orders.stats().await.unwrap().failures < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stats = orders.stats().await.unwrap();
    assert_eq!((stats.queued, stats.confirmed), (21, 0));
    assert!(stats.last_failure.is_some());
    let (_inbox, log) = logging(&pair.home, &[0, 7, 7, 19]);
    orders.sent().await.unwrap();
    let mut log = log.lock().unwrap().clone();
    log.retain(|number| *number != 20); // of the other class
    assert_eq!(log, (0..20).collect::<Vec<_>>());
    assert_eq!(orders.stats().await.unwrap().confirmed, 21);
}

#[tokio::test]
async fn what_is_left_is_sent_when_the_outboxes_are_opened_again() {
    let pair = pair().await;
    let outboxes = pair.outboxes().await;
    let mut orders = outboxes.to::<Order>("home", "orders").await.unwrap();
    tell(&mut orders, 0..10).await;
    let again = Outboxes::open(&pair.store, &pair.away).await;
    assert!(matches!(again, Err(StoreError::InUse)));
    #[derive(Serialize, Deserialize)]
    struct Other;
    impl DurableMessage for Other {
        const NAME: &'static str = "other";
    }
    let other = outboxes.to::<Other>("home", "orders").await;
    assert!(matches!(other, Err(StoreError::InUse)));
    drop((outboxes, orders));
    // It waits until the one before has given back what it had.
    let outboxes = loop {
        match Outboxes::open(&pair.store, &pair.away).await {
            Ok(outboxes) => break outboxes,
            Err(StoreError::InUse) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut orders = outboxes.to::<Order>("home", "orders").await.unwrap();
    tell(&mut orders, 10..15).await;
    pair.away.connect("mem:home").await.unwrap();
    let (_inbox, log) = logging(&pair.home, &[]);
    orders.sent().await.unwrap();
    assert_eq!(*log.lock().unwrap(), (0..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn message_that_cannot_be_read_is_a_dead_letter_and_goes_out_when_it_is_put_back() {
    let pair = pair().await;
    let far_directory = TempDir::new().unwrap();
    let far = Durable::open(far_directory.path()).unwrap();
    let desk = builder(Sink::<(), Order>::new).durable_low(&far, "desk");
    let desk = desk.queue_options(QueueOptions::default());
    let (mut desk, _child) = desk.spawn().await.unwrap();
    let inbox = desk.low().clone();
    let _inbox = export_durable(&pair.home, "orders", inbox, ExportOptions::new()).unwrap();
    pair.away.connect("mem:home").await.unwrap();
    let outboxes = pair.outboxes().await;
    let mut orders = outboxes.to::<Order>("home", "orders").await.unwrap();
    tell(&mut orders, 1..3).await;
    orders.tell(Order(UNREADABLE)).await.unwrap();
    tell(&mut orders, 3..5).await;
    orders.sent().await.unwrap();
    let stats = orders.stats().await.unwrap();
    assert_eq!((stats.confirmed, stats.rejected, stats.queued), (4, 1, 0));
    let dead = pair.store.dead_letters(None, 0, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    let stored = async || {
        let stats = far.stats().await.unwrap();
        stats.queue("desk").unwrap().duplicates
    };
    assert_eq!(stored().await, 0);
    // The other program has learnt it. Later messages have been confirmed, but this one never was.
    // ORDERING: a flag, and nothing else.
    IS_READABLE.store(true, Ordering::Relaxed);
    assert!(pair.store.requeue(dead[0].id).await.unwrap());
    // Nothing tells of the message that was put back.
    while orders.stats().await.unwrap().confirmed < 6 {
        tokio::task::yield_now().await;
    }
    orders.sent().await.unwrap();
    desk.actor().idle().await;
    while desk.actor().stats().low < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.actor().stats().low, 5, "each once");
}

#[tokio::test]
async fn message_that_no_frame_holds_is_given_back() {
    let pair = pair().await;
    let outboxes = pair.outboxes().await;
    #[derive(Serialize, Deserialize)]
    struct Text(String);
    impl DurableMessage for Text {
        const NAME: &'static str = "text";
    }
    let mut texts = outboxes.to::<Text>("home", "texts").await.unwrap();
    let large = Text("x".repeat(1 << 20));
    let error = texts.tell(large).await.unwrap_err();
    assert_eq!(
        (error.error, error.message.0.len()),
        (StoreError::TooLarge, 1 << 20)
    );
    // Batches of what frames do hold.
    let received = Arc::new(Mutex::new(0));
    let count = received.clone();
    let handle = move |Text(text)| {
        *count.lock().unwrap() += text.len();
        async { Ok::<_, String>(()) }
    };
    let _inbox = export_handled(&pair.home, "texts", handle, ExportOptions::new()).unwrap();
    for _ in 0..6 {
        texts.tell(Text("x".repeat(400_000))).await.unwrap();
    }
    pair.away.connect("mem:home").await.unwrap();
    texts.sent().await.unwrap();
    assert_eq!(*received.lock().unwrap(), 2_400_000);
}
