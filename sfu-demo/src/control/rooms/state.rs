//! What a room knows: its members, their tracks, who speaks. Plain tables, which messages of shards change.
//!
//! The shards own the truth: a room that has lost its state asks them to announce who is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ids::{ParticipantId, ShardId, TrackId};
use crate::media::Source;
use crate::messages::{Change, Located, Member, News, RoomTag, ShardTag};
use crate::session::Role;
use crate::stats::RoomStats;

/// Below this level, in dBov, a participant does not count as speaking.
const SILENCE: i8 = -60;
/// How many of those who were heard last are remembered.
const MAX_HEARD: usize = 24;
/// How often members are told who was heard, unless the speaker changes.
const HEARD_INTERVAL: Duration = Duration::from_millis(300);
/// How long a level counts. Who sends no sound any more is silent after that.
const LEVEL_LASTS: Duration = Duration::from_secs(2);
/// How much louder than the active speaker another must be to replace it, in dB.
const LOUDER: i8 = 6;

/// News for the shard of this number.
pub(crate) type Out = (ShardId, News);

/// A member, and what the room adds.
#[derive(Debug)]
struct Present {
    it: Member,
    shard: ShardId,
    /// The last level, and when it came.
    level: Option<(i8, Instant)>,
}

impl Present {
    /// How loud the member is; `None` if it is silent or muted.
    fn loudness(&self, now: Instant) -> Option<i8> {
        let (level, at) = self.level?;
        let is_fresh = now.saturating_duration_since(at) < LEVEL_LASTS;
        let is_muted = self.it.muted.contains(&Source::Microphone);
        (is_fresh && !is_muted && level > SILENCE).then_some(level)
    }
}

/// A shard, as the room knows it.
#[derive(Debug, Default, Clone, Copy)]
struct View {
    /// The latest incarnation that was heard of.
    incarnation: u32,
    /// It has announced its members to this incarnation of the room.
    announced: bool,
    /// It was asked to, and has not yet.
    asked: bool,
}

/// A room.
#[derive(Debug)]
pub(crate) struct Room {
    tag: RoomTag,
    shards: Vec<View>,
    members: Vec<Present>,
    speaker: Option<ParticipantId>,
    /// Who was heard: the last speakers first, the latest at the front. Where there are more tracks than sections,
    /// sessions send theirs.
    heard: Vec<ParticipantId>,
    /// When the members were told of it last.
    heard_told: Option<Instant>,
    /// It does not know everybody yet, so it tells nobody anything.
    recovers: bool,
}

impl Room {
    /// A room that nobody is in, on a server with `shards` shards.
    pub(crate) fn new(tag: RoomTag, shards: usize) -> Self {
        Self {
            tag,
            shards: vec![View::default(); shards],
            members: Vec::new(),
            speaker: None,
            heard: Vec::new(),
            heard_told: None,
            recovers: false,
        }
    }

    /// Asks all shards who is there, after the state was lost. Until [`Room::recovered`] nobody is told anything: what is
    /// not known yet would look as if it had ended.
    pub(crate) fn recover(&mut self, out: &mut Vec<Out>) {
        self.recovers = true;
        for shard in 0..self.shards.len() {
            self.ask(shard, out);
        }
    }

    /// Whether every shard has said who is there, or the time for it is over. Everybody is told the room's state.
    pub(crate) fn recovered(&mut self, late: bool, out: &mut Vec<Out>) -> bool {
        if !self.recovers || !(late || self.shards.iter().all(|shard| shard.announced)) {
            return !self.recovers;
        }
        self.recovers = false;
        for shard in 0..self.shards.len() {
            self.tell_everything(shard, out);
        }
        true
    }

