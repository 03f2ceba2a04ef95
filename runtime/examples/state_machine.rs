//! A state machine (`become`, `gen_statem`): the states are an enum, a transition assigns to `self`,
//! messages for a later state are stashed, and what must survive a crash is in a `Persistent`.
//!
//! The connection logs in. Requests that come before that wait. A crash disconnects: the next
//! incarnation starts over with the stashed and the queued requests, and with the number of the last
//! request.

use std::time::Duration;

use lanemesh_runtime::{
    Actor, ActorError, ActorResult, Context, Reply, Restart, System, builder,
    crash::{Lease, Persistent},
    supervision::{Backoff, Strategy, Supervision},
};

enum Msg {
    LoggedIn { user: &'static str },
    Request(Reply<String>),
    Lost,
}

/// The states, each with the data that only it has.
enum State {
    LoggingIn,
    Online { user: &'static str },
}

struct Connection {
    state: State,
    requests: Lease<u32>,
}

impl Actor for Connection {
    type HighPriorityMsg = Msg;
    type LowPriorityMsg = ();

    async fn on_high(&mut self, msg: Msg, ctx: &mut Context<Self>) -> ActorResult {
        match (&self.state, msg) {
            (State::LoggingIn, Msg::LoggedIn { user }) => {
                self.state = State::Online { user };
                ctx.unstash();
            }
            (State::LoggingIn, msg @ Msg::Request(_)) => ctx.stash_high(msg)?,
            (State::Online { user }, Msg::Request(reply)) => {
                *self.requests += 1;
                // The asker may be gone.
                let _ = reply.send(format!("{user} {}", *self.requests));
            }
            (_, Msg::Lost) => return Err(ActorError::msg("the connection is lost")),
            (State::Online { .. }, Msg::LoggedIn { user }) => {
                self.state = State::Online { user };
            }
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = Supervision::new(Strategy::OneForOne).backoff(Backoff::none());
    let system = System::supervised("connections", rules);
    let requests = Persistent::new(0);
    let connection = builder(move || Connection {
        state: State::LoggingIn,
        requests: requests.lease(),
    })
    .restart(Restart::Permanent);
    let (mut connection, _child) = system.spawn(connection.stash_capacity(100));
    let asker = connection.clone();
    let ask = || {
        let mut connection = asker.clone();
        tokio::spawn(async move { connection.ask(Msg::Request, Duration::from_secs(5)).await })
    };

    let early = ask();
    connection.idle().await;
    assert_eq!(connection.stats().depth, 1, "the request is stashed");
    connection.send_high(Msg::LoggedIn { user: "ann" }).await?;
    assert_eq!(early.await??, "ann 1");

    connection.send_high(Msg::Lost).await?;
    let during = ask();
    connection.idle().await;
    connection.send_high(Msg::Lost).await?; // the stash survives this one too
    connection.idle().await;
    connection.send_high(Msg::LoggedIn { user: "bob" }).await?;
    let answer = during.await??;
    println!("{answer}, in incarnation {}", connection.incarnation());
    assert_eq!((answer.as_str(), connection.incarnation()), ("bob 2", 3));
    Ok(())
}
