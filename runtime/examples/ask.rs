//! Asks with timeouts: every way of getting no answer has its own error.

use std::time::Duration;

use lanemesh_runtime::{
    ActorResult, AskError, Context, Handler, Overflow, Reply, Restart, builder,
    supervision::{Backoff, Strategy, Supervision},
};

struct Oracle {
    kept: Vec<Reply<u32>>,
}

enum Question {
    Square(u32, Reply<u32>),
    Never(Reply<u32>),
    Panic(Reply<u32>),
}

impl Handler for Oracle {
    type Msg = Question;

    async fn handle(&mut self, question: Question, _: &mut Context<Self>) -> ActorResult {
        match question {
            Question::Square(number, reply) => drop(reply.send(number * number)),
            Question::Never(reply) => self.kept.push(reply),
            Question::Panic(_reply) => panic!("not that one"),
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::panic::set_hook(Box::new(|_| {})); // one panic is intended
    let (mut oracle, child) = builder(|| Oracle { kept: Vec::new() })
        .low_capacity(1)
        .restart(Restart::Permanent)
        .supervision(Supervision::new(Strategy::OneForOne).backoff(Backoff::none()))
        .spawn();
    let second = Duration::from_secs(1);
    let short = Duration::from_millis(20);

    let answer = oracle
        .ask(|reply| Question::Square(12, reply), second)
        .await;
    println!("12 squared: {answer:?}");
    assert_eq!(answer, Ok(144));

    let answer = oracle.ask(Question::Never, short).await;
    println!("kept forever: {answer:?}");
    assert_eq!(answer, Err(AskError::Timeout));

    let answer = oracle.ask(Question::Panic, second).await;
    println!("crashed: {answer:?}");
    assert_eq!(answer, Err(AskError::Crashed));

    let answer = oracle.ask(|reply| Question::Square(3, reply), second).await;
    println!("the next incarnation, by the same handle: {answer:?}");
    assert_eq!(answer, Ok(9));

    // The lane has room for one message, and the oracle does not run before the ask.
    let mut hasty = oracle.clone();
    hasty.set_low_overflow(Overflow::Reject);
    let (reply, _nobody_listens) = Reply::pair();
    hasty.try_tell(Question::Square(1, reply))?;
    let answer = hasty.ask(|reply| Question::Square(2, reply), second).await;
    println!("no room: {answer:?}");
    assert_eq!(answer, Err(AskError::Full));

    child.stop().await;
    let answer = oracle.ask(|reply| Question::Square(2, reply), second).await;
    println!("ended: {answer:?}");
    assert_eq!(answer, Err(AskError::Closed));
    Ok(())
}
