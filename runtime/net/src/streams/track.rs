//! The sending end of a track.

use std::fmt;

use lanemesh_runtime::ActorHandle;

use super::{
    actor::{Payload, Receiver},
    sender::StreamError,
    way::Way,
};
use crate::{
    media::{RtpSender, Unsent},
    node::Node,
    transport::media::MediaFrame,
};

/// Sends the frames of a track: the latest wins, or over data channels, those for which there is room; or, to a page that
/// plays them (`receiveTrack`), by RTP.
pub struct MediaSender {
    limit: usize,
    path: Path,
}

enum Path {
    Way(Way<MediaFrame>),
    /// The handle tells when the receiver is gone.
    Rtp(RtpSender, ActorHandle<Receiver<MediaFrame>>),
}

impl MediaSender {
    pub(super) fn new(node: &Node, way: Way<MediaFrame>) -> Self {
        let limit = way.limit(node);
        let path = Path::Way(way);
        Self { limit, path }
    }

    pub(super) fn by_rtp(
        node: &Node,
        sender: RtpSender,
        handle: ActorHandle<Receiver<MediaFrame>>,
    ) -> Self {
        Self {
            limit: node.config().max_frame,
            path: Path::Rtp(sender, handle),
        }
    }

    /// Sends a frame, without waiting. One that still waits for room is passed over.
    ///
    /// Over data channels, it is sent at once, or passed over if there is no room for it. It arrives whole or not at
    /// all, and perhaps after a later one; [`LinkStats::loose`](crate::LinkStats::loose) counts what is lost. By RTP, packets that
    /// are lost are sent again for a while, and the page asks for a key frame where that does not help
    /// ([`wants_key_frame`](Self::wants_key_frame)). Nothing holds the sender back there: it keeps to a rate that the path carries.
    ///
    /// # Errors
    ///
    /// See [`StreamError`].
    pub fn send(&mut self, frame: MediaFrame) -> Result<(), StreamError<MediaFrame>> {
        if frame.size() > self.limit {
            return Err(StreamError::TooLarge(frame));
        }
        let sent = match &mut self.path {
            Path::Way(Way::Latest(latest)) => latest.put(frame),
            Path::Way(Way::Beside(beside, handle)) if !handle.is_closed() => beside.put(frame),
            Path::Way(Way::Beside(..) | Way::Reliable(_)) => Err(frame), // no track is reliable
            Path::Rtp(_, handle) if handle.is_closed() => Err(frame),
            Path::Rtp(sender, _) => {
                let is_key = frame.is_key_frame() == Some(true);
                return sender.send(frame, is_key).map_err(|unsent| match unsent {
                    Unsent::Closed(frame) => StreamError::Closed(frame),
                    Unsent::Codec(frame) => StreamError::Codec(frame),
                });
            }
        };
        sent.map_err(StreamError::Closed)
    }

    /// Whether each frame may be lost on the way, because it goes beside the low connection.
    pub fn is_loose(&self) -> bool {
        matches!(self.path, Path::Way(Way::Beside(..)) | Path::Rtp(..))
    }

    /// Whether frames go by RTP, to a page that plays them.
    pub fn is_rtp(&self) -> bool {
        matches!(self.path, Path::Rtp(..))
    }

    /// Whether the receiver can show nothing before a key frame comes: at the beginning, when it has asked for one, and after a
    /// frame was passed over. Until one is sent, which is known by [`MediaFrame::is_key_frame`]. Only of video by RTP.
    pub fn wants_key_frame(&self) -> bool {
        match &self.path {
            Path::Rtp(sender, _) => sender.wants_key_frame(),
            Path::Way(_) => false,
        }
    }

    /// Waits until [`wants_key_frame`](Self::wants_key_frame), or the track is closed. Where frames do not go by RTP, nobody asks.
    ///
    /// # Cancel safety
    ///
    /// A request stays until a key frame is sent.
    pub async fn key_frame_wanted(&self) {
        let Path::Rtp(sender, handle) = &self.path else {
            return std::future::pending().await;
        };
        let mut requests = sender.requests();
        loop {
            if self.wants_key_frame() {
                return;
            }
            tokio::select! {
                biased;
                _ = handle.monitor() => return,
                changed = requests.changed() => if changed.is_err() { return },
            }
        }
    }

    /// How many frames were passed over because there was no room for them.
    pub fn passed_over(&self) -> u64 {
        match &self.path {
            Path::Way(way) => way.passed_over(),
            Path::Rtp(sender, _) => sender.passed_over(),
        }
    }

    /// Whether the receiver, or the link to it, is gone.
    pub fn is_closed(&self) -> bool {
        match &self.path {
            Path::Way(way) => way.is_closed(),
            Path::Rtp(sender, handle) => handle.is_closed() || sender.is_closed(),
        }
    }

    /// Waits until the last frame has arrived, or the track is closed. For frames that may be lost on the way it does
    /// not wait.
    ///
    /// # Cancel safety
    ///
    /// It may be called again.
    pub async fn finish(&mut self) {
        if let Path::Way(way) = &self.path {
            way.finish().await;
        }
    }
}

impl fmt::Debug for MediaSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSender")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
