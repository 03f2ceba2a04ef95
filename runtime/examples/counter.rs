//! A counter, as the quick start of airssys-rt has it: increments are told, the count is asked for.

use std::time::Duration;

use lanemesh_runtime::{ActorResult, Context, Handler, Reply, spawn};

enum CounterMsg {
    Increment,
    GetCount(Reply<u64>),
}

struct Counter {
    count: u64,
}

impl Handler for Counter {
    type Msg = CounterMsg;

    async fn handle(&mut self, msg: CounterMsg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            CounterMsg::Increment => {
                self.count += 1;
                println!("Count: {}", self.count);
            }
            CounterMsg::GetCount(reply) => drop(reply.send(self.count)),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut counter, _child) = spawn(Counter { count: 0 });
    counter.tell(CounterMsg::Increment).await?;
    let count = counter.ask(CounterMsg::GetCount, Duration::from_secs(1));
    assert_eq!(count.await?, 1);
    Ok(())
}