    /// Handles what a shard says to the incarnation `to` of this room.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        from: ShardTag,
        to: RoomTag,
        change: Change,
        out: &mut Vec<Out>,
    ) {
        if !self.meet(from, out) {
            return;
        }
        let view = &mut self.shards[from.id];
        if to != self.tag {
            // It was said to an incarnation that has lost it.
            view.announced = false;
            return self.ask(from.id, out);
        }
        if let Change::Announce(members) = change {
            (view.announced, view.asked) = (true, false);
            return self.announced(from.id, members, out);
        }
        if !view.announced {
            return self.ask(from.id, out);
        }
        self.change(now, from.id, change, out);
    }

    /// A shard was restarted. Its members are gone.
    pub(crate) fn restarted(&mut self, shard: ShardTag, out: &mut Vec<Out>) {
        self.meet(shard, out);
    }

    /// Whether a shard's incarnation is the latest. If it is new, the members of earlier ones are gone.
    fn meet(&mut self, from: ShardTag, out: &mut Vec<Out>) -> bool {
        let Some(view) = self.shards.get_mut(from.id) else {
            return false;
        };
        if from.incarnation > view.incarnation {
            *view = View {
                incarnation: from.incarnation,
                ..View::default()
            };
            self.remove_where(out, |member| member.shard == from.id);
        }
        from.incarnation >= self.shards[from.id].incarnation
    }

    fn ask(&mut self, shard: ShardId, out: &mut Vec<Out>) {
        let view = &mut self.shards[shard];
        if !std::mem::replace(&mut view.asked, true) {
            out.push((shard, News::Announce));
        }
    }

    /// The request to a shard to announce its members was lost, so it will be sent again.
    pub(crate) fn forget_asked(&mut self, shard: ShardId) {
        self.shards[shard].asked = false;
    }

    /// What a shard has to be told that has missed something.
    pub(crate) fn catch_up(&mut self, shard: ShardId, out: &mut Vec<Out>) {
        let view = self.shards[shard];
        if view.announced {
            if !self.recovers {
                self.tell_everything(shard, out);
            }
        } else if view.incarnation > 0 || self.recovers {
            self.ask(shard, out);
        }
    }

    /// A shard has said who is there: all others of it are gone.
    fn announced(&mut self, shard: ShardId, members: Vec<Member>, out: &mut Vec<Out>) {
        let mut before: Vec<_> = self
            .members
            .extract_if(.., |member| member.shard == shard)
            .collect();
        let (mut news, mut changed) = (Vec::new(), Vec::new());
        for it in members {
            let at = before.iter().position(|old| old.it.id == it.id);
            let old = at.map(|at| before.swap_remove(at));
            let known = old.as_ref().map_or(&[][..], |old| &old.it.tracks);
            let ended = known.iter().filter(|track| !it.tracks.contains(track));
            news.extend(ended.map(|track| News::Removed(track.id)));
            let begun = it.tracks.iter().filter(|track| !known.contains(track));
            news.extend(begun.map(|track| News::Added(track.clone(), shard)));
            if old.as_ref().is_none_or(|old| old.it.muted != it.muted) {
                changed.push(it.id);
            }
            let level = old.and_then(|old| old.level);
            self.members.push(Present { it, shard, level });
        }
        let mut left = Vec::new();
        for gone in before {
            news.extend(gone.it.tracks.iter().map(|track| News::Removed(track.id)));
            self.forget(gone.it.id);
            left.push(gone.it.id);
        }
        if !changed.is_empty() || !left.is_empty() {
            news.push(News::Tell(self.people(&changed, &left)));
        }
        let others = (0..self.shards.len()).filter(|other| *other != shard);
        for other in others.filter(|other| self.hears(*other)) {
            out.extend(news.iter().map(|news| (other, news.clone())));
        }
        if self.recovers {
            return;
        }
        let everything = News::Everything(self.tracks(), self.heard.as_slice().into());
        out.push((shard, everything));
        self.tell_speaker(shard, out);
        if self.hears(shard) {
            out.push((shard, News::Tell(self.roster())));
        }
    }

    fn change(&mut self, now: Instant, shard: ShardId, change: Change, out: &mut Vec<Out>) {
        match change {
            Change::Announce(_) => {}
            Change::Joined(it) => {
                if self.find(it.id).is_some() {
                    return;
                }
                for track in it.tracks.clone() {
                    self.tell(&News::Added(track, shard), out);
                }
                let id = it.id;
                self.members.push(Present {
                    it,
                    shard,
                    level: None,
                });
                self.tell(&News::Tell(self.people(&[id], &[])), out);
            }
            Change::Listens(id) => {
                let mut texts = vec![self.roster()];
                texts.extend(self.speaker.map(|_| self.speaker_text()));
                let texts = texts.into_iter();
                out.extend(texts.map(|text| (shard, News::TellOne(id, text))));
            }
            Change::Published(track) => {
                let Some(member) = self.find(track.participant) else {
                    return;
                };
                if !member.it.tracks.contains(&track) {
                    member.it.tracks.push(track.clone());
                    self.tell(&News::Added(track, shard), out);
                }
            }
            Change::Unpublished(id, track) => self.unpublished(id, track, out),
            Change::Left(id) => self.remove_where(out, |member| member.it.id == id),
            Change::Level(id, level) => self.level(now, id, level, out),
            Change::Muted(id, source, muted) => self.mute(id, source, muted, out),
            Change::Chat(id, text) => self.chat(id, &text, out),
        }
    }

    fn unpublished(&mut self, id: ParticipantId, track: TrackId, out: &mut Vec<Out>) {
        let Some(member) = self.find(id) else {
            return;
        };
        let before = member.it.tracks.len();
        member.it.tracks.retain(|known| known.id != track);
        if member.it.tracks.len() < before {
            self.tell(&News::Removed(track), out);
        }
    }

    fn remove_where(&mut self, out: &mut Vec<Out>, gone: impl Fn(&Present) -> bool) {
        let gone: Vec<_> = self.members.extract_if(.., |it| gone(it)).collect();
        for member in &gone {
            for track in &member.it.tracks {
                self.tell(&News::Removed(track.id), out);
            }
            self.forget(member.it.id);
        }
        if !gone.is_empty() {
            let left: Vec<_> = gone.iter().map(|member| member.it.id).collect();
            self.tell(&News::Tell(self.people(&[], &left)), out);
        }
    }

    /// A member is gone: it is not the speaker any more.
    fn forget(&mut self, id: ParticipantId) {
        if self.speaker == Some(id) {
            self.speaker = None;
        }
        self.heard.retain(|heard| *heard != id);
    }

    fn mute(&mut self, id: ParticipantId, source: Source, muted: bool, out: &mut Vec<Out>) {
        let Some(member) = self.find(id) else {
            return;
        };
        if member.it.muted.contains(&source) == muted {
            return;
        }
        member.it.muted.retain(|known| *known != source);
        if muted {
            member.it.muted.push(source);
        }
        let change = json!({"type": "muted", "id": id, "muted": member.it.muted});
        self.tell_text(&change, out);
    }

    fn level(&mut self, now: Instant, id: ParticipantId, level: i8, out: &mut Vec<Out>) {
        let Some(member) = self.find(id) else {
            return;
        };
        member.level = Some((level, now));
        let voiced = member.loudness(now).is_some();
        let loud = |member: &Present| Some((member.loudness(now)?, member.it.id));
        let loudest = self
            .members
            .iter()
            .filter_map(loud)
            .max_by_key(|loud| loud.0);
        let current = self.speaker.and_then(|speaker| self.find(speaker));
        let current = current.and_then(|current| loud(current));
        let speaker = match (loudest, current) {
            (Some((level, _)), Some((now, current))) if level.saturating_sub(now) < LOUDER => {
                Some(current)
            }
            (loudest, _) => loudest.map(|(_, id)| id),
        };
        if speaker != self.speaker {
            self.speaker = speaker;
            let text = self.speaker_text();
            self.tell(&News::Tell(text), out);
            if let Some(speaker) = speaker {
                self.heard.retain(|heard| *heard != speaker);
                self.heard.insert(0, speaker);
                self.tell_heard(now, out);
            }
        } else if voiced && !self.heard.contains(&id) && self.may_tell_heard(now) {
            self.heard.insert(1.min(self.heard.len()), id);
            self.tell_heard(now, out);
        }
    }

    fn may_tell_heard(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.heard_told.is_none_or(|at| since(at) >= HEARD_INTERVAL)
    }

    /// Tells the members who was heard.
    fn tell_heard(&mut self, now: Instant, out: &mut Vec<Out>) {
        self.heard.truncate(MAX_HEARD);
        self.heard_told = Some(now);
        let heard = self.heard.as_slice().into();
        self.tell(&News::Heard(heard), out);
    }

    fn chat(&mut self, id: ParticipantId, text: &str, out: &mut Vec<Out>) {
        let Some(member) = self.find(id) else {
            return;
        };
        let said = json!({"type": "chat", "from": id, "name": member.it.name, "text": text});
        self.tell_text(&said, out);
    }

    fn find(&mut self, id: ParticipantId) -> Option<&mut Present> {
        self.members.iter_mut().find(|member| member.it.id == id)
    }

    fn tracks(&self) -> Arc<[Located]> {
        let located = |member: &Present| {
            let shard = member.shard;
            let tracks = member.it.tracks.clone().into_iter();
            tracks.map(move |track| (track, shard))
        };
        self.members.iter().flat_map(located).collect()
    }

    /// Whether a shard has members who can be told something.
    fn hears(&self, shard: ShardId) -> bool {
        !self.recovers
            && self.shards[shard].announced
            && self.members.iter().any(|member| member.shard == shard)
    }

    /// Tells each shard with members, once.
    fn tell(&self, news: &News, out: &mut Vec<Out>) {
        let shards = 0..self.shards.len();
        let shards = shards.filter(|shard| self.hears(*shard));
        out.extend(shards.map(|shard| (shard, news.clone())));
    }

    fn tell_text(&self, text: &serde_json::Value, out: &mut Vec<Out>) {
        self.tell(&News::Tell(text.to_string().into()), out);
    }

    fn tell_everything(&self, shard: ShardId, out: &mut Vec<Out>) {
        if self.hears(shard) {
            let heard = self.heard.as_slice().into();
            out.push((shard, News::Everything(self.tracks(), heard)));
            out.push((shard, News::Tell(self.roster())));
            self.tell_speaker(shard, out);
        }
    }

    fn tell_speaker(&self, shard: ShardId, out: &mut Vec<Out>) {
        if self.speaker.is_some() {
            out.push((shard, News::Tell(self.speaker_text())));
        }
    }

    fn speaker_text(&self) -> Arc<str> {
        let text = json!({"type": "speaker", "id": self.speaker});
        text.to_string().into()
    }

    /// All who are there, for a page that knows nobody.
    fn roster(&self) -> Arc<str> {
        let participants = self.described(|_| true);
        let watching = self.watching();
        let text = json!({"type": "roster", "participants": participants, "watching": watching});
        text.to_string().into()
    }

    /// What has changed since the roster: who has joined or is muted otherwise, and who has left.
    fn people(&self, changed: &[ParticipantId], left: &[ParticipantId]) -> Arc<str> {
        let here = self.described(|member| changed.contains(&member.id));
        let watching = self.watching();
        let text = json!({"type": "people", "here": here, "left": left, "watching": watching});
        text.to_string().into()
    }

    /// Those who do not only watch, as pages are told of them.
    fn described(&self, which: impl Fn(&Member) -> bool) -> Vec<serde_json::Value> {
        let members = self.members.iter().map(|member| &member.it);
        members
            .filter(|member| member.role != Role::Subscribe && which(member))
            .map(|member| {
                let Member {
                    id,
                    person,
                    name,
                    muted,
                    ..
                } = member;
                json!({"id": id, "person": person, "name": name, "muted": muted})
            })
            .collect()
    }

    fn watching(&self) -> usize {
        let watches = |member: &&Present| member.it.role == Role::Subscribe;
        self.members.iter().filter(watches).count()
    }

    /// The room's statistics.
    pub(crate) fn stats(&self, name: &Arc<str>) -> RoomStats {
        RoomStats {
            room: Arc::clone(name),
            participants: self.members.len(),
            tracks: self
                .members
                .iter()
                .map(|member| member.it.tracks.len())
                .sum(),
        }
    }
}
