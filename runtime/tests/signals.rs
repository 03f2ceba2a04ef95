//! A system that ends by a signal to its process. A binary of its own: a signal reaches the whole
//! process.
#![cfg(unix)]

mod common;

use std::process::Command;

use common::{Control, Log, SECOND, Worker};
use lanemesh_runtime::{
    System, builder,
    shutdown::{Signal, Signals},
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::test]
async fn ctrl_c_and_sigterm_drain_the_system() {
    let pid = std::process::id().to_string();
    let signals = [
        ("-INT", SignalKind::interrupt(), Signal::Interrupt),
        ("-TERM", SignalKind::terminate(), Signal::Terminate),
    ];
    // It has handlers of its own, and keeps what comes while nobody waits.
    let mut kept = Signals::new().unwrap();
    for (name, kind, expected) in signals {
        let log = Log::default();
        let system = System::new("s");
        let (mut handle, child) = system.spawn(builder(Worker::factory("w", &log)));
        child.detach();
        let (open, gate) = tokio::sync::oneshot::channel();
        handle.send_high(Control::Block(gate)).await.unwrap();
        for _ in 0..10 {
            handle.send_low(1).await.unwrap();
        }
        let mut same = signal(kind).unwrap();
        let signalled = async {
            let status = Command::new("kill").args([name, &pid]).status().unwrap();
            assert!(status.success());
            // Both receive it at the same time, and the system is polled first: the worker continues
            // only when it has been asked to end.
            same.recv().await.unwrap();
            open.send(()).unwrap();
        };
        // The first poll of the first one installs the signal handlers.
        let (ended, ()) = tokio::join!(biased; system.run_until_signal(60 * SECOND), signalled);
        let (heard, report) = ended.unwrap();
        assert_eq!(heard, Some(expected));
        assert_eq!(kept.received().await.unwrap(), expected);
        assert!(report.is_clean(), "{report}");
        assert_eq!(handle.stats().low, 10); // queued messages were handled
        assert_eq!(log.take(), ["w started", "w stopped: stopped"]);
    }
}
