//! What you hold of an actor: handles that send and ask, the owning [`Child`], monitors,
//! recipients.

mod actor_handle;
mod child;
mod deadlock;
mod lane;
mod monitor;
mod peer;
mod peers;
mod recipient;
pub(crate) mod reply;
mod shared;
mod weak;

use self::actor_handle::{channels, inspect};
pub use self::{
    actor_handle::ActorHandle,
    child::Child,
    monitor::Monitor,
    peer::{Peer, PeerRef},
    recipient::{
        AnyRecipient, HighRecipient, LowRecipient, MapRecipient, Recipient, map_recipient,
    },
    reply::{Answer, Reply},
    shared::{SharedHandle, SharedHighRecipient, SharedLowRecipient},
    weak::WeakHandle,
};
