//! Groups: actors on any nodes that share a name, to all or one of whom messages are sent.

use std::{collections::BTreeMap, fmt};

use futures_util::future::join_all;
use lanemesh_runtime::{Actor, ActorHandle, SendError};
use tokio::sync::watch;

use super::{
    Names,
    entry::{Holder, Key, Kind},
    error::RegisterError,
    registration::Registration,
    rendezvous::rendezvous,
};
use crate::{event::PeerInfo, node::ExportOptions, remote::Remote};

type High<A> = <A as Actor>::HighPriorityMsg;
type Low<A> = <A as Actor>::LowPriorityMsg;

/// Which actor of a group gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick<'a> {
    /// Each in turn.
    Turn,
    /// By rendezvous hash: the same key goes to the same actor, as long as that is there, from all nodes
    /// that see the same group.
    Key(&'a [u8]),
}

impl Names {
    /// Makes an actor of this node a member of a group, until the registration is dropped or the actor ends.
    /// A group may have several actors of a node.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`]; [`RegisterError::Taken`] does not happen.
    pub fn join_group<A: Remote>(
        &self,
        scope: &str,
        group: &str,
        handle: &ActorHandle<A>,
    ) -> Result<Registration, RegisterError> {
        let key = Key::new(Kind::Group, scope, group);
        self.enter(key, handle, ExportOptions::new())
    }

    /// The actors of a group that are on this node and on reachable members, now and later.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_net::names::{Names, Pick};
    /// # use lanemesh_net::Remote;
    /// # use lanemesh_runtime::Actor;
    ///
    /// async fn send<A: Remote + Actor<LowPriorityMsg = u64>>(names: &Names) {
    ///     let mut workers = names.group::<A>("site", "workers");
    ///     assert_eq!(workers.send_all_low(1).await, workers.len());
    ///     if let Err(error) = workers.send_low(2, Pick::Key(b"customer 17")).await {
    ///         println!("not sent: {}", error.into_inner());
    ///     }
    ///     if let Some(handle) = workers.pick(Pick::Turn).await {
    ///         handle.idle().await; // an ordinary handle, for asks and the rest
    ///     }
    /// }
    /// ```
    pub fn group<A: Remote>(&self, scope: &str, group: &str) -> Group<A> {
        Group {
            key: Key::new(Kind::Group, scope, group),
            changes: self.changes(),
            names: self.clone(),
            is_current: false,
            handles: BTreeMap::new(),
            turn: None,
        }
    }
}

/// The actors of a group, as this node sees them. It has a handle of each, with lanes of its own.
///
/// What is true of a handle of a remote actor is true here: delivery is at most once, and there is order for
/// each actor and class, not among actors.
pub struct Group<A: Remote> {
    names: Names,
    key: Key,
    changes: watch::Receiver<u64>,
    is_current: bool,
    /// In the order of nodes and entries.
    handles: BTreeMap<Place, ActorHandle<A>>,
    /// Who had the last turn.
    turn: Option<Place>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    text: String,
    node: PeerInfo,
}

impl Place {
    fn new(holder: &Holder) -> Self {
        Self {
            text: format!("{}\0{}", holder.node, holder.export()),
            node: holder.peer(),
        }
    }
}

impl AsRef<str> for Place {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<A: Remote> Group<A> {
    /// How many actors there are, by the last look; sending and [`pick`](Self::pick) look again.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether there are none, by the last look.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// On which nodes the actors are, by the last look.
    pub fn nodes(&self) -> Vec<PeerInfo> {
        self.handles
            .keys()
            .map(|place| place.node.clone())
            .collect()
    }

    /// Looks who is in the group, if that may have changed. An actor whose look-up fails is passed over until
    /// the next look.
    ///
    /// # Cancel safety
    ///
    /// What was found is kept; the rest is looked up next time.
    pub async fn refresh(&mut self) {
        let has_changed = self.changes.has_changed().unwrap_or(false);
        let has_closed = self.handles.values().any(ActorHandle::is_closed);
        if self.is_current && !has_changed && !has_closed {
            return;
        }
        self.is_current = false;
        self.changes.mark_unchanged();
        let holders = self.names.0.directory.reachable(&self.key);
        let places: BTreeMap<_, _> = holders.iter().map(|h| (Place::new(h), h)).collect();
        self.handles
            .retain(|place, handle| places.contains_key(place) && !handle.is_closed());
        let mut is_current = true;
        for (place, holder) in places {
            if self.handles.contains_key(&place) {
                continue;
            }
            let lookup = self.names.0.node.lookup::<A>(holder.export());
            match lookup.on(holder.node.clone()).await {
                Ok(handle) => drop(self.handles.insert(place, handle)),
                Err(error) => {
                    tracing::debug!(node = %holder.node, %error, "an actor of a group is not found");
                    is_current = false;
                }
            }
        }
        self.is_current = is_current;
    }

