//! The tables of a room, driven by hand; then rooms as actors, with shards that the test plays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lanemesh_runtime::spawn;
use lanemesh_runtime::testing::Sink;
use serde_json::{Value, json};

use super::state::{Out, Room};
use crate::ids::{ParticipantId, PersonId, ShardId, TrackId};
use crate::media::{Source, TrackInfo};
use crate::messages::{Change, Member, News, RoomTag, ShardTag};
use crate::session::Role;

const SHARDS: usize = 2;

struct Rig {
    room: Room,
    tag: RoomTag,
    now: Instant,
}

fn shard(id: ShardId) -> ShardTag {
    ShardTag { id, incarnation: 1 }
}

fn member(id: u64, role: Role) -> Member {
    Member {
        id: ParticipantId(id),
        person: PersonId(id),
        name: format!("n{id}").into(),
        role,
        tracks: Vec::new(),
        muted: Vec::new(),
    }
}

fn track(participant: u64) -> TrackInfo {
    TrackInfo {
        id: TrackId(participant << 8),
        participant: ParticipantId(participant),
        person: PersonId(participant),
        name: "n".into(),
        video: true,
        source: Source::Camera,
    }
}

fn home(id: u64) -> ShardId {
    id as usize % SHARDS
}

fn some_tag() -> RoomTag {
    let (handle, child) = spawn(Sink::<(), ()>::new());
    child.detach();
    RoomTag {
        actor: handle.id(),
        incarnation: 1,
    }
}

impl Rig {
    /// A room that both shards have announced themselves to, with nobody in it.
    fn new() -> Self {
        Self::of(some_tag())
    }

    fn of(tag: RoomTag) -> Self {
        let mut rig = Self {
            room: Room::new(tag, SHARDS),
            tag,
            now: Instant::now(),
        };
        for id in 0..SHARDS {
            rig.say(id, Change::Announce(Vec::new()));
        }
        rig
    }

    fn say(&mut self, id: ShardId, change: Change) -> Vec<Out> {
        self.say_as(shard(id), self.tag, change)
    }

    fn say_as(&mut self, from: ShardTag, to: RoomTag, change: Change) -> Vec<Out> {
        let mut out = Vec::new();
        self.room.handle(self.now, from, to, change, &mut out);
        out
    }

    fn join(&mut self, id: u64, role: Role) -> Vec<Out> {
        self.say(home(id), Change::Joined(member(id, role)))
    }
}

fn texts(out: &[Out], kind: &str) -> Vec<(ShardId, Value)> {
    let text = |(shard, news): &Out| match news {
        News::Tell(text) | News::TellOne(_, text) => {
            Some((*shard, serde_json::from_str::<Value>(text).unwrap()))
        }
        _ => None,
    };
    let texts = out.iter().filter_map(text);
    texts.filter(|(_, text)| text["type"] == kind).collect()
}

fn added(out: &[Out]) -> Vec<(ShardId, u64, ShardId)> {
    let added = |(shard, news): &Out| match news {
        News::Added(track, owner) => Some((*shard, track.participant.0, *owner)),
        _ => None,
    };
    out.iter().filter_map(added).collect()
}

fn removed(out: &[Out]) -> Vec<(ShardId, u64)> {
    let removed = |(shard, news): &Out| match news {
        News::Removed(track) => Some((*shard, track.0 >> 8)),
        _ => None,
    };
    out.iter().filter_map(removed).collect()
}

fn asked(out: &[Out]) -> Vec<ShardId> {
    let asked = |(shard, news): &Out| matches!(news, News::Announce).then_some(*shard);
    out.iter().filter_map(asked).collect()
}

#[tokio::test]
async fn tracks_reach_each_shard_once_and_only_shards_with_members() {
    let mut rig = Rig::new();
    for id in [1, 3, 5] {
        rig.join(id, Role::Page);
    }
    let out = rig.say(1, Change::Published(track(1)));
    assert_eq!(added(&out), [(1, 1, 1)], "nobody is in shard 0");
    assert!(rig.say(1, Change::Published(track(1))).is_empty(), "twice");
    rig.join(2, Role::Subscribe);
    let out = rig.say(1, Change::Published(track(3)));
    assert_eq!(added(&out), [(0, 3, 1), (1, 3, 1)]);
    let out = rig.say(1, Change::Left(ParticipantId(1)));
    assert_eq!(removed(&out), [(0, 1), (1, 1)]);
    assert_eq!(texts(&out, "people").len(), 2);
    let stats = rig.room.stats(&"a".into());
    assert_eq!((stats.participants, stats.tracks), (3, 1));
}

