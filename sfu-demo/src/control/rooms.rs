//! The rooms: their participants, tracks, active speakers and chat.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::actor::Tables;
use crate::ids::{ParticipantId, ShardId};
use crate::media::{Source, TrackInfo};
use crate::messages::{Control, Out, RoomMessage};
use crate::session::Role;
use crate::stats::RoomStats;

/// The longest chat message, in bytes.
const MAX_CHAT: usize = 2000;
/// Chat messages that a participant may send within [`CHAT_WINDOW`].
const MAX_CHATS: u32 = 20;
const CHAT_WINDOW: Duration = Duration::from_secs(10);
/// Below this level, in dBov, a participant does not count as speaking.
const SILENCE: i8 = -60;
/// How many of those who were heard last are remembered.
const MAX_HEARD: usize = 24;
/// How often members are told who was heard, unless the speaker changes.
const HEARD_INTERVAL: Duration = Duration::from_millis(300);
/// How much louder than the active speaker another must be to replace it, in dB.
const LOUDER: i8 = 6;

#[derive(Debug)]
struct Member {
    id: ParticipantId,
    name: Arc<str>,
    role: Role,
    shard: ShardId,
    tracks: Vec<TrackInfo>,
    muted: Vec<Source>,
    level: i8,
    chats: (Option<Instant>, u32),
}

#[derive(Debug, Default)]
struct Room {
    members: Vec<Member>,
    speaker: Option<ParticipantId>,
    /// Who was heard: the last speakers first, the latest at the front. Where there are more tracks than sections,
    /// sessions send theirs.
    heard: Vec<ParticipantId>,
    /// When the members were told of it last.
    heard_told: Option<Instant>,
}

/// All rooms.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: HashMap<Arc<str>, Room>,
    where_is: HashMap<ParticipantId, Arc<str>>,
}

impl Tables for Rooms {
    type Message = RoomMessage;

    const BURST: usize = 64;

    fn handle(&mut self, now: Instant, message: RoomMessage, out: &mut Vec<Out>) {
        match message {
            RoomMessage::Joined {
                id,
                room,
                name,
                role,
                shard,
            } => {
                self.joined(id, &room, name, role, shard, out);
            }
            RoomMessage::Listens { participant } => {
                if let Some((room, at)) = self.find(participant) {
                    roster(room, out);
                    let member = &room.members[at];
                    if let Some(speaker) = room.speaker {
                        let text = json!({"type": "speaker", "id": speaker}).to_string();
                        out.push((member.shard, Control::Tell(member.id, text.into())));
                    }
                }
            }
            RoomMessage::Published { track, shard } => {
                let Some((room, at)) = self.find(track.participant) else {
                    return;
                };
                for member in &room.members {
                    if member.id != track.participant {
                        out.push((
                            member.shard,
                            Control::AddTrack(member.id, track.clone(), shard),
                        ));
                    }
                }
                room.members[at].tracks.push(track);
            }
            RoomMessage::Unpublished { participant, track } => {
                let Some((room, at)) = self.find(participant) else {
                    return;
                };
                room.members[at].tracks.retain(|known| known.id != track);
                for member in &room.members {
                    if member.id != participant {
                        out.push((member.shard, Control::RemoveTrack(member.id, track)));
                    }
                }
            }
            RoomMessage::Left { participant } => self.left(participant, out),
            RoomMessage::Level { participant, level } => self.level(now, participant, level, out),
            RoomMessage::Muted {
                participant,
                source,
                muted,
            } => {
                let Some((room, at)) = self.find(participant) else {
                    return;
                };
                let member = &mut room.members[at];
                if member.muted.contains(&source) == muted {
                    return;
                }
                member.muted.retain(|known| *known != source);
                if muted {
                    member.muted.push(source);
                }
                let change = json!({"type": "muted", "id": member.id, "muted": member.muted});
                broadcast(room, &change.to_string(), out);
            }
            RoomMessage::Chat { participant, text } => self.chat(now, participant, &text, out),
            RoomMessage::Observe(reply) => {
                let _ = reply.send(self.stats());
            }
        }
    }
}

impl Room {
    fn may_tell_heard(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.heard_told.is_none_or(|at| since(at) >= HEARD_INTERVAL)
    }

