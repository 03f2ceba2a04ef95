//! The rooms of a shard's peers: what the shard tells them, and what they say.
//!
//! A shard never waits for a room. What a room has no room for is lost, and made good by announcing all members again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanemesh_runtime::SendError;
use lanemesh_runtime::handle::Recipient;

use super::Shard;
use crate::ids::{ParticipantId, PeerKey};
use crate::mailbox::Mailbox;
use crate::messages::{Change, Located, News, RoomLink, RoomMessage, RoomUpdate, Rooms, ShardTag};
use crate::session::Role;

/// How often rooms are looked at that may have ended, or have missed something.
const CHECK: Duration = Duration::from_millis(250);

/// The rooms that a shard has members of.
pub(super) struct LocalRooms {
    here: ShardTag,
    table: Option<Arc<dyn Rooms>>,
    by_name: HashMap<Arc<str>, LocalRoom>,
    /// Rooms that have not been told that this shard was restarted.
    untold: Vec<RoomLink>,
    checked: Instant,
    /// Messages that a room had no room for.
    pub(super) dropped: u64,
    /// News of rooms that were not believed, because another incarnation has taken their place.
    pub(super) stale: u64,
}

struct LocalRoom {
    link: RoomLink,
    members: Vec<PeerKey>,
    tracks: Vec<Located>,
    heard: Arc<[ParticipantId]>,
    /// It has missed something.
    behind: bool,
}

impl LocalRooms {
    /// Before the shard has begun.
    pub(super) fn none(here: ShardTag) -> Self {
        Self {
            here,
            table: None,
            by_name: HashMap::new(),
            untold: Vec::new(),
            checked: Instant::now(),
            dropped: 0,
            stale: 0,
        }
    }

    pub(super) fn new(here: ShardTag, table: Arc<dyn Rooms>) -> Self {
        let mut rooms = Self::none(here);
        if here.incarnation > 1 {
            rooms.untold = table.all();
            rooms.tell_restarted();
        }
        rooms.table = Some(table);
        rooms
    }

    fn tell_restarted(&mut self) {
        let here = self.here;
        self.untold.retain_mut(|room| {
            let told = room.to.try_send(RoomMessage::Restarted(here));
            matches!(told, Err(SendError::Full(_)))
        });
    }

    /// Whether something has to be told again.
    pub(super) fn waits(&self) -> bool {
        !self.untold.is_empty() || self.by_name.values().any(|room| room.behind)
    }

    /// Sends a change, unless the room has missed something: then it is told everything soon.
    fn tell(&mut self, name: &str, change: Change) {
        let Some(room) = self.by_name.get_mut(name) else {
            return;
        };
        if room.behind || !room.send(self.here, change) {
            room.behind = true;
            self.dropped += 1;
        }
    }
}

impl LocalRoom {
    fn send(&mut self, here: ShardTag, change: Change) -> bool {
        let message = RoomMessage::Shard(here, self.link.tag, change);
        self.link.to.try_send(message).is_ok()
    }
}

impl<M: Mailbox> Shard<M> {
    /// Tells the room of a peer that something has changed.
    pub(super) fn tell_room(&mut self, key: PeerKey, change: Change) {
        if let Some(session) = self.peers.session(key) {
            let room = Arc::clone(&session.room);
            self.rooms.tell(&room, change);
        }
    }

    /// Brings a new peer into its room, and the room's tracks to the peer.
    pub(super) fn enter(&mut self, key: PeerKey) {
        let Some(member) = self.peers.member(key) else {
            return;
        };
        let Some(session) = self.peers.session(key) else {
            return;
        };
        let name = Arc::clone(&session.room);
        if let Some(room) = self.rooms.by_name.get_mut(&name) {
            room.members.push(key);
            let (tracks, heard) = (room.tracks.clone(), Arc::clone(&room.heard));
            self.rooms.tell(&name, Change::Joined(member));
            self.isolated(key, |session| {
                session.set_heard(heard);
                session.add_tracks(tracks);
            });
            return;
        }
        let link = self.rooms.table.as_ref().and_then(|it| it.open(&name));
        let Some(link) = link else {
            return; // The server stops.
        };
        let room = LocalRoom {
            link,
            members: vec![key],
            tracks: Vec::new(),
            heard: Arc::default(),
            behind: false,
        };
        self.rooms.by_name.insert(Arc::clone(&name), room);
        self.announce(&name);
    }

