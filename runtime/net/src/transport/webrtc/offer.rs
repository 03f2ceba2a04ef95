//! What an offer may be, checked before it is parsed.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// The largest SDP that is read, in bytes. That of a browser with data channels alone has about 1 KiB; a section for video
/// adds 2.
pub(super) const MAX_SDP: usize = 32 << 10;
/// The number of candidates that an offer may have.
const MAX_CANDIDATES: usize = 32;
/// The number of sections for media that it may have.
const MAX_SECTIONS: usize = 8;
/// The number of lines about sources for each of them: a browser writes six.
const MAX_SOURCES: usize = 8;
/// The number of payloads of each of them.
const MAX_PAYLOADS: usize = 48;

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many sessions as there may be.
    Full,
    /// It is longer than [`MAX_SDP`], or has too many candidates.
    TooLong,
    /// It has no section for data channels, or two, or others than those and ones for media, or too many of those.
    Sections,
    /// It is no SDP, or cannot be answered.
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "there are as many sessions as there may be",
            Self::TooLong => "the offer is longer than 32 KiB, or has more than 32 candidates",
            Self::Sections => {
                "the offer has to have one section for data channels, and may have 8 for audio and video, each without simulcast"
            }
            Self::Malformed => "the offer is no SDP, or cannot be answered",
        })
    }
}

/// Checks an offer before it is parsed.
pub(super) fn check(sdp: &str) -> Result<(), Refusal> {
    let count = |prefix: &str| sdp.lines().filter(|line| line.starts_with(prefix)).count();
    if sdp.len() > MAX_SDP || count("a=candidate:") > MAX_CANDIDATES {
        return Err(Refusal::TooLong);
    }
    if !sdp.starts_with("v=0") {
        return Err(Refusal::Malformed);
    }
    let media = count("m=audio ") + count("m=video ");
    let others = count("m=") - media;
    let is_simple = count("a=simulcast:") + count("a=rid:") == 0;
    let sources = count("a=ssrc:") + count("a=ssrc-group:");
    let is_short = media <= MAX_SECTIONS && sources <= media * MAX_SOURCES;
    if others != 1 || count("m=application ") != 1 || count("a=mid:") > 1 + media {
        return Err(Refusal::Sections);
    }
    if !(is_simple && is_short) {
        return Err(Refusal::Sections);
    }
    if !payloads_agree(sdp) {
        return Err(Refusal::Malformed);
    }
    let mut fingerprints = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=fingerprint:"))
        .peekable();
    if fingerprints.peek().is_none() || !fingerprints.all(is_fingerprint) {
        return Err(Refusal::Malformed);
    }
    Ok(())
}

/// Whether each number of a payload means one thing in all sections, and repairs one other: the stack panics where two of
/// its codecs would have one number.
fn payloads_agree(sdp: &str) -> bool {
    let (mut known, mut repairs) = (HashMap::new(), HashMap::new());
    let (mut numbers, mut repaired) = (HashSet::new(), HashSet::new());
    for line in sdp.lines() {
        if line.starts_with("m=") {
            numbers.clear();
            repaired.clear();
            continue;
        }
        let map = line.strip_prefix("a=rtpmap:");
        let parameters = line.strip_prefix("a=fmtp:");
        let Some((number, rest)) = map
            .or(parameters)
            .map(|it| it.split_once(' ').unwrap_or((it, "")))
        else {
            continue;
        };
        let rest = rest.trim_end();
        let Ok(number) = number.parse::<u8>() else {
            return false;
        };
        let agrees = match (map, rest.strip_prefix("apt=")) {
            (Some(_), _) => {
                let is_one = numbers.insert(number) && numbers.len() <= MAX_PAYLOADS;
                is_one && *known.entry(number).or_insert(rest) == rest
            }
            (None, Some(other)) => {
                let is_repair = known.get(&number).is_some_and(|it| it.starts_with("rtx/"));
                let is_one =
                    repaired.insert(other) && *repairs.entry(number).or_insert(other) == other;
                is_repair && is_one
            }
            (None, None) => true,
        };
        if !agrees {
            return false;
        }
    }
    true
}