    /// Tells the members who was heard.
    fn tell_heard(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.heard.truncate(MAX_HEARD);
        self.heard_told = Some(now);
        let heard: Arc<[ParticipantId]> = self.heard.as_slice().into();
        let receivers = self.members.iter().filter(|it| it.role != Role::Publish);
        out.extend(receivers.map(|it| (it.shard, Control::Heard(it.id, Arc::clone(&heard)))));
    }
}

impl Rooms {
    fn joined(
        &mut self,
        id: ParticipantId,
        name_of_room: &Arc<str>,
        name: Arc<str>,
        role: Role,
        shard: ShardId,
        out: &mut Vec<Out>,
    ) {
        let room = self.rooms.entry(Arc::clone(name_of_room)).or_default();
        for member in &room.members {
            for track in &member.tracks {
                out.push((shard, Control::AddTrack(id, track.clone(), member.shard)));
            }
        }
        if !room.heard.is_empty() {
            out.push((shard, Control::Heard(id, room.heard.as_slice().into())));
        }
        room.members.push(Member {
            id,
            name,
            role,
            shard,
            tracks: Vec::new(),
            muted: Vec::new(),
            level: i8::MIN,
            chats: (None, 0),
        });
        self.where_is.insert(id, Arc::clone(name_of_room));
        roster(room, out);
    }

    fn left(&mut self, participant: ParticipantId, out: &mut Vec<Out>) {
        let Some(name) = self.where_is.remove(&participant) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        let Some(at) = room
            .members
            .iter()
            .position(|member| member.id == participant)
        else {
            return;
        };
        let gone = room.members.remove(at);
        for member in &room.members {
            for track in &gone.tracks {
                out.push((member.shard, Control::RemoveTrack(member.id, track.id)));
            }
        }
        if room.speaker == Some(participant) {
            room.speaker = None;
        }
        room.heard.retain(|id| *id != participant);
        if room.members.is_empty() {
            self.rooms.remove(&name);
        } else {
            roster(room, out);
        }
    }

    fn level(&mut self, now: Instant, participant: ParticipantId, level: i8, out: &mut Vec<Out>) {
        let Some((room, at)) = self.find(participant) else {
            return;
        };
        room.members[at].level = level;
        let muted = |member: &Member| member.muted.contains(&Source::Microphone);
        let loudest = room
            .members
            .iter()
            .filter(|member| member.level > SILENCE && !muted(member))
            .max_by_key(|member| member.level);
        let current = room
            .members
            .iter()
            .find(|member| Some(member.id) == room.speaker && member.level > SILENCE);
        let speaker = match (loudest, current) {
            (Some(loudest), Some(current))
                if loudest.level.saturating_sub(current.level) < LOUDER && !muted(current) =>
            {
                Some(current.id)
            }
            (loudest, _) => loudest.map(|member| member.id),
        };
        let voiced = level > SILENCE && !muted(&room.members[at]);
        if speaker != room.speaker {
            room.speaker = speaker;
            broadcast(
                room,
                &json!({"type": "speaker", "id": speaker}).to_string(),
                out,
            );
            if let Some(speaker) = speaker {
                room.heard.retain(|id| *id != speaker);
                room.heard.insert(0, speaker);
                room.tell_heard(now, out);
            }
        } else if voiced && !room.heard.contains(&participant) && room.may_tell_heard(now) {
            room.heard.insert(1.min(room.heard.len()), participant);
            room.tell_heard(now, out);
        }
    }

    fn chat(&mut self, now: Instant, participant: ParticipantId, text: &str, out: &mut Vec<Out>) {
        let Some((room, at)) = self.find(participant) else {
            return;
        };
        let member = &mut room.members[at];
        let (since, count) = &mut member.chats;
        if since.is_none_or(|since| now.saturating_duration_since(since) > CHAT_WINDOW) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        if *count > MAX_CHATS || text.len() > MAX_CHAT || text.trim().is_empty() {
            return;
        }
        let said = json!({"type": "chat", "from": member.id, "name": member.name, "text": text});
        broadcast(room, &said.to_string(), out);
    }

