//! Views of plain RTP and RTCP packets, as a socket receives them.
//!
//! Nothing is decoded or copied. A malformed packet is counted and goes no further.

use std::fmt;

use rtcp_types::Compound;
use rtp_types::RtpPacket;
use serde::Serialize;

/// A datagram that is RTP or RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A media packet.
    Rtp(Rtp<'a>),
    /// A compound of reports and requests.
    Rtcp,
}

/// A view of an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtp<'a> {
    /// The source (SSRC).
    pub ssrc: u32,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in units of the payload's clock.
    pub time: u32,
    /// The payload type.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

/// Why a datagram is neither RTP nor RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It is no RTP, or is truncated.
    Rtp,
    /// It has the packet type of RTCP, but is malformed.
    Rtcp,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtp => "malformed RTP",
            Self::Rtcp => "malformed RTCP",
        })
    }
}

impl std::error::Error for Malformed {}

/// Counts of the datagrams that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// RTP packets.
    pub rtp: u64,
    /// RTCP packets.
    pub rtcp: u64,
    /// Datagrams that are neither.
    pub malformed: u64,
}

impl Counts {
    /// Parses a datagram and counts it.
    pub fn read<'a>(&mut self, datagram: &'a [u8]) -> Option<Packet<'a>> {
        match read(datagram) {
            Ok(packet) => {
                match packet {
                    Packet::Rtp(_) => self.rtp += 1,
                    Packet::Rtcp => self.rtcp += 1,
                }
                Some(packet)
            }
            Err(_) => {
                self.malformed += 1;
                None
            }
        }
    }
}

/// Parses a datagram.
///
/// # Errors
///
/// If it is malformed.
pub fn read(datagram: &[u8]) -> Result<Packet<'_>, Malformed> {
    // RFC 5761: payload types 64 to 95 with the marker bit are RTCP packet types.
    let second = *datagram.get(1).ok_or(Malformed::Rtp)?;
    if (192..=223).contains(&second) {
        let compound = Compound::parse(datagram).map_err(|_| Malformed::Rtcp)?;
        for packet in compound {
            packet.map_err(|_| Malformed::Rtcp)?;
        }
        return Ok(Packet::Rtcp);
    }
    let packet = RtpPacket::parse(datagram).map_err(|_| Malformed::Rtp)?;
    // The payload of the view borrows the view; this one borrows the datagram.
    let end = datagram.len() - usize::from(packet.padding().unwrap_or(0));
    let payload = &datagram[end - packet.payload().len()..end];
    Ok(Packet::Rtp(Rtp {
        ssrc: packet.ssrc(),
        sequence: packet.sequence_number(),
        time: packet.timestamp(),
        payload_type: packet.payload_type(),
        marker: packet.marker_bit(),
        payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: [u8; 16] = [0x80, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3, 4];

    #[test]
    fn rtp_is_seen_through() {
        let Ok(Packet::Rtp(rtp)) = read(&RTP) else {
            panic!("not RTP")
        };
        let seen = (
            rtp.ssrc,
            rtp.sequence,
            rtp.time,
            rtp.payload_type,
            rtp.marker,
        );
        assert_eq!(seen, (5, 7, 9, 96, true));
        assert_eq!(rtp.payload, [1, 2, 3, 4]);
    }

    #[test]
    fn padding_longer_than_the_payload_is_malformed() {
        let mut packet = RTP;
        packet[0] |= 0x20;
        for padding in [0, 5, 6, 200, 255] {
            packet[15] = padding;
            assert_eq!(read(&packet), Err(Malformed::Rtp), "{padding}");
        }
        packet[15] = 4;
        let Ok(Packet::Rtp(rtp)) = read(&packet) else {
            panic!("all padding is allowed")
        };
        assert!(rtp.payload.is_empty());
    }

    #[test]
    fn cut_off_and_foreign_datagrams_are_malformed() {
        for len in 0..12 {
            assert_eq!(read(&RTP[..len]), Err(Malformed::Rtp), "{len}");
        }
        let mut csrcs = RTP;
        csrcs[0] |= 0x0f;
        assert_eq!(read(&csrcs), Err(Malformed::Rtp));
        let mut extension = RTP;
        extension[0] |= 0x10;
        assert_eq!(read(&extension), Err(Malformed::Rtp));
        let mut version = RTP;
        version[0] = 0x40;
        assert_eq!(read(&version), Err(Malformed::Rtp));
        let stun = [0u8, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0];
        assert_eq!(read(&stun), Err(Malformed::Rtp));
    }

    #[test]
    fn rtcp_is_read_to_its_end() {
        let report = [0x80, 201, 0, 1, 0, 0, 0, 5];
        assert_eq!(read(&report), Ok(Packet::Rtcp));
        let two = [report, report].concat();
        assert_eq!(read(&two), Ok(Packet::Rtcp));
        assert_eq!(
            read(&two[..12]),
            Err(Malformed::Rtcp),
            "the second is cut off"
        );
        let long = [0x80, 201, 0, 9, 0, 0, 0, 5];
        assert_eq!(read(&long), Err(Malformed::Rtcp));
        let mut counts = Counts::default();
        counts.read(&report);
        counts.read(&long);
        counts.read(&RTP);
        assert_eq!(
            counts,
            Counts {
                rtp: 1,
                rtcp: 1,
                malformed: 1
            }
        );
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut bytes = [0u8; 64];
        for round in 0..200_000u32 {
            for byte in &mut bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            bytes[0] = 0x80 | (bytes[0] & 0x3f);
            let len = round as usize % (bytes.len() + 1);
            let _ = read(&bytes[..len]);
        }
    }
}
