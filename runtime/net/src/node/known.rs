//! Actors of other nodes that are known and not yet used.

use std::{fmt, sync::Arc};

use lanemesh_runtime::ActorHandle;

use super::lookup::Lookup;
use crate::{error::LookupError, remote::Remote};

/// An actor that is looked up when it is used, made by [`Lookup::later`].
///
/// Until then it costs about a hundred bytes here and nothing on the actor's node: it is for programs that know very many
/// actors and use few of them. Nothing is known of the actor either, not even that there is one. A clone has not been used.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_net::{LookupError, Node, transport::InProcess};
/// # use lanemesh_net::Remote;
/// # use lanemesh_runtime::{ActorResult, Context, Handler, spawn};
/// # struct Room;
/// # impl Handler for Room {
/// #     type Msg = String;
/// #     async fn handle(&mut self, _: String, _: &mut Context<Self>) -> ActorResult { Ok(()) }
/// # }
/// # impl Remote for Room { const TYPE: &'static str = "example/room"; }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = InProcess::default();
/// # let home = Node::builder("home").transport("mem", network.clone()).build();
/// # home.bind("mem:home").await?;
/// # let away = Node::builder("away").transport("mem", network).build();
/// # away.connect("mem:home").await?;
/// # let (room, _child) = spawn(Room);
/// # home.export("room/42", &room)?;
/// let mut rooms: Vec<_> = (0..1000).map(|number| away.lookup::<Room>(format!("room/{number}")).later()).collect();
/// rooms[42].handle().await?.tell("hello".to_owned()).await?;
/// assert!(rooms[42].is_used() && !rooms[41].is_used());
/// assert_eq!(rooms[41].handle().await.unwrap_err(), LookupError::Unknown);
/// # Ok(()) }
/// ```
pub struct Known<A: Remote> {
    lookup: Lookup<A>,
    /// Boxed, because most are not used.
    handle: Option<Box<ActorHandle<A>>>,
}

impl<A: Remote> Lookup<A> {
    /// Looks nothing up yet: that is done when the actor is used.
    pub fn later(self) -> Known<A> {
        Known {
            lookup: self,
            handle: None,
        }
    }
}

impl<A: Remote> Known<A> {
    /// The name under which the actor is exported.
    pub fn name(&self) -> &Arc<str> {
        self.lookup.name()
    }

    /// The handle. It looks the actor up the first time, and again when the handle has ended since.
    ///
    /// # Errors
    ///
    /// See [`LookupError`]. The next call looks again.
    ///
    /// # Cancel safety
    ///
    /// A cancelled look-up has no effect.
    pub async fn handle(&mut self) -> Result<&mut ActorHandle<A>, LookupError> {
        let handle = match self.handle.take() {
            Some(handle) if !handle.is_closed() => handle,
            _ => Box::new(self.lookup.run().await?),
        };
        Ok(self.handle.insert(handle))
    }

    /// Whether there is a handle, which may have ended.
    pub fn is_used(&self) -> bool {
        self.handle.is_some()
    }

    /// Gives the handle up, and returns it, if there is one.
    pub fn forget(&mut self) -> Option<ActorHandle<A>> {
        self.handle.take().map(|handle| *handle)
    }
}

impl<A: Remote> Clone for Known<A> {
    fn clone(&self) -> Self {
        self.lookup.clone().later()
    }
}

impl<A: Remote> fmt::Debug for Known<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("name", self.name())
            .field("is_used", &self.is_used())
            .finish_non_exhaustive()
    }
}
