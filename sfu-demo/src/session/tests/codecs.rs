//! A viewer that lacks a codec is told so, and an offer without a codec that is forwarded is refused.

use super::*;
use crate::media::codec::Codecs;
use crate::session::build::{Refusal, check_directions, check_offer};
use crate::stats::DropReason;

fn dropped(session: &mut Session) -> usize {
    let codec = |event: &SessionEvent| matches!(event, SessionEvent::Dropped(DropReason::Codec));
    let count = session.events.iter().filter(|it| codec(it)).count();
    session.events.clear();
    count
}

#[test]
fn packets_that_the_viewer_cannot_decode_are_counted() {
    let now = Instant::now();
    let mut session = session(now);
    let of = |name| MediaPacket {
        keyframe: true,
        codec: Codec { name, profile: 0 },
        possible: [Name::Vp8, Name::Av1].into_iter().collect(),
        ..packet(TRACKS[0], 0, now)
    };
    note(&mut session, &of(Name::Av1));
    dropped(&mut session);
    session
        .types
        .learn("m=video 9 X 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n");
    for _ in 0..3 {
        assert!(!session.deliver(now, &of(Name::Av1)));
    }
    assert_eq!(dropped(&mut session), 3);
    session.deliver(now, &of(Name::Vp8));
    assert_eq!(dropped(&mut session), 0);
}

#[test]
fn codecs_in_common_are_those_of_both() {
    let of = |names: &[Name]| names.iter().copied().collect::<Codecs>();
    let common = of(&[Name::Opus, Name::Vp8, Name::Av1]).common(of(&[Name::H264, Name::Av1]));
    assert_eq!(common.iter().collect::<Vec<_>>(), [Name::Av1]);
    assert_eq!(of(&Name::ALL).iter().count(), Name::ALL.len());
    assert_eq!(of(&[]).iter().count(), 0);
}

#[test]
fn offer_without_a_codec_that_is_forwarded_is_refused() {
    let fingerprint = vec!["AB"; 32].join(":");
    let offer = |section: &str| {
        let offer = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\n\
             a=setup:actpass\r\n{section}"
        );
        check_offer(&offer)
    };
    let hevc =
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 H265/90000\r\n";
    assert_eq!(offer(hevc), Err(Refusal::Codecs(true)));
    let pcmu = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=sendonly\r\n";
    assert_eq!(offer(pcmu), Err(Refusal::Codecs(false)));
    let opus = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";
    assert_eq!(offer(opus), Ok(()));
    assert_eq!(offer(&[opus, hevc].concat()), Err(Refusal::Codecs(true)));
    let bundled = hevc.replace("video 9", "video 0");
    assert_eq!(offer(&bundled), Ok(()), "a section that is not used");
    let bundled = bundled + "a=bundle-only\r\n";
    assert_eq!(offer(&bundled), Err(Refusal::Codecs(true)));
    assert_eq!(offer(&hevc.replace("sendonly", "inactive")), Ok(()));
}

#[test]
fn offer_in_which_nothing_would_flow_is_refused() {
    let of = |all: &str, own: &[&str]| {
        let section = |own: &&str| format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n{own}");
        let sections: String = own.iter().map(section).collect();
        let offer = format!("v=0\r\n{all}{sections}");
        [Role::Publish, Role::Subscribe, Role::Page]
            .map(|role| check_directions(&offer, role).is_ok())
    };
    let [send, receive] = ["a=sendonly\r\n", "a=recvonly\r\n"];
    assert_eq!(of("", &[send]), [true, false, true]);
    assert_eq!(of("", &[receive]), [false, true, true]);
    assert_eq!(of("", &[send, receive]), [true; 3]);
    assert_eq!(
        of("", &[""]),
        [true; 3],
        "both directions, unless it says otherwise"
    );
    assert_eq!(
        of(send, &["", ""]),
        [true, false, true],
        "said once for all"
    );
    assert_eq!(of(send, &["a=sendrecv\r\n"]), [true; 3]);
    assert_eq!(of("", &["a=inactive\r\n"]), [false, false, true]);
    assert_eq!(of("", &[]), [false, false, true]);
}
