//! How much room a lane gives: what the actor accepts in a round trip, and no more to one that is slow.

use std::time::Duration;

use lanemesh_net::{Config, Node, Remote};
use lanemesh_runtime::{ActorResult, Context, Handler, builder};
use tokio::time::sleep;

use crate::{
    common::SECOND,
    simulation::{self, Network, simulate},
};

const CREDIT: u64 = 64;

/// Takes this long for each number, and knows whether they come in order.
struct Counter {
    pause: Duration,
    next: u64,
}

impl Handler for Counter {
    type Msg = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) -> ActorResult {
        assert_eq!(number, self.next);
        self.next += 1;
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
        Ok(())
    }
}

impl Remote for Counter {
    const TYPE: &'static str = "test/counter";
}

/// The most messages that were on their way, or waited in the landing, over a path with a delay.
async fn most_unconfirmed(seed: u64, pause: Duration, max_credit_growth: u32) -> u64 {
    let network = Network::new(seed, SECOND / 20);
    let config = Config {
        low_messages: CREDIT as u32,
        max_credit_growth,
        dead_after: 3600 * SECOND,
        ..simulation::config()
    };
    let [home, away] = ["home", "away"].map(|name| {
        let node = Node::builder(name).config(config.clone()).seed(seed);
        node.transport("sim", network.of(name)).build()
    });
    home.bind("sim:home").await.unwrap();
    away.connect("sim:home").await.unwrap();
    // What is in the mailbox is accepted.
    let counter = builder(move || Counter { pause, next: 0 });
    let (counter, _child) = counter.low_capacity(8).spawn();
    home.export("counter", &counter).unwrap();
    let mut handle = away.lookup::<Counter>("counter").await.unwrap();
    let mut most = 0;
    for number in 0..3000 {
        handle.tell(number).await.unwrap();
        most = most.max(away.links()[0].unconfirmed);
    }
    handle.idle().await;
    counter.idle().await;
    assert_eq!(counter.stats().messages(), 3000);
    assert_eq!(away.links()[0].unconfirmed, 0);
    most
}

#[test]
fn room_grows_with_the_round_trip_and_not_for_a_slow_actor() {
    simulate(3600 * SECOND, 0..5, async |seed| {
        let most = most_unconfirmed(seed, Duration::ZERO, 16).await;
        assert!(most > 2 * CREDIT && most <= 16 * CREDIT, "{seed}: {most}");
        let most = most_unconfirmed(seed, Duration::ZERO, 1).await;
        assert_eq!(most, CREDIT, "{seed}");
        let most = most_unconfirmed(seed, SECOND / 50, 16).await;
        assert_eq!(most, CREDIT, "{seed}");
    });
}
