//! One fault at a time.

use std::sync::mpsc;

use super::support::client::delete;
use super::*;
use crate::mailbox::mesh::Mesh;
use crate::mailbox::rivals::Tokio;
use crate::messages::{AdmissionMessage, Control, Fault, RoomMessage, Rooms};

impl<M: Mailbox> World<M> {
    /// Two publishers and two viewers who see them.
    fn small(shards: usize) -> Self {
        let mut world = Self::new(shards, 2);
        for number in 1..=2 {
            world.join(number, Role::Publish);
            world.join(number, Role::Subscribe);
        }
        world.until_all_see_all("at first");
        world
    }

    fn fault(&self, shard: usize, fault: Fault) {
        let sent = self.app.shards.try_send(shard, Control::Fault(fault));
        assert!(sent.is_ok());
    }

    /// A shard that has peers.
    fn busy_shard(&self) -> usize {
        let stats = self.stats();
        let busiest = stats.shards.iter().max_by_key(|shard| shard.peers);
        busiest.unwrap().shard
    }

    fn sessions(&self) -> Vec<String> {
        let peers = self.peers.iter();
        peers.map(|peer| peer.resource.clone()).collect()
    }

    /// Where WHIP and WHEP peers would ask for something.
    fn addresses(&self) -> Vec<String> {
        let address = |peer: &Peer| {
            let way = match peer.role {
                Role::Publish => "whip",
                _ => "whep",
            };
            format!("http://{}/{way}/room/{}", self.server.http, peer.resource)
        };
        self.peers.iter().map(address).collect()
    }
}

#[test]
fn panic_in_a_room_leaves_its_members_connected_and_its_state_comes_back() {
    let mut world = World::<Mesh>::small(2);
    let before = world.sessions();
    for incarnation in 2..=3 {
        let mut room = world.app.rooms.find(&"room".into()).unwrap();
        assert!(room.to.try_send(RoomMessage::Fault).is_ok());
        drop(room);
        world.until("the room is restarted", |world| {
            let room = world.app.rooms.find(&"room".into());
            room.is_some_and(|room| room.tag.incarnation == incarnation)
        });
        world.until("its state is back", |world| {
            let rooms = world.stats().rooms;
            rooms.len() == 1 && (rooms[0].participants, rooms[0].tracks) == (4, 2)
        });
        world.until_all_see_all("after the fault");
    }
    // Who joins now is seen by, and sees, all.
    world.join(3, Role::Subscribe);
    world.until_all_see_all("with another viewer");
    assert_eq!(world.sessions()[..4], before, "nobody had to join again");
    world.stop();
}

fn panic_in_a_shard<M: Mailbox>() {
    let mut world = World::<M>::small(2);
    let shard = world.busy_shard();
    let others: usize = world.stats().shards[1 - shard].peers;
    let (before, addresses) = (world.sessions(), world.addresses());
    world.fault(shard, Fault::Panic);
    world.until("the shard is restarted", |world| {
        world.stats().shards[shard].incarnation == 2
    });
    let took = world.until_all_see_all("after the fault");
    let kept = world
        .sessions()
        .iter()
        .filter(|it| before.contains(it))
        .count();
    assert_eq!(kept, others, "those of the other shard");
    // Those who are gone are told so at their next request.
    let there = world.addresses();
    for address in addresses.iter().filter(|it| !there.contains(it)) {
        assert_eq!(delete(address), 404);
    }
    world.until("nobody is counted twice", |world| {
        let stats = world.stats();
        let peers: usize = stats.shards.iter().map(|shard| shard.peers).sum();
        (peers, stats.rooms[0].participants, stats.rooms[0].tracks) == (4, 4, 2)
    });
    println!("back after {took:?}");
    world.stop();
}

#[test]
fn peers_of_a_shard_that_panics_come_back() {
    panic_in_a_shard::<Mesh>();
}

#[test]
fn peers_of_a_shard_that_panics_come_back_on_another_mailbox() {
    panic_in_a_shard::<Tokio>();
}

#[test]
fn panic_in_admission_is_not_noticed_by_those_who_are_there() {
    let mut world = World::<Mesh>::small(2);
    let before = world.sessions();
    let fault = world.app.admission.try_send_high(AdmissionMessage::Fault);
    assert!(fault.is_ok());
    world.until("admission is restarted", |world| {
        world.app.admission.incarnation() == 2
    });
    world.until_all_see_all("after the fault");
    world.join(3, Role::Publish);
    world.join(3, Role::Subscribe);
    world.until("there is room for three", |world| {
        world.peers.iter().all(|peer| peer.client.connected)
    });
    assert_eq!(world.sessions()[..4], before);
    // It has learnt whom the shards have: a session that began before the fault can be ended.
    world.until("the guests are known again", |world| {
        let leave = AdmissionMessage::Leave {
            resource: before[0].clone(),
            room: None,
            reply: lanemesh_runtime::Reply::pair().0,
        };
        let _ = world.app.admission.try_send_high(leave);
        world.stats().rooms[0].participants == 5
    });
    world.stop();
}

