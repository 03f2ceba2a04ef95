//! Nodes that come and go.

use lanemesh_net::{Event, members::Member};
use lanemesh_net_zenoh::{NodeEvent, Nodes, Zenoh};
use tokio::sync::broadcast;

use crate::common::{SECRET, connected, first, node, patient, two};

async fn next(events: &mut broadcast::Receiver<NodeEvent>) -> (bool, String, u64) {
    let (is_up, member): (bool, Member) = match events.recv().await.unwrap() {
        NodeEvent::Up(member) => (true, member),
        NodeEvent::Down(member) => (false, member),
        other => panic!("{other:?}"),
    };
    (is_up, member.node.name.to_string(), member.node.incarnation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_see_each_other_come_and_go() {
    let [home, away] = two().await;
    let (a, b) = (node("a", &home), node("b", &away));
    let at_a = Nodes::join(&home, &a, ["zenoh:a"]).await.unwrap();
    let mut events = at_a.events();
    while at_a.list().is_empty() {
        events.recv().await.unwrap(); // its own
    }
    let mut events = at_a.events();
    let at_b = Nodes::join(&away, &b, ["tcp://127.0.0.1:7"]).await.unwrap();
    let life = b.info().incarnation;
    assert_eq!(next(&mut events).await, (true, "b".to_owned(), life));
    assert_eq!(at_a.list(), [at_a.me().clone(), at_b.me().clone()]);
    // Those that were there before are known too.
    let mut changes = at_b.events();
    while at_b.list().len() < 2 {
        changes.recv().await.unwrap();
    }
    drop(at_b);
    assert_eq!(next(&mut events).await, (false, "b".to_owned(), life));
    assert_eq!(at_a.list(), [at_a.me().clone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_incarnation_takes_the_place_of_the_earlier() {
    let [home, away] = two().await;
    let a = node("a", &home);
    let at_a = Nodes::join(&home, &a, ["zenoh:a"]).await.unwrap();
    let life = |incarnation| {
        let builder = lanemesh_net::Node::builder("b").secret(SECRET);
        builder.config(patient()).incarnation(incarnation).build()
    };
    let mut events = at_a.events();
    let second = Nodes::join(&away, &life(2), ["zenoh:b"]).await.unwrap();
    while next(&mut events).await != (true, "b".to_owned(), 2) {}
    // The one before is told of late, and never counts.
    let first = Nodes::join(&away, &life(1), ["zenoh:b"]).await.unwrap();
    let third = Nodes::join(&away, &life(3), ["zenoh:b"]).await.unwrap();
    assert_eq!(next(&mut events).await, (false, "b".to_owned(), 2));
    assert_eq!(next(&mut events).await, (true, "b".to_owned(), 3));
    drop((first, second));
    drop(third);
    assert!(!next(&mut events).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_links_all_nodes_that_are_there() {
    let (session, endpoint) = first().await;
    let mut all = vec![Zenoh::new(session).await.unwrap()];
    for _ in 0..2 {
        let session = connected(std::slice::from_ref(&endpoint)).await;
        all.push(Zenoh::new(session).await.unwrap());
    }
    let mut nodes = Vec::new();
    for (index, zenoh) in all.iter().enumerate() {
        let name = format!("node {index}");
        let node = node(&name, zenoh);
        let address = node.bind(&format!("zenoh:{name}")).await.unwrap();
        let joined = Nodes::join(zenoh, &node, [address]).await.unwrap();
        let discovering = node.discover(joined.discovery());
        nodes.push((node, joined, discovering));
    }
    for (node, ..) in &nodes {
        let mut events = node.events();
        let linked = || {
            let links = node.links().into_iter();
            let mut names: Vec<_> = links.map(|link| link.peer.name).collect();
            names.sort();
            names.dedup();
            names.len()
        };
        while linked() < 2 {
            if let Event::AddressFailed { address, error, .. } = events.recv().await.unwrap() {
                println!("{address}: {error}");
            }
        }
    }
}
