//! The guests of a server, and the limits of joins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::ShardId;
use crate::messages::{Guest, Join, JoinError, PageLink, Principal, ShardTag};
use crate::net::tcp::Arrived;
use crate::session::{Role, Session};

/// How long a peer may take to connect after the answer.
pub(crate) const OPENING: Duration = Duration::from_secs(15);
/// How long a guest who has not connected keeps a place that another wants.
const GRACE: Duration = Duration::from_secs(2);

/// The join limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Participants in a room.
    pub room: usize,
    /// Participants on the server.
    pub server: usize,
    /// Participants from one IPv4 address, or from one /64 of IPv6.
    pub address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: 64,
            server: 1024,
            address: usize::MAX,
        }
    }
}

/// A guest and its session.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) guest: Arc<Guest>,
    pub(super) state: GuestState,
    /// Another session of the same principal has taken its place: it is ending.
    pub(super) replaced: bool,
}

#[derive(Debug)]
pub(super) enum GuestState {
    Waiting(Box<Waiting>),
    In {
        shard: ShardId,
        /// It has to end, and the shard has not been told yet.
        ending: bool,
    },
}

/// A guest who has been answered and has not connected by UDP yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) session: Session,
    pub(super) since: Instant,
    /// Connections whose first frame is signed with the session's password.
    pub(super) connections: Vec<Arrived>,
    pub(super) connected: Option<Instant>,
    /// The page, if it has connected.
    pub(super) page: Option<PageLink>,
}

impl Entry {
    pub(super) fn new(guest: Arc<Guest>, state: GuestState) -> Self {
        Self {
            guest,
            state,
            replaced: false,
        }
    }

    fn waiting(&self) -> Option<&Waiting> {
        match &self.state {
            GuestState::Waiting(waiting) => Some(waiting),
            GuestState::In { .. } => None,
        }
    }

    fn waits(&self) -> bool {
        self.waiting().is_some()
    }
}

/// The guests of a server, by their ICE user names.
#[derive(Debug)]
pub(super) struct Guests {
    limits: Limits,
    by_ufrag: HashMap<String, Entry>,
}

