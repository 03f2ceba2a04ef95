//! Adding supervision to the counter, as in airssys-rt: at most three restarts a minute, and the
//! count survives them.

use std::time::Duration;

use lanemesh_runtime::{
    ActorError, ActorResult, Context, Handler, Reply, Restart, System, builder,
    crash::{Lease, Persistent},
    supervision::{Strategy, Supervision},
};

enum CounterMsg {
    Increment,
    Crash,
    GetCount(Reply<u64>),
}

struct Counter {
    count: Lease<u64>,
}

impl Handler for Counter {
    type Msg = CounterMsg;

    async fn handle(&mut self, msg: CounterMsg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            CounterMsg::Increment => *self.count += 1,
            CounterMsg::Crash => return Err(ActorError::msg("told to")),
            CounterMsg::GetCount(reply) => drop(reply.send(*self.count)),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = Supervision::new(Strategy::OneForOne).intensity(3, Duration::from_secs(60));
    let supervisor = System::supervised("supervisor", rules);

    let count = Persistent::new(0);
    let counter = builder(move || Counter {
        count: count.lease(),
    });
    let counter = counter.name("counter-1").restart(Restart::Permanent);
    let (mut counter, _child) = supervisor.spawn(counter);

    // The supervisor restarts it; messages sent meanwhile wait in its mailbox.
    counter.tell(CounterMsg::Increment).await?;
    counter.tell(CounterMsg::Crash).await?;
    counter.tell(CounterMsg::Increment).await?;
    let count = counter.ask(CounterMsg::GetCount, Duration::from_secs(5));
    assert_eq!(count.await?, 2);
    assert_eq!(counter.incarnation(), 2);
    Ok(())
}
