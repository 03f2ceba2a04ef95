//! Singletons over a simulated network: as long as nothing is cut and nobody crashes there is never a second
//! one, and in the end there is one, where the hash says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lanemesh_net::{
    LookupError, Remote,
    names::{NameError, Singleton, SingletonOptions, rendezvous},
};
use lanemesh_runtime::{ActorResult, Context, ExitReason, Handler, builder};
use tokio::time::sleep;

use crate::{
    common::SECOND,
    members::{LIMIT, agree},
    names::{Place, three},
    simulation::{Network, seeds, simulate},
};

/// How many run now, and how many there were.
#[derive(Default)]
struct Running {
    now: AtomicUsize,
    ever: AtomicUsize,
    most: AtomicUsize,
}

struct Only(Arc<Running>);

impl Only {
    fn start(running: &Arc<Running>) -> Self {
        let now = running.now.fetch_add(1, Ordering::Relaxed) + 1;
        running.most.fetch_max(now, Ordering::Relaxed);
        running.ever.fetch_add(1, Ordering::Relaxed);
        Self(running.clone())
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler for Only {
    type Msg = ();

    async fn handle(&mut self, (): (), cx: &mut Context<Self>) -> ActorResult {
        cx.stop();
        Ok(())
    }
}

impl Remote for Only {
    const TYPE: &'static str = "test/only";
}

fn offer(place: &Place, running: &Arc<Running>) -> Singleton {
    let running = running.clone();
    let start = move || {
        let running = running.clone();
        builder(move || Only::start(&running)).spawn()
    };
    let options = SingletonOptions::new().settle(Duration::from_millis(1500));
    place
        .names
        .singleton("test", "only", options, start)
        .unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to be");
}

#[tokio::test(start_paused = true)]
async fn singleton_moves_with_the_members_starts_again_and_is_never_there_twice() {
    let (_network, places) = three().await;
    let running = Arc::<Running>::default();
    let mut offers: Vec<_> = places
        .iter()
        .map(|place| (place, offer(place, &running)))
        .collect();
    for left in (1..=3).rev() {
        let names = offers.iter().map(|(place, _)| place.me().name.clone());
        let chosen = rendezvous(b"test\0only", names).unwrap();
        until(|| {
            let here = offers.iter().filter(|(_, offer)| offer.runs_here());
            here.map(|(place, _)| &place.me().name).eq([&chosen])
        })
        .await;
        let only = offers[0]
            .0
            .names
            .lookup_within::<Only>("test", "only", 60 * SECOND);
        let mut only = only.await.unwrap();
        if left == 3 {
            only.tell(()).await.unwrap();
            assert!(!matches!(only.monitor().await, ExitReason::Unreachable));
            until(|| running.ever.load(Ordering::Relaxed) == 2).await;
            until(|| running.now.load(Ordering::Relaxed) == 1).await;
        }
        let index = offers
            .iter()
            .position(|(place, _)| place.me().name == chosen);
        let (_, offer) = offers.remove(index.unwrap());
        offer.stop().await;
        if left > 1 {
            until(|| running.now.load(Ordering::Relaxed) == 1).await;
        }
    }
    assert_eq!(running.now.load(Ordering::Relaxed), 0);
    assert_eq!(running.most.load(Ordering::Relaxed), 1);
    let lookup = places[0]
        .names
        .lookup_within::<Only>("test", "only", SECOND)
        .await;
    let error = lookup.unwrap_err();
    assert!(matches!(
        error,
        NameError::Unknown | NameError::Lookup(LookupError::Unknown)
    ));
}

async fn run_singleton(seed: u64, is_calm: bool) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let network = Network::new(seed, Duration::from_micros(random.u64(1..10_000)));
    let nodes = ["n0", "n1", "n2", "n3"];
    let mut places: BTreeMap<&str, (Place, Singleton)> = BTreeMap::new();
    let running = Arc::<Running>::default();
    let mut incarnation = 0;
    for step in 0..random.usize(3..16) {
        let one = nodes[step % 4];
        match places.remove(one) {
            None => {
                incarnation += 1;
                let place = Place::start(&network, one, incarnation, random.u64(..)).await;
                if is_calm {
                    let lives = places.values().map(|(place, _)| &place.life);
                    agree(lives.chain([&place.life])).await;
                }
                let offer = offer(&place, &running);
                places.insert(one, (place, offer));
            }
            Some(kept) if one == "n0" || random.bool() => {
                places.insert(one, kept);
                match random.u8(0..4) {
                    _ if is_calm => {}
                    0 => nodes.iter().for_each(|other| network.cut(one, other)),
                    1 => nodes.iter().for_each(|other| network.heal(one, other)),
                    _ => network.reset(one, nodes[random.usize(0..4)]),
                }
            }
            Some((place, offer)) if is_calm || random.bool() => {
                offer.stop().await;
                assert!(place.life.node.shutdown(10 * SECOND).await);
            }
            Some((place, offer)) => {
                drop(offer);
                place.life.crash();
            }
        }
        sleep(Duration::from_millis(random.u64(0..4000))).await;
    }
    for one in nodes {
        nodes.iter().for_each(|other| network.heal(one, other));
    }
    agree(places.values().map(|(place, _)| &place.life)).await;
    let chosen = rendezvous(b"test\0only", places.keys()).unwrap();
    until(|| {
        let here = places.iter().filter(|(_, (_, offer))| offer.runs_here());
        here.map(|(name, _)| name).eq([chosen])
    })
    .await;
    sleep(10 * SECOND).await;
    assert!(places[chosen].1.runs_here(), "seed {seed}");
    assert_eq!(running.now.load(Ordering::Relaxed), 1, "seed {seed}");
    running.most.load(Ordering::Relaxed)
}

#[test]
fn singleton_is_one_in_the_end_for_many_seeds_and_always_one_where_nothing_breaks() {
    let mut most = 0;
    simulate(LIMIT, seeds(0..10), async |seed| {
        assert_eq!(run_singleton(seed, true).await, 1, "seed {seed}");
    });
    simulate(LIMIT, seeds(0..10), async |seed| {
        most = most.max(run_singleton(seed, false).await);
    });
    let is_chosen = std::env::var("LANEMESH_SEEDS").is_ok();
    assert!(most > 1 || is_chosen, "a partition has one of its own");
}
