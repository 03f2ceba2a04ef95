//! The ends that a link is built of: messages that leave, replies that leave with them, messages that
//! arrive.

use std::{future::poll_fn, task::Poll, time::Duration};

use futures_util::FutureExt;
use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, AskError, Context, ExitReason, Message, Overflow, Phase,
    Reply, SendError,
    actor::Observe,
    edge::{self, Inlet, Outlet, Parcel, PendingAsk, Request},
    handle::Recipient,
    spawn,
    testing::Sink,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Question {
    Double(u64, Reply<u64>),
}

struct Doubler;

impl Actor for Doubler {
    type HighPriorityMsg = Question;
    type LowPriorityMsg = u64;

    async fn on_high(&mut self, msg: Question, _: &mut Context<Self>) -> ActorResult {
        let Question::Double(number, reply) = msg;
        drop(reply.send(2 * number));
        Ok(())
    }

    async fn on_low(&mut self, _: u64, _: &mut Context<Self>) -> ActorResult {
        Ok(())
    }
}

impl Observe for Doubler {
    type State = ();

    fn observe(&self) {}
}

fn far_away() -> (ActorHandle<Doubler>, Inlet<Doubler>) {
    edge::remote("doubler", 2, 2)
}

async fn low(inlet: &mut Inlet<Doubler>) -> Option<Parcel<u64>> {
    poll_fn(|cx| inlet.poll_low(cx)).await
}

async fn high(inlet: &mut Inlet<Doubler>) -> Option<Parcel<Question>> {
    poll_fn(|cx| inlet.poll_high(cx)).await
}

fn json(question: &Question) -> (String, PendingAsk) {
    let encoded = edge::departing(1, || serde_json::to_string(question));
    let (text, mut asks) = encoded.unwrap();
    (text, asks.pop().unwrap())
}

#[tokio::test(start_paused = true)]
async fn messages_are_taken_out_by_class_with_their_expiry() {
    let (mut handle, mut inlet) = far_away();
    assert_eq!(
        (handle.phase(), &*handle.name()),
        (Phase::Running, "doubler")
    );
    let deadline = Instant::now() + SECOND;
    handle.send_low(1).await.unwrap();
    handle.send_low_by(2, deadline).await.unwrap();
    assert!(matches!(handle.try_send_low(3), Err(SendError::Full(3))));
    assert_eq!(inlet.len(), 2);
    let mut asker = handle.clone();
    let ask = asker.ask(|reply| Question::Double(4, reply), SECOND);
    tokio::pin!(ask);
    assert!(ask.as_mut().now_or_never().is_none());
    let question = high(&mut inlet).await.unwrap();
    assert!(question.is_ask);
    assert_eq!(question.expires, Some(deadline));
    let first = low(&mut inlet).await.unwrap();
    assert_eq!(
        (first.message, first.expires, first.is_ask),
        (1, None, false)
    );
    let second = low(&mut inlet).await.unwrap();
    assert_eq!((second.message, second.expires), (2, Some(deadline)));
    assert!(poll_fn(|cx| Poll::Ready(inlet.poll_low(cx).is_pending())).await);
    let stats = handle.stats();
    assert_eq!(
        (stats.high, stats.low, stats.rejected, stats.depth),
        (1, 2, 1, 0)
    );
    let Question::Double(number, reply) = question.message;
    reply.send(number * 2).unwrap();
    assert_eq!(ask.await, Ok(8));
}

