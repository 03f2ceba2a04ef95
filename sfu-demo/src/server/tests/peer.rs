//! A publisher or a viewer of the tests, with the WebSocket that a page would have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use str0m::media::MediaKind;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::control::admission::OPENING;
use crate::media::codec::{Codec, Name};
use crate::net::udp::RecvBatch;
use crate::session::Role;
use crate::tools::client::Client;

pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(super) const VP8: Codec = Codec {
    name: Name::Vp8,
    profile: 0,
};
/// The layers of a simulcast, the smallest first, with the width and height of their pictures.
const LAYERS: [(&str, u8); 2] = [("q", 8), ("f", 16)];
/// What the packets of these peers end with, before the layer and the publisher's number.
const MARK: [u8; 2] = *b"#!";
/// A keyframe of VP8 without its size, which a browser can decode: one macroblock of one colour.
const FRAME: [&[u8]; 2] = [
    &[0x10, 0x30, 0x01, 0x00, 0x9d, 0x01, 0x2a],
    &[
        0x0e, 0xc0, 0xfe, 0x25, 0xa4, 0x00, 0x03, 0x70, 0x00, 0, 0, 0,
    ],
];

/// A publisher or a viewer.
pub(super) struct Peer {
    pub(super) number: u16,
    pub(super) role: Role,
    pub(super) client: Client,
    pub(super) resource: String,
    pub(super) socket: Socket,
    sequence: u64,
    simulcast: bool,
    /// The layers that packets of each publisher have come from, a bit each.
    pub(super) seen: HashMap<u16, u8>,
    /// The sources (SSRC) of packets from others than these peers, such as pages.
    pub(super) foreign: Vec<u32>,
    /// The largest layers that a viewer has asked for, by track.
    asked: HashMap<String, u8>,
}

/// A picture of a publisher's layer, of so many pixels in width and height. It is a keyframe.
pub(super) fn picture(publisher: u16, layer: u8, size: u8) -> Vec<u8> {
    let size = [size, 0, size, 0];
    let [high, low] = publisher.to_be_bytes();
    let end = [MARK[0], MARK[1], layer, high, low];
    [FRAME[0], &size, FRAME[1], &end].concat()
}

/// The publisher and the layer of a packet of these peers.
pub(super) fn shown(payload: &[u8]) -> Option<(u16, u8)> {
    match *payload {
        [.., a, b, layer, high, low] if [a, b] == MARK => {
            Some((u16::from_be_bytes([high, low]), layer))
        }
        _ => None,
    }
}

/// Whether a publisher sends a simulcast.
pub(super) fn is_simulcast(number: u16) -> bool {
    number.is_multiple_of(4)
}

impl Peer {
    /// A publisher of one camera, or a viewer with sections for `sections`, and its offer.
    pub(super) fn client(number: u16, role: Role, sections: usize) -> (Client, String) {
        if role == Role::Publish && is_simulcast(number) {
            return Client::simulcast(HERE, &LAYERS.map(|(rid, _)| rid)).unwrap();
        }
        let publishes = role == Role::Publish;
        let count = if publishes { 1 } else { sections };
        Client::plain(HERE, publishes, &vec![MediaKind::Video; count]).unwrap()
    }

    pub(super) fn new(
        number: u16,
        role: Role,
        client: Client,
        resource: String,
        socket: Socket,
    ) -> Self {
        Self {
            number,
            role,
            client,
            resource,
            socket,
            sequence: 0,
            simulcast: role == Role::Publish && is_simulcast(number),
            seen: HashMap::new(),
            foreign: Vec::new(),
            asked: HashMap::new(),
        }
    }

    /// Sends a picture that is a keyframe, of each layer.
    pub(super) fn publish(&mut self) {
        let layers = if self.simulcast {
            &LAYERS[..]
        } else {
            &LAYERS[1..]
        };
        let time = (self.sequence * 9000) as u32;
        let mut sent = false;
        for (layer, (rid, size)) in layers.iter().enumerate() {
            let payload = picture(self.number, layer as u8, *size);
            let rid = self.simulcast.then_some(*rid);
            sent |= self
                .client
                .write_layer(0, rid, VP8, self.sequence, time, payload.into());
        }
        self.sequence += u64::from(sent);
    }

    /// Shares again from another source, if it is a publisher. Those of a simulcast are known by their names.
    pub(super) fn share_again(&mut self) {
        if !self.simulcast {
            let _ = self.client.change_source(0);
        }
    }

