//! Streams of chunks, and frames of media, to callbacks on other nodes.
//!
//! A node registers a callback for the id of a stream or of a track; another node opens it by that id and
//! sends. Each has a lane of its own, and so credit of its own: a slow callback slows its own senders alone. A
//! stream is reliable, or the latest wins; media are of the second kind. All of it goes over the low
//! connection of the link, so that messages of high priority overtake it; but on links over data channels, frames of
//! media, and the chunks of streams that want it ([`Mode::LatencyFirst`]), have a channel of their own, without order and
//! without retransmissions. What is lost there is counted. Nothing is encoded or decoded.

mod actor;
mod chunk;
mod latest;
mod sender;
mod track;
mod way;

use std::{fmt, sync::Arc};

use lanemesh_runtime::{ActorHandle, ActorResult, Child, builder};

use self::{
    actor::{Parcel, Receiver},
    way::{Beside, Way},
};
pub use self::{
    chunk::Chunk,
    sender::{Mode, StreamError, StreamSender},
    track::MediaSender,
};
pub use crate::transport::media::{MediaFrame, MediaKind};
use crate::{
    error::{ExportError, LookupError},
    event::PeerInfo,
    media::Sink,
    node::{ExportOptions, Node},
};

/// Chunks that wait for a callback in memory, besides those that the lane's credit allows.
const CAPACITY: usize = 64;

/// The streams and tracks of a node. A clone is the same.
///
/// # Examples
///
/// ```
/// use lanemesh_net::{
///     Node,
///     streams::{Mode, Streams},
///     transport::InProcess,
/// };
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = InProcess::default();
/// let [a, b] = ["a", "b"].map(|name| Node::builder(name).transport("mem", network.clone()).build());
/// a.bind("mem:a").await?;
/// let (tx, mut chunks) = mpsc::channel(8);
/// let _registered = Streams::new(&a).register_stream("file/7", move |chunk, from| {
///     let tx = tx.clone();
///     async move {
///         println!("{} bytes of {from}", chunk.payload.len());
///         tx.send(chunk).await?;
///         Ok(())
///     }
/// })?;
///
/// b.connect("mem:a").await?;
/// let mut file = Streams::new(&b).open_stream("a", "file/7", Mode::Reliable).await?;
/// file.send("first").await?;
/// file.send("second").await?;
/// file.finish().await;
/// assert_eq!(chunks.recv().await.unwrap().payload, "first");
/// assert_eq!(chunks.recv().await.unwrap().sequence, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Streams(Node);

impl Streams {
    /// The streams of `node`.
    pub fn new(node: &Node) -> Self {
        Self(node.clone())
    }