#[tokio::test]
async fn end_makes_dead_letters_of_what_waits_and_tells_monitors() {
    let (mut handle, inlet) = far_away();
    handle.send_low(1).await.unwrap();
    handle.send_low(2).await.unwrap();
    let mut waiting = handle.clone();
    waiting.send_low(3).await.unwrap();
    waiting.send_low(4).await.unwrap();
    let send = waiting.send_low(5);
    tokio::pin!(send);
    assert!(send.as_mut().now_or_never().is_none());
    let mut asker = handle.clone();
    let mut other = handle.clone();
    let ask = other.ask(|reply| Question::Double(1, reply), SECOND);
    tokio::pin!(ask);
    assert!(ask.as_mut().now_or_never().is_none());
    let monitor = handle.monitor();
    let mut dead = Vec::new();
    inlet.end(ExitReason::Unreachable, |message| {
        if let Message::Low(number) = message {
            dead.push(number);
        }
    });
    dead.sort();
    assert_eq!(dead, [1, 2, 3, 4]);
    assert!(matches!(send.await, Err(SendError::Closed(5))));
    assert!(matches!(monitor.await, ExitReason::Unreachable));
    assert_eq!(ask.await, Err(AskError::Unreachable));
    let ask = asker.ask(|reply| Question::Double(1, reply), SECOND).await;
    assert_eq!(ask, Err(AskError::Unreachable));
    assert_eq!(handle.stats().dead_letters, 5);
    assert!(ExitReason::Unreachable.is_failure());
}

#[tokio::test]
async fn dropped_inlet_ends_the_actor() {
    let (mut handle, inlet) = far_away();
    handle.set_low_overflow(Overflow::Reject);
    handle.send_low(1).await.unwrap();
    drop(inlet);
    assert!(matches!(handle.exit_reason(), Some(ExitReason::Killed)));
    assert!(matches!(
        handle.send_low(2).await,
        Err(SendError::Closed(2))
    ));
}

#[tokio::test]
async fn inlet_ends_when_all_handles_are_gone() {
    let (mut handle, mut inlet) = far_away();
    handle.send_low(1).await.unwrap();
    let other = handle.clone().shared();
    drop(handle);
    assert_eq!(low(&mut inlet).await.unwrap().message, 1);
    assert!(low(&mut inlet).now_or_never().is_none());
    drop(other);
    assert_eq!(low(&mut inlet).await, None);
    assert!(high(&mut inlet).await.is_none());
}

#[tokio::test]
async fn weak_recipient_does_not_keep_the_inlet_open() {
    let (handle, mut inlet) = far_away();
    let weak = handle.low_recipient().weak().unwrap();
    drop(handle);
    assert!(poll_fn(|cx| Poll::Ready(inlet.poll_request(cx).is_pending())).await);
    assert_eq!(low(&mut inlet).await, None);
    assert!(weak.is_closed());
}

#[tokio::test]
async fn requests_arrive_once_and_wake_the_inlet() {
    let (handle, mut inlet) = far_away();
    type Call = fn(&ActorHandle<Doubler>);
    let requests: [(Call, Request); 3] = [
        (|handle| handle.stop(), Request::Stop),
        (|handle| handle.drain(), Request::Drain),
        (|handle| handle.kill(), Request::Kill),
    ];
    for (call, request) in requests {
        let wait = poll_fn(|cx| inlet.poll_request(cx));
        tokio::pin!(wait);
        assert!(wait.as_mut().now_or_never().is_none());
        call(&handle);
        assert_eq!(wait.await, request);
        assert!(poll_fn(|cx| Poll::Ready(inlet.poll_request(cx).is_pending())).await);
    }
}

#[tokio::test]
async fn idle_and_room_wait_for_the_inlet() {
    let (mut handle, mut inlet) = far_away();
    handle.send_low(1).await.unwrap();
    handle.send_low(2).await.unwrap();
    let observer = handle.clone();
    let idle = observer.idle();
    tokio::pin!(idle);
    assert!(idle.as_mut().now_or_never().is_none());
    let room = handle.low_room(2);
    tokio::pin!(room);
    assert!(room.as_mut().now_or_never().is_none());
    let request = poll_fn(|cx| inlet.poll_request(cx)).await;
    let Request::Idle(number) = request else {
        panic!("{request:?}");
    };
    low(&mut inlet).await.unwrap();
    low(&mut inlet).await.unwrap();
    room.await;
    assert!(idle.as_mut().now_or_never().is_none());
    inlet.idle_since(number);
    idle.await;
}

