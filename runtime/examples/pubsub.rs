//! Publish and subscribe: a slow subscriber misses messages, a fast one does not.

use lanemesh_runtime::{
    Actor, ActorResult, Context,
    patterns::{SlowPolicy, Topic},
    spawn,
    testing::Sink,
};

struct Board {
    prices: Vec<u32>,
}

impl Actor for Board {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u32;

    async fn on_low(&mut self, price: u32, _: &mut Context<Self>) -> ActorResult {
        self.prices.push(price);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let topic = Topic::new();

    // An actor that must see everything: the publisher waits for it.
    let (board, _board_child) = spawn(Board { prices: Vec::new() });
    topic.subscribe_recipient(board.low_recipient(), SlowPolicy::Wait);
    // A slow subscriber: it misses messages.
    let mut glance = topic.subscribe(4, SlowPolicy::Drop);
    // A subscriber that never receives is disconnected.
    let mut asleep = topic.subscribe(2, SlowPolicy::Disconnect);
    // An actor that ends: its subscription ends with it.
    let (gone, gone_child) = spawn(Sink::<(), u32>::new());
    topic.subscribe_recipient(gone.low_recipient(), SlowPolicy::Wait);
    gone_child.stop().await;

    let mut publisher = topic.publisher();
    for price in 0..10_000 {
        publisher.publish(price).await;
    }
    board.idle().await;
    let seen = board
        .inspect(
            |board| std::mem::take(&mut board.prices),
            std::time::Duration::from_secs(1),
        )
        .await?;
    println!("the board saw {} prices", seen.len());
    assert!(seen.iter().copied().eq(0..10_000), "everything, in order");

    let glanced = std::iter::from_fn(|| glance.try_recv()).collect::<Vec<_>>();
    println!("the glance saw {glanced:?} and missed {}", glance.missed());
    assert_eq!(glanced, [0, 1, 2, 3]);
    assert_eq!(glance.missed(), 10_000 - 4);
    assert_eq!(topic.dropped(), 10_000 - 4);

    assert_eq!(
        topic.subscribers(),
        2,
        "the sleeper and the dead are no longer subscribed"
    );
    assert_eq!(
        (asleep.recv().await, asleep.recv().await),
        (Some(0), Some(1))
    );
    Ok(())
}
