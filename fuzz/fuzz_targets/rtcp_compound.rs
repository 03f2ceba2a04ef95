//! RTCP as received from a socket: the SFU accepts complete compound packets, another parser finds the
//! same packets in them, and each of these is accepted on its own too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtcp::packet::unmarshal;
use sfu_demo::net::rtp::{self, Malformed, Packet};

/// Reports are compared with the other parser. It panics on some packets of other types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

/// Splits a compound packet by its length fields; `None` if they do not fit the datagram.
fn pieces(mut datagram: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pieces = Vec::new();
    while !datagram.is_empty() {
        let words = u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]);
        let (piece, rest) = datagram.split_at_checked(4 + 4 * usize::from(words))?;
        pieces.push(piece);
        datagram = rest;
    }
    Some(pieces)
}

fuzz_target!(|data: &[u8]| {
    let mut datagram = data.to_vec();
    let Some(second) = datagram.get_mut(1) else {
        return;
    };
    // Use only second bytes that mark RTCP.
    *second = 192 + *second % 32;
    match rtp::read(&datagram) {
        Ok(Packet::Rtp(_)) => panic!("RTCP was parsed as RTP"),
        Err(Malformed::Rtp) => panic!("RTCP was rejected as RTP"),
        Err(Malformed::Rtcp) => {
            // A report that the other parser reads and writes back unchanged is valid, so it must be accepted.
            if matches!(datagram[1], SENDER_REPORT | RECEIVER_REPORT)
                && pieces(&datagram).is_some_and(|pieces| pieces.len() == 1)
                && let Ok(packets) = unmarshal(&mut &datagram[..])
                && let [packet] = &packets[..]
                && rtcp::packet::marshal(&packets).is_ok_and(|again| again == datagram)
            {
                panic!("only the other parser accepts {packet}");
            }
        }
        Ok(Packet::Rtcp) => {
            let pieces = pieces(&datagram).expect("accepted packets are complete");
            assert!(!pieces.is_empty());
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!(piece[0] >> 6, 2, "version");
                // Only the last packet may have padding.
                assert!(piece[0] & 0x20 == 0 || index + 1 == pieces.len());
                if (192..=223).contains(&piece[1]) {
                    assert_eq!(rtp::read(piece), Ok(Packet::Rtcp), "piece {index}");
                }
                if matches!(piece[1], SENDER_REPORT | RECEIVER_REPORT) && piece[0] & 0x20 == 0 {
                    let theirs = unmarshal(&mut &**piece);
                    assert!(
                        theirs.is_ok(),
                        "only our parser accepts piece {index}: {theirs:?}"
                    );
                }
            }
            // No byte may follow the last packet.
            let mut longer = datagram.clone();
            longer.push(0);
            assert_eq!(rtp::read(&longer), Err(Malformed::Rtcp));
        }
    }
});
