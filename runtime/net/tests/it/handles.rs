//! Every public method of a handle, for an actor on another node: each is carried, or says that it is
//! not.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use lanemesh_runtime::{
    ActorHandle, AskError, ExitReason, Overflow, Phase, SendError, Sent, SharedHandle,
    handle::{Peer, Recipient},
    observe::Gauges,
};
use tokio::time::Instant;

use crate::common::{Command, Data, Entry, Plain, Recorder, SECOND, log, lows, pair};

/// The methods that the tests of this file call.
const CALLED: &[&str] = &[
    "ask",
    "ask_low",
    "attach_gauges",
    "blocking_ask",
    "blocking_ask_low",
    "blocking_send_high",
    "blocking_send_low",
    "blocking_tell",
    "channels",
    "downgrade",
    "drain",
    "exit_reason",
    "handle",
    "high_ready",
    "high_recipient",
    "id",
    "idle",
    "incarnation",
    "inspect",
    "is_alive",
    "is_closed",
    "kill",
    "low_ready",
    "low_recipient",
    "low_room",
    "monitor",
    "name",
    "phase",
    "send_high",
    "send_high_by",
    "send_low",
    "send_low_by",
    "send_slice_high",
    "send_slice_low",
    "send_vec_high",
    "send_vec_low",
    "set_expiry",
    "set_high_overflow",
    "set_low_overflow",
    "shared",
    "state",
    "stats",
    "stop",
    "tell",
    "tell_by",
    "try_send_high",
    "try_send_high_kept",
    "try_send_low",
    "try_send_low_kept",
    "try_send_slice_high",
    "try_send_slice_low",
    "try_send_vec_high",
    "try_send_vec_low",
    "try_tell",
    "upgrade",
    "watchers",
];

#[test]
fn no_method_is_missing() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/handle");
    let mut methods = BTreeSet::new();
    let folders = ["actor_handle", "shared"].map(|folder| format!("{source}/{folder}"));
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|file| file.unwrap().path());
    for file in files.chain([format!("{source}/weak.rs").into()]) {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let line = line.trim_start();
            let function = line.strip_prefix("pub fn ");
            let function = function.or_else(|| line.strip_prefix("pub async fn "));
            if let Some(function) = function {
                let end = function.find(['(', '<']).unwrap();
                methods.insert(function[..end].to_owned());
            }
        }
    }
    let called: BTreeSet<_> = CALLED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(methods, called);
}

/// Sends one message in each way, and asks in each way. The same for both handles.
macro_rules! send_in_every_way {
    ($handle:expr) => {{
        let handle = $handle;
        let soon = Instant::now() + 60 * SECOND;
        handle.send_high(Command::Mark(1)).await.unwrap();
        handle.try_send_high(Command::Mark(2)).unwrap();
        handle.send_high_by(Command::Mark(3), soon).await.unwrap();
        handle.high_ready().await.unwrap();
        let mut marks = vec![Command::Mark(4), Command::Mark(5)];
        assert_eq!(handle.send_vec_high(&mut marks).await.unwrap(), 2);
        marks.push(Command::Mark(6));
        assert_eq!(handle.try_send_vec_high(&mut marks).unwrap(), 1);
        handle.send_low(Data::Number(1)).await.unwrap();
        handle.try_send_low(Data::Number(2)).unwrap();
        handle.send_low_by(Data::Number(3), soon).await.unwrap();
        handle.low_ready().await.unwrap();
        handle.low_room(8).await;
        let mut numbers = vec![Data::Number(4), Data::Number(5)];
        assert_eq!(handle.send_vec_low(&mut numbers).await.unwrap(), 2);
        numbers.push(Data::Number(6));
        assert_eq!(handle.try_send_vec_low(&mut numbers).unwrap(), 1);
        handle.idle().await; // there is no order between the classes
        assert_eq!(handle.ask_low(Data::Ask, 10 * SECOND).await, Ok(12));
        let entries = handle.ask(Command::Log, 10 * SECOND).await.unwrap();
        assert_eq!(lows(&entries), [1, 2, 3, 4, 5, 6]);
        let marks = entries
            .iter()
            .filter(|entry| matches!(entry, Entry::High(_)));
        assert!(marks.eq((1..=6).map(Entry::High).collect::<Vec<_>>().iter()));
        handle.idle().await;
        let stats = handle.stats();
        assert_eq!((stats.high, stats.low, stats.depth), (7, 7, 0));
    }};
}

