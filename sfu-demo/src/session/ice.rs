//! The credentials of an ICE session, and what else it has to remember.

use str0m::IceCreds;

use crate::ids::secret;

/// More candidates than a server has.
const RANKS: u32 = 256;
/// Restarts after which later candidates rank no higher: all priorities stay below those of any candidate of a peer.
const MAX_RESTARTS: u32 = 1 << 16;

/// What the ICE session needs beside the stack's state.
#[derive(Debug)]
pub(super) struct Ice {
    /// The peer's credentials.
    pub(super) remote: Option<IceCreds>,
    /// The session's own before the last restart: checks with them are still signs of life.
    pub(super) previous: Option<IceCreds>,
    pub(super) restarts: u32,
    /// The end of each fragment: the bundle's first section, and the candidates.
    pub(super) ending: Box<str>,
}

/// New credentials of a session.
pub(super) fn credentials() -> IceCreds {
    let mut ufrag = secret();
    ufrag.truncate(16);
    let pass = secret();
    IceCreds { ufrag, pass }
}

impl Ice {
    pub(super) fn new(offer: &str, answer: &str) -> Self {
        let first = answer.split("\nm=").nth(1).unwrap_or_default();
        let keep = |line: &&str| line.starts_with("a=mid:") || line.starts_with("a=candidate:");
        let kind = first.lines().next().unwrap_or_default().trim_end();
        let lines = first.lines().map(str::trim_end).filter(keep);
        let ending = lines.fold(format!("m={kind}\r\n"), |end, line| end + line + "\r\n");
        Self {
            remote: remote_credentials(offer),
            previous: None,
            restarts: 0,
            ending: (ending + "a=end-of-candidates\r\n").into(),
        }
    }
}

/// Gives the candidates in SDP other priorities: in the same order, but after a restart all come before all of earlier.
///
/// Some peers change paths at once only for a pair of a higher priority, and hold a silent one for seconds: Chromium for three and
/// a half. The lower priority of both ends decides that of a pair. So TCP of a restart ranks above UDP from before, which may be
/// blocked since, and below UDP of the same restart.
///
/// The user name that the stack appends to each is left out: after a restart it would be that of before, and such candidates are
/// of an ICE session that is over (Chromium drops them).
pub(super) fn ranked(sdp: &str, restarts: u32) -> String {
    let priorities = sdp.lines().filter_map(priority);
    let mut order: Vec<u32> = priorities.filter_map(|word| word.parse().ok()).collect();
    order.sort_unstable();
    order.dedup();
    let rank = |word: &str| order.binary_search(&word.parse().ok()?).ok();
    let base = (restarts.min(MAX_RESTARTS) + 1) * RANKS;
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        let Some(rank) = priority(line).and_then(rank) else {
            out += line;
            continue;
        };
        let value = (base + (rank as u32).min(RANKS - 1)).to_string();
        let (text, end) = line.split_at(line.trim_end().len());
        let mut words: Vec<_> = text.split(' ').collect();
        words[3] = &value;
        if let Some(name) = words.iter().position(|word| *word == "ufrag") {
            words.drain(name..words.len().min(name + 2));
        }
        out += &words.join(" ");
        out += end;
    }
    out
}

/// The priority in a line of SDP that is a candidate.
fn priority(line: &str) -> Option<&str> {
    let is_candidate = line.starts_with("a=candidate:");
    line.split(' ').nth(3).filter(|_| is_candidate)
}

/// The credentials in SDP: the first of each, since all sections are bundled.
pub(super) fn remote_credentials(sdp: &str) -> Option<IceCreds> {
    let value = |name: &str, least: usize| {
        let value = sdp
            .lines()
            .find_map(|line| line.strip_prefix(name))?
            .trim_end();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        let fits = (least..=256).contains(&value.len()) && value.bytes().all(plain);
        fits.then(|| value.to_owned())
    };
    Some(IceCreds {
        ufrag: value("a=ice-ufrag:", 4)?,
        pass: value("a=ice-pwd:", 22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host ufrag 2130706431\r\n\
        a=candidate:2 1 TCP 1526726655 192.0.2.1 4000 typ host tcptype passive\r\n\
        a=candidate:3 1 UDP 2130706175 198.51.100.1 4000 typ host\r\na=end-of-candidates\r\n";

    fn priorities(sdp: &str) -> Vec<u32> {
        let words = sdp.lines().filter_map(priority);
        words.map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn candidates_of_a_restart_come_before_all_of_earlier_in_the_same_order() {
        let [first, second, last] = [0, 1, u32::MAX].map(|at| priorities(&ranked(SDP, at)));
        for all in [&first, &second, &last] {
            assert!(all[0] > all[2] && all[2] > all[1], "{all:?}");
        }
        assert!(second.iter().min() > first.iter().max());
        // The lowest type preference that a peer's own candidate without a relay has is 80.
        assert!(last.iter().all(|it| *it < 80 << 24), "{last:?}");
        assert_eq!(priorities(&ranked(&ranked(SDP, 0), 1)), second);
    }

    #[test]
    fn all_else_in_sdp_stays_as_it_is() {
        let back = ["2130706431", "1526726655", "2130706175"];
        let ranked = ranked(SDP, 0);
        let numbers: Vec<_> = ranked.lines().filter_map(priority).collect();
        let restored = numbers
            .iter()
            .zip(back)
            .fold(ranked.clone(), |sdp, (new, old)| {
                sdp.replace(&format!(" {new} "), &format!(" {old} "))
            });
        assert_eq!(restored, SDP.replace(" ufrag 2130706431", ""));
        for odd in [
            "",
            "a=candidate:",
            "a=candidate:1 1 UDP many\r\n",
            "a=candidate:1 1 UDP",
        ] {
            assert_eq!(super::ranked(odd, 3), odd);
        }
    }
}
