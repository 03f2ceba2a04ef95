//! Conversations: room, time-outs, inert participants, and what outlives a restart.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorError, ActorHandle, ActorResult, Builder, Child, Context, CrashPolicy, ExitReason,
    Overflow, Restart, builder,
    patterns::{
        Conversation, ConversationBuilder, ConversationError, ConversationHandle, ConversationMode,
        Request,
    },
    spawn,
    supervision::{Backoff, Supervision},
    testing::Sink,
};
use tokio::{sync::oneshot, time::Instant};

use crate::common::{Counted, Ledger, SECOND, hush};

const HOUR: Duration = Duration::from_secs(3600);

type Ask = Request<u32, u32>;

/// Numbers at which [`Participant`] keeps the request, panics, or drops it.
const KEPT: u32 = 0;
const POISON: u32 = 13;

/// Answers twice the number.
struct Participant {
    kept: Vec<Ask>,
}

enum Order {
    Block(oneshot::Receiver<()>),
    /// Answers what it has kept.
    Answer,
    Fail,
}

impl Actor for Participant {
    type HighPriorityMsg = Order;
    type LowPriorityMsg = Ask;

    async fn on_high(&mut self, order: Order, _: &mut Context<Self>) -> ActorResult {
        match order {
            Order::Block(gate) => drop(gate.await),
            Order::Answer => self.kept.drain(..).for_each(|ask| ask.answer(1_000)),
            Order::Fail => return Err(ActorError::msg("told to fail")),
        }
        Ok(())
    }

    async fn on_low(&mut self, ask: Ask, _: &mut Context<Self>) -> ActorResult {
        match *ask.body() {
            KEPT => self.kept.push(ask),
            POISON => panic!("provoked"),
            number => ask.answer(2 * number),
        }
        Ok(())
    }
}

fn rules() -> Supervision {
    Supervision::default()
        .intensity(100, SECOND)
        .backoff(Backoff::none())
}

fn participant() -> Builder<Participant> {
    builder(|| Participant { kept: Vec::new() })
        .restart(Restart::Permanent)
        .supervision(rules())
}

/// A participant with a lane of `capacity` that handles nothing until the sender is used.
async fn blocked(capacity: usize) -> (ActorHandle<Participant>, oneshot::Sender<()>, Child) {
    let (mut handle, child) = participant().low_capacity(capacity).spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Order::Block(gate)).await.unwrap();
    while handle.stats().depth > 0 {
        tokio::task::yield_now().await;
    }
    (handle, open, child)
}

