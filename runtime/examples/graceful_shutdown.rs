//! A three-level tree that stops on ctrl-c or SIGTERM: children before parents, by one deadline.
//!
//! With `--wait` it runs until it gets a signal. Otherwise it sends itself SIGINT, as ctrl-c does.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Child, Context, ExitNotice, ExitReason, System, builder,
    shutdown::Signal,
};

type Log = Arc<Mutex<Vec<String>>>;

/// A node with two children, down to the third level.
struct Node {
    name: String,
    level: u32,
    log: Log,
    children: Vec<(ActorHandle<Node>, Child)>,
}

impl Node {
    fn new(name: String, level: u32, log: Log) -> Self {
        Self {
            name,
            level,
            log,
            children: Vec::new(),
        }
    }
}

impl Actor for Node {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, ctx: &mut Context<Self>) -> ActorResult {
        if self.level == 3 {
            return Ok(());
        }
        for number in 1..=2 {
            let name = format!("{}.{number}", self.name);
            let (log, level) = (self.log.clone(), self.level + 1);
            let node = {
                let name = name.clone();
                builder(move || Node::new(name.clone(), level, log.clone()))
            };
            self.children.push(ctx.spawn(node.name(name)));
        }
        Ok(())
    }

    async fn on_child_exit(&mut self, notice: ExitNotice, _: &mut Context<Self>) -> ActorResult {
        assert!(matches!(notice.reason, ExitReason::Stopped));
        Ok(())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) -> ActorResult {
        // Clean-up that awaits, as closing a connection would.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.log.lock().unwrap().push(self.name.clone());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = Log::default();
    let system = System::new("server");
    let root = Node::new("1".into(), 1, log.clone());
    let (handle, child) = system.spawn(root);
    handle.idle().await;
    child.detach(); // the system owns it
    while system.tree().len() < 8 {
        tokio::task::yield_now().await;
    }
    println!("{}", system.tree());

    let waits = std::env::args().any(|argument| argument == "--wait");
    let pid = std::process::id().to_string();
    let interrupt = async {
        if waits {
            println!("ctrl-c, or kill {pid}");
        } else {
            let status = Command::new("kill").args(["-INT", &pid]).status()?;
            assert!(status.success(), "kill: {status}");
        }
        std::future::pending::<std::io::Result<_>>().await
    };
    let (signal, report) = tokio::select! {
        biased; // the first poll installs the signal handlers
        ended = system.run_until_signal(Duration::from_secs(10)) => ended?,
        failed = interrupt => failed?,
    };
    println!("{signal:?}: {report}");
    assert!(waits || signal == Some(Signal::Interrupt));
    let order = log.lock().unwrap().clone();
    println!("order: {}", order.join(" "));
    assert_eq!(order.len(), 7);
    // Siblings clean up side by side, and children before their parents.
    for (index, name) in order.iter().enumerate() {
        if let Some((parent, _)) = name.rsplit_once('.') {
            assert!(order[index..].iter().any(|later| later == parent));
        }
    }
    assert!(report.is_clean());
    Ok(())
}
