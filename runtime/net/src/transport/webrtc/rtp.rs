//! The sections of a session that carry media by RTP: frames out of packets and into them, and when a key frame is asked for.
//!
//! A frame that needs another one, which is missing, is not handed on: what is, can be decoded one after the other.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use str0m::{
    Rtc,
    channel::ChannelId,
    format::Codec,
    media::{Direction, KeyframeRequestKind, MediaData, MediaKind as StackKind, MediaTime, Mid},
};
use tokio::sync::mpsc;

use super::hub::Datagram;
use crate::transport::media::{Arrived, Media, MediaEnd, MediaFrame, MediaKind, Order, Section};

/// Bytes of a message about a section: the name of an export has up to 4096.
const LONGEST: usize = 4096 + 64;
/// A key frame is asked for again after this time. It costs many times what another frame does.
const PATIENCE: Duration = Duration::from_millis(500);
/// The codecs whose frames this end can tell apart.
const CODECS: [Codec; 4] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264];

/// The sections of a session, with the channel on which both ends speak of them.
pub(super) struct Rtp {
    pub(super) channel: ChannelId,
    pub(super) is_open: bool,
    end: MediaEnd,
    tracks: Vec<Track>,
}

/// A section, and what is known of the track on it.
struct Track {
    mid: Mid,
    kind: MediaKind,
    is_inward: bool,
    /// There is a track on it.
    is_open: bool,
    /// What follows is worth nothing without a key frame.
    needs_key: bool,
    /// A key frame is wanted, and was perhaps not yet asked for.
    is_wanted: bool,
    asked: Option<Instant>,
    /// The timestamp of the last frame that was sent, with its high half.
    last: u64,
}

/// What a session does next for its sections.
pub(super) enum Next {
    Arrived(Datagram),
    Order(Order),
    Frame(usize, MediaFrame),
}

/// The sections of these names, after the offer that has them was answered.
pub(super) fn sections<'a>(rtc: &mut Rtc, mids: impl Iterator<Item = &'a str>) -> Vec<Section> {
    let mut sections = Vec::new();
    for name in mids {
        let mid = Mid::from(name);
        let Some(media) = rtc.media(mid) else {
            continue;
        };
        let kind = match media.kind() {
            StackKind::Audio => MediaKind::Audio,
            StackKind::Video => MediaKind::Video,
        };
        let is_inward = match media.direction() {
            Direction::RecvOnly => true,
            Direction::SendOnly => false,
            // A track has one direction.
            Direction::SendRecv | Direction::Inactive => continue,
        };
        let writer = rtc.writer(mid);
        let params = writer.iter().flat_map(|writer| writer.payload_params());
        let codecs = params.map(|params| params.spec().codec);
        let codecs = codecs.filter(|codec| CODECS.contains(codec));
        let mut codecs: Vec<_> = codecs.map(|codec| codec.to_string()).collect();
        codecs.dedup();
        sections.push(Section {
            mid: name.to_owned(),
            kind,
            is_inward,
            codecs,
        });
    }
    sections
}

impl Rtp {
    pub(super) fn new(channel: ChannelId, sections: Vec<Section>) -> (Media, Self) {
        let track = |section: &Section| Track {
            mid: Mid::from(&*section.mid),
            kind: section.kind,
            is_inward: section.is_inward,
            is_open: false,
            needs_key: false,
            is_wanted: false,
            asked: None,
            last: 0,
        };
        let tracks = sections.iter().map(track).collect();
        let (near, end) = Media::pair(sections);
        let rtp = Self {
            channel,
            is_open: false,
            end,
            tracks,
        };
        (near, rtp)
    }

    /// Whether packets of media are worth a look.
    fn is_used(&self) -> bool {
        self.tracks.iter().any(|track| track.is_open)
    }

