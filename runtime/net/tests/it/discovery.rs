//! Links to the addresses that a discovery names.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_net::{ConnectError, Event, Node, discovery::Dns, transport::InProcess};
use tokio::time::sleep;

use crate::{
    common::{event, patient},
    simulation::Network,
};

fn node(network: &InProcess, name: &str) -> Node {
    let node = Node::builder(name).config(patient()).seed(1);
    node.transport("mem", network.clone()).build()
}

fn peers(node: &Node) -> Vec<String> {
    let links = node.links();
    links
        .iter()
        .map(|link| link.peer.name.to_string())
        .collect()
}

async fn linked(node: &Node, to: &[&str]) {
    let mut events = node.events();
    let to: BTreeSet<_> = to.iter().map(|name| (*name).to_owned()).collect();
    while peers(node).into_iter().collect::<BTreeSet<_>>() != to {
        events.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn list_links_to_all_but_itself_once_each_and_again_when_one_comes_back() {
    let network = InProcess::default();
    let [a, b, c] = ["a", "b", "c"].map(|name| node(&network, name));
    a.bind("mem:a").await.unwrap();
    b.bind("mem:b").await.unwrap();
    b.bind("mem:b-too").await.unwrap();
    let mut failures = a.events();
    let _list = a.discover(vec!["mem:a", "mem:b", "mem:b-too", "mem:c"]);
    linked(&a, &["b"]).await;
    let failed = event(&mut failures, |event| match event {
        Event::AddressFailed {
            address,
            failures: 3,
            ..
        } => Some(address),
        _ => None,
    });
    assert_eq!(&*failed.await, "mem:c");
    c.bind("mem:c").await.unwrap();
    linked(&a, &["b", "c"]).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(a.links().len(), 2);
    a.drop_links("b");
    linked(&a, &["c"]).await;
    linked(&a, &["b", "c"]).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(a.links().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn node_with_a_link_from_the_other_side_does_not_make_its_own() {
    let network = InProcess::default();
    let [a, b] = ["a", "b"].map(|name| node(&network, name));
    a.bind("mem:a").await.unwrap();
    b.bind("mem:b").await.unwrap();
    let _a = a.discover(vec!["mem:b"]);
    linked(&a, &["b"]).await;
    let _b = b.discover(vec!["mem:a"]);
    for _ in 0..20 {
        sleep(Duration::from_secs(30)).await;
        assert_eq!((peers(&a), peers(&b)), (vec!["b".into()], vec!["a".into()]));
        b.drop_links("a");
        linked(&b, &["a"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_that_is_dropped_makes_no_more_links() {
    let network = InProcess::default();
    let [a, b] = ["a", "b"].map(|name| node(&network, name));
    b.bind("mem:b").await.unwrap();
    let list = a.discover(vec!["mem:b"]);
    linked(&a, &["b"]).await;
    drop(list);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(peers(&a), ["b"]);
    a.drop_links("b");
    sleep(Duration::from_secs(600)).await;
    assert!(a.links().is_empty());
}

#[tokio::test(start_paused = true)]
async fn name_is_resolved_again_and_keeps_its_addresses_when_that_fails() {
    let network = Network::new(1, Duration::from_millis(5));
    let addresses = ["10.0.0.1:7", "10.0.0.2:7", "[fd00::3]:7"];
    let sockets = addresses.map(|address| address.parse::<SocketAddr>().unwrap());
    let nodes = addresses.map(|name| {
        let node = Node::builder(name).config(patient()).seed(1);
        node.transport("sim", network.of(name)).build()
    });
    for (node, address) in nodes.iter().zip(addresses) {
        node.bind(&format!("sim://{address}")).await.unwrap();
    }
    let answer: Arc<Mutex<Option<Vec<SocketAddr>>>> = Arc::new(Mutex::new(None));
    let answers = answer.clone();
    let dns = Dns::new("sim://seeds.test:7").unwrap();
    let dns = dns.with_refresh(Duration::from_secs(2));
    let dns = dns.with_resolver(move |host| {
        assert_eq!(host, "seeds.test:7");
        let answer = answers.lock().unwrap().clone();
        async move { answer.ok_or(io::ErrorKind::NotFound.into()) }
    });
    let me = Node::builder("me").config(patient()).seed(1);
    let me = me.transport("sim", network.of("me")).build();
    let mut events = me.events();
    let _seeds = me.discover(dns);
    let failed = |event| match event {
        Event::DiscoveryFailed {
            source, failures, ..
        } => Some((source.to_string(), failures)),
        _ => None,
    };
    for failures in 1..4 {
        let failed = event(&mut events, failed).await;
        assert_eq!(failed, ("seeds.test:7".into(), failures));
    }
    *answer.lock().unwrap() = Some(sockets[..2].to_vec());
    linked(&me, &addresses[..2]).await;
    *answer.lock().unwrap() = Some(sockets[1..].to_vec());
    linked(&me, &addresses).await; // a link stays
    me.drop_links(addresses[0]);
    sleep(Duration::from_secs(100)).await;
    linked(&me, &addresses[1..]).await; // and is not made again
    *answer.lock().unwrap() = None;
    sleep(Duration::from_secs(100)).await;
    me.drop_links(addresses[1]);
    sleep(Duration::from_secs(100)).await;
    linked(&me, &addresses[1..]).await;
}

#[test]
fn name_needs_a_scheme_and_a_port() {
    for address in [
        "",
        "tcp",
        "tcp://",
        "tcp://host",
        ":host:1",
        "tcp://:1",
        "tcp://host:x",
    ] {
        let wrong = Dns::new(address).unwrap_err();
        assert!(matches!(wrong, ConnectError::Address(_)), "{address}");
    }
}

#[tokio::test]
async fn system_resolves_a_name() {
    let node = |name: &str| Node::builder(name).config(patient()).secret([7; 16]);
    let (a, b) = (node("a").build(), node("b").build());
    let bound = b.bind("tcp://127.0.0.1:0").await.unwrap();
    let port = bound.rsplit_once(':').unwrap().1;
    let dns = Dns::new(&format!("tcp://localhost:{port}")).unwrap();
    let _discovering = a.discover(dns);
    linked(&a, &["b"]).await;
}
