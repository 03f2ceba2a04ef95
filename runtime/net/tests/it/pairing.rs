//! Two nodes that connect to each other over a simulated network. Each seed is another schedule.
//!
//! Checked for every seed: one link is left, it is the same for both nodes, and actors are found over it from both
//! ends. Without faults it is the only link that there ever was.

use std::time::Duration;

use lanemesh_net::{Config, Event, Node};
use lanemesh_runtime::{ActorHandle, Child, spawn};
use tokio::{sync::broadcast, time::sleep};

use crate::{
    common::Recorder,
    simulation::{Network, config, seeds, simulate},
};

const NAMES: [&str; 2] = ["a", "b"];
/// Longer than anything takes that two nodes decide by themselves.
const SETTLED: Duration = Duration::from_secs(10);

struct End {
    node: Node,
    events: broadcast::Receiver<Event>,
    _actor: (ActorHandle<Recorder>, Child),
}

impl End {
    async fn start(network: &Network, name: &str, seed: u64) -> Self {
        let config = Config {
            handshake_timeout: Duration::from_secs(5), // bytes may come one by one
            lookup_timeout: Duration::from_secs(5),
            dead_after: Duration::from_secs(1),
            ..config()
        };
        let node = Node::builder(name).config(config).seed(seed);
        let node = node.transport("sim", network.of(name)).build();
        node.bind(&format!("sim:{name}")).await.unwrap();
        let (actor, child) = spawn(Recorder::new());
        node.export(format!("of {name}"), &actor).unwrap();
        Self {
            events: node.events(),
            node,
            _actor: (actor, child),
        }
    }

    /// How many links came, and how many went.
    fn count(&mut self) -> (u32, u32) {
        let (mut up, mut down) = (0, 0);
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::LinkUp { .. } => up += 1,
                Event::LinkDown(_) => down += 1,
                _ => {}
            }
        }
        (up, down)
    }
}

/// There is one link, and both ends find each other's actor over it.
async fn check(ends: &[End; 2], seed: u64) {
    for (end, other) in [(0, 1), (1, 0)] {
        let [near, far] = [&ends[end].node, &ends[other].node];
        assert_eq!(near.links().len(), 1, "seed {seed}");
        let name = format!("of {}", NAMES[other]);
        let found = near.lookup::<Recorder>(name).await;
        let found = found.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(near.links()[0].lanes_opened, 1, "seed {seed}");
        assert_eq!(far.links()[0].lanes_owned, 1, "seed {seed}");
        drop(found);
    }
}

async fn run(seed: u64) -> u32 {
    let mut random = fastrand::Rng::with_seed(seed);
    let delay = Duration::from_millis(random.u64(0..20));
    let network = Network::new(seed, delay);
    let mut ends = [
        End::start(&network, NAMES[0], seed).await,
        End::start(&network, NAMES[1], seed + 1).await,
    ];
    // Most begin in one moment: within the time of a round trip or two.
    let begin = [(); 2].map(|()| delay.mul_f64(4.0 * random.f64()));
    let is_calm = random.u8(0..4) > 0;
    let connect = |end: usize| {
        let (node, begin) = (&ends[end].node, begin[end]);
        async move {
            sleep(begin).await;
            node.connect(&format!("sim:{}", NAMES[1 - end])).await
        }
    };
    if is_calm {
        let connected = tokio::join!(connect(0), connect(1));
        let peers = [connected.0.unwrap().name, connected.1.unwrap().name];
        assert_eq!(peers.each_ref().map(|name| &**name), ["b", "a"]);
        // Whoever was told that it is linked has a link.
        sleep(SETTLED).await;
        check(&ends, seed).await;
        for end in &mut ends {
            assert_eq!(end.count(), (1, 0), "seed {seed}");
        }
        return 2;
    }
    let [one, other] = [0, 1].map(|end| {
        let address = format!("sim:{}", NAMES[1 - end]);
        ends[end].node.discover(vec![address])
    });
    for _ in 0..random.u32(1..8) {
        sleep(Duration::from_millis(random.u64(0..600))).await;
        match random.u8(0..3) {
            0 => network.reset(NAMES[0], NAMES[1]),
            1 => ends[random.usize(0..2)]
                .node
                .drop_links(NAMES[random.usize(0..2)]),
            _ => {
                network.cut(NAMES[0], NAMES[1]);
                sleep(Duration::from_millis(random.u64(0..1500))).await;
                network.heal(NAMES[0], NAMES[1]);
            }
        }
    }
    sleep(SETTLED).await;
    check(&ends, seed).await;
    drop((one, other));
    ends.iter_mut().map(|end| end.count().0).sum()
}

#[test]
fn one_link_is_left_of_two_nodes_that_connect_to_each_other() {
    let mut links = 0;
    simulate(Duration::from_secs(600), seeds(0..150), async |seed| {
        links += run(seed).await;
    });
    println!("{links} ends of links");
    assert!(links > 300, "{links}");
}