    /// Takes a peer that has been removed out of its room. The last one lets go of the room.
    pub(super) fn leave(&mut self, key: PeerKey, name: &Arc<str>, id: ParticipantId) {
        self.rooms.tell(name, Change::Left(id));
        if let Some(room) = self.rooms.by_name.get_mut(name) {
            room.members.retain(|member| *member != key);
            if room.members.is_empty() && !room.behind {
                self.rooms.by_name.remove(name);
            }
        }
    }

    /// Tells a room who is here, and lets go of it if that is nobody.
    fn announce(&mut self, name: &Arc<str>) {
        let Some(room) = self.rooms.by_name.get_mut(name) else {
            return;
        };
        let members = room.members.iter();
        let members: Vec<_> = members.filter_map(|key| self.peers.member(*key)).collect();
        let nobody = members.is_empty();
        room.behind = !room.send(self.rooms.here, Change::Announce(members));
        if room.behind {
            self.rooms.dropped += 1;
        } else if nobody {
            self.rooms.by_name.remove(name);
        }
    }

    /// Announces members to rooms that have missed something, or that have taken the place of one that ended.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let is_due = now.saturating_duration_since(self.rooms.checked) >= CHECK;
        if !is_due {
            return;
        }
        self.rooms.checked = now;
        self.rooms.tell_restarted();
        let rooms = self.rooms.by_name.iter();
        let wrong = rooms.filter(|(_, room)| room.behind || room.link.to.is_closed());
        let wrong: Vec<_> = wrong.map(|(name, _)| Arc::clone(name)).collect();
        for name in wrong {
            let table = self.rooms.table.as_ref();
            if let Some(room) = self.rooms.by_name.get_mut(&name)
                && room.link.to.is_closed()
                && let Some(link) = table.and_then(|table| table.open(&name))
            {
                room.link = link;
            }
            self.announce(&name);
        }
    }

    /// Handles news of a room, if they are those of the latest incarnation.
    pub(super) fn news(&mut self, update: RoomUpdate) {
        let RoomUpdate {
            room: name,
            from,
            news,
        } = update;
        let here = self.rooms.here;
        let Some(room) = self.rooms.by_name.get_mut(&name) else {
            // A room that was restarted asks every shard.
            let table = self.rooms.table.as_ref();
            if matches!(news, News::Announce)
                && let Some(mut link) = table.and_then(|table| table.find(&name))
                && link.tag.actor == from.actor
            {
                let nobody = Change::Announce(Vec::new());
                let _ = link.to.try_send(RoomMessage::Shard(here, from, nobody));
            }
            return;
        };
        let known = room.link.tag;
        let is_latest = from.actor == known.actor && from.incarnation >= known.incarnation;
        if matches!(news, News::Announce) && is_latest {
            room.link.tag = from;
            return self.announce(&name);
        }
        if from != known {
            self.rooms.stale += 1;
            return;
        }
        let members = room.members.clone();
        match news {
            News::Announce => {}
            News::Everything(tracks, heard) => {
                let is_kept = |old: &Located| tracks.iter().any(|(track, _)| track.id == old.0.id);
                let ended = room.tracks.iter().filter(|old| !is_kept(old));
                let ended: Vec<_> = ended.map(|(track, _)| track.id).collect();
                room.tracks = tracks.to_vec();
                room.heard = Arc::clone(&heard);
                for key in members {
                    self.isolated(key, |session| {
                        for track in &ended {
                            session.remove_track(*track);
                        }
                        session.set_heard(Arc::clone(&heard));
                        session.add_tracks(tracks.iter().cloned());
                    });
                }
            }
            News::Added(track, owner) => {
                room.tracks.retain(|(known, _)| known.id != track.id);
                room.tracks.push((track.clone(), owner));
                for key in members {
                    self.isolated(key, |session| session.add_track(track.clone(), owner));
                }
            }
            News::Removed(track) => {
                room.tracks.retain(|(known, _)| known.id != track);
                for key in members {
                    self.isolated(key, |session| session.remove_track(track));
                }
            }
            News::Heard(heard) => {
                room.heard = Arc::clone(&heard);
                for key in members {
                    self.isolated(key, |session| session.set_heard(Arc::clone(&heard)));
                }
            }
            News::Tell(text) => {
                for key in members {
                    if self.peers.role(key) == Some(Role::Page) {
                        self.isolated(key, |session| session.send_text(&text));
                    }
                }
            }
            News::TellOne(id, text) => {
                self.with_participant(id, |session| {
                    session.send_text(&text);
                });
            }
        }
    }
}
