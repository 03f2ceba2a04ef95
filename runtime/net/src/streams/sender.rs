//! The sending ends of streams and tracks.

use std::{error::Error, fmt};

use bytes::Bytes;

use super::{actor::Parcel, chunk::Chunk, way::Way};
use crate::{event::PeerInfo, node::Node};

/// What becomes of chunks that the receiver has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They wait: none is passed over while the link is up, and all arrive in order.
    Reliable,
    /// The latest one waits, and those before it are passed over. At most eight are on their way.
    LatestWins,
    /// Each is sent at once, or passed over where there is no room. It may be lost on the way, which
    /// [`LinkStats::loose`](crate::LinkStats::loose) of the other node counts, or arrive after a later one. On a link without a
    /// channel for that, as `LatestWins`.
    LatencyFirst,
}

/// Why a chunk or frame was not sent. It is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<P> {
    /// The receiver, or the link to it, is gone: the stream can be opened again.
    Closed(P),
    /// It is larger than [`Config::max_frame`](crate::Config::max_frame) lets through; or, on a channel for what may be
    /// lost, than about 250 KiB.
    TooLarge(P),
    /// The track goes by RTP, and the peer has not said that it knows this codec, or its section is for the other kind.
    Codec(P),
}

impl<P> fmt::Display for StreamError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "the receiver, or the link to it, is gone",
            Self::TooLarge(_) => "it is larger than the link carries at once",
            Self::Codec(_) => "the section of the track is for another codec",
        })
    }
}

impl<P: fmt::Debug> Error for StreamError<P> {}

/// Sends the chunks of a stream.
pub struct StreamSender {
    me: PeerInfo,
    limit: usize,
    next: u64,
    way: Way<Chunk>,
}

impl StreamSender {
    pub(super) fn new(node: &Node, way: Way<Chunk>) -> Self {
        Self {
            me: node.info().clone(),
            limit: way.limit(node),
            next: 0,
            way,
        }
    }

    /// Sends a chunk. In a reliable stream it waits for room in the lane on this node; otherwise
    /// it never waits. Either way, a chunk that was sent may be lost when the link breaks, which closes the
    /// stream. Returns its number.
    ///
    /// # Errors
    ///
    /// See [`StreamError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its chunk is dropped.
    pub async fn send(&mut self, payload: impl Into<Bytes>) -> Result<u64, StreamError<Bytes>> {
        let payload = payload.into();
        if payload.len() > self.limit {
            return Err(StreamError::TooLarge(payload));
        }
        let sequence = self.next;
        let chunk = Chunk { sequence, payload };
        let sent = match &mut self.way {
            Way::Latest(latest) => latest.put(chunk),
            Way::Beside(_, handle) if handle.is_closed() => Err(chunk),
            Way::Beside(beside, _) => beside.put(chunk),
            Way::Reliable(handle) => {
                let sent = handle.tell(Parcel::new(&self.me, chunk, None)).await;
                sent.map(drop).map_err(|error| error.into_inner().content)
            }
        };
        sent.map_err(|chunk| StreamError::Closed(chunk.payload))?;
        self.next += 1;
        Ok(sequence)
    }

    /// How many chunks were passed over because there was no room for them. They have numbers, too.
    pub fn passed_over(&self) -> u64 {
        self.way.passed_over()
    }

    /// Whether the receiver, or the link to it, is gone.
    pub fn is_closed(&self) -> bool {
        self.way.is_closed()
    }

    /// Waits until all that was sent, and not passed over, has arrived, or the stream is closed. Where the latest
    /// wins, a chunk that the sender is dropped with may be lost; this waits for it. For what may be lost on the way it
    /// does not wait.
    ///
    /// # Cancel safety
    ///
    /// It may be called again.
    pub async fn finish(&mut self) {
        self.way.finish().await;
    }
}

impl fmt::Debug for StreamSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSender")
            .field("next", &self.next)
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