    /// A handle of one of the actors.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has picked nobody.
    pub async fn pick(&mut self, pick: Pick<'_>) -> Option<&mut ActorHandle<A>> {
        self.refresh().await;
        let place = self.choose(pick)?;
        self.handles.get_mut(&place)
    }

    fn choose(&mut self, pick: Pick<'_>) -> Option<Place> {
        let place = match pick {
            Pick::Key(key) => rendezvous(key, self.handles.keys())?.clone(),
            Pick::Turn => {
                let turn = self.turn.take();
                let mut places = self.handles.keys();
                let after = |place: &&Place| turn.as_ref().is_none_or(|turn| *place > turn);
                let next = places.clone().find(after).or_else(|| places.next())?;
                self.turn.insert(next.clone()).clone()
            }
        };
        Some(place)
    }

    /// Sends a low-priority message to each actor, and waits for room in all lanes at once. Returns how many
    /// have taken it: those that have ended have not.
    ///
    /// # Cancel safety
    ///
    /// It may have been sent to some.
    pub async fn send_all_low(&mut self, message: Low<A>) -> usize
    where
        Low<A>: Clone,
    {
        self.refresh().await;
        let handles = self.handles.values_mut();
        let sends = handles.map(|handle| handle.send_low(message.clone()));
        count(join_all(sends).await)
    }

    /// As [`send_all_low`](Self::send_all_low), with a high-priority message.
    ///
    /// # Cancel safety
    ///
    /// As for [`send_all_low`](Self::send_all_low).
    pub async fn send_all_high(&mut self, message: High<A>) -> usize
    where
        High<A>: Clone,
    {
        self.refresh().await;
        let handles = self.handles.values_mut();
        let sends = handles.map(|handle| handle.send_high(message.clone()));
        count(join_all(sends).await)
    }

    /// Sends a low-priority message to one actor, and to another one if that has ended.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] if there is none; what else [`ActorHandle::send_low`] fails with.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_low(
        &mut self,
        mut message: Low<A>,
        pick: Pick<'_>,
    ) -> Result<PeerInfo, SendError<Low<A>>> {
        self.refresh().await;
        while let Some(place) = self.choose(pick)
            && let Some(handle) = self.handles.get_mut(&place)
        {
            match handle.send_low(message).await {
                Ok(_) => return Ok(place.node),
                Err(SendError::Closed(back)) => message = back,
                Err(error) => return Err(error),
            }
            self.gone(&place);
        }
        Err(SendError::Closed(message))
    }

    /// As [`send_low`](Self::send_low), with a high-priority message.
    ///
    /// # Errors
    ///
    /// As for [`send_low`](Self::send_low).
    ///
    /// # Cancel safety
    ///
    /// As for [`send_low`](Self::send_low).
    pub async fn send_high(
        &mut self,
        mut message: High<A>,
        pick: Pick<'_>,
    ) -> Result<PeerInfo, SendError<High<A>>> {
        self.refresh().await;
        while let Some(place) = self.choose(pick)
            && let Some(handle) = self.handles.get_mut(&place)
        {
            match handle.send_high(message).await {
                Ok(_) => return Ok(place.node),
                Err(SendError::Closed(back)) => message = back,
                Err(error) => return Err(error),
            }
            self.gone(&place);
        }
        Err(SendError::Closed(message))
    }

    fn gone(&mut self, place: &Place) {
        self.handles.remove(place);
        self.is_current = false;
    }
}

fn count<T, E>(sent: Vec<Result<T, E>>) -> usize {
    sent.iter().filter(|sent| sent.is_ok()).count()
}

impl<A: Remote> fmt::Debug for Group<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.key.name)
            .field("actors", &self.handles.len())
            .finish_non_exhaustive()
    }
}
