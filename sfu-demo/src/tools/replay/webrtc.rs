//! Replay through the server: one peer publishes the payloads of a capture over WebRTC, others compare what they get.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;

use super::{PATIENCE, ReplayConfig, ReplayError, Report};
use crate::mailbox::Mailbox;
use crate::media::codec::{self, Codec, Name};
use crate::net::rtp;
use crate::net::udp::RecvBatch;
use crate::session::Role;
use crate::tools::capture;
use crate::tools::client::Client;
use crate::tools::loopback::{Loopback, TICK, connect_all};

/// A packet of the capture.
struct Picture {
    at: Duration,
    time: u32,
    marker: bool,
    payload: Arc<[u8]>,
}

/// The publisher and the receivers.
struct Players {
    publisher: Client,
    receivers: Vec<Client>,
    /// The number of packets that each receiver has got.
    got: Vec<usize>,
    batch: RecvBatch,
    sequence: u64,
}

/// Replays the video of `path`, which has codec `codec`, through a server on mailbox `M`, starting at the first keyframe.
///
/// # Errors
///
/// If the capture cannot be used or has no keyframe, a socket fails, or a client cannot connect. A difference is part of
/// the report, not an error.
pub fn play<M: Mailbox>(
    path: &Path,
    codec: Name,
    config: ReplayConfig,
    progress: impl Fn(usize, usize),
) -> Result<Report, ReplayError> {
    let packets = capture::read(path).map_err(ReplayError::Capture)?;
    let mut pictures: Vec<_> = packets.iter().filter_map(picture).collect();
    let first = pictures
        .iter()
        .position(|picture| codec::starts_keyframe(codec, &picture.payload))
        .ok_or(ReplayError::NoKeyframe(codec))?;
    pictures.drain(..first);

    let loopback = Loopback::open::<M>(config.shards, 1, config.receivers + 1, false)?;
    let start = Instant::now();
    let mut delivered = 0;
    let played = Players::connect_all(&loopback, config.receivers).and_then(|mut players| {
        players.play(&pictures, codec, config.speed, |done| {
            delivered = done;
            progress(done, pictures.len());
        })
    });
    let took = start.elapsed();
    let server = loopback.observe().shards;
    loopback.close()?;
    Ok(Report {
        packets: pictures.len(),
        bytes: pictures.iter().map(|picture| picture.payload.len()).sum(),
        receivers: config.receivers,
        delivered,
        difference: played?,
        took,
        shards: Vec::new(),
        server,
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

impl Players {
    /// Joins all clients, and waits until each receiver has got something.
    fn connect_all(loopback: &Loopback, receivers: usize) -> io::Result<Self> {
        let kinds = [MediaKind::Audio, MediaKind::Video];
        let mut publisher = [loopback.join(0, Role::Publish, &kinds)?];
        let mut receivers: Vec<_> = (0..receivers)
            .map(|_| loopback.join(0, Role::Subscribe, &kinds))
            .collect::<io::Result<_>>()?;
        let mut batch = RecvBatch::new(64);
        connect_all(&mut publisher, &mut receivers, &mut batch)?;
        let [publisher] = publisher;
        Ok(Self {
            publisher,
            got: vec![0; receivers.len()],
            receivers,
            batch,
            sequence: 0,
        })
    }

    /// Sends each packet once all receivers have got the previous one. Returns the first difference.
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
                    let text = format!("packet {} at receiver {who}: not received", index + 1);
                    return Ok(Some(text));
                }
                // The first packet publishes the track, and is repeated until each receiver is subscribed.
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
                    // Copies of the first packet, and ticks from before, may still arrive.
                    difference.get_or_insert_with(|| {
                        let (len, number) = (payload.len(), *got + 1);
                        format!(
                            "packet {number} at receiver {who}: {len} bytes that differ from \
                             the capture"
                        )
                    });
                }
            })?;
        }
        Ok(difference)
    }
}