    /// A message of the peer about a section.
    pub(super) fn on_message(&self, message: Vec<u8>) -> io::Result<()> {
        let wrong = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        if message.len() > LONGEST {
            return Err(wrong("a message about a section is too long"));
        }
        match self.end.said.try_send(message) {
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(wrong("it speaks of sections, and does not listen"))
            }
            _ => Ok(()), // the node may have let go of the session
        }
    }

    /// A frame of the peer.
    pub(super) fn on_frame(&mut self, rtc: &mut Rtc, data: MediaData) {
        let is_of = |track: &Track| track.mid == data.mid && track.is_inward && track.is_open;
        let Some(place) = self.tracks.iter().position(is_of) else {
            return;
        };
        let (track, counts) = (&mut self.tracks[place], &self.end.counts);
        if !data.contiguous {
            counts.interrupted.add();
            track.needs_key = true;
        }
        if track.kind == MediaKind::Video {
            if data.is_keyframe() {
                (track.needs_key, track.is_wanted) = (false, false);
            } else if track.needs_key {
                counts.useless.add();
                return self.ask(rtc, place, data.network_time);
            }
        }
        let is_wanted = track.is_wanted;
        let frame = MediaFrame {
            kind: track.kind,
            codec: data.params.spec().codec.to_string(),
            timestamp: data.time.numer() as u32,
            data: Bytes::from_owner(data.data),
        };
        let given = self.end.arrived.try_send(Arrived::Frame(place, frame));
        if given.is_err() {
            counts.refused.add();
            self.missed(rtc, place, data.network_time);
        } else if is_wanted {
            self.ask(rtc, place, data.network_time);
        }
    }

    /// The peer asks for a key frame.
    pub(super) fn on_request(&self, mid: Mid) {
        let is_of = |track: &Track| track.mid == mid && !track.is_inward && track.is_open;
        if let Some(place) = self.tracks.iter().position(is_of) {
            // It asks again.
            let _ = self.end.arrived.try_send(Arrived::KeyFrameWanted(place));
        }
    }

    fn missed(&mut self, rtc: &mut Rtc, place: usize, now: Instant) {
        self.tracks[place].needs_key = true;
        self.ask(rtc, place, now);
    }

    /// Asks for a key frame; if that was done a moment ago, with a later frame.
    fn ask(&mut self, rtc: &mut Rtc, place: usize, now: Instant) {
        let track = &mut self.tracks[place];
        track.is_wanted = true;
        let is_early = |asked: Instant| now.saturating_duration_since(asked) < PATIENCE;
        if track.kind != MediaKind::Video || track.asked.is_some_and(is_early) {
            return;
        }
        let Some(mut writer) = rtc.writer(track.mid) else {
            return;
        };
        // Before the first packet has come there may be nobody to ask; the first frame then is one.
        if writer
            .request_keyframe(None, KeyframeRequestKind::Pli)
            .is_ok()
        {
            track.asked = Some(now);
            self.end.counts.key_frames_wanted.add();
        }
    }

    /// What there is to do: a message to the peer if it `may_speak`, a frame of this end, or a packet of the peer, none
    /// of them before the others for long.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(
        &mut self,
        packets: &mut mpsc::Receiver<Datagram>,
        may_speak: bool,
    ) -> Next {
        let is_used = self.is_used();
        loop {
            return tokio::select! {
                Some(order) = self.end.orders.recv(), if may_speak => Next::Order(order),
                Some((place, frame)) = self.end.frames.recv() => Next::Frame(place, frame),
                // Before a track is on a section nobody has proven anything.
                Some(packet) = packets.recv() => match is_used {
                    true => Next::Arrived(packet),
                    false => continue,
                },
                else => std::future::pending().await,
            };
        }
    }

    /// Carries out what the node wants. Returns what it has to say to the peer.
    pub(super) fn on_order(&mut self, rtc: &mut Rtc, order: Order) -> Option<Vec<u8>> {
        let now = Instant::now();
        match order {
            Order::Say(message) => return Some(message),
            Order::Open(place) => {
                let track = &mut self.tracks[place];
                (track.is_open, track.asked) = (true, None);
                if track.is_inward {
                    self.missed(rtc, place, now);
                }
            }
            Order::Close(place) => self.tracks[place].is_open = false,
            Order::Missed(place) => self.missed(rtc, place, now),
            Order::WantKey(place) => self.ask(rtc, place, now),
        }
        None
    }

    /// Sends a frame. What cannot be sent is passed over.
    pub(super) fn send(&mut self, rtc: &mut Rtc, place: usize, frame: MediaFrame) {
        let track = &mut self.tracks[place];
        let Some(writer) = rtc.writer(track.mid).filter(|_| !track.is_inward) else {
            return;
        };
        let found = writer
            .payload_params()
            .map(|params| (params.pt(), params.spec()))
            .find(|(_, spec)| spec.codec.to_string().eq_ignore_ascii_case(&frame.codec))
            .map(|(pt, spec)| (pt, spec.clock_rate));
        // It was looked at before the frame was given to the session.
        let Some((pt, clock)) = found else {
            return;
        };
        let ahead = frame.timestamp.wrapping_sub(track.last as u32) as i32;
        track.last = track
            .last
            .checked_add_signed(ahead.into())
            .unwrap_or(frame.timestamp.into());
        let time = MediaTime::new(track.last, clock);
        match writer.write(pt, Instant::now(), time, &*frame.data) {
            Ok(()) => self.end.counts.sent.add(),
            Err(error) => {
                tracing::debug!(%error, "a frame was not sent");
                self.end.counts.passed_over.add();
            }
        }
    }
}
