//! Sends the RTP of a capture through the relay, or its payloads through the server, and compares every byte that
//! receivers get.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::mailbox::Mailbox;
use crate::media::codec::Name;
use crate::net::udp::{Bind, SendBatch};
use crate::stats::ShardStats;
use crate::tools::capture::{self, CaptureError};
use crate::tools::relay::{self, RelayStats};

pub mod webrtc;

/// How long a packet may take to arrive.
const PATIENCE: Duration = Duration::from_secs(2);

/// The configuration of a replay.
#[derive(Debug, Clone, Copy)]
pub struct ReplayConfig {
    /// The number of receivers.
    pub receivers: usize,
    /// The speed relative to the recording; 0 is as fast as receivers keep up.
    pub speed: f64,
    /// The number of shards.
    pub shards: usize,
}

/// The result of a replay.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Packets of the capture.
    pub packets: usize,
    /// Bytes of the capture.
    pub bytes: usize,
    /// The number of receivers.
    pub receivers: usize,
    /// Packets that all receivers got unchanged and in order.
    pub delivered: usize,
    /// The first difference, if any.
    pub difference: Option<String>,
    /// The duration.
    pub took: Duration,
    /// The statistics of the relay's shards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<RelayStats>,
    /// The statistics of the server's shards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<ShardStats>,
}

/// Why a replay failed.
#[derive(Debug)]
pub enum ReplayError {
    /// The capture cannot be used.
    Capture(CaptureError),
    /// The capture has no keyframe of this codec.
    NoKeyframe(Name),
    /// A socket failed.
    Io(io::Error),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => error.fmt(f),
            Self::NoKeyframe(codec) => write!(f, "has no keyframe of {codec:?}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Replays `path` through a relay on mailbox `M`.
///
/// # Errors
///
/// If the capture cannot be used or a socket fails. A difference is part of the report, not an error.
pub fn play<M: Mailbox>(
    path: &Path,
    config: ReplayConfig,
    progress: impl Fn(usize, usize),
) -> Result<Report, ReplayError> {
    let packets = capture::read(path).map_err(ReplayError::Capture)?;
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let receivers: Vec<UdpSocket> = (0..config.receivers)
        .map(|_| Bind::new(nowhere).open())
        .collect::<io::Result<_>>()?;
    for receiver in &receivers {
        receiver.set_nonblocking(false)?;
        receiver.set_read_timeout(Some(PATIENCE))?;
    }
    let to = receivers
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<io::Result<_>>()?;
    let relay = relay::start::<M>(relay::RelayConfig {
        listen: nowhere,
        to,
        shards: config.shards,
        allow_remote: false,
        burst: SendBatch::BURST,
    })?;
    let sender = UdpSocket::bind(nowhere)?;
    let start = Instant::now();
    let mut buffer = vec![0; 1 << 16];
    let mut delivered = 0;
    let mut difference = None;
    // Receivers read in step with the sender, so that no socket buffer overflows: a missing packet was lost by the
    // relay.
    'packets: for (index, packet) in packets.iter().enumerate() {
        if config.speed > 0.0 {
            let due = start + packet.at.div_f64(config.speed);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sender.send_to(&packet.bytes, relay.listen)?;
        for (who, receiver) in receivers.iter().enumerate() {
            let what = match receiver.recv(&mut buffer) {
                Ok(len) if buffer[..len] == packet.bytes[..] => continue,
                Ok(len) => format!("{len} bytes that differ from the capture"),
                Err(error) => error.to_string(),
            };
            difference = Some(format!("packet {} at receiver {who}: {what}", index + 1));
            break 'packets;
        }
        delivered += 1;
        progress(delivered, packets.len());
    }
    let took = start.elapsed();
    let shards = relay.stop()?;
    Ok(Report {
        packets: packets.len(),
        bytes: packets.iter().map(|packet| packet.bytes.len()).sum(),
        receivers: config.receivers,
        delivered,
        difference,
        took,
        shards,
        server: Vec::new(),
    })
}