#[test]
fn shard_that_hangs_is_reported_gets_no_peers_and_the_rest_serves_on() {
    let mut world = World::<Mesh>::new(2, 2);
    world.until("all shards have begun", |world| {
        world
            .stats()
            .shards
            .iter()
            .all(|shard| shard.incarnation == 1)
    });
    let (release, until) = mpsc::channel();
    world.fault(0, Fault::Hang(until));
    let took = world.until("it is reported", |world| {
        world.runtime.block_on(world.app.hung()) == [true, false]
    });
    println!("reported after {took:?}");
    let stats = world.stats();
    assert!(stats.shards[0].hangs && !stats.shards[1].hangs);
    // By TCP the server chooses the shard.
    let mut over_tcp = Vec::new();
    for number in 0..6u8 {
        let (mut client, offer) = Client::over_tcp(false, &[MediaKind::Video]).unwrap();
        let join = Join {
            room: "other".into(),
            name: "n".into(),
            role: Role::Subscribe,
            offer,
            sources: Vec::new(),
            address: None,
            principal: Some(Principal::Secret(number.to_string())),
        };
        let joined = world.runtime.block_on(world.app.join(join)).unwrap();
        client.accept(&joined.answer).unwrap();
        over_tcp.push(client);
    }
    world.until("those by TCP are connected", |world| {
        for client in &mut over_tcp {
            client.drive(&mut world.batch, |_| {}).unwrap();
        }
        over_tcp.iter().all(|client| client.connected)
    });
    assert_eq!(world.stats().shards[1].peers, 6);
    let rooms = world.stats().rooms;
    let there: Vec<_> = rooms
        .iter()
        .map(|room| (&*room.room, room.participants))
        .collect();
    assert_eq!(there, [("other", 6)], "rooms do not wait for it");
    // By UDP the kernel chooses it.
    if cfg!(target_os = "linux") {
        for number in 0..12 {
            world.join(number, Role::Subscribe);
        }
        world.until("those by UDP are connected", |world| {
            world.peers.iter().all(|peer| peer.client.connected)
        });
        assert_eq!(world.stats().shards[1].peers, 18);
    }
    drop(release);
    world.until("it goes on", |world| {
        world.runtime.block_on(world.app.hung()) == [false, false]
    });
    // Each of them is as likely to come to one shard as to the other.
    let mut number = 100;
    world.until("it gets new peers", |world| {
        if number % 16 == 0 {
            world.join(number, Role::Subscribe);
        }
        number += 1;
        world.stats().shards[0].peers > 0
    });
    drop(over_tcp);
    world.stop();
}

#[test]
fn drain_ends_when_the_last_has_left() {
    let mut world = World::<Mesh>::small(2);
    let app = Arc::clone(&world.app);
    let draining = world.runtime.spawn(async move { app.drain().await });
    world.until("joins are refused", |world| world.app.lasting.is_draining());
    world.until_all_see_all("while it drains");
    assert!(!draining.is_finished());
    for peer in &mut world.peers {
        peer.client.close();
    }
    world.until("it has drained", |_| draining.is_finished());
    world.stop();
}

#[test]
fn thousand_idle_rooms_cost_memory_only() {
    const ROOMS: usize = 1000;
    let world = World::<Mesh>::new(2, 1);
    let links: Vec<_> = (0..ROOMS)
        .map(|room| {
            let mut link = world.app.rooms.open(&format!("r{room}").into()).unwrap();
            let tag = crate::messages::ShardTag {
                id: 0,
                incarnation: 1,
            };
            let nobody = crate::messages::Change::Announce(Vec::new());
            let sent = link.to.try_send(RoomMessage::Shard(tag, link.tag, nobody));
            assert!(sent.is_ok());
            link
        })
        .collect();
    assert_eq!(world.stats().rooms.len(), ROOMS, "each has answered");
    let rooms = |world: &World<Mesh>| {
        let tree = world.server.tree();
        let rooms = tree.children.iter();
        let rooms: Vec<_> = rooms.filter(|it| it.name.starts_with("room ")).collect();
        let bytes: usize = rooms.iter().map(|room| room.bytes()).sum();
        let messages: u64 = rooms.iter().map(|room| room.stats.messages()).sum();
        (rooms.len(), bytes, messages)
    };
    let mut world = world;
    // An announcement and a question each; an actor counts before it sleeps.
    let messages = 2 * ROOMS as u64;
    world.until("all are idle", |world| rooms(world).2 == messages);
    let (count, bytes, _) = rooms(&world);
    println!("{} bytes a room", bytes / ROOMS);
    assert_eq!(count, ROOMS);
    assert!(bytes / ROOMS < 16 << 10, "{}", bytes / ROOMS);
    // Nothing wakes them while admission goes round several times.
    let ticks = world.app.admission.stats().high;
    world.until("time has passed", |world| {
        world.app.admission.stats().high > ticks + 20
    });
    assert_eq!(rooms(&world), (ROOMS, bytes, messages));
    drop(links);
    world.until("they have ended", |world| rooms(world).0 == 0);
    world.stop();
}
