//! A conversation: requests are forwarded to participants, and a crash releases waiting callers.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorResult, Context, CrashPolicy, Restart, System, builder,
    patterns::{Conversation, ConversationError, ConversationHandle, ConversationMode, Request},
    supervision::{Backoff, Strategy, Supervision},
};

/// Translates, but panics at a certain word.
struct Translator {
    name: &'static str,
    unbearable: &'static str,
}

type Question = Request<String, String>;

impl Actor for Translator {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Question;

    async fn on_low(&mut self, question: Question, _: &mut Context<Self>) -> ActorResult {
        let word = question.body();
        assert_ne!(word, self.unbearable);
        let answer = format!("{}: {}", self.name, word.chars().rev().collect::<String>());
        question.answer(answer);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::panic::set_hook(Box::new(|_| {})); // these panics are intended
    let rules = Supervision::new(Strategy::OneForOne).backoff(Backoff::none());
    let system = System::supervised("translations", rules);
    let translator = |name, unbearable| {
        builder(move || Translator { name, unbearable })
            .name(name)
            .restart(Restart::Permanent)
    };
    let (anna, _anna_child) = system.spawn(translator("anna", "war"));
    let (bert, _bert_child) = system.spawn(translator("bert", "tax"));

    // The conversation is an actor of its own, supervised like the others.
    let description = Conversation::builder()
        .participant(&anna, CrashPolicy::RouteToNext)
        .participant(&bert, CrashPolicy::Compensate)
        .compensate(|word, _| Some(format!("nobody: {word}")))
        .timeout(Duration::from_secs(5))
        .mode(ConversationMode::Persistent)
        .actor()
        .name("conversation")
        .restart(Restart::Transient);
    let (talk, _talk_child) = system.spawn(description);
    let mut talk = ConversationHandle::new(talk);
    let second = Duration::from_secs(1);

    talk.send("drawer".into()).await?;
    let reply = talk.receive(second).await?;
    println!("forwarded and answered: {reply}");
    assert_eq!(reply, "anna: reward");

    // Anna crashes while handling it, so it goes to Bert.
    let reply = talk.request("war".into(), second).await?;
    println!("routed to the next participant: {reply}");
    assert_eq!(reply, "bert: raw");

    // Bert crashes too while a receive waits, in a conversation whose policy is to fail.
    let (mut strict, _strict_child) = Conversation::builder()
        .participant(&bert, CrashPolicy::Fail)
        .spawn();
    let hour = Duration::from_secs(3600);
    let mut waiting = strict.clone();
    let receive = tokio::spawn(async move { waiting.receive(hour).await });
    while strict.state(second).await?.waiting == 0 {}
    strict.send("tax".into()).await?;
    let outcome = receive.await?;
    println!("released by the crash, not after an hour: {outcome:?}");
    assert_eq!(
        outcome,
        Err(ConversationError::ParticipantCrashed(bert.id()))
    );

    // Anna has restarted with her mailbox: the first conversation continues.
    let reply = talk.request("live".into(), second).await?;
    assert_eq!(reply, "anna: evil");
    println!("{}", system.tree());
    assert!(system.shutdown(second).await.is_clean());
    Ok(())
}
