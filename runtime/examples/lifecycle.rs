//! System, attach, start, ctrl-c: the three phases of actr-runtime, in two.
//!
//! With `--wait` it runs until ctrl-c. Otherwise the workload sends it SIGINT, as ctrl-c does.

use std::{process::Command, time::Duration};

use lanemesh_runtime::{Actor, ActorResult, Context, System, shutdown::Signal};

#[derive(Default)]
struct MyWorkload;

impl Actor for MyWorkload {
    type HighPriorityMsg = ();
    type LowPriorityMsg = ();

    async fn started(&mut self, _: &mut Context<Self>) -> ActorResult {
        if std::env::args().all(|argument| argument != "--wait") {
            let pid = std::process::id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-INT", &pid])
                    .status()?
                    .success()
            );
        }
        Ok(())
    }
}

// On one thread, the workload starts when the program waits for signals.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("node");
    let (_workload, _child) = system.spawn(MyWorkload);
    let (signal, report) = system.run_until_signal(Duration::from_secs(5)).await?;
    println!("{signal:?}: {report}");
    assert_eq!(signal, Some(Signal::Interrupt));
    assert!(report.is_clean());
    Ok(())
}
