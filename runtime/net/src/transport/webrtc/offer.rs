//! What an offer may be, checked before it is parsed.

use std::fmt;

/// The largest SDP that is read, in bytes. That of a browser with data channels alone has about 1 KiB.
pub(super) const MAX_SDP: usize = 16 << 10;
/// The number of candidates that an offer may have.
const MAX_CANDIDATES: usize = 32;

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many sessions as there may be.
    Full,
    /// It is longer than [`MAX_SDP`], or has too many candidates.
    TooLong,
    /// It has another section than one for data channels, or none.
    Sections,
    /// It is no SDP, or cannot be answered.
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "there are as many sessions as there may be",
            Self::TooLong => "the offer is longer than 16 KiB, or has more than 32 candidates",
            Self::Sections => "the offer has to have one section, which is for data channels",
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
    if count("m=") != 1 || count("m=application ") != 1 || count("a=mid:") > 1 {
        return Err(Refusal::Sections);
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
        let candidates = ["a=candidate:1"; 33];
        let long = "x".repeat(MAX_SDP);
        for (offer, why) in [
            (String::new(), Refusal::Malformed),
            ("v=0\r\n".to_owned(), Refusal::Sections),
            (sdp(&[]), Refusal::Sections),
            (sdp(&[data, data]), Refusal::Sections),
            (
                sdp(&[data, "m=audio 9 UDP/TLS/RTP/SAVPF 111"]),
                Refusal::Sections,
            ),
            (sdp(&[data, "a=mid:0", "a=mid:0"]), Refusal::Sections),
            (sdp(&[data, &candidates.join("\r\n")]), Refusal::TooLong),
            (sdp(&[data, &long]), Refusal::TooLong),
            (format!("v=0\r\n{data}"), Refusal::Malformed),
            (sdp(&[data, "a=fingerprint:sha-256 ab"]), Refusal::Malformed),
            (sdp(&[data, "a=fingerprint:"]), Refusal::Malformed),
        ] {
            assert_eq!(check(&offer), Err(why), "{offer}");
        }
    }
}
