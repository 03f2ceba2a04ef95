//! The thread that calls Zenoh on behalf of tasks.
//!
//! A call of Zenoh may wait for room in its queues, for seconds if a peer does not read, and some calls must not be
//! made from a runtime with one thread, the drop of a session among them. So no task makes one, and none has a session.

use std::{
    any::Any,
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::oneshot;
use zenoh::{
    Session, Wait,
    qos::{CongestionControl, Priority},
};

/// Answers to strangers that may wait to be sent; more are not given.
const MAX_ANSWERS: usize = 1024;

/// Makes the frame when it is its turn.
type Make = Box<dyn FnOnce() -> Vec<u8> + Send>;

enum Call {
    Publish {
        key: String,
        make: Make,
        is_answer: bool,
    },
    Declare {
        token: u64,
        key: String,
        done: oneshot::Sender<io::Result<()>>,
    },
    Undeclare(u64),
    Run(Box<dyn FnOnce(&Session) + Send>),
}

/// Asks the thread for calls. The thread ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Calls {
    calls: mpsc::Sender<Call>,
    answers: Arc<AtomicUsize>,
    next_token: Arc<AtomicU64>,
}

/// What the thread takes the calls from.
pub(crate) struct Waiting {
    calls: mpsc::Receiver<Call>,
    answers: Arc<AtomicUsize>,
}

/// What has been declared, to be kept as long as the thread runs.
pub(crate) type Declared = Vec<Box<dyn Any + Send>>;

pub(crate) fn calls() -> (Calls, Waiting) {
    let (tx, rx) = mpsc::channel();
    let answers = Arc::new(AtomicUsize::new(0));
    let calls = Calls {
        calls: tx,
        answers: answers.clone(),
        next_token: Arc::default(),
    };
    let waiting = Waiting { calls: rx, answers };
    (calls, waiting)
}

/// Why Zenoh does not do something, as an error of this crate's callers.
pub(crate) fn failed(error: zenoh::Error) -> io::Error {
    io::Error::other(error.to_string())
}

impl Waiting {
    /// Starts the thread, which calls `first` before everything else. Ready when that is done.
    ///
    /// # Errors
    ///
    /// If there can be no thread, and what `first` returns.
    pub(crate) async fn start(
        self,
        session: Session,
        first: impl FnOnce(&Session) -> zenoh::Result<Declared> + Send + 'static,
    ) -> io::Result<()> {
        let (tx, begun) = oneshot::channel();
        let run = move || {
            let declared = match first(&session) {
                Ok(declared) => declared,
                Err(error) => {
                    let _ = tx.send(Err(failed(error)));
                    return;
                }
            };
            if tx.send(Ok(())).is_ok() {
                self.run(&session);
            }
            drop(declared);
        };
        let named = thread::Builder::new().name("lanemesh-zenoh".to_owned());
        named.spawn(run)?;
        let gone = |_| io::Error::other("the thread has panicked");
        begun.await.map_err(gone)?
    }

    fn run(self, session: &Session) {
        let mut tokens = HashMap::new();
        while let Ok(call) = self.calls.recv() {
            match call {
                Call::Publish {
                    key,
                    make,
                    is_answer,
                } => {
                    if is_answer {
                        // ORDERING: Relaxed: it is a limit, and nothing else is read because of it.
                        self.answers.fetch_sub(1, Ordering::Relaxed);
                    }
                    let put = session
                        .put(key, make())
                        .congestion_control(CongestionControl::Block)
                        .priority(Priority::InteractiveHigh)
                        .express(true);
                    if let Err(error) = put.wait() {
                        tracing::warn!(%error, "a frame was not published");
                    }
                }
                Call::Declare { token, key, done } => {
                    let declared = session.liveliness().declare_token(key).wait();
                    let declared = declared.map(|declared| {
                        tokens.insert(token, declared);
                    });
                    // Whoever has asked may have gone; the guard's drop comes next.
                    let _ = done.send(declared.map_err(failed));
                }
                Call::Undeclare(token) => drop(tokens.remove(&token)),
                Call::Run(run) => run(session),
            }
        }
    }
}

impl Calls {
    /// Publishes the frame that `make` returns, ahead of data.
    pub(crate) fn publish(&self, key: String, make: impl FnOnce() -> Vec<u8> + Send + 'static) {
        self.call(Call::Publish {
            key,
            make: Box::new(make),
            is_answer: false,
        });
    }

    /// As [`publish`](Self::publish), for what anybody may cause: not if many wait already.
    pub(crate) fn answer(&self, key: String, frame: Vec<u8>) {
        // ORDERING: Relaxed: as above.
        if self.answers.fetch_add(1, Ordering::Relaxed) >= MAX_ANSWERS {
            self.answers.fetch_sub(1, Ordering::Relaxed); // ORDERING: Relaxed: as above.
            return;
        }
        self.call(Call::Publish {
            key,
            make: Box::new(move || frame),
            is_answer: true,
        });
    }

    /// Declares a liveliness token, which lasts until the guard is dropped.
    ///
    /// # Errors
    ///
    /// Those of Zenoh, for instance because the session is closed.
    ///
    /// # Cancel safety
    ///
    /// There is no token then.
    pub(crate) async fn declare(&self, key: String) -> io::Result<TokenGuard> {
        // ORDERING: Relaxed: only the uniqueness of the number matters.
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let guard = TokenGuard {
            calls: self.clone(),
            token,
        };
        let (done, declared) = oneshot::channel();
        self.call(Call::Declare { token, key, done });
        let gone = |_| io::Error::other("the Zenoh session is closed");
        declared.await.map_err(gone)??;
        Ok(guard)
    }

    /// Runs something short in the thread.
    pub(crate) fn run(&self, run: impl FnOnce(&Session) + Send + 'static) {
        self.call(Call::Run(Box::new(run)));
    }

    fn call(&self, call: Call) {
        // The thread is gone only if it has panicked.
        if self.calls.send(call).is_err() {
            tracing::error!("the thread that calls Zenoh is gone");
        }
    }
}

/// Keeps a liveliness token.
pub(crate) struct TokenGuard {
    calls: Calls,
    token: u64,
}

impl Drop for TokenGuard {
    fn drop(&mut self) {
        self.calls.call(Call::Undeclare(self.token));
    }
}