#[tokio::test]
async fn what_needs_the_memory_of_the_actor_is_not_local() {
    let (handle, _inlet) = far_away();
    assert_eq!(
        handle.inspect(|_| (), SECOND).await,
        Err(AskError::NotLocal)
    );
    assert_eq!(handle.state(SECOND).await, Err(AskError::NotLocal));
    assert_eq!(
        handle.channels(SECOND).await.err(),
        Some(AskError::NotLocal)
    );
    let shared = handle.shared();
    assert_eq!(
        shared.inspect(|_| (), SECOND).await,
        Err(AskError::NotLocal)
    );
    assert_eq!(shared.state(SECOND).await, Err(AskError::NotLocal));
    assert_eq!(
        shared.channels(SECOND).await.err(),
        Some(AskError::NotLocal)
    );
}

#[tokio::test]
async fn question_is_answered_through_a_link() {
    let (mut handle, mut inlet) = far_away();
    let (actor, _child) = spawn(Doubler);
    let mut outlet = Outlet::new(actor);
    let ask = handle.ask(|reply| Question::Double(21, reply), SECOND);
    let carry = async {
        let parcel = high(&mut inlet).await.unwrap();
        let (text, asks) = json(&parcel.message);
        drop(parcel.message);
        let (message, mut answers) = edge::arriving(|| serde_json::from_str(&text).unwrap());
        let (expires, is_ask) = (parcel.expires, parcel.is_ask);
        let parcel = Parcel {
            message,
            expires,
            is_ask,
        };
        outlet.try_high(parcel).unwrap();
        let mut answer = String::new();
        let encode = &mut |value: &dyn erased_serde::Serialize| {
            answer = serde_json::to_string(value).unwrap();
        };
        let pending = &mut answers[0];
        assert_eq!(pending.slot(), asks.slot());
        assert!(poll_fn(|cx| pending.poll(cx, encode)).await);
        let mut answer = serde_json::Deserializer::from_str(&answer);
        asks.complete(&mut answer).unwrap();
    };
    let (answer, ()) = tokio::join!(ask, carry);
    assert_eq!(answer, Ok(42));
}

#[tokio::test]
async fn reply_that_was_not_sent_still_answers() {
    let (reply, answer) = Reply::<u64>::pair();
    assert!(serde_json::to_string(&reply).is_err());
    let failed = edge::departing(1, || {
        serde_json::to_string(&reply).unwrap();
        Err::<(), _>("no room")
    });
    assert_eq!(failed.unwrap_err(), "no room");
    reply.send(3).unwrap();
    assert_eq!(answer.receive(SECOND).await, Ok(3));
}

#[tokio::test]
async fn reply_survives_a_panic_while_its_message_is_serialized() {
    let (reply, answer) = Reply::<u64>::pair();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        edge::departing(1, || -> Result<(), ()> {
            serde_json::to_string(&reply).unwrap();
            panic!("on purpose");
        })
        .is_ok()
    }));
    assert!(panicked.is_err());
    assert!(serde_json::to_string(&reply).is_err(), "the scope is over");
    reply.send(3).unwrap();
    assert_eq!(answer.receive(SECOND).await, Ok(3));
}

#[tokio::test]
async fn reply_is_serialized_once() {
    let (reply, answer) = Reply::<u64>::pair();
    let twice = edge::departing(1, || serde_json::to_string(&(&reply, &reply)));
    assert!(twice.unwrap_err().to_string().contains("once"));
    reply.send(3).unwrap();
    assert_eq!(answer.receive(SECOND).await, Ok(3));
}

