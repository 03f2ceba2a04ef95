//! RTCP as it comes from a socket: the SFU takes what is whole, and another reader finds the same packets
//! in it. What it takes it would take piece by piece as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtcp::packet::unmarshal;
use sfu_demo::net::rtp::{self, Malformed, Packet};

/// The reports: of these the other reader is compared with ours. Others it does not read without panicking.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

/// Cuts a compound packet where its lengths say, or not at all.
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
    // Everything that is taken for RTCP by its second byte, whatever the fuzzer put there.
    *second = 192 + *second % 32;
    match rtp::read(&datagram) {
        Ok(Packet::Rtp(_)) => panic!("it is RTCP"),
        Err(Malformed::Rtp) => panic!("it was not even looked at"),
        Err(Malformed::Rtcp) => {
            // A report that the other reader writes as it came is one, and has to be taken.
            if matches!(datagram[1], SENDER_REPORT | RECEIVER_REPORT)
                && pieces(&datagram).is_some_and(|pieces| pieces.len() == 1)
                && let Ok(packets) = unmarshal(&mut &datagram[..])
                && let [packet] = &packets[..]
                && rtcp::packet::marshal(&packets).is_ok_and(|again| again == datagram)
            {
                panic!("only theirs reads {packet}");
            }
        }
        Ok(Packet::Rtcp) => {
            let pieces = pieces(&datagram).expect("what is taken is whole");
            assert!(!pieces.is_empty());
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!(piece[0] >> 6, 2, "the version");
                // Padding is for the last alone.
                assert!(piece[0] & 0x20 == 0 || index + 1 == pieces.len());
                if (192..=223).contains(&piece[1]) {
                    assert_eq!(rtp::read(piece), Ok(Packet::Rtcp), "piece {index}");
                }
                if matches!(piece[1], SENDER_REPORT | RECEIVER_REPORT) && piece[0] & 0x20 == 0 {
                    let theirs = unmarshal(&mut &**piece);
                    assert!(theirs.is_ok(), "only ours reads piece {index}: {theirs:?}");
                }
            }
            // Nothing may follow the end.
            let mut longer = datagram.clone();
            longer.push(0);
            assert_eq!(rtp::read(&longer), Err(Malformed::Rtcp));
        }
    }
});