impl Guests {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_ufrag: HashMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_ufrag.is_empty()
    }

    pub(super) fn get_mut(&mut self, ufrag: &str) -> Option<&mut Entry> {
        self.by_ufrag.get_mut(ufrag)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let ufrag = entry.guest.ufrag.clone();
        self.by_ufrag.insert(ufrag, entry);
    }

    pub(super) fn remove(&mut self, ufrag: &str) {
        self.by_ufrag.remove(ufrag);
    }

    /// Removes a guest whose session in a shard has ended.
    pub(super) fn ended(&mut self, ufrag: &str) {
        if self.by_ufrag.get(ufrag).is_some_and(|entry| !entry.waits()) {
            self.by_ufrag.remove(ufrag);
        }
    }

    /// Removes the guests of a shard that has lost them.
    pub(super) fn lost(&mut self, shard: ShardId) {
        self.by_ufrag.retain(
            |_, entry| !matches!(entry.state, GuestState::In { shard: there, .. } if there == shard),
        );
    }

    /// Removes those who have not connected.
    pub(super) fn forget_waiting(&mut self) {
        self.by_ufrag.retain(|_, entry| !entry.waits());
    }

    /// The guests of a shard, as it says.
    pub(super) fn found(&mut self, shard: ShardTag, guests: Vec<Arc<Guest>>) {
        for guest in guests {
            let state = GuestState::In {
                shard: shard.id,
                ending: false,
            };
            if !self.by_ufrag.contains_key(&guest.ufrag) {
                self.insert(Entry::new(guest, state));
            }
        }
    }

    /// The user name of the session of a resource, if it is in `room`; `None` is any room.
    pub(super) fn by_resource(&self, resource: &str, room: Option<&str>) -> Option<String> {
        let mut guests = self.by_ufrag.values().map(|entry| &entry.guest);
        let found = guests.find(|guest| {
            guest.resource == resource && room.is_none_or(|room| *guest.room == *room)
        });
        found.map(|guest| guest.ufrag.clone())
    }

    /// Those whose sessions have to end, and whose shards have not been told.
    pub(super) fn ending(&self) -> Vec<String> {
        let ending = |entry: &&Entry| matches!(entry.state, GuestState::In { ending: true, .. });
        let guests = self.by_ufrag.values().filter(ending);
        guests.map(|entry| entry.guest.ufrag.clone()).collect()
    }

    /// Forgets guests who did not connect in time. Returns those who connected by TCP only, `head_start` ago.
    pub(super) fn forget_late(&mut self, now: Instant, head_start: Duration) -> Vec<String> {
        let mut late = Vec::new();
        self.by_ufrag.retain(|ufrag, entry| {
            let Some(waiting) = entry.waiting() else {
                return true;
            };
            let since = |since: Instant| now.saturating_duration_since(since);
            if waiting.connected.is_some_and(|at| since(at) >= head_start) {
                late.push(ufrag.clone());
            }
            since(waiting.since) < OPENING
        });
        late
    }

    /// Finds a place for a join within the limits, if necessary that of a guest who has not connected.
    ///
    /// Who returns takes the place of its earlier session. Guests of one address who have not connected have a quarter of
    /// a room at most, so that it cannot fill the room with answers that nobody takes up.
    pub(super) fn make_room(&mut self, now: Instant, join: &Join) -> Result<(), JoinError> {
        let principal = join.principal.as_ref();
        let replaced = principal.map_or(0, |principal| {
            self.sessions_of(&join.room, join.role, principal).count()
        });
        if let Some(address) = join.address {
            let here = |entry: &&Entry| entry.guest.address == Some(address);
            if self.by_ufrag.values().filter(here).count()
                >= self.limits.address.saturating_add(replaced)
            {
                return Err(JoinError::AddressFull);
            }
        }
        let full = self.by_ufrag.len() >= self.limits.server + replaced;
        if full && !self.forget_crowd(now, |_| true) {
            return Err(JoinError::ServerFull);
        }
        let in_room = |entry: &Entry| entry.guest.room == join.room;
        let count = self.by_ufrag.values().filter(|it| in_room(it)).count();
        if count >= self.limits.room + replaced && !self.forget_crowd(now, in_room) {
            return Err(JoinError::RoomFull);
        }
        let waits =
            |entry: &Entry| in_room(entry) && entry.guest.address == join.address && entry.waits();
        let waiting = self.by_ufrag.values().filter(|it| waits(it)).count();
        let crowded = join.address.is_some() && waiting >= (self.limits.room / 4).max(2);
        if crowded && !self.forget_oldest(now, waits) {
            return Err(JoinError::AddressFull);
        }
        Ok(())
    }

    /// Among some guests, forgets the oldest who waits of the address with most of them, if it has more than one.
    fn forget_crowd(&mut self, now: Instant, among: impl Fn(&Entry) -> bool) -> bool {
        let mut waiting: HashMap<IpAddr, usize> = HashMap::new();
        let entries = self.by_ufrag.values();
        for entry in entries.filter(|entry| among(entry) && entry.waits()) {
            if let Some(address) = entry.guest.address {
                *waiting.entry(address).or_default() += 1;
            }
        }
        let most = waiting.into_iter().max_by_key(|&(_, count)| count);
        let Some((address, 2..)) = most else {
            return false;
        };
        self.forget_oldest(now, |entry| {
            among(entry) && entry.guest.address == Some(address)
        })
    }

    /// Among some guests, forgets the one who has waited longest, if that is longer than [`GRACE`].
    fn forget_oldest(&mut self, now: Instant, among: impl Fn(&Entry) -> bool) -> bool {
        let waiting = self.by_ufrag.iter().filter_map(|(ufrag, entry)| {
            let waiting = entry.waiting()?;
            let late = now.saturating_duration_since(waiting.since) >= GRACE;
            (late && among(entry)).then_some((waiting.since, ufrag))
        });
        let oldest = waiting.min().map(|(_, ufrag)| ufrag.clone());
        oldest.is_some_and(|ufrag| self.by_ufrag.remove(&ufrag).is_some())
    }

    /// The sessions that a principal has in a room already.
    fn sessions_of<'a>(
        &'a mut self,
        room: &'a Arc<str>,
        role: Role,
        principal: &'a Principal,
    ) -> impl Iterator<Item = &'a mut Entry> {
        self.by_ufrag.values_mut().filter(move |entry| {
            let guest = &entry.guest;
            !entry.replaced
                && guest.room == *room
                && guest.role == role
                && guest.principal.as_ref() == Some(principal)
        })
    }

    /// The earlier sessions of who has now connected again, each once. A later one is none: what an abandoned session had
    /// sent may arrive after the next join.
    pub(super) fn replace_earlier(&mut self, ufrag: &str) -> Vec<String> {
        let Some(entry) = self.by_ufrag.get(ufrag) else {
            return Vec::new();
        };
        let guest = Arc::clone(&entry.guest);
        let Some(principal) = &guest.principal else {
            return Vec::new();
        };
        let sessions = self.sessions_of(&guest.room, guest.role, principal);
        let earlier = sessions.filter(|entry| entry.guest.id < guest.id);
        let replaced = earlier.map(|entry| {
            entry.replaced = true;
            entry.guest.ufrag.clone()
        });
        replaced.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ParticipantId;

    fn guest(id: u64, subject: &str) -> Entry {
        let guest = Guest {
            id: ParticipantId(id),
            ufrag: id.to_string(),
            room: "room".into(),
            address: None,
            principal: Some(Principal::Subject(subject.to_owned())),
            role: Role::Page,
            resource: id.to_string(),
        };
        let state = GuestState::In {
            shard: 0,
            ending: false,
        };
        Entry::new(Arc::new(guest), state)
    }

    #[test]
    fn who_returns_replaces_all_earlier_sessions_and_no_later_one() {
        let mut guests = Guests::new(Limits::default());
        for id in [1, 2, 3] {
            guests.insert(guest(id, "ann"));
        }
        guests.insert(guest(4, "ben"));
        assert_eq!(
            guests.replace_earlier("1"),
            [""; 0],
            "late, after the third"
        );
        let mut earlier = guests.replace_earlier("3");
        earlier.sort_unstable();
        assert_eq!(earlier, ["1", "2"]);
        assert_eq!(guests.replace_earlier("3"), [""; 0], "each once");
    }
}