#[tokio::test]
async fn every_end_of_a_reply_that_left_is_told() {
    let leave = || {
        let (reply, answer) = Reply::<u64>::pair();
        let question = Question::Double(1, reply);
        let (_, ask) = json(&question);
        (question, ask, answer)
    };
    let (question, ask, answer) = leave();
    drop(question);
    ask.fail(AskError::Unknown);
    assert_eq!(answer.receive(SECOND).await, Err(AskError::Unknown));

    let (question, ask, answer) = leave();
    drop(ask); // before the message, too
    drop(question);
    assert_eq!(answer.receive(SECOND).await, Err(AskError::Crashed));

    let (question, ask, answer) = leave();
    drop(question);
    assert!(!ask.is_abandoned());
    drop(answer);
    assert!(ask.is_abandoned());

    let (question, ask, answer) = leave();
    drop(question);
    let mut wrong = serde_json::Deserializer::from_str("\"text\"");
    assert!(ask.complete(&mut wrong).is_err());
    assert_eq!(answer.receive(SECOND).await, Err(AskError::Crashed));

    // An answer here comes first.
    let (Question::Double(_, reply), ask, answer) = leave();
    reply.send(5).unwrap();
    ask.fail(AskError::Unknown);
    assert_eq!(answer.receive(SECOND).await, Ok(5));
}

#[tokio::test]
async fn dropped_pending_answer_closes_the_reply() {
    let read = serde_json::from_str::<Reply<u64>>;
    let (reply, mut answers) = edge::arriving(|| read(r#"{"$reply":"9"}"#));
    assert_eq!(answers[0].slot(), 9);
    let reply = reply.unwrap();
    assert!(!reply.is_closed());
    answers.clear();
    assert!(reply.is_closed());
    assert!(read(r#"{"$reply":"9"}"#).is_err(), "the scope is over");
}

#[tokio::test]
async fn what_is_no_reply_in_json_is_an_error() {
    let read = serde_json::from_str::<Reply<u64>>;
    for text in [
        "9",
        "{}",
        r#"{"$reply":9}"#,
        r#"{"$reply":"-9"}"#,
        r#"{"$answer":"9"}"#,
        r#"{"$reply":"9","more":1}"#,
    ] {
        let (reply, _) = edge::arriving(|| read(text));
        assert!(reply.is_err(), "{text}");
    }
}

#[tokio::test]
async fn outlet_gives_back_what_a_full_or_closed_lane_refuses() {
    let (handle, child) = lanemesh_runtime::builder(Sink::<u64, u64>::new)
        .high_capacity(1)
        .low_capacity(1)
        .spawn();
    let mut outlet = Outlet::new(handle.clone());
    let parcel = |message| Parcel {
        message,
        expires: None,
        is_ask: false,
    };
    outlet.try_low(parcel(1)).unwrap();
    outlet.try_high(parcel(2)).unwrap();
    assert!(matches!(
        outlet.try_low(parcel(3)),
        Err(SendError::Full(Parcel { message: 3, .. }))
    ));
    assert!(matches!(
        outlet.try_high(parcel(4)),
        Err(SendError::Full(Parcel { message: 4, .. }))
    ));
    poll_fn(|cx| outlet.poll_low_room(cx)).await.unwrap();
    poll_fn(|cx| outlet.poll_high_room(cx)).await.unwrap();
    outlet.try_low(parcel(3)).unwrap();
    outlet.handle().idle().await;
    assert_eq!(handle.stats().messages(), 3);
    child.stop().await;
    assert!(matches!(
        outlet.try_low(parcel(5)),
        Err(SendError::Closed(Parcel { message: 5, .. }))
    ));
    assert!(poll_fn(|cx| outlet.poll_high_room(cx)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn message_that_expired_on_the_way_is_counted_by_its_actor() {
    let (handle, _child) = spawn(Sink::<(), u64>::new());
    let mut outlet = Outlet::new(handle.clone());
    let expires = Some(Instant::now());
    tokio::time::advance(SECOND).await;
    let parcel = Parcel {
        message: 1,
        expires,
        is_ask: false,
    };
    outlet.try_low(parcel).unwrap();
    handle.idle().await;
    let stats = handle.stats();
    assert_eq!((stats.low, stats.expired), (0, 1));
}
