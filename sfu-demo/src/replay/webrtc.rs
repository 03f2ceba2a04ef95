//! A capture through the whole server: one peer publishes its payloads over WebRTC, others compare
//! what they get.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;

use super::{Options, PATIENCE, ReplayError, Report};
use crate::capture;
use crate::client::Client;
use crate::lobby::Join;
use crate::mailbox::Mailbox;
use crate::rtp;
use crate::serve::{self, Server};
use crate::session::Role;
use crate::session::codec::{self, Codec, Name};
use crate::udp::RecvBatch;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOUND: Codec = Codec {
    name: Name::Opus,
    profile: 0,
};
const TICK: &[u8] = b"tick";

/// A packet of the capture.
struct Picture {
    at: Duration,
    time: u32,
    marker: bool,
    payload: Arc<[u8]>,
}

/// Those who send and receive.
struct Players {
    publisher: Client,
    receivers: Vec<Client>,
    /// How many packets of the capture each has got.
    got: Vec<usize>,
    batch: RecvBatch,
    sequence: u64,
}

/// Plays the video of `path`, which is of `codec`, through a server on mailbox `M`, from its first
/// keyframe on.
///
/// # Errors
///
/// If the capture cannot be used or has no keyframe, if a socket fails, or if somebody cannot be
/// connected. A difference is no error but in the report.
pub fn play<M: Mailbox>(
    path: &Path,
    codec: Name,
    options: Options,
    progress: impl Fn(usize, usize),
) -> Result<Report, ReplayError> {
    let packets = capture::read(path).map_err(ReplayError::Capture)?;
    let mut pictures: Vec<_> = packets.iter().filter_map(picture).collect();
    let first = pictures
        .iter()
        .position(|picture| codec::starts_keyframe(codec, &picture.payload))
        .ok_or(ReplayError::NoKeyframe(codec))?;
    pictures.drain(..first);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let server = runtime.block_on(serve::start::<M>(serve::Options {
        http: SocketAddr::from((HERE, 0)),
        media: vec![HERE],
        shards: options.shards,
        limits: crate::lobby::Limits {
            room: options.receivers + 1,
            server: options.receivers + 1,
        },
        // Nothing is to be held back for the sake of a network that is not there.
        estimate: false,
        ..serve::Options::default()
    }))?;
    let start = Instant::now();
    let mut delivered = 0;
    let played = Players::gather(&runtime, &server, options.receivers).and_then(|mut players| {
        players.play(&pictures, codec, options.speed, |done| {
            delivered = done;
            progress(done, pictures.len());
        })
    });
    let took = start.elapsed();
    let server_stats = runtime.block_on(server.observe()).shards;
    if !runtime.block_on(server.stop(Duration::from_secs(10))) {
        return Err(io::Error::other("the server did not end by itself").into());
    }
    Ok(Report {
        packets: pictures.len(),
        bytes: pictures.iter().map(|picture| picture.payload.len()).sum(),
        receivers: options.receivers,
        delivered,
        difference: played?,
        took,
        shards: Vec::new(),
        server: server_stats,
    })
}

fn picture(packet: &capture::Recorded) -> Option<Picture> {
    match rtp::read(&packet.bytes) {
        Ok(rtp::Packet::Rtp(rtp)) if !rtp.payload.is_empty() => Some(Picture {
            at: packet.at,
            time: rtp.time,
            marker: rtp.marker,
            payload: rtp.payload.into(),
        }),
        _ => None,
    }
}

fn join(runtime: &tokio::runtime::Runtime, server: &Server, role: Role) -> io::Result<Client> {
    let kinds = [MediaKind::Audio, MediaKind::Video];
    let (mut client, offer) = Client::new(HERE, role == Role::Publish, &kinds)?;
    let join = Join {
        room: "replay".into(),
        name: "replay".into(),
        role,
        offer,
        sources: Vec::new(),
    };
    let joined = runtime
        .block_on(server.join(join))
        .ok_or_else(|| io::Error::other("the server has no place"))?;
    client.accept(&joined.answer)?;
    Ok(client)
}