    /// Calls `callback` with each chunk that arrives for the stream, one after the other, and with the node that
    /// sent it, as that says.
    ///
    /// An error of the callback, or a panic, is logged, and the next chunk is taken. Several senders may have the
    /// stream open; each numbers its own chunks.
    ///
    /// # Errors
    ///
    /// See [`ExportError`]: `NameTaken` if the stream is registered.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn register_stream<F>(
        &self,
        id: &str,
        callback: impl FnMut(Chunk, PeerInfo) -> F + Send + 'static,
    ) -> Result<Registered, ExportError>
    where
        F: Future<Output = ActorResult> + Send + 'static,
    {
        self.register(stream(id), callback, |_| ExportOptions::new())
    }

    /// As [`register_stream`](Self::register_stream), for the frames of a track: those that nodes and pages send, and those of a
    /// page's own camera or microphone (`sendTrack`), which come by RTP. Of these, the callback gets whole frames that can be decoded
    /// one after the other, if it takes them as they come: those for which there is no room are dropped, and a key frame is asked
    /// for then, as after a loss. [`LinkStats::media`](crate::LinkStats::media) counts both.
    ///
    /// # Errors
    ///
    /// As for [`register_stream`](Self::register_stream).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn register_media_track<F>(
        &self,
        track: &str,
        callback: impl FnMut(MediaFrame, PeerInfo) -> F + Send + 'static,
    ) -> Result<Registered, ExportError>
    where
        F: Future<Output = ActorResult> + Send + 'static,
    {
        self.register(media(track), callback, |handle| {
            let receiver = handle.clone().shared();
            let sink = Sink::new(move |from, frame| {
                let parcel = Parcel::new(from, frame, None);
                receiver.handle().try_send_low(parcel).is_ok()
            });
            ExportOptions::new().with_frames(sink)
        })
    }

    fn register<P: actor::Payload, F>(
        &self,
        name: String,
        callback: impl FnMut(P, PeerInfo) -> F + Send + 'static,
        options: impl FnOnce(&ActorHandle<Receiver<P>>) -> ExportOptions,
    ) -> Result<Registered, ExportError>
    where
        F: Future<Output = ActorResult> + Send + 'static,
    {
        let name: Arc<str> = name.into();
        let callback = actor::Callback::new(callback);
        let receiver = builder(move || Receiver(callback.clone()));
        let receiver = receiver.name(name.clone()).low_capacity(CAPACITY);
        let (handle, child) = receiver.spawn();
        let options = options(&handle).with_loose();
        self.0.export_with(name.clone(), &handle, options)?;
        Ok(Registered {
            node: self.0.background(),
            name,
            _child: child,
        })
    }

    /// Opens a stream that is registered on a node.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has no effect.
    pub async fn open_stream(
        &self,
        node: &str,
        id: &str,
        mode: Mode,
    ) -> Result<StreamSender, LookupError> {
        let name = stream(id);
        let lookup = self.0.lookup(&*name).on(node).low_capacity(CAPACITY);
        let handle = lookup.await?;
        let beside = match mode {
            Mode::LatencyFirst => Beside::find(&self.0, node, &name),
            Mode::LatestWins | Mode::Reliable => None,
        };
        let way = match mode {
            Mode::Reliable => Way::Reliable(handle),
            Mode::LatestWins | Mode::LatencyFirst => Way::unreliable(&self.0, handle, beside),
        };
        Ok(StreamSender::new(&self.0, way))
    }

    /// Opens a track that is registered on a node. Over data channels, frames go without an order and are not sent again. To a page that
    /// plays the track (`receiveTrack`), they go by RTP, in a codec that browsers know.
    ///
    /// # Errors
    ///
    /// See [`LookupError`]: `Limit` also if the page has no section left for the track.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has no effect.
    pub async fn open_media_track(
        &self,
        node: &str,
        track: &str,
    ) -> Result<MediaSender, LookupError> {
        let name = media(track);
        let lookup = self.0.lookup(&*name).on(node).low_capacity(CAPACITY);
        let handle = lookup.await?;
        if let Some((link, plane)) = self.0.plane(node)
            && let Some(sender) = plane.open(&link, &name).await?
        {
            return Ok(MediaSender::by_rtp(&self.0, sender, handle));
        }
        let beside = Beside::find(&self.0, node, &name);
        let way = Way::unreliable(&self.0, handle, beside);
        Ok(MediaSender::new(&self.0, way))
    }
}

fn stream(id: &str) -> String {
    format!("lanemesh/streams/{id}")
}

fn media(track: &str) -> String {
    format!("lanemesh/media/{track}")
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Streams").field(self.0.info()).finish()
    }
}

/// A callback that is registered, until this is dropped. What has arrived and was not yet handled is dropped then,
/// and senders are told that the stream is closed.
#[must_use = "a stream is no longer registered when this is dropped"]
pub struct Registered {
    node: Node,
    name: Arc<str>,
    _child: Child,
}

impl Registered {
    /// Asks the pages that send to this track by RTP for a key frame, each twice a second at most: for somebody who joins, or
    /// where another receiver, to which the frames are passed on, wants one ([`MediaSender::wants_key_frame`]).
    pub fn request_key_frame(&self) {
        self.node.want_key_frame(&self.name);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.node.withdraw(&self.name);
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registered").field(&self.name).finish()
    }
}
