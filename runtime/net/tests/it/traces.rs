//! Trace contexts of messages, from one node to another.

use lanemesh_net::{Node, Remote, Trace, TraceContext, transport::InProcess};
use lanemesh_runtime::{Actor, ActorHandle, ActorResult, Child, Context, Reply, spawn};
use serde::{Deserialize, Serialize};

use crate::common::{SECOND, patient};

/// Tells which contexts it has seen.
#[derive(Default)]
struct Witness(Vec<Option<TraceContext>>);

#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(default)]
    trace: Trace,
    number: u64,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    seen: Reply<Vec<Option<(String, u8)>>>,
    trace: Trace,
}

impl Actor for Witness {
    type HighPriorityMsg = Asked;
    type LowPriorityMsg = Told;

    async fn on_high(&mut self, asked: Asked, _: &mut Context<Self>) -> ActorResult {
        self.0.push(asked.trace.context());
        let seen = self.0.drain(..);
        let seen =
            seen.map(|context| context.map(|context| (context.to_string(), context.flags())));
        drop(asked.seen.send(seen.collect())); // the asker may be gone
        Ok(())
    }

    async fn on_low(&mut self, told: Told, _: &mut Context<Self>) -> ActorResult {
        assert_eq!(told.text.len() as u64, told.number);
        self.0.push(told.trace.context());
        Ok(())
    }
}

impl Remote for Witness {
    const TYPE: &'static str = "test/witness";
}

struct Two {
    away: Node,
    handle: ActorHandle<Witness>,
    _home: (Node, Child),
}

async fn two() -> Two {
    let network = InProcess::default();
    let [home, away] = ["home", "away"].map(|name| {
        let node = Node::builder(name).config(patient());
        node.transport("mem", network.clone()).build()
    });
    home.bind("mem:home").await.unwrap();
    let (actor, child) = spawn(Witness::default());
    home.export("witness", &actor).unwrap();
    away.connect("mem:home").await.unwrap();
    let handle = away.lookup::<Witness>("witness").await.unwrap();
    Two {
        away,
        handle,
        _home: (home, child),
    }
}

fn context(is_sampled: bool) -> TraceContext {
    TraceContext::new(0xabc << 100, 0xdef, is_sampled).unwrap()
}

impl Two {
    /// Sends a message, and returns how many bytes that were on the low connection.
    async fn tell(&mut self, trace: Trace, size: u64) -> u64 {
        let before = self.away.links()[0].low.written;
        let text = "x".repeat(size as usize);
        let told = Told {
            trace,
            number: size,
            text,
        };
        self.handle.send_low(told).await.unwrap();
        while self.away.links()[0].low.written == before {
            tokio::task::yield_now().await;
        }
        self.away.links()[0].low.written - before
    }

    async fn seen(&mut self, trace: Trace) -> Vec<Option<(String, u8)>> {
        self.handle.idle().await;
        let asked = |seen| Asked { seen, trace };
        self.handle.ask(asked, 60 * SECOND).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn sampled_messages_have_their_context_in_the_header_and_others_have_no_byte_for_it() {
    let mut two = two().await;
    let bare = two.tell(Trace::NONE, 100).await;
    assert_eq!(two.tell(Trace::of(context(false)), 100).await, bare);
    assert_eq!(two.tell(Trace::of(context(true)), 100).await, bare + 25);
    assert_eq!(two.tell(Trace::NONE, 100).await, bare);
    let sampled = Some((context(true).to_string(), 1));
    let seen = two.seen(Trace::of(context(true))).await;
    assert_eq!(seen, [None, None, sampled.clone(), None, sampled]);
    assert_eq!(two.seen(Trace::NONE).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_batch_have_each_their_own_context() {
    let mut two = two().await;
    let mut expected = Vec::new();
    for number in 1..=300 {
        let is_sampled = number % 3 == 0;
        let context = TraceContext::new(number, number as u64, is_sampled).unwrap();
        let text = "x".repeat(number as usize);
        let told = Told {
            trace: Trace::of(context),
            number: number as u64,
            text,
        };
        two.handle.send_low(told).await.unwrap();
        expected.push(is_sampled.then(|| (context.to_string(), 1)));
    }
    expected.push(None);
    assert_eq!(two.seen(Trace::NONE).await, expected);
}

#[tokio::test(start_paused = true)]
async fn message_that_is_as_long_as_a_frame_goes_without_its_context() {
    let mut two = two().await;
    let most = patient().max_frame as u64;
    // The number and the length of the text have three bytes each.
    let fits = |size| size + 6 <= most - 16;
    let longest = (most - 100..most).rfind(|size| fits(*size)).unwrap();
    two.tell(Trace::of(context(true)), longest).await;
    two.tell(Trace::of(context(true)), longest - 25).await;
    let sampled = Some((context(true).to_string(), 1));
    assert_eq!(two.seen(Trace::NONE).await, [None, sampled, None]);
}
