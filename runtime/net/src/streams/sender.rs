//! The sending ends of streams and tracks.

use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;
use lanemesh_runtime::ActorHandle;

use super::{
    actor::{Parcel, Payload, Receiver},
    chunk::{Chunk, MediaFrame},
    latest::Latest,
};
use crate::{
    event::PeerInfo,
    link::{Loose, Unsent},
    node::Node,
    wire::{Codec, encode},
};

/// Bytes of a frame that are not content.
const OVERHEAD: usize = 512;

/// What becomes of chunks that the receiver has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They wait: none is passed over while the link is up, and all arrive in order.
    Reliable,
    /// The latest one waits, and those before it are passed over. At most eight are on their way.
    LatestWins,
}

/// Why a chunk or frame was not sent. It is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<P> {
    /// The receiver, or the link to it, is gone: the stream can be opened again.
    Closed(P),
    /// It is larger than [`Config::max_frame`](crate::Config::max_frame) lets through.
    TooLarge(P),
}

impl<P> fmt::Display for StreamError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "the receiver, or the link to it, is gone",
            Self::TooLarge(_) => "it is larger than a frame of the link",
        })
    }
}

impl<P: fmt::Debug> Error for StreamError<P> {}

enum Way<P: Payload> {
    Reliable(ActorHandle<Receiver<P>>),
    Latest(Latest<P>),
}

/// Sends the chunks of a stream.
pub struct StreamSender {
    me: PeerInfo,
    limit: usize,
    next: u64,
    way: Way<Chunk>,
}

impl StreamSender {
    pub(super) fn new(node: &Node, handle: ActorHandle<Receiver<Chunk>>, mode: Mode) -> Self {
        let me = node.info().clone();
        Self {
            limit: limit(node),
            next: 0,
            way: match mode {
                Mode::Reliable => Way::Reliable(handle),
                Mode::LatestWins => Way::Latest(Latest::new(me.clone(), handle)),
            },
            me,
        }
    }

    /// Sends a chunk. In a reliable stream it waits for room in the lane on this node; where the latest wins
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
            Way::Reliable(handle) => {
                let sent = handle.tell(Parcel::new(&self.me, chunk, None)).await;
                sent.map(drop).map_err(|error| error.into_inner().content)
            }
        };
        sent.map_err(|chunk| StreamError::Closed(chunk.payload))?;
        self.next += 1;
        Ok(sequence)
    }

    /// How many chunks were passed over because later ones came.
    pub fn passed_over(&self) -> u64 {
        match &self.way {
            Way::Reliable(_) => 0,
            Way::Latest(latest) => latest.passed_over(),
        }
    }

    /// Whether the receiver, or the link to it, is gone.
    pub fn is_closed(&self) -> bool {
        match &self.way {
            Way::Reliable(handle) => handle.is_closed(),
            Way::Latest(latest) => latest.is_closed(),
        }
    }

    /// Waits until all that was sent, and not passed over, has arrived, or the stream is closed. Where the latest
    /// wins, a chunk that the sender is dropped with may be lost; this waits for it.
    ///
    /// # Cancel safety
    ///
    /// It may be called again.
    pub async fn finish(&mut self) {
        match &self.way {
            Way::Reliable(handle) => handle.idle().await,
            Way::Latest(latest) => latest.finish().await,
        }
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

/// Sends the frames of a track: the latest wins, or, over data channels, the earlier ones.
pub struct MediaSender {
    me: PeerInfo,
    limit: usize,
    latest: Latest<MediaFrame>,
    /// A way beside the lane, for frames that fit, with the beginning of its messages.
    loose: Option<(Arc<Loose>, Vec<u8>)>,
    unsent: u64,
}

impl MediaSender {
    pub(super) fn new(
        node: &Node,
        handle: ActorHandle<Receiver<MediaFrame>>,
        loose: Option<(Arc<Loose>, String)>,
    ) -> Self {
        let begin = |(loose, name): (_, String)| (loose, Loose::begin(Codec::Postcard, &name));
        Self {
            me: node.info().clone(),
            limit: limit(node),
            latest: Latest::new(node.info().clone(), handle),
            loose: loose.map(begin),
            unsent: 0,
        }
    }

    /// Sends a frame, without waiting. One that still waits for room is passed over.
    ///
    /// Over data channels, a frame of up to about 250 KiB is sent at once, or passed over if there is no room for it. It
    /// arrives whole or not at all, and perhaps after a later one. A larger one goes over the low connection.
    ///
    /// # Errors
    ///
    /// See [`StreamError`].
    pub fn send(&mut self, frame: MediaFrame) -> Result<(), StreamError<MediaFrame>> {
        if frame.size() > self.limit {
            return Err(StreamError::TooLarge(frame));
        }
        match &self.loose {
            Some((loose, _)) if frame.size() + OVERHEAD > loose.limit() => {}
            Some(_) if self.is_closed() => return Err(StreamError::Closed(frame)),
            Some((loose, begin)) => {
                let parcel = Parcel::new(&self.me, frame, None);
                let mut message = begin.clone();
                let encoded = encode(Codec::Postcard, &parcel, 0, loose.limit(), &mut message);
                let sent = encoded.map_err(|_| Unsent::Full).and_then(|_| loose.send(&message));
                return match sent {
                    Ok(()) => Ok(()),
                    Err(Unsent::Full) => {
                        self.unsent += 1;
                        Ok(())
                    }
                    Err(Unsent::Closed) => Err(StreamError::Closed(parcel.content)),
                };
            }
            None => {}
        }
        self.latest.put(frame).map_err(StreamError::Closed)
    }

    /// How many frames were passed over because there was no room for them.
    pub fn passed_over(&self) -> u64 {
        self.latest.passed_over() + self.unsent
    }

    /// Whether the receiver, or the link to it, is gone.
    pub fn is_closed(&self) -> bool {
        self.latest.is_closed()
    }

    /// Waits until the last frame has arrived, or the track is closed. Of frames beside the low connection, nobody knows.
    ///
    /// # Cancel safety
    ///
    /// It may be called again.
    pub async fn finish(&mut self) {
        self.latest.finish().await;
    }
}

impl fmt::Debug for MediaSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

fn limit(node: &Node) -> usize {
    node.config().max_frame.saturating_sub(OVERHEAD)
}
