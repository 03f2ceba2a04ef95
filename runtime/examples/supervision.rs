//! The three strategies, with a child that panics, and the order of the restarts that follows.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, ExitReason, Reply, Restart, builder, spawn,
    supervision::{Backoff, Strategy, Supervision},
};

type Log = Arc<Mutex<Vec<String>>>;

struct Worker {
    name: &'static str,
    log: Log,
}

enum Order {
    Panic,
}

impl Actor for Worker {
    type HighPriorityMsg = Order;
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if ctx.incarnation() > 1 {
            self.log.lock().unwrap().push(format!("+{}", self.name));
        }
        Ok(())
    }

    async fn on_high(&mut self, msg: Order, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Order::Panic => panic!("worker {} was told to panic", self.name),
        }
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        self.log.lock().unwrap().push(format!("-{}", self.name));
        Ok(())
    }
}

/// Supervises workers a, b and c.
struct Supervisor {
    strategy: Strategy,
    log: Log,
    workers: Vec<(ActorHandle<Worker>, Child)>,
}

impl Actor for Supervisor {
    type HighPriorityMsg = Reply<ActorHandle<Worker>>;
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        ctx.supervise(
            Supervision::new(self.strategy)
                .intensity(3, Duration::from_secs(5))
                .backoff(Backoff::none()),
        );
        for name in ["a", "b", "c"] {
            let log = self.log.clone();
            let worker = builder(move || Worker {
                name,
                log: log.clone(),
            })
            .name(name)
            .restart(Restart::Permanent);
            self.workers.push(ctx.spawn(worker));
        }
        Ok(())
    }

    async fn on_high(
        &mut self,
        second: Reply<ActorHandle<Worker>>,
        _: &mut Context<Self>,
    ) -> ActorResult {
        let _ = second.send(self.workers[1].0.clone()); // the asker may be gone
        Ok(())
    }
}

async fn show(strategy: Strategy, restarted: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let log = Log::default();
    let supervisor = Supervisor {
        strategy,
        log: log.clone(),
        workers: Vec::new(),
    };
    let (mut handle, child) = spawn(supervisor);
    let mut second = handle.ask(|reply| reply, Duration::from_secs(1)).await?;
    second.send_high(Order::Panic).await?;
    // Wait for the last event that is expected in the log.
    while log.lock().unwrap().len() < restarted.len() {
        tokio::task::yield_now().await;
    }
    let order = log.lock().unwrap().clone();
    println!("{strategy:?}: b panics: {}", order.join(" "));
    assert_eq!(order, restarted);
    assert!(matches!(child.stop().await, ExitReason::Stopped));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::panic::set_hook(Box::new(|_| {})); // these panics are intended
    show(Strategy::OneForOne, &["-b", "+b"]).await?;
    show(Strategy::OneForAll, &["-b", "-c", "-a", "+a", "+b", "+c"]).await?;
    show(Strategy::RestForOne, &["-b", "-c", "+b", "+c"]).await?;
    Ok(())
}