#[tokio::test]
async fn who_speaks_is_replaced_only_by_somebody_clearly_louder() {
    let mut rig = Rig::new();
    rig.join(1, Role::Page);
    rig.join(2, Role::Page);
    let mut speaker = None;
    let mut level = |id: u64, level: i8| {
        let out = rig.say(home(id), Change::Level(ParticipantId(id), level));
        if let Some((_, text)) = texts(&out, "speaker").first() {
            speaker = text["id"].as_u64();
        }
        speaker
    };
    assert_eq!(level(1, -100), None);
    assert_eq!(level(1, -40), Some(1));
    assert_eq!(level(2, -38), Some(1), "a little louder");
    assert_eq!(level(2, -20), Some(2));
    assert_eq!(level(2, -90), Some(1));
    assert_eq!(level(1, -90), None);
}

#[tokio::test]
async fn who_sends_no_sound_any_more_does_not_go_on_speaking() {
    let mut rig = Rig::new();
    rig.join(1, Role::Page);
    rig.join(2, Role::Page);
    rig.say(home(1), Change::Level(ParticipantId(1), -20));
    let mut told = Vec::new();
    for _ in 0..20 {
        rig.now += Duration::from_millis(200);
        let out = rig.say(home(2), Change::Level(ParticipantId(2), -22));
        let speakers = texts(&out, "speaker").into_iter();
        told.extend(speakers.map(|(shard, text)| (shard, text["id"].as_u64())));
    }
    assert_eq!(told, [(0, Some(2)), (1, Some(2))]);
    // It speaks again.
    let out = rig.say(home(1), Change::Level(ParticipantId(1), -10));
    assert_eq!(texts(&out, "speaker")[0].1["id"], 1);
}

#[tokio::test]
async fn members_are_told_who_was_heard_last() {
    let mut rig = Rig::new();
    for id in 1..=40 {
        rig.join(id, Role::Page);
    }
    let mut level = |id: u64, level: i8, after: Duration| {
        rig.now += after;
        let out = rig.say(home(id), Change::Level(ParticipantId(id), level));
        let told = |(_, news): &Out| match news {
            News::Heard(heard) => Some(heard.iter().map(|id| id.0).collect::<Vec<_>>()),
            _ => None,
        };
        let lists: Vec<_> = out.iter().filter_map(told).collect();
        assert!(lists.is_empty() || lists.len() == SHARDS, "all or none");
        lists.into_iter().next()
    };
    let later = Duration::from_millis(400);
    assert_eq!(level(1, -40, later), Some(vec![1]));
    assert_eq!(
        level(2, -38, later),
        Some(vec![1, 2]),
        "heard, but not the speaker"
    );
    assert_eq!(level(2, -38, later), None, "nothing is new");
    assert_eq!(level(3, -38, Duration::ZERO), Some(vec![1, 3, 2]));
    assert_eq!(level(4, -38, Duration::ZERO), None, "too soon");
    assert_eq!(
        level(2, -20, Duration::ZERO),
        Some(vec![2, 1, 3]),
        "a new speaker at once"
    );
    assert_eq!(level(5, -90, later), None, "silent");
    for id in 6..40 {
        level(2, -20, Duration::ZERO);
        level(id, -30, later);
    }
    let all = level(4, -10, later).unwrap();
    assert_eq!(all.len(), 24);
    assert_eq!(all[..2], [4, 2]);
}

