//! Questions: their errors, and the timer that consecutive ones share.

use std::{
    sync::Arc,
    task::{Context as TaskContext, Poll, Wake},
    time::Duration,
};

use lanemesh_runtime::{
    AskError, Overflow, Reply, builder,
    testing::{Probed, probe},
};
use tokio::{
    runtime::Builder,
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};

use crate::common::{Control, Log, SECOND, Worker};

#[tokio::test(start_paused = true)]
async fn the_four_errors_of_a_question() {
    let log = Log::default();
    let (mut handle, child) = builder(Worker::factory("w", &log)).high_capacity(1).spawn();
    let (open, gate) = oneshot::channel();
    handle.send_high(Control::Block(gate)).await.unwrap();
    tokio::task::yield_now().await; // one thread: now it is blocked at the gate

    // Timeout: the actor does not handle it.
    assert_eq!(
        handle.clone().ask(Control::Sum, SECOND).await,
        Err(AskError::Timeout)
    );
    // Full: at once under reject, after the timeout under wait.
    let mut full = handle.clone();
    full.try_send_high(Control::Fail).unwrap(); // never handled
    full.set_high_overflow(Overflow::Reject);
    assert_eq!(full.ask(Control::Sum, SECOND).await, Err(AskError::Full));
    full.set_high_overflow(Overflow::Wait);
    assert_eq!(full.ask(Control::Sum, SECOND).await, Err(AskError::Full));
    // Closed: the actor ends before it handles the ask.
    let mut last = handle.clone();
    let asked = tokio::spawn(async move { last.ask(Control::Sum, SECOND).await });
    tokio::task::yield_now().await;
    handle.stop();
    open.send(()).unwrap();
    child.await;
    assert_eq!(asked.await.unwrap(), Err(AskError::Closed));
    assert_eq!(
        handle.ask(Control::Sum, SECOND).await,
        Err(AskError::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn each_question_of_a_task_times_out_at_its_own_deadline() {
    let (mut handle, mut probe, _child) = probe::<Reply<u32>, u32>();
    let (mut kept, mut questions) = (Vec::new(), Vec::new());
    // Whether it is answered, its timeout, and how long the task then does something else.
    for answered in [true, false] {
        for timeout in [60, 1, 5] {
            for pause in [0, 3, 90] {
                questions.push((answered, timeout * SECOND, pause * SECOND));
            }
        }
    }
    let mut all = Vec::new();
    for before in &questions {
        for after in &questions {
            all.extend([*before, *after]);
        }
    }
    for (answered, timeout, pause) in all {
        let begin = Instant::now();
        let answer = async {
            let asked = probe.expect(SECOND).await;
            let Ok(Probed::High(reply)) = asked else {
                panic!("no question has come");
            };
            match answered {
                true => reply.send(7).unwrap(),
                false => kept.push(reply),
            }
        };
        let (outcome, ()) = tokio::join!(handle.ask(|reply| reply, timeout), answer);
        let expected = if answered {
            Ok(7)
        } else {
            Err(AskError::Timeout)
        };
        assert_eq!(outcome, expected);
        let waited = if answered { Duration::ZERO } else { timeout };
        // The timer's own granularity is a millisecond.
        let tick = Duration::from_millis(2);
        assert!(begin.elapsed() >= waited && begin.elapsed() <= waited + tick);
        tokio::time::sleep(pause).await;
    }
}

/// A task within a task, as a `FuturesUnordered` makes them: its waker wakes the outer one.
#[derive(Default)]
struct Inner(Notify);

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[test]
fn question_times_out_in_whichever_runtime_and_with_whichever_waker_it_is_asked() {
    let runtime = || {
        let mut runtime = Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap()
    };
    let (home, away) = (runtime(), [runtime(), runtime()]);
    let (mut handle, probe, child) = {
        let _entered = home.enter();
        probe::<Reply<u32>, u32>()
    };
    let wakers = [(); 2].map(|()| Arc::new(Inner::default()));
    // In some turns only the runtime is another one, in some only the waker.
    for (turn, (runtime, waker)) in [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
        .into_iter()
        .enumerate()
    {
        let (runtime, inner) = (&away[runtime], &wakers[waker]);
        // Long enough that the timer of the turn before would do, by the clock of any runtime.
        let long = 100 * SECOND * 2u32.pow(turn as u32);
        runtime.block_on(async {
            let waker = inner.clone().into();
            let mut cx = TaskContext::from_waker(&waker);
            let mut asked = Box::pin(handle.ask(|reply| reply, long));
            let outcome = timeout(3600 * SECOND, async {
                loop {
                    if let Poll::Ready(outcome) = asked.as_mut().poll(&mut cx) {
                        return outcome;
                    }
                    inner.0.notified().await;
                }
            });
            assert_eq!(outcome.await, Ok(Err(AskError::Timeout)), "turn {turn}");
            drop(asked);
            // The timer of one that is given up runs on into the next turn.
            let mut left = Box::pin(handle.ask(|reply| reply, SECOND));
            assert!(left.as_mut().poll(&mut cx).is_pending());
        });
    }
    drop((probe, child));
}