#[tokio::test]
async fn every_way_of_sending_is_carried() {
    let pair = pair().await;
    send_in_every_way!(&mut pair.lookup().await);
}

#[tokio::test]
async fn every_way_of_sending_is_carried_for_a_shared_handle() {
    let pair = pair().await;
    let shared: SharedHandle<Recorder> = pair.lookup().await.shared();
    send_in_every_way!(&shared.clone());
    // A handle made of it is a producer of its own.
    let mut again = shared.handle();
    again.send_low(Data::Number(7)).await.unwrap();
    again.idle().await;
    assert_eq!(lows(&log(&mut again).await).last(), Some(&7));
}

/// As above, for an actor of one type of messages, which can be copied.
macro_rules! tell_in_every_way {
    ($handle:expr) => {{
        let handle = $handle;
        let soon = Instant::now() + 60 * SECOND;
        handle.tell(1).await.unwrap();
        handle.try_tell(2).unwrap();
        handle.tell_by(3, soon).await.unwrap();
        assert_eq!(handle.send_slice_low(&[5, 7]).await.unwrap(), 2);
        assert_eq!(handle.try_send_slice_low(&[9]).unwrap(), 1);
        assert_eq!(handle.send_slice_high(&[4, 6]).await.unwrap(), 2);
        assert_eq!(handle.try_send_slice_high(&[8]).unwrap(), 1);
        handle.idle().await;
    }};
}

