//! RTP as received from a socket. Another parser accepts what the SFU accepts, accepted packets can be
//! written again, and packets that are renumbered for a subscriber keep their order. The input is a stream
//! of datagrams, each after its length in two bytes.
#![no_main]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libfuzzer_sys::fuzz_target;
use rtp_types::RtpPacket;
use sfu_demo::ids::TrackId;
use sfu_demo::media::codec::{Codec, Name, starts_keyframe};
use sfu_demo::media::{Layer, Measure, MediaPacket};
use sfu_demo::net::rtp::{self, Malformed, Packet, Rtp};
use sfu_demo::session::subscriptions::downstream::{Downstream, Rewritten};
use str0m::rtp::Vp8Descriptor;
use webrtc_util::marshal::Unmarshal;

const CODECS: [Name; 5] = [Name::Opus, Name::Vp8, Name::H264, Name::Vp9, Name::Av1];

/// Profiles of header extensions whose contents the other parser checks, and ours does not.
const READ_EXTENSIONS: [u16; 2] = [0xbede, 0x1000];

fn next<'a>(stream: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = stream.split_first_chunk()?;
    let (datagram, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*len))));
    *stream = rest;
    Some(datagram)
}

/// The profile of the header extension, whether or not the extension is complete.
fn extension_profile(datagram: &[u8]) -> Option<u16> {
    let at = 12 + 4 * usize::from(datagram[0] & 0x0f);
    (datagram[0] & 0x10 != 0)
        .then(|| datagram.get(at..at + 2))
        .flatten()
        .map(|profile| u16::from_be_bytes([profile[0], profile[1]]))
}

/// Compares our result with the other parser, which accepts more: any version, and a padding length of 0.
fn compare(datagram: &[u8], ours: Result<&Rtp<'_>, Malformed>) {
    if datagram.len() >= 12
        && extension_profile(datagram).is_some_and(|profile| READ_EXTENSIONS.contains(&profile))
    {
        return;
    }
    let theirs = ::rtp::packet::Packet::unmarshal(&mut &*datagram);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let header = &theirs.header;
            assert_eq!(
                (
                    ours.ssrc,
                    ours.sequence,
                    ours.time,
                    ours.payload_type,
                    ours.marker
                ),
                (
                    header.ssrc,
                    header.sequence_number,
                    header.timestamp,
                    header.payload_type,
                    header.marker
                )
            );
            assert_eq!(ours.payload, &theirs.payload[..]);
        }
        (Ok(_), Err(error)) => panic!("only our parser accepts it: {error}"),
        (Err(_), Ok(theirs)) => {
            let no_padding = theirs.header.padding && datagram.last() == Some(&0);
            assert!(
                theirs.header.version != 2 || no_padding,
                "only the other parser accepts it"
            );
        }
        (Err(_), Err(_)) => {}
    }
}

fn write_again(datagram: &[u8], rtp: &Rtp<'_>) {
    let view = RtpPacket::parse(datagram).expect("it was parsed before");
    let again = view
        .as_builder()
        .write_vec()
        .expect("a parsed packet can be written");
    // The written padding is zeros and its length, whatever the original was.
    let Ok(Packet::Rtp(same)) = rtp::read(&again) else {
        panic!("a written packet cannot be parsed")
    };
    assert_eq!(same, *rtp);
    assert_eq!(again.len(), datagram.len());
}

/// A subscriber of every packet, and what was sent to it last.
struct Subscriber {
    down: Downstream,
    last: Option<(MediaPacket, Rewritten)>,
    highest: u64,
}

impl Subscriber {
    fn new(video: bool) -> Self {
        Self {
            down: Downstream::new("0".into(), video),
            last: None,
            highest: 0,
        }
    }

    fn send(&mut self, packet: MediaPacket) {
        let before = self.down.current();
        let Some(sent) = self.down.rewrite(&packet) else {
            return;
        };
        let now = self.down.current();
        assert_eq!(now, Some(packet.layer), "sent a layer that was not chosen");
        assert!(!self.down.video || Some(packet.layer) == self.down.wanted() || before == now);
        match &self.last {
            Some((last, renumbered)) if before == now && last.ssrc == packet.ssrc => {
                assert_eq!(
                    sent.sequence.wrapping_sub(renumbered.sequence),
                    packet.sequence.wrapping_sub(last.sequence)
                );
                assert_eq!(
                    sent.time.wrapping_sub(renumbered.time),
                    packet.time.wrapping_sub(last.time)
                );
            }
            Some(_) => assert_eq!(sent.sequence, self.highest + 1, "a switch leaves a gap"),
            None => assert!(
                !self.down.video || packet.keyframe,
                "starts without a keyframe"
            ),
        }
        if let (Some((picture, base)), Ok(descriptor)) =
            (sent.vp8, Vp8Descriptor::parse(&packet.payload))
        {
            let mut patch = descriptor.patch();
            if let Some(picture) = picture {
                assert!(picture < 1 << 15);
                patch = patch.picture_id(picture);
            }
            if let Some(base) = base {
                patch = patch.tl0_pic_idx(base);
            }
            let _ = patch.build();
        }
        self.highest = self.highest.max(sent.sequence);
        self.last = Some((packet, sent));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut stream = data;
    let start = Instant::now();
    let mut subscribers = [Subscriber::new(false), Subscriber::new(true)];
    let mut extended = 1u64 << 32;
    let mut number = 0u32;
    while let Some(datagram) = next(&mut stream) {
        let read = rtp::read(datagram);
        if datagram
            .get(1)
            .is_some_and(|second| (192..=223).contains(second))
        {
            assert!(!matches!(read, Ok(Packet::Rtp(_)) | Err(Malformed::Rtp)));
            continue;
        }
        let rtp = match read {
            Ok(Packet::Rtp(rtp)) => rtp,
            Ok(Packet::Rtcp) => panic!("RTP was parsed as RTCP"),
            Err(error) => {
                compare(datagram, Err(error));
                continue;
            }
        };
        compare(datagram, Ok(&rtp));
        write_again(datagram, &rtp);

        let distance = i64::from(rtp.sequence.wrapping_sub(extended as u16) as i16);
        extended = extended.wrapping_add_signed(distance);
        let name = CODECS[usize::from(rtp.payload_type) % CODECS.len()];
        for codec in CODECS {
            let _ = starts_keyframe(codec, rtp.payload);
        }
        number += 1;
        let subscriber = &mut subscribers[usize::from(name != Name::Opus)];
        if subscriber.down.video && rtp.marker {
            subscriber.down.want(Layer((rtp.ssrc % 3) as u8));
        }
        subscriber.send(MediaPacket {
            track: TrackId(1),
            layer: Layer((rtp.ssrc % 3) as u8),
            measure: Measure::default(),
            ssrc: rtp.ssrc,
            codec: Codec { name, profile: 0 },
            sequence: extended,
            time: rtp.time,
            marker: rtp.marker,
            keyframe: starts_keyframe(name, rtp.payload),
            audio_level: None,
            voice: None,
            orientation: None,
            possible: Default::default(),
            captured: None,
            arrived: start + Duration::from_millis(20) * number,
            payload: Arc::from(rtp.payload),
        });
    }
});
