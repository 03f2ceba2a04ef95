//! Names and groups over a simulated network.
//!
//! Checked for every seed of names: in the end all nodes agree on the holder of each name; a registration that
//! counts is known everywhere, one that does not was told so, and only to a winner that was there; what is
//! looked up is the actor of the holder.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lanemesh_net::{
    PeerInfo, Remote,
    names::{NameEnd, NameError, NameOptions, Names, Pick, RegisterError, Registration},
};
use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, Handler, Reply, builder, spawn,
};
use tokio::time::{sleep, timeout};

use crate::{
    common::SECOND,
    members::{LIMIT, Life, agree},
    simulation::{Network, seeds, simulate},
};

/// Says who it is.
struct Sign(String);

impl Handler for Sign {
    type Msg = Reply<String>;

    async fn handle(&mut self, reply: Reply<String>, _: &mut Context<Self>) -> ActorResult {
        drop(reply.send(self.0.clone()));
        Ok(())
    }
}

impl Remote for Sign {
    const TYPE: &'static str = "test/sign";
}

async fn read(sign: &mut ActorHandle<Sign>) -> String {
    sign.ask(|reply| reply, 10 * SECOND).await.unwrap()
}

struct Held {
    name: String,
    registration: Registration,
    child: Child,
    /// Who loses a name has an actor that nobody else keeps.
    _sign: ActorHandle<Sign>,
}

/// A node with names.
pub(crate) struct Place {
    pub(crate) life: Life,
    pub(crate) names: Names,
    held: Vec<Held>,
}

impl Place {
    pub(crate) async fn start(network: &Network, name: &str, incarnation: u64, seed: u64) -> Self {
        let life = Life::start(network, name, incarnation, seed).await;
        let names = Names::join(&life.members).unwrap();
        Self {
            life,
            names,
            held: Vec::new(),
        }
    }

    pub(crate) fn me(&self) -> &PeerInfo {
        self.life.node.info()
    }

    fn register(&mut self, name: &str) -> Result<(), RegisterError> {
        let (sign, child) = spawn(Sign(format!("{name} at {}", self.me())));
        let registration = self.names.register("test", name, &sign)?;
        self.held.push(Held {
            name: name.to_owned(),
            registration,
            child,
            _sign: sign,
        });
        Ok(())
    }

    fn list(&self) -> Vec<(Arc<str>, PeerInfo)> {
        self.names.list("test")
    }
}

pub(crate) async fn three() -> (Network, [Place; 3]) {
    let network = Network::new(1, Duration::from_millis(1));
    let places = [
        Place::start(&network, "n0", 1, 1).await,
        Place::start(&network, "n1", 1, 2).await,
        Place::start(&network, "n2", 1, 3).await,
    ];
    agree(places.iter().map(|place| &place.life)).await;
    (network, places)
}

