//! Simulcasts of senders that name their layers in other ways, and send other numbers of them.

use std::collections::BTreeSet;

use super::*;
use crate::mailbox::mesh::Mesh;
use crate::media::codec::{Codec, Name};

const VP8: Codec = Codec {
    name: Name::Vp8,
    profile: 0,
};
/// How long a publisher waits between two pictures. All its layers come together.
const INTERVAL: Duration = Duration::from_millis(200);
/// A publisher that is later than this may have been taken for one that has stopped.
const LATE: Duration = Duration::from_millis(450);
/// Pictures in a row that all have to arrive.
const ROW: u32 = 12;
/// What the pictures of these publishers begin with, after the descriptor and the header of VP8.
const MARK: [u8; 4] = *b"film";

/// A publisher of a simulcast in a room of its own, and its viewer.
struct Film {
    /// The names of the layers in the order of the offer, and how large each is: 1 (the smallest) and more.
    layers: Vec<(&'static str, u8)>,
    /// Whether only their rates differ, and not the size of the pictures.
    same_size: bool,
    number: u16,
    publisher: Client,
    viewer: Client,
    socket: Socket,
    sequence: u32,
    written: Instant,
    answered: usize,
    /// What the viewer has yet to ask for.
    asks: Option<u8>,
    /// The layer that it shall get, and the pictures of it that have arrived since another layer's did.
    expected: u8,
    got: BTreeSet<u32>,
}

impl Film {
    fn open(
        world: &World<Mesh>,
        number: u16,
        layers: &[(&'static str, u8)],
        same_size: bool,
    ) -> Self {
        let rids: Vec<_> = layers.iter().map(|layer| layer.0).collect();
        let join = |role, (mut client, offer): (Client, String)| {
            let join = Join {
                room: format!("film-{number}").into(),
                name: format!("n{number}").into(),
                role,
                offer,
                sources: Vec::new(),
                address: None,
                principal: None,
            };
            let joined = world.runtime.block_on(world.app.join(join)).unwrap();
            client.accept(&joined.answer).unwrap();
            (client, joined.resource)
        };
        let (publisher, _) = join(Role::Publish, Client::simulcast(HERE, &rids).unwrap());
        let since = Instant::now();
        let viewer = Client::plain(HERE, false, &[MediaKind::Video]).unwrap();
        let (viewer, resource) = join(Role::Subscribe, viewer);
        Self {
            layers: layers.to_vec(),
            same_size,
            number,
            publisher,
            viewer,
            socket: Socket::open(&world.runtime, world.server.http, &resource, since),
            sequence: 0,
            written: Instant::now(),
            answered: 0,
            asks: None,
            expected: layers.len() as u8,
            got: BTreeSet::new(),
        }
    }

    /// A picture of a layer: a keyframe with its size, or one that cannot be decoded without those before it.
    fn picture(&self, size: u8, keyframe: bool) -> Arc<[u8]> {
        let mut payload = vec![0x10, if keyframe { 0x10 } else { 0x11 }, 2, 0];
        if keyframe {
            let side = if self.same_size { 80 } else { 16 * size };
            payload.extend([0x9d, 0x01, 0x2a, side, 0, side, 0]);
        }
        payload.extend(MARK);
        payload.push(size);
        payload.extend(self.sequence.to_be_bytes());
        // Each layer has a third more bits than the next smaller one: of two that are nearly as large, the one that came
        // first stays.
        payload.resize(payload.len() + 16 * usize::from(size).pow(2), 0);
        payload.into()
    }

    fn write(&mut self) {
        let late = self.written.elapsed() > LATE;
        self.written = Instant::now();
        if late {
            self.got.clear();
        }
        let asked = self.publisher.keyframe_requests > self.answered;
        self.answered = self.publisher.keyframe_requests;
        let mut written = false;
        for (rid, size) in self.layers.clone() {
            let picture = self.picture(size, asked || self.sequence == 0);
            let (sequence, time) = (u64::from(self.sequence), self.sequence * 18_000);
            let publisher = &mut self.publisher;
            written |= publisher.write_layer(0, Some(rid), VP8, sequence, time, picture);
        }
        self.sequence += u32::from(written);
    }

    fn round(&mut self, batch: &mut RecvBatch) {
        let asked = |layer: &u8| self.socket.ask_for(self.number, *layer).is_some();
        if self.asks.as_ref().is_some_and(asked) {
            self.asks = None;
        }
        if self.publisher.connected && self.written.elapsed() >= INTERVAL {
            self.write();
        }
        self.publisher.drive(batch, |_| {}).unwrap();
        let (expected, got) = (self.expected, &mut self.got);
        self.viewer
            .drive(batch, |packet| {
                let mut windows = packet.payload.windows(MARK.len());
                let Some(at) = windows.position(|bytes| bytes == MARK) else {
                    return;
                };
                let [size, number @ ..] = &packet.payload[at + MARK.len()..][..5] else {
                    return;
                };
                if *size == expected {
                    got.insert(u32::from_be_bytes(number.try_into().unwrap()));
                } else {
                    got.clear();
                }
            })
            .unwrap();
    }

    /// Whether the last pictures were all of the layer that is expected, without a gap.
    fn is_shown(&self) -> bool {
        let last = self.got.last().copied().unwrap_or(0);
        last >= ROW && (last - ROW..=last).all(|number| self.got.contains(&number))
    }

    /// Asks for a layer, 0 (the smallest) to 2 (the largest), as soon as the viewer knows the track.
    fn ask_for(&mut self, layer: u8, expected: u8) {
        (self.asks, self.expected) = (Some(layer), expected);
        self.got.clear();
    }
}

fn until_shown(films: &mut [Film], what: &str) {
    let mut batch = RecvBatch::new(64);
    let start = Instant::now();
    while !films.iter().all(Film::is_shown) {
        let missing = films.iter().filter(|film| !film.is_shown());
        let missing: Vec<_> = missing
            .map(|it| (&it.layers, it.expected, it.sequence, it.got.len()))
            .collect();
        assert!(
            start.elapsed() < PATIENCE,
            "timed out waiting until {what} are shown: of {missing:?} (layers, expected, sent, shown)"
        );
        for film in &mut *films {
            film.round(&mut batch);
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn every_picture_of_the_largest_layer_is_shown_whatever_the_layers_are_called() {
    let world = World::<Mesh>::new(2, 1);
    let mut films = Vec::new();
    // The names in the order of the offer, and how large the layer of each is.
    for layers in [
        &[("q", 1), ("h", 2), ("f", 3)][..],
        // OBS calls its largest encoder `0`.
        &[("0", 3), ("1", 2), ("2", 1)],
        &[("0", 1), ("1", 2), ("2", 3)],
        &[("l", 1), ("m", 2), ("h", 3)],
        &[("r2", 3), ("r1", 2), ("r0", 1)],
        &[("b", 2), ("a", 1), ("c", 3)],
        &[("low", 1), ("high", 2)],
        &[("a", 1), ("b", 2), ("c", 3), ("d", 4)],
        &[
            ("s0", 8),
            ("s1", 7),
            ("s2", 6),
            ("s3", 5),
            ("s4", 4),
            ("s5", 3),
            ("s6", 2),
            ("s7", 1),
        ],
    ] {
        // Sizes are known of keyframes of VP8; where they are the same, the rate decides.
        let same_size = films.len() % 2 == 1;
        films.push(Film::open(&world, films.len() as u16, layers, same_size));
    }
    until_shown(&mut films, "pictures of the largest layers");
    for film in &mut films {
        film.ask_for(0, 1);
    }
    until_shown(&mut films, "pictures of the smallest layers");
    for film in &mut films {
        let largest = film.layers.len() as u8;
        film.ask_for(2, largest);
    }
    until_shown(&mut films, "pictures of the largest layers again");
    world.stop();
}