#[tokio::test]
async fn every_way_of_telling_is_carried() {
    let pair = pair().await;
    let (plain, _child) = lanemesh_runtime::spawn(Plain::default());
    pair.home.export("plain", &plain).unwrap();
    let mut handle = pair.away.lookup::<Plain>("plain").await.unwrap();
    tell_in_every_way!(&mut handle);
    tell_in_every_way!(&handle.shared());
    plain.idle().await;
    let twice: Vec<_> = (1..=9).flat_map(|number| [number, number]).collect();
    assert_eq!(plain.state(SECOND).await.unwrap(), twice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_send_and_ask() {
    let pair = pair().await;
    let (plain, _child) = lanemesh_runtime::spawn(Plain::default());
    pair.home.export("plain", &plain).unwrap();
    let mut plain = pair.away.lookup::<Plain>("plain").await.unwrap();
    let mut handle = pair.lookup().await;
    let thread = std::thread::spawn(move || {
        handle.blocking_send_high(Command::Mark(1)).unwrap();
        handle.blocking_send_low(Data::Number(1)).unwrap();
        // There is no order between the classes.
        let marks = handle.blocking_ask(Command::Log, 10 * SECOND).unwrap();
        assert!(marks.contains(&Entry::High(1)));
        assert_eq!(handle.blocking_ask_low(Data::Ask, 10 * SECOND), Ok(2));
        let shared = handle.shared();
        shared.blocking_send_high(Command::Mark(2)).unwrap();
        shared.blocking_send_low(Data::Number(2)).unwrap();
        let marks = shared.blocking_ask(Command::Log, 10 * SECOND).unwrap();
        assert!(marks.contains(&Entry::High(2)));
        assert_eq!(shared.blocking_ask_low(Data::Ask, 10 * SECOND), Ok(4));
        plain.blocking_tell(1).unwrap();
        plain.shared().blocking_tell(2).unwrap();
    });
    tokio::task::spawn_blocking(|| thread.join().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_handle_knows_of_its_actor() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    assert_eq!(&*handle.name(), "recorder");
    assert_ne!(handle.id(), pair.actor.id(), "an identity of this process");
    assert!(handle.is_alive() && !handle.is_closed());
    assert_eq!((handle.phase(), handle.incarnation()), (Phase::Running, 1));
    assert!(handle.exit_reason().is_none());
    let monitor = handle.monitor();
    let mut waiting = std::pin::pin!(handle.monitor());
    std::future::poll_fn(|cx| {
        assert!(waiting.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert_eq!(handle.watchers(), 1);
    assert_eq!(monitor.id(), handle.id());
    assert!(format!("{:?}", handle.peer()).contains("recorder"));
    assert!(handle.downgrade().upgrade().is_some());
    let shared = handle.clone().shared();
    assert_eq!((shared.id(), shared.name()), (handle.id(), handle.name()));
    assert!(shared.is_alive() && !shared.is_closed());
    assert_eq!((shared.phase(), shared.incarnation()), (Phase::Running, 1));
    assert!(shared.exit_reason().is_none());
    assert_eq!(shared.watchers(), 1);
    drop(shared.monitor());
    let (first, second) = (Arc::new(NoGauges), Arc::new(NoGauges));
    handle.attach_gauges(first.clone());
    assert_eq!(Arc::strong_count(&first), 2, "kept by this node's end");
    shared.attach_gauges(second.clone());
    assert_eq!(
        (Arc::strong_count(&first), Arc::strong_count(&second)),
        (1, 2)
    );
}

struct NoGauges;

impl Gauges for NoGauges {
    fn read(&self, _: &mut dyn FnMut(&'static str, f64)) {}
}

/// Its keeper is on this node: the token does not leave with the message.
#[tokio::test]
async fn message_of_a_keeper_is_carried_like_any_other() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    handle.try_send_high_kept(Command::Mark(1), 5).unwrap();
    handle.try_send_low_kept(Data::Number(1), 6).unwrap();
    handle.idle().await;
    assert_eq!(log(&mut handle).await.len(), 2);
}

#[tokio::test]
async fn what_needs_the_memory_of_the_actor_is_not_local() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    let not_local = Some(AskError::NotLocal);
    assert_eq!(handle.inspect(|_| (), SECOND).await.err(), not_local);
    assert_eq!(handle.state(SECOND).await.err(), not_local);
    assert_eq!(handle.channels(SECOND).await.err(), not_local);
    let shared = handle.shared();
    assert_eq!(shared.inspect(|_| (), SECOND).await.err(), not_local);
    assert_eq!(shared.state(SECOND).await.err(), not_local);
    assert_eq!(shared.channels(SECOND).await.err(), not_local);
}

#[tokio::test]
async fn full_lane_follows_the_policy_of_the_handle() {
    let pair = pair().await;
    let lookup = pair.away.lookup::<Recorder>("recorder");
    let mut handle = lookup.low_capacity(2).high_capacity(1).await.unwrap();
    // The pump has had no turn since.
    handle.try_send_low(Data::Number(1)).unwrap();
    handle.try_send_low(Data::Number(2)).unwrap();
    assert!(matches!(
        handle.try_send_low(Data::Number(3)),
        Err(SendError::Full(_))
    ));
    handle.set_low_overflow(Overflow::Reject);
    assert!(matches!(
        handle.send_low(Data::Number(3)).await,
        Err(SendError::Full(_))
    ));
    handle.set_low_overflow(Overflow::Drop);
    assert_eq!(
        handle.send_low(Data::Number(3)).await.unwrap(),
        Sent::Dropped
    );
    handle.set_low_overflow(Overflow::Wait);
    handle.send_low(Data::Number(4)).await.unwrap();
    handle.set_high_overflow(Overflow::Reject);
    handle.try_send_high(Command::Mark(1)).unwrap();
    assert!(matches!(
        handle.send_high(Command::Mark(2)).await,
        Err(SendError::Full(_))
    ));
    handle.idle().await;
    assert_eq!(lows(&log(&mut handle).await), [1, 2, 4]);
    let mut shared = handle.shared();
    shared.set_low_overflow(Overflow::Reject);
    shared.set_high_overflow(Overflow::Reject);
    shared.try_send_low(Data::Number(5)).unwrap();
    shared.try_send_low(Data::Number(6)).unwrap();
    assert!(matches!(
        shared.send_low(Data::Number(7)).await,
        Err(SendError::Full(_))
    ));
    let stats = shared.stats();
    assert_eq!((stats.dropped, stats.rejected), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn expired_message_is_dropped_by_its_actor() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    handle.send_low(Data::Hold).await.unwrap();
    handle.idle().await;
    handle.set_expiry(Some(SECOND));
    handle.send_low(Data::Number(1)).await.unwrap();
    let mut shared = handle.clone().shared();
    shared.set_expiry(Some(SECOND));
    shared.send_low(Data::Number(2)).await.unwrap();
    handle.set_expiry(Some(60 * SECOND));
    handle.send_low(Data::Number(3)).await.unwrap();
    let past = Instant::now() - SECOND;
    let late = handle.send_low_by(Data::Number(4), past).await;
    assert!(matches!(late, Err(SendError::Expired(_))));
    handle.idle().await;
    tokio::time::advance(2 * SECOND).await;
    pair.gate.add_permits(1);
    pair.actor.idle().await;
    handle.set_expiry(None);
    assert_eq!(lows(&log(&mut handle).await), [3]);
    assert_eq!(pair.actor.stats().expired, 2);
}

#[tokio::test]
async fn recipients_send_to_the_actor() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    let (mut high, mut low) = (handle.high_recipient(), handle.low_recipient());
    high.send(Command::Mark(1)).await.unwrap();
    low.send(Data::Number(1)).await.unwrap();
    let shared = handle.clone().shared();
    shared
        .high_recipient()
        .send(Command::Mark(2))
        .await
        .unwrap();
    shared.low_recipient().send(Data::Number(2)).await.unwrap();
    assert_eq!(low.target(), Some(handle.id()));
    handle.idle().await;
    assert_eq!(log(&mut handle).await.len(), 4);
}

#[tokio::test]
async fn stop_drain_and_kill_are_carried_to_an_actor_that_may_be_stopped() {
    type Call = fn(&ActorHandle<Plain>);
    type SharedCall = fn(&SharedHandle<Plain>);
    let calls: [(Call, SharedCall, ExitReason); 3] = [
        (
            |handle| handle.stop(),
            |handle| handle.stop(),
            ExitReason::Stopped,
        ),
        (
            |handle| handle.drain(),
            |handle| handle.drain(),
            ExitReason::Stopped,
        ),
        (
            |handle| handle.kill(),
            |handle| handle.kill(),
            ExitReason::Killed,
        ),
    ];
    let pair = pair().await;
    for (index, (call, shared_call, reason)) in calls.into_iter().enumerate() {
        let is_drain = index == 1;
        for is_shared in [false, true] {
            let (plain, child) = lanemesh_runtime::spawn(Plain::default());
            let options = lanemesh_net::ExportOptions::new().with_stop();
            pair.home.export_with("plain", &plain, options).unwrap();
            let mut handle = pair.away.lookup::<Plain>("plain").await.unwrap();
            let count = 500;
            for number in 0..count {
                handle.tell(number).await.unwrap();
            }
            let monitor = handle.monitor();
            match is_shared {
                true => shared_call(&handle.clone().shared()),
                false => call(&handle),
            }
            let ended = monitor.await;
            assert_eq!(ended.to_string(), reason.to_string());
            assert_eq!(child.await.to_string(), reason.to_string());
            if is_drain {
                assert_eq!(plain.stats().messages(), count, "a drain handles all");
            }
            assert!(matches!(handle.tell(1).await, Err(SendError::Closed(1))));
        }
    }
}

#[tokio::test]
async fn actor_that_may_not_be_stopped_goes_on_and_the_lane_ends() {
    let pair = pair().await;
    let handle = pair.lookup().await;
    handle.stop();
    let reason = handle.monitor().await;
    assert!(reason.to_string().contains("may not stop"), "{reason}");
    assert!(pair.actor.is_alive());
    let mut again = pair.lookup().await;
    assert!(log(&mut again).await.is_empty());
}

#[tokio::test]
async fn ask_without_an_answer_says_why() {
    let pair = pair().await;
    let mut handle = pair.lookup().await;
    let short = Duration::from_millis(1);
    assert_eq!(
        handle.ask(Command::Keep, short).await,
        Err(AskError::Timeout)
    );
    assert_eq!(
        handle.ask(Command::Keep, Duration::ZERO).await,
        Err(AskError::Timeout)
    );
    assert!(log(&mut handle).await.is_empty()); // what was sent before is handled
    pair.actor.idle().await;
    let before = pair.actor.stats().high;
    let mut asker = handle.clone();
    let ask = tokio::spawn(async move { asker.ask(Command::Keep, 60 * SECOND).await });
    while pair.actor.stats().high == before {
        tokio::task::yield_now().await;
    }
    handle.send_high(Command::Fail).await.unwrap();
    assert_eq!(ask.await.unwrap(), Err(AskError::Crashed));
    // The actor was restarted, and the handle is as good as before.
    assert_eq!(handle.ask_low(Data::Ask, 10 * SECOND).await, Ok(0));
    assert_eq!(pair.actor.incarnation(), 2);
}
