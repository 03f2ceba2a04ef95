//! Names of actors: one holder, wherever it is looked up.

use lanemesh_net::{
    Node,
    names::{NameEnd, NameError, RegisterError},
};
use lanemesh_net_zenoh::{Names, Nodes, Zenoh};
use lanemesh_runtime::{Child, spawn};

use crate::common::{Command, Data, Entry, MINUTE, Recorder, connected, first, node, two};

struct Place {
    node: Node,
    names: Names,
    actor: lanemesh_runtime::ActorHandle<Recorder>,
    child: Child,
}

async fn place(name: &str, zenoh: &Zenoh) -> Place {
    let node = node(name, zenoh);
    let address = node.bind(&format!("zenoh:{name}")).await.unwrap();
    let nodes = Nodes::join(zenoh, &node, [address]).await.unwrap();
    let (actor, child) = spawn(Recorder::default());
    Place {
        node,
        names: Names::join(&nodes),
        actor,
        child,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_is_found_from_everywhere_without_links_and_is_free_when_it_is_given_up() {
    let [home, away] = two().await;
    let (a, b) = (place("a", &home).await, place("b", &away).await);
    let mut registration = a.names.register("s", "room/42", &a.actor).await.unwrap();
    assert!(b.node.links().is_empty());
    let mut handle = b
        .names
        .lookup_within::<Recorder>("s", "room/42", MINUTE)
        .await
        .unwrap();
    handle.send_low(Data::Number(3)).await.unwrap();
    handle.idle().await;
    let log = loop {
        let log = handle.ask(Command::Log, MINUTE).await.unwrap();
        if !log.is_empty() {
            break log;
        }
    };
    assert_eq!(log, [Entry::Low(3)]);
    assert_eq!(b.names.holder("s", "room/42").as_ref(), Some(a.node.info()));
    assert_eq!(
        b.names.list("s"),
        [("room/42".into(), a.node.info().clone())]
    );
    assert!(b.names.list("other").is_empty());
    // At home it is a local handle.
    let local = a.names.lookup::<Recorder>("s", "room/42").await.unwrap();
    assert_eq!(local.id(), a.actor.id());

    let taken = RegisterError::Taken(a.node.info().clone());
    let again = a.names.register("s", "room/42", &a.actor).await;
    assert_eq!(again.unwrap_err(), taken);
    let again = b.names.register("s", "room/42", &b.actor).await;
    assert_eq!(again.unwrap_err(), taken);
    let long = a.names.register("s", &"x".repeat(1025), &a.actor).await;
    assert_eq!(long.unwrap_err(), RegisterError::TooLong);
    let unknown = b.names.lookup::<Recorder>("s", "nobody").await;
    assert_eq!(unwrap_name(unknown), NameError::Unknown);

    // The actor ends, and with it its name.
    a.child.stop().await;
    assert_eq!(registration.ended().await, NameEnd::Ended);
    let mut changes = b.names.changes();
    let _now = loop {
        changes.mark_unchanged();
        match b.names.register("s", "room/42", &b.actor).await {
            Ok(registration) => break registration,
            Err(error) => assert_eq!(error, taken),
        }
        changes.changed().await.unwrap();
    };
    let found = a.names.lookup_within::<Recorder>("s", "room/42", MINUTE);
    drop(found.await.unwrap());
    assert_eq!(a.names.holder("s", "room/42").as_ref(), Some(b.node.info()));
}

fn unwrap_name<T>(found: Result<T, NameError>) -> NameError {
    match found {
        Ok(_) => panic!("it was found"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_did_not_know_of_each_other_all_choose_the_same_and_the_other_is_told() {
    let (one, at_one) = first().await;
    let (two, at_two) = first().await;
    let [one, two] = [
        Zenoh::new(one).await.unwrap(),
        Zenoh::new(two).await.unwrap(),
    ];
    let (a, b) = (place("a", &one).await, place("b", &two).await);
    let mut of_a = a.names.register("s", "only", &a.actor).await.unwrap();
    let mut of_b = b.names.register("s", "only", &b.actor).await.unwrap();
    // This one brings them together: Zenoh tells peers of each other.
    let both = Zenoh::new(connected(&[at_one, at_two]).await)
        .await
        .unwrap();
    let c = place("c", &both).await;
    // Both have the first term; that of the later life counts.
    assert!(b.node.info().incarnation > a.node.info().incarnation);
    assert_eq!(of_a.ended().await, NameEnd::Lost(b.node.info().clone()));
    let mut changes = c.names.changes();
    let found = || c.names.holder("s", "only");
    while found().as_ref() != Some(b.node.info()) {
        changes.changed().await.unwrap();
    }
    let handle = c.names.lookup_within::<Recorder>("s", "only", MINUTE).await;
    handle.unwrap().send_high(Command::Mark(1)).await.unwrap();
    assert_eq!(of_b.end(), None);
    drop(b.names);
    assert_eq!(of_b.end(), Some(NameEnd::Closed));
    assert_eq!(of_b.ended().await, NameEnd::Closed);
}
