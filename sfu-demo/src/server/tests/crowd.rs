//! A room of thirty, twenty of them with cameras, some of these with simulcast. People come and go, share again and choose
//! layers while actors fail.
//!
//! It takes half a minute; `SFU_CROWD_SECONDS=300` lets it run for five. `SFU_CROWD_PAGES=1` adds two pages of a browser,
//! which show twenty videos each: that takes a core of its own.

use super::pages::Pages;
use super::peer::is_simulcast;
use super::support::real_time;
use super::*;
use crate::mailbox::mesh::Mesh;
use crate::messages::{Control, Fault, RoomMessage, Rooms};

const CAMERAS: u16 = 20;
const VIEWERS: u16 = 30;
/// Sections of a viewer for the cameras and the screens of pages.
const FOR_PAGES: usize = 4;
/// Peers that connect at the same time at first.
const CONNECTING: usize = 4;
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

impl World<Mesh> {
    /// Somebody joins, once there are few who have not connected yet: all at once, on a busy machine they would be late.
    pub(super) fn enter(&mut self, number: u16, role: Role) {
        self.join(number, role);
        self.until("few are still connecting", |world| {
            let connecting = world.peers.iter().filter(|peer| !peer.client.connected);
            connecting.count() < CONNECTING
        });
    }

    /// Somebody does something.
    fn stir(&mut self, dice: &mut Dice) {
        let at = dice.below(self.peers.len());
        match dice.below(6) {
            // Leaves for good, and another comes.
            0 => {
                self.peers[at].client.close();
                self.peers[at].drive(&mut self.batch);
                self.rejoin(at);
            }
            // Comes back without a word: its earlier session ends.
            1 => self.rejoin(at),
            // Shares again, from another source.
            2 | 3 => self.peers[at].share_again(),
            // Some viewers choose the layer of somebody.
            _ => {
                let simulcasts: Vec<_> = (1..=CAMERAS).filter(|it| is_simulcast(*it)).collect();
                let of = simulcasts[dice.below(simulcasts.len())];
                let layer = if dice.below(2) == 0 { 0 } else { 2 };
                for _ in 0..4 {
                    let at = dice.below(self.peers.len());
                    if self.peers[at].role == Role::Subscribe {
                        self.peers[at].ask_for(of, layer);
                    }
                }
            }
        }
    }
}

#[test]
fn thirty_come_and_go_share_again_and_a_shard_fails_and_all_see_all() {
    let _turn = real_time();
    let seconds = std::env::var("SFU_CROWD_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let mut world = World::<Mesh>::new(2, usize::from(CAMERAS) + FOR_PAGES);
    // A browser may take so long to start that peers who wait for it would count as gone.
    let publishers: Vec<_> = (1..=CAMERAS).map(|number| format!("n{number}")).collect();
    let pages = std::env::var_os("SFU_CROWD_PAGES");
    let pages = pages.and_then(|_| Pages::open(world.server.http, &publishers));
    for number in 1..=CAMERAS {
        world.enter(number, Role::Publish);
    }
    for number in 1..=VIEWERS {
        world.enter(number, Role::Subscribe);
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
        next = Instant::now() + Duration::from_millis(250);
        world.stir(&mut dice);
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
    let mut seen_pages = 0;
    if let Some(pages) = &pages {
        seen_pages = pages.count();
        pages.calm_down();
        world.until("the pages are calm", |_| pages.are_calm());
    }
    let took = world.until_all_see_all("in the end");
    println!("all see all after {took:?}");
    world.until("all see the pages", |world| {
        let mut viewers = world.peers.iter();
        viewers.all(|peer| peer.role != Role::Subscribe || peer.foreign.len() >= seen_pages)
    });
    if let Some(pages) = &pages {
        let took = world.until("the pages see all", |_| pages.see_all());
        println!("the pages see all after {took:?}");
    }
    world.until("nobody is left over", |world| {
        let stats = world.stats();
        let room = &stats.rooms[0];
        let members = usize::from(VIEWERS + CAMERAS) + seen_pages;
        // A page sends sound and a picture.
        let tracks = usize::from(CAMERAS) + 2 * seen_pages;
        stats.shards[0].incarnation == 2 && (room.participants, room.tracks) == (members, tracks)
    });
    if let Some(pages) = pages {
        pages.close();
    }
    world.stop();
}