fn restarting(talk: ConversationBuilder<u32, u32>) -> (ConversationHandle<u32, u32>, Child) {
    let (talk, child) = talk
        .actor()
        .restart(Restart::Transient)
        .supervision(rules())
        .spawn();
    (ConversationHandle::new(talk), child)
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_room_at_their_participant() {
    for policy in [
        CrashPolicy::Fail,
        CrashPolicy::RouteToNext,
        CrashPolicy::Compensate,
    ] {
        let (first, open, _child) = blocked(2).await;
        let (talk, child) = Conversation::builder().participant(&first, policy).spawn();
        let asks: Vec<_> = (101..=150)
            .map(|number| {
                let mut talk = talk.clone();
                tokio::spawn(async move { talk.request(number, HOUR).await })
            })
            .collect();
        let mut sender = talk.clone();
        for number in 151..=160 {
            sender.send(number).await.unwrap();
        }
        talk.actor().idle().await;
        assert_eq!(sender.state(SECOND).await.unwrap().pending, 60);
        open.send(()).unwrap();
        for (ask, number) in asks.into_iter().zip(101..) {
            assert_eq!(ask.await.unwrap(), Ok(2 * number));
        }
        for number in 151..=160 {
            assert_eq!(sender.receive(HOUR).await, Ok(2 * number)); // in order
        }
        assert_eq!(sender.state(SECOND).await.unwrap().pending, 0);
        child.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn full_participant_is_passed_over_if_its_policy_says_so() {
    let (first, open, _first) = blocked(2).await;
    let (second, _second) = participant().spawn();
    let (mut talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .participant(&second, CrashPolicy::RouteToNext)
        .spawn();
    for number in 1..=6 {
        talk.send(number).await.unwrap();
    }
    // Two wait in the lane of the first.
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(talk.receive(HOUR).await.unwrap());
    }
    assert_eq!(answers, [6, 8, 10, 12]);
    open.send(()).unwrap();
    assert_eq!(talk.receive(HOUR).await, Ok(2));
    assert_eq!(talk.receive(HOUR).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn senders_wait_at_a_conversation_that_holds_enough() {
    let (mut first, _first) = participant().spawn();
    let (talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .max_pending(3)
        .actor()
        .low_capacity(2)
        .spawn();
    let mut talk = ConversationHandle::new(talk);
    let mut other = talk.clone();
    let sends = tokio::spawn(async move {
        for _ in 0..7 {
            other.send(KEPT).await.unwrap();
        }
    });
    tokio::time::sleep(SECOND).await;
    let state = talk.state(SECOND).await.unwrap();
    assert_eq!(
        (state.pending, state.replies, sends.is_finished()),
        (3, 0, false)
    );
    // Answers that nobody has received take their places.
    first.send_high(Order::Answer).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let state = talk.state(SECOND).await.unwrap();
    assert_eq!(
        (state.pending, state.replies, sends.is_finished()),
        (0, 3, false)
    );
    let mut received = 0;
    while received < 7 {
        match talk.receive(SECOND).await {
            Ok(answer) => received += usize::from(answer == 1_000),
            Err(_) => drop(first.send_high(Order::Answer).await.unwrap()),
        }
    }
    sends.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refused_request_returns_or_is_busy() {
    let (first, _open, _first) = blocked(1).await;
    let (talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::Fail)
        .max_pending(1)
        .actor()
        .low_capacity(1)
        .low_overflow(Overflow::Reject)
        .spawn();
    let mut talk = ConversationHandle::new(talk);
    talk.send(1).await.unwrap();
    talk.state(SECOND).await.unwrap();
    talk.send(2).await.unwrap();
    assert_eq!(talk.send(3).await.unwrap_err().into_inner(), 3);
    let refused = talk.request(4, SECOND).await;
    assert_eq!(refused, Err(ConversationError::Busy));
}

#[tokio::test(start_paused = true)]
async fn request_times_out_and_its_late_answer_is_dropped() {
    let (mut first, _first) = participant().spawn();
    let (mut talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::Fail)
        .timeout(5 * SECOND)
        .max_pending(2)
        .spawn();
    let begun = Instant::now();
    talk.send(KEPT).await.unwrap();
    assert_eq!(talk.receive(HOUR).await, Err(ConversationError::Timeout));
    assert_eq!(
        talk.request(KEPT, HOUR).await,
        Err(ConversationError::Timeout)
    );
    assert_eq!(begun.elapsed(), 10 * SECOND);
    // The caller's own time-out is shorter; its place is free then.
    assert_eq!(
        talk.request(KEPT, SECOND).await,
        Err(ConversationError::Timeout)
    );
    assert_eq!(begun.elapsed(), 11 * SECOND);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(talk.state(SECOND).await.unwrap().pending, 0);
    first.send_high(Order::Answer).await.unwrap();
    first.idle().await;
    assert_eq!(talk.request(4, HOUR).await, Ok(8));
    let state = talk.state(SECOND).await.unwrap();
    assert_eq!((state.pending, state.replies), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn request_that_waits_for_room_times_out() {
    let (first, open, _first) = blocked(1).await;
    let (mut talk, _child) = Conversation::builder()
        .participant(&first, CrashPolicy::Fail)
        .spawn();
    talk.send(1).await.unwrap();
    assert_eq!(
        talk.request(2, SECOND).await,
        Err(ConversationError::Timeout)
    );
    open.send(()).unwrap();
    assert_eq!(talk.request(3, SECOND).await, Ok(6));
    assert_eq!(talk.receive(SECOND).await, Ok(2));
    first.idle().await;
    assert_eq!(
        first.stats().low,
        2,
        "the request in between was not forwarded"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_participant_that_ends() {
    for policy in [CrashPolicy::RouteToNext, CrashPolicy::Compensate] {
        let (first, _open, first_child) = blocked(1).await;
        let (mut talk, _child) = Conversation::builder()
            .participant(&first, policy)
            .compensate(|_, _| None)
            .spawn();
        for number in 1..=3 {
            talk.send(number).await.unwrap();
        }
        talk.state(SECOND).await.unwrap();
        first_child.stop_within(Duration::ZERO).await;
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            outcomes.push(talk.receive(HOUR).await.unwrap_err());
        }
        let gone = ConversationError::NoParticipant;
        let crashed = ConversationError::ParticipantCrashed(first.id());
        assert!(outcomes.iter().all(|error| [gone, crashed].contains(error)));
        assert!(outcomes.contains(&gone));
        assert_eq!(talk.state(SECOND).await.unwrap().pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn inert_participant_gets_no_requests_and_may_fail_the_conversation() {
    for policy in [CrashPolicy::Fail, CrashPolicy::Compensate] {
        let (first, _first) = participant().spawn();
        let (mut witness, _witness) = participant().restart(Restart::Temporary).spawn();
        let (other, other_child) = spawn(Sink::<(), ()>::new());
        let (mut talk, child) = Conversation::builder()
            .inert(&witness, policy)
            .inert(&other, policy)
            .participant(&first, CrashPolicy::RouteToNext)
            .spawn();
        assert_eq!(talk.request(1, HOUR).await, Ok(2));
        assert_eq!(witness.stats().low, 0);
        // A stop is no failure.
        other_child.stop().await;
        let state = talk.state(SECOND).await.unwrap();
        assert_eq!((state.participants, state.inert), (1, 1));
        let mut receiver = talk.clone();
        let receive = tokio::spawn(async move { receiver.receive(HOUR).await });
        while talk.state(SECOND).await.unwrap().waiting == 0 {}
        witness.send_high(Order::Fail).await.unwrap();
        if policy == CrashPolicy::Fail {
            let crashed = ConversationError::ParticipantCrashed(witness.id());
            assert_eq!(receive.await.unwrap(), Err(crashed));
            assert!(matches!(child.await, ExitReason::Failed(_)));
        } else {
            witness.monitor().await;
            talk.send(3).await.unwrap();
            assert_eq!(receive.await.unwrap(), Ok(6));
            assert_eq!(talk.state(SECOND).await.unwrap().inert, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn restart_of_the_conversation_keeps_or_ends_what_waits() {
    hush();
    for mode in [ConversationMode::Ephemeral, ConversationMode::Persistent] {
        let (mut first, _first) = participant().spawn();
        let (second, _second) = participant().spawn();
        let talk = Conversation::builder()
            .participant(&first, CrashPolicy::Compensate)
            .participant(&second, CrashPolicy::Fail)
            .compensate(|_, _| panic!("provoked"))
            .mode(mode);
        let (mut talk, child) = restarting(talk);
        let mut asker = talk.clone();
        let asks = tokio::spawn(async move { asker.request(KEPT, HOUR).await });
        let mut receiver = talk.clone();
        let receives = tokio::spawn(async move { receiver.receive(HOUR).await });
        while talk.state(SECOND).await.unwrap().pending == 0 {}
        while talk.state(SECOND).await.unwrap().waiting == 0 {}
        // The participant crashes, and then the conversation, in the compensation.
        let poisoned = talk.request(POISON, HOUR).await;
        let crashed = ConversationError::ParticipantCrashed(first.id());
        talk.actor().idle().await;
        assert!(talk.actor().incarnation() > 1);
        if mode == ConversationMode::Persistent {
            // Both its requests were dropped by the crash of the participant.
            assert_eq!(poisoned, Err(crashed));
            assert_eq!(asks.await.unwrap(), Err(crashed));
            assert_eq!(talk.state(SECOND).await.unwrap().waiting, 1);
            talk.send(2).await.unwrap();
            assert_eq!(receives.await.unwrap(), Ok(4));
        } else {
            assert_eq!(poisoned, Err(ConversationError::Closed));
            assert_eq!(asks.await.unwrap(), Err(ConversationError::Closed));
            assert_eq!(receives.await.unwrap(), Err(ConversationError::Closed));
        }
        first.send_high(Order::Answer).await.unwrap();
        assert_eq!(talk.request(5, HOUR).await, Ok(10));
        assert!(matches!(child.stop().await, ExitReason::Stopped));
        assert_eq!(talk.request(5, HOUR).await, Err(ConversationError::Closed));
    }
}

/// Panics when it is cloned for the first time, if it says so.
struct Fuse(bool);

impl Clone for Fuse {
    fn clone(&self) -> Self {
        assert!(!self.0, "provoked");
        Self(false)
    }
}

/// Keeps all requests.
struct Keeper(Vec<Request<Fuse, u32>>);

impl Actor for Keeper {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Request<Fuse, u32>;

    async fn on_high(&mut self, (): (), _: &mut Context<Self>) -> ActorResult {
        self.0.drain(..).for_each(|ask| ask.answer(7));
        Ok(())
    }

    async fn on_low(&mut self, ask: Request<Fuse, u32>, _: &mut Context<Self>) -> ActorResult {
        self.0.push(ask);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn answer_to_a_request_from_before_a_restart() {
    hush();
    for mode in [ConversationMode::Ephemeral, ConversationMode::Persistent] {
        let (mut keeper, _keeper) = spawn(Keeper(Vec::new()));
        let (talk, _child) = Conversation::builder()
            .participant(&keeper, CrashPolicy::RouteToNext)
            .mode(mode)
            .actor()
            .restart(Restart::Transient)
            .supervision(rules())
            .spawn();
        let mut talk = ConversationHandle::new(talk);
        let mut asker = talk.clone();
        let asks = tokio::spawn(async move { asker.request(Fuse(false), HOUR).await });
        talk.send(Fuse(false)).await.unwrap();
        while talk.state(SECOND).await.unwrap().pending < 2 {}
        let blown = talk.request(Fuse(true), HOUR).await;
        keeper.send_high(()).await.unwrap();
        let (asked, received) = (asks.await.unwrap(), talk.receive(SECOND).await);
        assert_eq!(talk.actor().incarnation(), 2);
        if mode == ConversationMode::Persistent {
            let crashed = ConversationError::ParticipantCrashed(keeper.id());
            assert_eq!((blown, asked, received), (Err(crashed), Ok(7), Ok(7)));
        } else {
            let closed = Err(ConversationError::Closed);
            let late = Err(ConversationError::Timeout);
            assert_eq!((blown, asked, received), (closed, closed, late));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_the_conversation_releases_everyone() {
    for mode in [ConversationMode::Ephemeral, ConversationMode::Persistent] {
        for how in 0..3 {
            let (first, _first) = participant().spawn();
            let talk = Conversation::builder()
                .participant(&first, CrashPolicy::RouteToNext)
                .max_pending(1)
                .mode(mode);
            let (mut talk, child) = restarting(talk);
            let asks: Vec<_> = (0..4)
                .map(|_| {
                    let mut asker = talk.clone();
                    tokio::spawn(async move { asker.request(KEPT, HOUR).await })
                })
                .collect();
            let mut receiver = talk.clone();
            let receives = tokio::spawn(async move { receiver.receive(HOUR).await });
            while talk.state(SECOND).await.unwrap().waiting == 0 {}
            let begun = Instant::now();
            match how {
                0 => drop(child.stop().await),
                1 => drop(child.drain().await),
                _ => drop(child.stop_within(Duration::ZERO).await),
            }
            let closed = Err(ConversationError::Closed);
            for ask in asks {
                assert_eq!(ask.await.unwrap(), closed);
            }
            assert_eq!(receives.await.unwrap(), closed);
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
    }
}

/// Answers every second request, and drops the others.
struct Moody(u64);

impl Actor for Moody {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Request<Counted, Counted>;

    async fn on_low(
        &mut self,
        ask: Request<Counted, Counted>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        self.0 += 1;
        if self.0.is_multiple_of(2) {
            let answer = ask.body().clone();
            ask.answer(answer);
        }
        if self.0.is_multiple_of(7) {
            return Err(ActorError::msg("told to fail"));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_has_one_outcome_and_nothing_is_left() {
    let ledger = Ledger::default();
    let moody = || {
        builder(|| Moody(0))
            .low_capacity(2)
            .restart(Restart::Permanent)
            .supervision(rules())
            .spawn()
    };
    let (first, first_child) = moody();
    let (second, second_child) = moody();
    let (talk, child) = Conversation::builder()
        .participant(&first, CrashPolicy::RouteToNext)
        .participant(&second, CrashPolicy::Compensate)
        .compensate(|body: &Counted, _| body.number.is_multiple_of(3).then(|| body.clone()))
        .max_pending(8)
        .spawn();
    let asks: Vec<_> = (0..100)
        .map(|number| {
            let (mut talk, body) = (talk.clone(), ledger.value(number));
            tokio::spawn(async move { (number, talk.request(body, HOUR).await) })
        })
        .collect();
    let mut outcomes = [0, 0];
    for ask in asks {
        let (number, outcome) = ask.await.unwrap();
        match outcome {
            Ok(answer) => assert_eq!(answer.number, number),
            Err(ConversationError::ParticipantCrashed(id)) => assert_eq!(id, second.id()),
            Err(error) => panic!("{error}"),
        }
        outcomes[usize::from(number.is_multiple_of(3))] += 1;
    }
    assert_eq!(outcomes, [66, 34]);
    child.stop().await;
    first_child.stop().await;
    second_child.stop().await;
    drop((talk, first, second));
    assert!(ledger.all_dropped_once() >= 200);
}