impl Players {
    /// Lets all join, and waits until each has heard something.
    fn gather(
        runtime: &tokio::runtime::Runtime,
        server: &Server,
        receivers: usize,
    ) -> io::Result<Self> {
        let mut players = Self {
            publisher: join(runtime, server, Role::Publish)?,
            receivers: (0..receivers)
                .map(|_| join(runtime, server, Role::Subscribe))
                .collect::<io::Result<_>>()?,
            got: vec![0; receivers],
            batch: RecvBatch::new(64),
            sequence: 0,
        };
        let mut heard = vec![false; receivers];
        let patience = Instant::now() + 15 * PATIENCE;
        while heard.contains(&false) {
            if Instant::now() > patience {
                return Err(io::Error::other("not everybody could be connected"));
            }
            if players.publisher.connected {
                let sequence = players.sequence;
                players
                    .publisher
                    .write(0, SOUND, sequence, 0, false, TICK.into());
                players.sequence += 1;
            }
            players.publisher.drive(&mut players.batch, |_| {})?;
            for (receiver, heard) in players.receivers.iter_mut().zip(&mut heard) {
                receiver.drive(&mut players.batch, |_| *heard = true)?;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        players.sequence = 0;
        Ok(players)
    }

    /// Sends one packet after the other, each when all have the one before; says how the first that
    /// is not what was sent differs.
    fn play(
        &mut self,
        pictures: &[Picture],
        codec: Name,
        speed: f64,
        mut progress: impl FnMut(usize),
    ) -> io::Result<Option<String>> {
        let profile = if codec == Name::H264 { 0x142 } else { 0 };
        let codec = Codec {
            name: codec,
            profile,
        };
        let start = Instant::now();
        let first = pictures.first().map_or(Duration::ZERO, |first| first.at);
        for (index, picture) in pictures.iter().enumerate() {
            if speed > 0.0 {
                let due = start + (picture.at.saturating_sub(first)).div_f64(speed);
                while Instant::now() < due {
                    if let Some(difference) = self.round(pictures)? {
                        return Ok(Some(difference));
                    }
                    let ahead = due.saturating_duration_since(Instant::now());
                    thread::park_timeout(ahead.min(Duration::from_millis(5)));
                }
            }
            let patience = Instant::now() + PATIENCE;
            let mut sent = false;
            while self.got.iter().any(|got| *got <= index) {
                if Instant::now() > patience {
                    let who = self.got.iter().position(|got| *got <= index).unwrap_or(0);
                    let text = format!("packet {} at receiver {who}: nothing arrives", index + 1);
                    return Ok(Some(text));
                }
                // The first makes the track known, and is sent until each has been subscribed.
                if !sent || index == 0 {
                    let payload = Arc::clone(&picture.payload);
                    let (time, marker) = (picture.time, picture.marker);
                    self.publisher
                        .write(1, codec, self.sequence, time, marker, payload);
                    self.sequence += 1;
                    sent = true;
                }
                if let Some(difference) = self.round(pictures)? {
                    return Ok(Some(difference));
                }
                thread::park_timeout(Duration::from_micros(200));
            }
            progress(index + 1);
        }
        Ok(None)
    }

    fn round(&mut self, pictures: &[Picture]) -> io::Result<Option<String>> {
        let mut difference = None;
        self.publisher.drive(&mut self.batch, |_| {})?;
        let each = self.receivers.iter_mut().zip(&mut self.got);
        for (who, (receiver, got)) in each.enumerate() {
            receiver.drive(&mut self.batch, |packet| {
                let payload = &packet.payload[..];
                if pictures
                    .get(*got)
                    .is_some_and(|next| next.payload[..] == *payload)
                {
                    *got += 1;
                } else if payload != TICK && payload != &pictures[0].payload[..] {
                    // More of the first may still be on the way, and of what was heard before it.
                    difference.get_or_insert_with(|| {
                        let (len, number) = (payload.len(), *got + 1);
                        format!(
                            "packet {number} at receiver {who}: {len} bytes that are not those of \
                             the capture"
                        )
                    });
                }
            })?;
        }
        Ok(difference)
    }
}