/// The names of the sections for media, in an offer that was checked.
pub(super) fn media(sdp: &str) -> impl Iterator<Item = &str> + Clone {
    let mut is_media = false;
    sdp.lines().filter_map(move |line| {
        if line.starts_with("m=") {
            is_media = !line.starts_with("m=application ");
        }
        let mid = line.strip_prefix("a=mid:").filter(|_| is_media);
        mid.map(str::trim_end)
    })
}

fn is_fingerprint(value: &str) -> bool {
    let Some((hash, digits)) = value.trim_end().split_once(' ') else {
        return false;
    };
    let is_known = hash.eq_ignore_ascii_case("sha-256");
    let is_byte = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    is_known && digits.split(':').count() == 32 && digits.split(':').all(is_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(lines: &[&str]) -> String {
        let digits = ["ab"; 32].join(":");
        format!(
            "v=0\r\na=fingerprint:sha-256 {digits}\r\n{}",
            lines.join("\r\n")
        )
    }

    #[test]
    fn offers_are_checked_before_they_are_parsed() {
        let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel";
        assert_eq!(check(&sdp(&[data])), Ok(()));
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1";
        let most = sdp(&[
            &[audio; MAX_SECTIONS].join("\r\n"),
            data,
            "a=mid:data",
            "m=video 0 x",
        ]);
        assert_eq!(check(&most), Err(Refusal::Sections));
        let most = most.replace("m=video 0 x", "");
        assert_eq!(check(&most), Ok(()));
        assert_eq!(media(&most).collect::<Vec<_>>(), ["1"; MAX_SECTIONS]);
        let vp8 = "a=rtpmap:96 VP8/90000";
        let rtx = "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96";
        assert_eq!(
            check(&sdp(&[data, audio, vp8, rtx, audio, rtx, vp8])),
            Ok(())
        );
        let candidates = ["a=candidate:1"; 33];
        let long = "x".repeat(MAX_SDP);
        for (offer, why) in [
            (String::new(), Refusal::Malformed),
            ("v=0\r\n".to_owned(), Refusal::Sections),
            (sdp(&[]), Refusal::Sections),
            (sdp(&[data, data]), Refusal::Sections),
            (sdp(&[data, "m=text 9 RTP/AVP 98"]), Refusal::Sections),
            (sdp(&[audio]), Refusal::Sections),
            (
                sdp(&[data, &[audio; MAX_SECTIONS + 1].join("\r\n")]),
                Refusal::Sections,
            ),
            (
                sdp(&[
                    data,
                    audio,
                    &["a=ssrc:1 cname:x"; MAX_SOURCES + 1].join("\r\n"),
                ]),
                Refusal::Sections,
            ),
            (sdp(&[data, "a=ssrc:1 cname:x"]), Refusal::Sections),
            (
                sdp(&[data, audio, "a=simulcast:send h;l"]),
                Refusal::Sections,
            ),
            (sdp(&[data, audio, "a=rid:h send"]), Refusal::Sections),
            (sdp(&[data, "a=mid:0", "a=mid:0"]), Refusal::Sections),
            (sdp(&[data, &candidates.join("\r\n")]), Refusal::TooLong),
            (sdp(&[data, &long]), Refusal::TooLong),
            (format!("v=0\r\n{data}"), Refusal::Malformed),
            (sdp(&[data, "a=fingerprint:sha-256 ab"]), Refusal::Malformed),
            (sdp(&[data, "a=fingerprint:"]), Refusal::Malformed),
            // One number for two codecs, in a section or in two; or for what repairs two, or is no repair.
            (
                sdp(&[data, audio, vp8, "a=rtpmap:96 VP9/90000"]),
                Refusal::Malformed,
            ),
            (
                sdp(&[data, audio, vp8, audio, "a=rtpmap:96 VP9/90000"]),
                Refusal::Malformed,
            ),
            (
                sdp(&[data, audio, vp8, "a=fmtp:96 apt=97"]),
                Refusal::Malformed,
            ),
            (
                sdp(&[
                    data,
                    audio,
                    rtx,
                    "a=rtpmap:98 rtx/90000",
                    "a=fmtp:98 apt=96",
                ]),
                Refusal::Malformed,
            ),
            (
                sdp(&[data, audio, "a=rtpmap:x VP8/90000"]),
                Refusal::Malformed,
            ),
        ] {
            assert_eq!(check(&offer), Err(why), "{offer}");
        }
    }
}
