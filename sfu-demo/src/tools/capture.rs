//! Captures: the RTP packets of a pcap or pcapng file, with their times.
//!
//! Supported are Ethernet, raw IP and loopback frames with IPv4 or IPv6 and UDP. Everything else is skipped.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

use crate::net::rtp;

/// A packet of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The time since the first packet.
    pub at: Duration,
    /// The RTP or RTCP packet.
    pub bytes: Vec<u8>,
}

/// Why a capture cannot be used.
#[derive(Debug)]
pub enum CaptureError {
    /// The file cannot be read.
    Read(std::io::Error),
    /// It is not a capture, or is truncated.
    Format(String),
    /// Its link type is not supported.
    Link(i32),
    /// It has no RTP packets.
    Empty,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Format(error) => write!(f, "is not a usable pcap or pcapng file: {error}"),
            Self::Link(kind) => {
                write!(f, "has the unsupported link type {kind}")
            }
            Self::Empty => f.write_str("has no RTP packets"),
        }
    }
}

impl std::error::Error for CaptureError {}

/// Reads the RTP and RTCP packets of a file, in its order.
///
/// # Errors
///
/// If the file cannot be used, or has no RTP.
pub fn read(path: &Path) -> Result<Vec<Recorded>, CaptureError> {
    let file = std::fs::File::open(path).map_err(CaptureError::Read)?;
    read_from(file)
}

fn read_from(source: impl std::io::Read + Send + 'static) -> Result<Vec<Recorded>, CaptureError> {
    let format = |error: &dyn fmt::Debug| CaptureError::Format(format!("{error:?}"));
    let mut reader = create_reader(1 << 20, source).map_err(|error| format(&error))?;
    let mut links = Vec::new();
    let mut packets = Vec::new();
    let mut nanoseconds = false;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        nanoseconds = header.is_nanosecond_precision();
                        links = vec![(header.network, 0, 6)];
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        let fraction = Duration::from_nanos(
                            u64::from(packet.ts_usec) * if nanoseconds { 1 } else { 1000 },
                        );
                        let at = Duration::from_secs(packet.ts_sec.into()) + fraction;
                        push_rtp(links[0].0, packet.data, at, &mut packets)?;
                    }
                    PcapBlockOwned::NG(pcap_parser::Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(pcap_parser::Block::InterfaceDescription(interface)) => {
                        links.push((
                            interface.linktype,
                            interface.if_tsoffset,
                            interface.if_tsresol,
                        ));
                    }
                    PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(packet)) => {
                        let &(link, offset, resolution) = links
                            .get(packet.if_id as usize)
                            .ok_or_else(|| format(&"a packet without an interface"))?;
                        let unit = pcap_parser::build_ts_f64(
                            packet.ts_high,
                            packet.ts_low,
                            u64::try_from(offset).unwrap_or(0),
                            10u64.saturating_pow(u32::from(resolution.min(9))),
                        );
                        let at = Duration::try_from_secs_f64(unit).unwrap_or_default();
                        push_rtp(link, packet.data, at, &mut packets)?;
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => {
                if reader.reader_exhausted() {
                    return Err(format(&"truncated"));
                }
                reader.refill().map_err(|error| format(&error))?;
            }
            Err(error) => return Err(format(&error)),
        }
    }
    let first = packets
        .first()
        .map(|packet: &Recorded| packet.at)
        .ok_or(CaptureError::Empty)?;
    for packet in &mut packets {
        packet.at = packet.at.saturating_sub(first);
    }
    Ok(packets)
}

fn push_rtp(
    link: Linktype,
    frame: &[u8],
    at: Duration,
    packets: &mut Vec<Recorded>,
) -> Result<(), CaptureError> {
    let ip = match link {
        Linktype::ETHERNET => ethernet(frame),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12) => Some(frame),
        Linktype::NULL | Linktype::LOOP => frame.get(4..),
        Linktype::LINUX_SLL => frame.get(16..),
        Linktype::LINUX_SLL2 => frame.get(20..),
        other => return Err(CaptureError::Link(other.0)),
    };
    let payload = ip.and_then(udp);
    if let Some(bytes) = payload.filter(|bytes| rtp::read(bytes).is_ok()) {
        packets.push(Recorded {
            at,
            bytes: bytes.to_vec(),
        });
    }
    Ok(())
}

fn ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?);
        match kind {
            0x8100 | 0x88a8 => at += 4,
            0x0800 | 0x86dd => return frame.get(at + 2..),
            _ => return None,
        }
    }
}

fn udp(ip: &[u8]) -> Option<&[u8]> {
    let datagram = match ip.first()? >> 4 {
        4 => {
            let header = usize::from(ip[0] & 0x0f) * 4;
            let fragment = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff;
            if *ip.get(9)? != 17 || fragment != 0 {
                return None;
            }
            ip.get(header..)?
        }
        6 if *ip.get(6)? == 17 => ip.get(40..)?,
        _ => return None,
    };
    let len = usize::from(u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]));
    datagram.get(8..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_of_the_repository_are_rtp_in_order_of_time() {
        for (name, at_least) in [("vp8", 50), ("h264", 100), ("vp9", 100), ("av1", 100)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("captures/{name}.pcap"));
            let packets = read(&path).unwrap();
            assert!(packets.len() >= at_least, "{name}: {}", packets.len());
            assert_eq!(packets[0].at, Duration::ZERO);
            assert!(packets.is_sorted_by_key(|packet| packet.at), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_capture_is_said_to_be_none() {
        let read = |bytes: &[u8]| read_from(std::io::Cursor::new(bytes.to_vec()));
        assert!(matches!(
            read(b"hello, this is text and not a capture"),
            Err(CaptureError::Format(_))
        ));
        assert!(read(b"").is_err());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/vp8.pcap");
        let whole = std::fs::read(path).unwrap();
        assert!(matches!(
            read(&whole[..whole.len() - 3]),
            Err(CaptureError::Format(_))
        ));
        assert!(matches!(read(&whole[..24]), Err(CaptureError::Empty)));
        let mut other = whole.clone();
        other[20] = 105; // 802.11
        assert!(matches!(read(&other), Err(CaptureError::Link(105))));
    }

    #[test]
    fn odd_frames_are_passed_over() {
        for len in 0..64 {
            for first in [0x00, 0x45, 0x4f, 0x60, 0xff] {
                let mut frame = vec![first; len];
                if len > 13 {
                    frame[12..14].copy_from_slice(&[8, 0]);
                }
                let _ = ethernet(&frame).and_then(udp);
                let _ = udp(&frame);
            }
        }
    }
}