    fn find(&mut self, participant: ParticipantId) -> Option<(&mut Room, usize)> {
        let room = self.rooms.get_mut(self.where_is.get(&participant)?)?;
        let at = room
            .members
            .iter()
            .position(|member| member.id == participant)?;
        Some((room, at))
    }

    fn stats(&self) -> Vec<RoomStats> {
        let mut stats: Vec<_> = self
            .rooms
            .iter()
            .map(|(name, room)| RoomStats {
                room: Arc::clone(name),
                participants: room.members.len(),
                tracks: room.members.iter().map(|member| member.tracks.len()).sum(),
            })
            .collect();
        stats.sort_by(|a, b| a.room.cmp(&b.room));
        stats
    }
}

fn roster(room: &Room, out: &mut Vec<Out>) {
    let participants: Vec<_> = room
        .members
        .iter()
        .filter(|member| member.role != Role::Subscribe)
        .map(|member| json!({"id": member.id, "name": member.name, "muted": member.muted}))
        .collect();
    let watching = room
        .members
        .iter()
        .filter(|member| member.role == Role::Subscribe)
        .count();
    let text = json!({"type": "roster", "participants": participants, "watching": watching});
    broadcast(room, &text.to_string(), out);
}

fn broadcast(room: &Room, text: &str, out: &mut Vec<Out>) {
    let text: Arc<str> = text.into();
    for member in room
        .members
        .iter()
        .filter(|member| member.role == Role::Page)
    {
        out.push((member.shard, Control::Tell(member.id, Arc::clone(&text))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TrackId;

    fn join(rooms: &mut Rooms, id: u64, room: &str, role: Role, out: &mut Vec<Out>) {
        let message = RoomMessage::Joined {
            id: ParticipantId(id),
            room: room.into(),
            name: format!("n{id}").into(),
            role,
            shard: id as usize % 2,
        };
        rooms.handle(Instant::now(), message, out);
    }

    fn track(participant: u64) -> TrackInfo {
        TrackInfo {
            id: TrackId(participant << 8),
            participant: ParticipantId(participant),
            name: "n".into(),
            video: true,
            source: Source::Camera,
        }
    }

    fn added(out: &[Out]) -> Vec<(ShardId, u64, u64, ShardId)> {
        out.iter()
            .filter_map(|(shard, control)| match control {
                Control::AddTrack(to, track, owner) => {
                    Some((*shard, to.0, track.participant.0, *owner))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn tracks_reach_those_in_the_room_and_late_joiners_and_nobody_else() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        join(&mut rooms, 1, "a", Role::Page, &mut out);
        join(&mut rooms, 2, "a", Role::Page, &mut out);
        join(&mut rooms, 3, "b", Role::Page, &mut out);
        assert!(added(&out).is_empty());
        let published = RoomMessage::Published {
            track: track(1),
            shard: 1,
        };
        rooms.handle(Instant::now(), published, &mut out);
        assert_eq!(added(&out), [(0, 2, 1, 1)]);
        out.clear();
        join(&mut rooms, 4, "a", Role::Subscribe, &mut out);
        assert_eq!(added(&out), [(0, 4, 1, 1)]);
        out.clear();
        rooms.handle(
            Instant::now(),
            RoomMessage::Left {
                participant: ParticipantId(1),
            },
            &mut out,
        );
        let removed = out
            .iter()
            .filter(|o| matches!(o.1, Control::RemoveTrack(..)))
            .count();
        assert_eq!(removed, 2);
        assert_eq!(rooms.stats().len(), 2);
    }

    #[test]
    fn who_speaks_is_replaced_only_by_somebody_clearly_louder() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        join(&mut rooms, 1, "a", Role::Page, &mut out);
        join(&mut rooms, 2, "a", Role::Page, &mut out);
        let mut level = |id: u64, level: i8| {
            out.clear();
            let message = RoomMessage::Level {
                participant: ParticipantId(id),
                level,
            };
            rooms.handle(Instant::now(), message, &mut out);
            rooms.rooms["a"].speaker.map(|speaker| speaker.0)
        };
        assert_eq!(level(1, -100), None);
        assert_eq!(level(1, -40), Some(1));
        assert_eq!(level(2, -38), Some(1), "a little louder");
        assert_eq!(level(2, -20), Some(2));
        assert_eq!(level(2, -90), Some(1));
        assert_eq!(level(1, -90), None);
    }

    #[test]
    fn members_are_told_who_was_heard_last() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        for id in 1..=40 {
            let role = if id == 40 {
                Role::Subscribe
            } else {
                Role::Page
            };
            join(&mut rooms, id, "a", role, &mut out);
        }
        let mut now = Instant::now();
        let mut level = |id: u64, level: i8, after: Duration| {
            out.clear();
            now += after;
            let message = RoomMessage::Level {
                participant: ParticipantId(id),
                level,
            };
            rooms.handle(now, message, &mut out);
            let told = |(_, control): &Out| match control {
                Control::Heard(_, heard) => Some(heard.iter().map(|id| id.0).collect::<Vec<_>>()),
                _ => None,
            };
            let lists: Vec<_> = out.iter().filter_map(told).collect();
            assert!(lists.is_empty() || lists.len() == 40, "all or none");
            lists.into_iter().next()
        };
        let second = Duration::from_secs(1);
        assert_eq!(level(1, -40, second), Some(vec![1]));
        assert_eq!(
            level(2, -38, second),
            Some(vec![1, 2]),
            "heard, but not the speaker"
        );
        assert_eq!(level(2, -38, second), None, "nothing is new");
        assert_eq!(level(3, -38, Duration::ZERO), Some(vec![1, 3, 2]));
        assert_eq!(level(4, -38, Duration::ZERO), None, "too soon");
        assert_eq!(
            level(2, -20, Duration::ZERO),
            Some(vec![2, 1, 3]),
            "a new speaker at once"
        );
        assert_eq!(level(5, -90, second), None, "silent");
        for id in 6..40 {
            level(id, -30, second);
        }
        let all = level(4, -10, second).unwrap();
        assert_eq!(all.len(), MAX_HEARD);
        assert_eq!(all[..2], [4, 2]);
    }

    #[test]
    fn mute_tells_everyone_the_change_only() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        for id in 1..=64 {
            join(&mut rooms, id, "a", Role::Page, &mut out);
        }
        let mut mute = |muted| {
            out.clear();
            let message = RoomMessage::Muted {
                participant: ParticipantId(1),
                source: Source::Microphone,
                muted,
            };
            rooms.handle(Instant::now(), message, &mut out);
            let texts = out.iter().map(|(_, control)| match control {
                Control::Tell(_, text) => serde_json::from_str::<serde_json::Value>(text).unwrap(),
                other => panic!("{other:?}"),
            });
            texts.collect::<Vec<_>>()
        };
        let told = |devices: &[&str]| json!({ "type": "muted", "id": 1, "muted": devices });
        assert_eq!(mute(true), vec![told(&["microphone"]); 64]);
        assert!(mute(true).is_empty(), "nothing has changed");
        assert_eq!(mute(false), vec![told(&[]); 64]);
    }

    #[test]
    fn chat_is_bounded_in_length_and_number() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        join(&mut rooms, 1, "a", Role::Page, &mut out);
        out.clear();
        let now = Instant::now();
        let chat = |text: &str| RoomMessage::Chat {
            participant: ParticipantId(1),
            text: text.to_owned(),
        };
        rooms.handle(now, chat(&"x".repeat(MAX_CHAT + 1)), &mut out);
        rooms.handle(now, chat("  "), &mut out);
        assert!(out.is_empty());
        for _ in 0..100 {
            rooms.handle(now, chat("hello"), &mut out);
        }
        assert!(!out.is_empty() && out.len() <= MAX_CHATS as usize);
        out.clear();
        rooms.handle(now + 2 * CHAT_WINDOW, chat("again"), &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn empty_rooms_are_forgotten() {
        let (mut rooms, mut out) = (Rooms::default(), Vec::new());
        for id in 0..100 {
            join(&mut rooms, id, &format!("r{id}"), Role::Page, &mut out);
            let left = RoomMessage::Left {
                participant: ParticipantId(id),
            };
            rooms.handle(Instant::now(), left, &mut out);
        }
        assert!(rooms.rooms.is_empty() && rooms.where_is.is_empty());
    }
}