    /// Receives, and sends what is due. A session that the server has closed may fail.
    pub(super) fn drive(&mut self, batch: &mut RecvBatch) {
        let (seen, foreign) = (&mut self.seen, &mut self.foreign);
        let _ = self.client.drive(batch, |packet| {
            if let Some((publisher, layer)) = shown(&packet.payload) {
                *seen.entry(publisher).or_default() |= 1 << layer;
            } else if !packet.payload.is_empty() && !foreign.contains(&*packet.header.ssrc) {
                foreign.push(*packet.header.ssrc);
            }
        });
    }

    pub(super) fn forget_seen(&mut self) {
        self.seen.clear();
        self.foreign.clear();
    }

    /// Asks for a layer of a publisher's simulcast: 0 (small), or 2 (large).
    pub(super) fn ask_for(&mut self, publisher: u16, layer: u8) {
        if let Some(track) = self.socket.ask_for(publisher, layer) {
            self.asked.insert(track, layer);
        }
    }

    /// Whether the viewer has seen a publisher since it forgot, in the layer that it has asked for. A publisher that is late on a
    /// busy machine may have been left for its other layer meanwhile.
    pub(super) fn sees(&self, publisher: u16) -> bool {
        let Some(layers) = self.seen.get(&publisher) else {
            return false;
        };
        if !is_simulcast(publisher) {
            return true;
        }
        let track = self.socket.track_of(publisher);
        let asked = track.and_then(|track| self.asked.get(&track).copied());
        let expected = u8::from(asked != Some(0));
        layers & 1 << expected != 0
    }
}

/// The WebSocket of a session.
pub(super) struct Socket {
    /// What the server has said.
    heard: Arc<Heard>,
    say: UnboundedSender<String>,
}

#[derive(Default)]
struct Heard {
    lost: AtomicBool,
    /// What the sections carry: publishers' names and tracks.
    tracks: Mutex<HashMap<String, String>>,
}

impl Heard {
    fn handle(&self, message: &Value) {
        if message["type"] == "gone" {
            // ORDERING: a flag alone.
            self.lost.store(true, Ordering::Relaxed);
        }
        if let ("tracks", Some(carried)) = (
            message["type"].as_str().unwrap_or_default(),
            message["tracks"].as_array(),
        ) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let tracks = carried
                .iter()
                .map(|it| (text(&it["name"]), text(&it["track"])));
            let mut known = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
            *known = tracks.collect();
        }
    }
}

impl Socket {
    /// Connects to the server at `http`, for a session that was asked for at `since`. If it is gone already, as after a long
    /// wait on a busy machine, it is lost.
    ///
    /// # Panics
    ///
    /// If it is gone before its time.
    pub(super) fn open(
        runtime: &Runtime,
        http: std::net::SocketAddr,
        resource: &str,
        since: Instant,
    ) -> Self {
        let url = format!("ws://{http}/api/socket/{resource}");
        let heard = Arc::new(Heard::default());
        let (say, mut said) = unbounded_channel::<String>();
        let connected = tokio_tungstenite::connect_async(url);
        let socket = match runtime.block_on(connected) {
            Ok((socket, _)) => socket,
            Err(error) => {
                let waited = since.elapsed();
                let is_unknown =
                    matches!(&error, Error::Http(response) if response.status() == 404);
                assert!(
                    !is_unknown || waited >= OPENING,
                    "gone after {waited:?}: {error}"
                );
                // ORDERING: a flag alone.
                heard.lost.store(true, Ordering::Relaxed);
                return Self { heard, say };
            }
        };
        let (mut out, mut incoming) = socket.split();
        runtime.spawn(async move {
            while let Some(text) = said.recv().await {
                if out.send(Message::Text(text.into())).await.is_err() {
                    break;
                }
            }
        });
        let hears = Arc::clone(&heard);
        runtime.spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                if let Message::Text(text) = message {
                    hears.handle(&serde_json::from_str(&text).unwrap());
                }
            }
        });
        Self { heard, say }
    }

    /// Whether the server has said that the session is lost.
    pub(super) fn is_lost(&self) -> bool {
        // ORDERING: a flag alone.
        self.heard.lost.load(Ordering::Relaxed)
    }

    /// Asks for a layer of a publisher's track, if a section carries it. Returns the track.
    pub(super) fn ask_for(&self, publisher: u16, layer: u8) -> Option<String> {
        let track = self.track_of(publisher)?;
        self.say(&json!({"type": "layer", "track": track, "layer": layer}));
        Some(track)
    }

    fn say(&self, message: &Value) {
        let _ = self.say.send(message.to_string());
    }

    /// The track of a publisher, if a section carries it.
    fn track_of(&self, publisher: u16) -> Option<String> {
        let tracks = self.heard.tracks.lock();
        let tracks = tracks.unwrap_or_else(PoisonError::into_inner);
        tracks.get(&format!("n{publisher}")).cloned()
    }
}