#[tokio::test]
async fn mute_tells_each_shard_the_change_only() {
    let mut rig = Rig::new();
    for id in 1..=64 {
        rig.join(id, Role::Page);
    }
    let mut mute = |muted| {
        let change = Change::Muted(ParticipantId(1), Source::Microphone, muted);
        let out = rig.say(home(1), change);
        let told = texts(&out, "muted");
        assert_eq!(told.len(), out.len());
        told.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    let told = |devices: &[&str]| json!({ "type": "muted", "id": 1, "muted": devices });
    assert_eq!(mute(true), vec![told(&["microphone"]); SHARDS]);
    assert!(mute(true).is_empty(), "nothing has changed");
    assert_eq!(mute(false), vec![told(&[]); SHARDS]);
}

#[tokio::test]
async fn joining_and_leaving_tell_each_shard_the_change_only() {
    let mut rig = Rig::new();
    for id in 1..=64 {
        rig.join(id, Role::Page);
    }
    rig.say(
        home(1),
        Change::Muted(ParticipantId(1), Source::Camera, true),
    );
    let told = |out: &[Out]| {
        let told = texts(out, "people");
        assert_eq!(told.len(), SHARDS, "each shard once");
        assert_eq!(told.len(), out.len(), "and nothing else");
        assert_eq!(told[0].1, told[1].1);
        told[0].1.clone()
    };
    let page = json!({"id": 65, "person": PersonId(65), "name": "n65", "muted": []});
    let here = |here: &[&Value], left: &[u64], watching: usize| json!({"type": "people", "here": here, "left": left, "watching": watching});
    assert_eq!(told(&rig.join(65, Role::Page)), here(&[&page], &[], 0));
    assert_eq!(told(&rig.join(66, Role::Subscribe)), here(&[], &[], 1));
    let left = |rig: &mut Rig, id| rig.say(home(id), Change::Left(ParticipantId(id)));
    assert_eq!(told(&left(&mut rig, 65)), here(&[], &[65], 1));
    assert_eq!(told(&left(&mut rig, 66)), here(&[], &[66], 0));
    // Who listens from now on is told of all, and nobody else is.
    let out = rig.say(home(2), Change::Listens(ParticipantId(2)));
    assert_eq!(out.len(), 1);
    let roster = &texts(&out, "roster")[0].1;
    let people = roster["participants"].as_array().unwrap();
    assert_eq!((people.len(), roster["watching"].as_u64()), (64, Some(0)));
    assert_eq!(people[0]["muted"], json!(["camera"]));
}

#[tokio::test]
async fn an_announcement_tells_other_shards_who_has_come_and_gone() {
    let mut rig = Rig::new();
    for id in 1..=4 {
        rig.join(id, Role::Page);
    }
    // Shard 1 has missed that 1 has left, that 5 has come, and that 3 is muted.
    let mut muted = member(3, Role::Page);
    muted.muted.push(Source::Microphone);
    let out = rig.say(1, Change::Announce(vec![muted, member(5, Role::Page)]));
    let told = texts(&out, "people");
    let here = json!([
        {"id": 3, "person": PersonId(3), "name": "n3", "muted": ["microphone"]},
        {"id": 5, "person": PersonId(5), "name": "n5", "muted": []},
    ]);
    let change = json!({"type": "people", "here": here, "left": [1], "watching": 0});
    assert_eq!(told, [(0, change)]);
    let rosters = texts(&out, "roster");
    assert_eq!(rosters.len(), 1, "for the shard that has missed something");
    assert_eq!(rosters[0].0, 1);
    let same = vec![member(5, Role::Page)];
    rig.say(1, Change::Announce(same.clone()));
    let out = rig.say(1, Change::Announce(same));
    assert!(texts(&out, "people").is_empty(), "nothing has changed");
}

#[tokio::test]
async fn what_was_said_to_an_earlier_incarnation_is_not_believed() {
    let old = some_tag();
    let new = RoomTag {
        incarnation: 2,
        ..old
    };
    let mut rig = Rig::of(new);
    rig.join(1, Role::Page);
    rig.join(2, Role::Page);
    let late = Change::Published(track(1));
    let out = rig.say_as(shard(1), old, late);
    assert_eq!(asked(&out), [1]);
    assert_eq!(out.len(), 1, "{out:?}");
    let again = rig.say_as(shard(1), old, Change::Left(ParticipantId(1)));
    assert!(again.is_empty(), "it was asked already");
    let announced = rig.say_as(shard(1), old, Change::Announce(Vec::new()));
    assert!(announced.is_empty(), "for another");
    assert_eq!(
        rig.room.stats(&"a".into()).participants,
        2,
        "nothing changed"
    );
    let mut publishes = member(1, Role::Page);
    publishes.tracks.push(track(1));
    let out = rig.say(1, Change::Announce(vec![publishes]));
    assert_eq!(added(&out), [(0, 1, 1)]);
    let everything = out.iter().find_map(|(shard, news)| match news {
        News::Everything(tracks, _) => Some((*shard, tracks.len())),
        _ => None,
    });
    assert_eq!(everything, Some((1, 1)));
}

#[tokio::test]
async fn an_announcement_replaces_what_was_known_of_the_shard() {
    let mut rig = Rig::new();
    rig.join(1, Role::Page);
    rig.join(3, Role::Page);
    rig.join(2, Role::Page);
    rig.say(1, Change::Published(track(1)));
    rig.say(1, Change::Published(track(3)));
    // It has missed that 1 has left, and that 3 has shared something else.
    let mut other = track(3);
    other.id = TrackId((3 << 8) + 1);
    let mut shares = member(3, Role::Page);
    shares.tracks.push(other);
    let out = rig.say(1, Change::Announce(vec![shares]));
    assert_eq!(removed(&out), [(0, 3), (0, 1)]);
    assert_eq!(added(&out), [(0, 3, 1)]);
    let stats = rig.room.stats(&"a".into());
    assert_eq!((stats.participants, stats.tracks), (2, 1));
}

#[tokio::test]
async fn members_of_a_shard_that_was_restarted_are_gone_and_its_old_words_void() {
    let mut rig = Rig::new();
    for id in 1..=4 {
        rig.join(id, Role::Page);
    }
    rig.say(1, Change::Published(track(1)));
    let mut out = Vec::new();
    let next = ShardTag {
        id: 1,
        incarnation: 2,
    };
    rig.room.restarted(next, &mut out);
    assert_eq!(removed(&out), [(0, 1)]);
    assert_eq!(rig.room.stats(&"a".into()).participants, 2);
    // What the earlier incarnation had sent arrives late, through another lane.
    assert!(
        rig.say(1, Change::Announce(vec![member(1, Role::Page)]))
            .is_empty()
    );
    assert!(rig.join(5, Role::Page).is_empty());
    let stats = rig.room.stats(&"a".into());
    assert_eq!((stats.participants, stats.tracks), (2, 0));
    let back = vec![member(7, Role::Page)];
    rig.say_as(next, rig.tag, Change::Announce(back));
    assert_eq!(rig.room.stats(&"a".into()).participants, 3);
}

#[tokio::test]
async fn a_room_that_recovers_tells_nobody_anything_until_all_have_announced() {
    let tag = some_tag();
    let mut room = Room::new(tag, SHARDS);
    let mut out = Vec::new();
    room.recover(&mut out);
    assert_eq!(asked(&out), [0, 1]);
    out.clear();
    let now = Instant::now();
    let mut publishes = member(1, Role::Page);
    publishes.tracks.push(track(1));
    let one = Change::Announce(vec![publishes]);
    room.handle(now, shard(1), tag, one, &mut out);
    assert!(
        !room.recovered(false, &mut out) && out.is_empty(),
        "{out:?}"
    );
    let mut muted = member(2, Role::Page);
    muted.muted.push(Source::Camera);
    room.handle(now, shard(0), tag, Change::Announce(vec![muted]), &mut out);
    assert!(room.recovered(false, &mut out));
    let everything = |(shard, news): &Out| match news {
        News::Everything(tracks, _) => Some((*shard, tracks.len())),
        _ => None,
    };
    let told: Vec<_> = out.iter().filter_map(everything).collect();
    assert_eq!(told, [(0, 1), (1, 1)]);
    let roster = &texts(&out, "roster")[0].1;
    let people = roster["participants"].as_array().unwrap();
    assert_eq!(people.len(), 2);
    assert_eq!(people[1]["muted"], json!(["camera"]));
    let name: Arc<str> = "a".into();
    assert_eq!(room.stats(&name).participants, 2);
}

#[tokio::test]
async fn a_room_does_not_wait_for_a_shard_that_hangs() {
    let tag = some_tag();
    let (mut room, mut out) = (Room::new(tag, SHARDS), Vec::new());
    room.recover(&mut out);
    out.clear();
    let one = Change::Announce(vec![member(1, Role::Page)]);
    room.handle(Instant::now(), shard(1), tag, one, &mut out);
    assert!(room.recovered(true, &mut out), "its time is over");
    assert_eq!(texts(&out, "roster").len(), 1);
}
