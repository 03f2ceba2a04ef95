//! How contents go to their receiver: in a lane, where they are reliable or the latest wins, or beside it.

use std::sync::Arc;

use lanemesh_runtime::ActorHandle;

use super::{
    actor::{Parcel, Payload, Receiver},
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

pub(super) enum Way<P: Payload> {
    Reliable(ActorHandle<Receiver<P>>),
    Latest(Latest<P>),
    /// Each may be lost. The handle tells when the receiver is gone.
    Beside(Beside, ActorHandle<Receiver<P>>),
}

impl<P: Payload> Way<P> {
    /// Where there is no way beside the lane, the latest wins.
    pub(super) fn unreliable(
        node: &Node,
        handle: ActorHandle<Receiver<P>>,
        beside: Option<Beside>,
    ) -> Self {
        match beside {
            Some(beside) => Self::Beside(beside, handle),
            None => Self::Latest(Latest::new(node.info().clone(), handle)),
        }
    }

    /// Bytes that a content may have.
    pub(super) fn limit(&self, node: &Node) -> usize {
        let limit = node.config().max_frame.saturating_sub(OVERHEAD);
        match self {
            Self::Beside(beside, _) => limit.min(beside.limit()),
            _ => limit,
        }
    }

    pub(super) fn passed_over(&self) -> u64 {
        match self {
            Self::Reliable(_) => 0,
            Self::Latest(latest) => latest.passed_over(),
            Self::Beside(beside, _) => beside.passed_over,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Reliable(handle) | Self::Beside(_, handle) => handle.is_closed(),
            Self::Latest(latest) => latest.is_closed(),
        }
    }

    /// Waits until all that is neither passed over nor lost has arrived, or the receiver is gone. Of what goes beside
    /// the lane nobody knows.
    pub(super) async fn finish(&self) {
        match self {
            Self::Reliable(handle) => handle.idle().await,
            Self::Latest(latest) => latest.finish().await,
            Self::Beside(..) => {}
        }
    }
}

/// Sends contents beside the lanes, in any order, and none of them twice.
pub(super) struct Beside {
    me: PeerInfo,
    loose: Arc<Loose>,
    /// The beginning of each message.
    begin: Vec<u8>,
    passed_over: u64,
}

impl Beside {
    /// A way to an export of a node, if there is one.
    pub(super) fn find(node: &Node, peer: &str, export: &str) -> Option<Self> {
        Some(Self {
            me: node.info().clone(),
            loose: node.loose(peer)?,
            begin: Loose::begin(Codec::Postcard, export),
            passed_over: 0,
        })
    }

    fn limit(&self) -> usize {
        let limit = self.loose.limit();
        limit.saturating_sub(OVERHEAD + self.begin.len())
    }

    /// Gives the content back if the link is down.
    pub(super) fn put<P: Payload>(&mut self, content: P) -> Result<(), P> {
        let parcel = Parcel::new(&self.me, content, None);
        let mut message = self.begin.clone();
        let encoded = encode(
            Codec::Postcard,
            &parcel,
            0,
            self.loose.limit(),
            &mut message,
        );
        let sent = match encoded {
            Ok(_) => self.loose.send(&message),
            Err(error) => {
                tracing::warn!(%error, "a content that may be lost cannot be sent");
                Err(Unsent::Full)
            }
        };
        match sent {
            Ok(()) => {}
            Err(Unsent::Full) => self.passed_over += 1,
            Err(Unsent::Closed) => return Err(parcel.content),
        }
        Ok(())
    }
}