/// Waits until all have the same names; returns them.
async fn agreed<'a>(places: impl Iterator<Item = &'a Place> + Clone) -> Vec<(Arc<str>, PeerInfo)> {
    for _ in 0..3000 {
        let mut lists = places.clone().map(Place::list);
        let first = lists.next().unwrap();
        if lists.all(|list| list == first) {
            return first;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let lists: Vec<_> = places.map(Place::list).collect();
    panic!("no agreement: {lists:#?}");
}

async fn knows(place: &Place, name: &str) {
    let mut changes = place.names.changes();
    let known = changes.wait_for(|_| place.names.holder("test", name).is_some());
    timeout(60 * SECOND, known).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn name_is_found_from_everywhere_and_is_free_when_its_registration_or_actor_ends() {
    let (_network, mut places) = three().await;
    places[0].register("door").unwrap();
    for place in &places {
        let found = place
            .names
            .lookup_within::<Sign>("test", "door", 60 * SECOND);
        assert_eq!(read(&mut found.await.unwrap()).await, "door at n0@1");
        assert_eq!(
            place.names.holder("test", "door").as_ref(),
            Some(places[0].me())
        );
        let other = place.names.lookup::<Sign>("another scope", "door").await;
        assert_eq!(other.unwrap_err(), NameError::Unknown);
    }
    let taken = RegisterError::Taken(places[0].me().clone());
    assert_eq!(places[0].register("door"), Err(taken.clone()));
    assert_eq!(places[1].register("door"), Err(taken));

    // The registration is dropped.
    let Held {
        registration,
        child,
        _sign,
        ..
    } = places[0].held.pop().unwrap();
    drop(registration);
    let mut changes = places[1].names.changes();
    let is_free = |place: &Place| place.names.holder("test", "door").is_none();
    changes.wait_for(|_| is_free(&places[1])).await.unwrap();
    assert!(child.is_alive());
    places[1].register("door").unwrap();
    // The actor ends.
    knows(&places[2], "door").await;
    let Held {
        mut registration,
        child,
        ..
    } = places[1].held.pop().unwrap();
    child.stop().await;
    assert_eq!(registration.ended().await, NameEnd::Ended);
    let mut changes = places[2].names.changes();
    changes.wait_for(|_| is_free(&places[2])).await.unwrap();
    places[2].register("door").unwrap();
    // The names are dropped with the registration still held.
    let [_, one, two] = places;
    knows(&one, "door").await;
    let Place { life, names, held } = two;
    drop(names);
    let mut changes = one.names.changes();
    changes.wait_for(|_| is_free(&one)).await.unwrap();
    assert_eq!(held[0].registration.end(), Some(NameEnd::Closed));
    drop(life);
}

#[tokio::test(start_paused = true)]
async fn lease_ends_when_its_node_is_down_and_who_comes_back_has_lost_the_name() {
    let (network, mut places) = three().await;
    places[2].register("door").unwrap();
    let [zero, one, two] = &mut places;
    knows(zero, "door").await;
    knows(one, "door").await;
    for other in ["n0", "n1"] {
        network.cut("n2", other);
    }
    let unreachable = |place: &Place| !place.life.members.unreachable().is_empty();
    let mut changes = one.names.changes();
    changes.wait_for(|_| unreachable(one)).await.unwrap();
    let error = one.names.lookup::<Sign>("test", "door").await.unwrap_err();
    assert_eq!(error, NameError::Unreachable(two.me().clone()));
    assert!(matches!(one.register("door"), Err(RegisterError::Taken(_))));
    changes
        .wait_for(|_| one.names.holder("test", "door").is_none())
        .await
        .unwrap();
    one.register("door").unwrap();
    knows(zero, "door").await;
    assert_eq!(two.held[0].registration.end(), None);
    for other in ["n0", "n1"] {
        network.heal("n2", other);
    }
    let lost = two.held[0].registration.ended().await;
    assert_eq!(lost, NameEnd::Lost(one.me().clone()));
    assert!(two.held[0].child.is_alive());
    let door = two.names.lookup_within::<Sign>("test", "door", 60 * SECOND);
    assert_eq!(read(&mut door.await.unwrap()).await, "door at n1@1");
    assert_eq!(one.held[0].registration.end(), None);
}

#[tokio::test(start_paused = true)]
async fn names_beyond_the_limits_are_refused() {
    let network = Network::new(1, Duration::from_millis(1));
    let life = Life::start(&network, "n0", 1, 1).await;
    let names = Names::join_with(&life.members, &NameOptions::new().max_names(2)).unwrap();
    assert!(Names::join(&life.members).is_err());
    let (sign, child) = spawn(Sign("x".into()));
    let register = |scope: &str, name: &str| names.register(scope, name, &sign);
    assert_eq!(
        register(&"s".repeat(256), "a").unwrap_err(),
        RegisterError::TooLong
    );
    assert_eq!(
        register("s", &"a".repeat(1025)).unwrap_err(),
        RegisterError::TooLong
    );
    let _one = register("s", "a").unwrap();
    let two = register("s", "b").unwrap();
    assert_eq!(register("s", "c").unwrap_err(), RegisterError::TooMany);
    drop(two);
    let _two = register("s", "c").unwrap();
    assert!(life.node.shutdown(SECOND).await);
    sleep(SECOND).await;
    assert_eq!(register("s", "d").unwrap_err(), RegisterError::Closed);
    drop(child);
}

#[tokio::test(start_paused = true)]
async fn many_names_come_and_go_and_a_node_that_was_away_is_told_again() {
    let (network, mut places) = three().await;
    for number in 0..100 {
        places[0].register(&format!("early {number}")).unwrap();
    }
    assert_eq!(agreed(places.iter()).await.len(), 100);
    for round in 0..50 {
        for number in 0..50 {
            places[0].register(&format!("{round} {number}")).unwrap();
        }
        if round == 25 {
            network.reset("n0", "n1");
        }
        places[0].held.truncate(100);
        if round % 10 == 0 {
            sleep(Duration::from_millis(30)).await;
        }
    }
    places[0].register("last").unwrap();
    knows(&places[1], "last").await;
    knows(&places[2], "last").await;
    assert_eq!(agreed(places.iter()).await.len(), 101);
}

async fn run(seed: u64, counts: &mut [u32; 3]) {
    let mut random = fastrand::Rng::with_seed(seed);
    let network = Network::new(seed, Duration::from_micros(random.u64(1..20_000)));
    let nodes = ["n0", "n1", "n2", "n3"];
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    let mut incarnation = 0;
    let mut lost = Vec::new();
    for step in 0..random.usize(4..30) {
        let one = nodes[step % 4];
        let other = nodes[random.usize(0..4)];
        let name = ["x", "y", "z"][random.usize(0..3)];
        match (places.remove(one), random.u8(0..10)) {
            (None, _) => {
                incarnation += 1;
                let seed = random.u64(..);
                let place = Place::start(&network, one, incarnation, seed).await;
                places.insert(one, place);
            }
            (Some(place), 0) => place.life.crash(),
            (Some(mut place), action) => {
                match action {
                    1 => network.reset(one, other),
                    2 => nodes.iter().for_each(|other| network.cut(one, other)),
                    3 => nodes.iter().for_each(|other| network.heal(one, other)),
                    4 if !place.held.is_empty() => {
                        let index = random.usize(0..place.held.len());
                        drop(place.held.swap_remove(index));
                    }
                    _ => match place.register(name) {
                        Ok(()) => counts[0] += 1,
                        Err(RegisterError::Taken(_)) => counts[1] += 1,
                        Err(error) => panic!("{error}"),
                    },
                }
                places.insert(one, place);
            }
        }
        sleep(Duration::from_millis(random.u64(0..1200))).await;
    }
    for one in nodes {
        nodes.iter().for_each(|other| network.heal(one, other));
    }
    agree(places.values().map(|place| &place.life)).await;
    sleep(10 * SECOND).await; // the losers give up
    let names = agreed(places.values()).await;
    let holders: BTreeMap<_, _> = names.into_iter().collect();
    for (node, place) in &mut places {
        for held in &place.held {
            let name = &held.name;
            match held.registration.end() {
                None => assert_eq!(&*holders[&**name].name, *node, "seed {seed}: {name}"),
                Some(NameEnd::Lost(winner)) => lost.push((name.clone(), winner)),
                Some(end) => panic!("seed {seed}: {name}: {end:?}"),
            }
        }
        for (name, holder) in &holders {
            let mut sign = place.names.lookup::<Sign>("test", name).await.unwrap();
            assert_eq!(
                read(&mut sign).await,
                format!("{name} at {holder}"),
                "seed {seed}"
            );
        }
    }
    counts[2] += lost.len() as u32;
    assert!(
        lost.iter()
            .all(|(_, winner)| winner.incarnation <= incarnation)
    );
}

#[test]
fn names_are_agreed_upon_for_many_seeds() {
    let mut counts = [0; 3];
    simulate(LIMIT, seeds(0..20), async |seed| {
        run(seed, &mut counts).await
    });
    let is_chosen = std::env::var("LANEMESH_SEEDS").is_ok();
    assert!(
        is_chosen || counts.iter().all(|count| *count > 3),
        "{counts:?}"
    );
}

// --- groups -----------------------------------------------------------------------------------

#[derive(Default)]
struct Counter(Arc<AtomicUsize>);

impl Actor for Counter {
    type HighPriorityMsg = ();
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, (): (), _: &mut Context<Self>) -> ActorResult {
        self.0.fetch_add(1000, Ordering::Relaxed);
        Ok(())
    }

    async fn on_low(&mut self, _: u64, _: &mut Context<Self>) -> ActorResult {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Remote for Counter {
    const TYPE: &'static str = "test/counter";
}

#[tokio::test(start_paused = true)]
async fn group_gets_messages_all_by_turns_or_by_key_and_goes_on_without_who_ended() {
    let (_network, places) = three().await;
    let mut members = Vec::new();
    for place in &places {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let (handle, child) = builder(move || Counter(counter.clone())).spawn();
        let registration = place.names.join_group("test", "counters", &handle).unwrap();
        members.push((count, registration, child));
    }
    let mut group = places[1].names.group::<Counter>("test", "counters");
    assert!(group.is_empty());
    while group.len() < 3 {
        sleep(Duration::from_millis(10)).await;
        group.refresh().await;
    }
    let counts = |members: &[(Arc<AtomicUsize>, Registration, Child)]| -> Vec<_> {
        let counts = members.iter().map(|(count, _, _)| count);
        counts
            .map(|count| count.swap(0, Ordering::Relaxed))
            .collect()
    };
    assert_eq!(group.send_all_low(1).await, 3);
    assert_eq!(group.send_all_high(()).await, 3);
    sleep(SECOND).await;
    assert_eq!(counts(&members), [1001, 1001, 1001]);
    for _ in 0..30 {
        group.send_low(1, Pick::Turn).await.unwrap();
    }
    sleep(SECOND).await;
    assert_eq!(counts(&members), [10, 10, 10]);
    let mut before = BTreeMap::new();
    for key in 0..30_u8 {
        let node = group.send_low(1, Pick::Key(&[key])).await.unwrap();
        assert_eq!(
            group.send_high((), Pick::Key(&[key])).await.as_ref(),
            Ok(&node)
        );
        before.insert(key, node);
    }
    sleep(SECOND).await;
    let by_key = counts(&members);
    assert_eq!(by_key.iter().sum::<usize>(), 30 * 1001);
    assert!(by_key.iter().all(|count| *count > 0), "{by_key:?}");

    // One ends; what it had by key goes to others, and nothing else moves.
    let (_, _, child) = members.remove(2);
    child.stop().await;
    sleep(SECOND).await; // what is sent before that is known is lost
    for key in 0..30_u8 {
        let node = group.send_low(1, Pick::Key(&[key])).await.unwrap();
        assert!(node == before[&key] || &before[&key] == places[2].me());
    }
    sleep(SECOND).await;
    assert_eq!(counts(&members).iter().sum::<usize>(), 30);
    assert_eq!(group.nodes().len(), 2);
    drop(members);
    sleep(SECOND).await;
    assert_eq!(group.send_all_low(1).await, 0);
    assert!(group.send_low(1, Pick::Turn).await.unwrap_err().is_closed());
    assert!(group.pick(Pick::Key(b"x")).await.is_none());
}
