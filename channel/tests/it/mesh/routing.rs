//! Which receiver a message goes to.

use lanemesh::{
    TrySendError,
    mesh::{Balance, MeshBuilder, MeshReceiver, key, mesh},
};

fn all(rx: &mut MeshReceiver<u32>) -> Vec<u32> {
    std::iter::from_fn(|| rx.try_recv().ok()).collect()
}

#[test]
fn messages_go_to_the_receivers_by_turns() {
    let (mut tx, mut first) = mesh(8);
    let mut second = tx.add_receiver().unwrap();
    let mut third = second.add_receiver().unwrap();
    assert_eq!(tx.receivers(), 3);
    for n in 0..7 {
        tx.try_send(n).unwrap();
    }
    assert_eq!(tx.len(), 7);
    assert_eq!(all(&mut first), [0, 3, 6]);
    assert_eq!(all(&mut second), [1, 4]);
    assert_eq!(all(&mut third), [2, 5]);
    assert!(tx.is_empty());
}

#[test]
fn a_full_receiver_is_left_out() {
    let (mut tx, mut first) = mesh(2);
    let mut second = tx.add_receiver().unwrap();
    for n in 0..4 {
        tx.try_send(n).unwrap();
    }
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
    assert_eq!(second.try_recv(), Ok(1));
    tx.try_send(4).unwrap();
    assert_eq!(all(&mut first), [0, 2]);
    assert_eq!(all(&mut second), [3, 4]);
}

#[test]
fn the_capacity_is_that_of_each_lane() {
    let (tx, _first) = mesh(3);
    let _second = tx.add_receiver().unwrap();
    for _ in 0..2 {
        let mut tx = tx.clone();
        let accepted = (0..100).take_while(|n| tx.try_send(*n).is_ok()).count();
        assert_eq!(accepted, 6);
    }
}

#[test]
fn the_least_loaded_receiver_is_preferred() {
    let (mut tx, mut first) = MeshBuilder::new(8).balance(Balance::LeastLoaded).build();
    let mut second = tx.add_receiver().unwrap();
    for n in 0..4 {
        tx.try_send(n).unwrap();
    }
    assert_eq!(all(&mut second), [1, 3]);
    // The first has two messages: the next two go to the second.
    tx.try_send(4).unwrap();
    tx.try_send(5).unwrap();
    assert_eq!(second.len(), 2);
    assert_eq!(all(&mut first), [0, 2]);
}

#[test]
fn all_messages_of_a_key_go_to_one_receiver() {
    let (tx, first) = MeshBuilder::new(64)
        .by_key(|n: &u32| Some(u64::from(n % 10)))
        .build();
    let mut receivers = vec![first];
    receivers.extend((0..3).map(|_| tx.add_receiver().unwrap()));
    let mut clones = [tx.clone(), tx];
    for n in 0..100 {
        clones[(n / 50) as usize].try_send(n).unwrap();
    }
    let mut seen = 0;
    let mut keys = Vec::new();
    for rx in &mut receivers {
        let got = all(rx);
        seen += got.len();
        let mut own: Vec<u32> = got.iter().map(|n| n % 10).collect();
        own.sort();
        own.dedup();
        keys.extend(own);
    }
    assert_eq!(seen, 100);
    keys.sort();
    assert_eq!(
        keys,
        (0..10).collect::<Vec<_>>(),
        "no key was at two receivers"
    );
}

#[test]
fn messages_without_a_key_go_by_turns() {
    let (mut tx, mut first) = MeshBuilder::new(64)
        .by_key(|n: &u32| (*n >= 100).then(|| key("one")))
        .build();
    let mut second = tx.add_receiver().unwrap();
    for n in [100, 0, 101, 1, 102, 2, 103, 3] {
        tx.try_send(n).unwrap();
    }
    let got = [all(&mut first), all(&mut second)];
    let mut counts = got
        .each_ref()
        .map(|got| got.iter().filter(|n| **n < 100).count());
    assert_eq!(counts, [2, 2]);
    counts = got
        .each_ref()
        .map(|got| got.iter().filter(|n| **n >= 100).count());
    counts.sort();
    assert_eq!(counts, [0, 4]);
}

#[test]
fn a_receiver_that_joins_is_seen_at_the_next_send() {
    let (mut tx, mut first) = mesh(8);
    tx.try_send(0).unwrap();
    let mut second = tx.add_receiver().unwrap();
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(all(&mut first).len() + all(&mut second).len(), 3);
    assert_eq!(second.stats().messages, 1);
}

#[test]
#[should_panic(expected = "the lanes of a mesh cannot have a total capacity")]
fn a_total_capacity_is_refused() {
    let _ = MeshBuilder::<u32>::new(1)
        .lanes(|lanes| lanes.total_capacity(8))
        .build();
}
