//! The actor behind a registered stream: it calls the callback.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures_util::FutureExt;
use lanemesh_runtime::{ActorResult, Context, Handler, Reply};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use super::{MediaFrame, chunk::Chunk};
use crate::{event::PeerInfo, remote::Remote};

/// What a stream or a track carries.
pub(super) trait Payload: Serialize + DeserializeOwned + Send + 'static {
    const TYPE: &'static str;

    /// Bytes of the content, which is nearly all of it.
    fn size(&self) -> usize;
}

impl Payload for Chunk {
    const TYPE: &'static str = "lanemesh/stream";

    fn size(&self) -> usize {
        self.payload.len()
    }
}

impl Payload for MediaFrame {
    const TYPE: &'static str = "lanemesh/media";

    fn size(&self) -> usize {
        self.data.len() + self.codec.len()
    }
}

/// A chunk with its sender. Where the latest wins, the sender waits for the reply.
#[derive(Serialize, Deserialize)]
#[serde(bound = "P: Payload")]
pub(super) struct Parcel<P> {
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) content: P,
    pub(super) taken: Option<Reply<()>>,
}

impl<P: Payload> Parcel<P> {
    pub(super) fn new(from: &PeerInfo, content: P, taken: Option<Reply<()>>) -> Self {
        Self {
            node: from.name.to_string(),
            incarnation: from.incarnation,
            content,
            taken,
        }
    }
}

type Outcome = Pin<Box<dyn Future<Output = ActorResult> + Send>>;
type Function<P> = Box<dyn FnMut(P, PeerInfo) -> Outcome + Send>;

/// The callback, which the factory of the actor has too.
pub(super) struct Callback<P>(Arc<Mutex<Function<P>>>);

impl<P> Clone for Callback<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> Callback<P> {
    pub(super) fn new<F>(mut callback: impl FnMut(P, PeerInfo) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ActorResult> + Send + 'static,
    {
        let function =
            move |content: P, from: PeerInfo| -> Outcome { Box::pin(callback(content, from)) };
        Self(Arc::new(Mutex::new(Box::new(function))))
    }
}

pub(super) struct Receiver<P>(pub(super) Callback<P>);

impl<P: Payload> Handler for Receiver<P> {
    type Msg = Parcel<P>;

    async fn handle(&mut self, parcel: Parcel<P>, _: &mut Context<Self>) -> ActorResult {
        let from = PeerInfo {
            name: parcel.node.into(),
            incarnation: parcel.incarnation,
        };
        let called = async {
            let mut callback = self.0.0.lock().await;
            callback(parcel.content, from).await
        };
        match AssertUnwindSafe(called).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(kind = P::TYPE, %error, "a callback has failed"),
            Err(_) => tracing::error!(kind = P::TYPE, "a callback has panicked"),
        }
        if let Some(taken) = parcel.taken {
            drop(taken.send(())); // the sender may be gone
        }
        Ok(())
    }
}

impl<P: Payload> Remote for Receiver<P> {
    const TYPE: &'static str = P::TYPE;
}
