//! A room of thirty, twenty of them with cameras, in which people come and go while actors fail.
//!
//! It takes half a minute; `SFU_CROWD_SECONDS=300` lets it run for five.

use super::*;
use crate::mailbox::mesh::Mesh;
use crate::messages::{Control, Fault, RoomMessage, Rooms};

const CAMERAS: u8 = 20;
const VIEWERS: u8 = 30;
/// How long it is without the variable.
const SECONDS: u64 = 12;

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn thirty_come_and_go_share_again_and_a_shard_fails_and_all_see_all() {
    let seconds = std::env::var("SFU_CROWD_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let mut world = World::<Mesh>::new(2, CAMERAS.into());
    for number in 1..=CAMERAS {
        world.join(number, Role::Publish);
    }
    for number in 1..=VIEWERS {
        world.join(number, Role::Subscribe);
    }
    world.until_all_see_all("at first");

    let mut dice = Dice(7);
    let start = Instant::now();
    let length = Duration::from_secs(seconds);
    let (mut next, mut shards, mut rooms) = (start, 0, 0);
    while start.elapsed() < length {
        world.round();
        if Instant::now() < next {
            continue;
        }
        next += Duration::from_millis(250);
        let at = dice.below(world.peers.len());
        match dice.below(4) {
            // Leaves for good, and another comes.
            0 => {
                world.peers[at].client.close();
                let _ = world.peers[at].client.drive(&mut world.batch, |_| {});
                world.rejoin(at);
            }
            // Comes back without a word: its earlier session ends.
            1 => world.rejoin(at),
            // Shares again, from another source.
            _ => {
                let _ = world.peers[at].client.change_source(0);
            }
        }
        // A shard fails after a third of the time, a room after two.
        let elapsed = start.elapsed();
        if shards == 0 && elapsed > length / 3 {
            let fault = world.app.shards.try_send(0, Control::Fault(Fault::Panic));
            assert!(fault.is_ok());
            shards += 1;
        }
        if rooms == 0 && elapsed > length * 2 / 3 {
            let mut room = world.app.rooms.find(&"room".into()).unwrap();
            assert!(room.to.try_send(RoomMessage::Fault).is_ok());
            rooms += 1;
        }
    }
    assert_eq!((shards, rooms), (1, 1));
    let took = world.until_all_see_all("in the end");
    println!("all see all after {took:?}");
    world.until("nobody is left over", |world| {
        let stats = world.stats();
        let room = &stats.rooms[0];
        let members = (VIEWERS + CAMERAS).into();
        stats.shards[0].incarnation == 2
            && (room.participants, room.tracks) == (members, CAMERAS.into())
    });
    world.stop();
}
