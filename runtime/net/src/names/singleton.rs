//! Singletons: an actor that runs on one of the nodes that could run it.

use std::{fmt, time::Duration};

use lanemesh_runtime::{ActorHandle, Child};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use super::{
    Names,
    directory::Made,
    entry::{Key, Kind},
    error::{NameEnd, RegisterError},
    registration::Registration,
    rendezvous::rendezvous,
};
use crate::{remote::Remote, task::Task};

/// How a singleton is run.
#[derive(Clone, Copy, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct SingletonOptions {
    settle: Duration,
    grace: Duration,
}

impl SingletonOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            settle: Duration::from_secs(2),
            grace: Duration::from_secs(5),
        }
    }

    /// How long this node listens before it may start the actor for the first time: long enough to
    /// be linked to the others and told of their names. Default 2 s.
    pub fn settle(mut self, time: Duration) -> Self {
        self.settle = time;
        self
    }

    /// How long the actor may take to handle what it has when it is to move. Default 5 s.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }
}

impl Default for SingletonOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Names {
    /// Offers to run the actor of this name in a scope. Of the reachable nodes that offer it the one with the
    /// highest rendezvous hash runs it; others look it up as any other name, and find it again by
    /// [`lookup_within`](Names::lookup_within) after it has moved.
    ///
    /// `start` spawns a fresh actor each time that this node is to run it, also when it has ended by itself.
    /// A node that starts and has the higher hash takes the singleton over: where it ran it is drained, and only
    /// once its name is given up does the other node start it.
    ///
    /// **There is one in each partition of the network.** A node that cannot reach the one that runs it waits
    /// until that is down, and starts its own; once the two see each other again, the one that started earlier is
    /// told and stopped. Where two at a time would do harm, hold a lease from a store that
    /// decides by majority, such as etcd (a lease of its `v3` interface) or NATS (a key with an age limit in a
    /// JetStream bucket), and give its revision to whatever the actor writes to. See the README.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`]; [`RegisterError::Taken`] does not happen.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn singleton<A: Remote>(
        &self,
        scope: &str,
        name: &str,
        options: SingletonOptions,
        start: impl FnMut() -> (ActorHandle<A>, Child) + Send + 'static,
    ) -> Result<Singleton, RegisterError> {
        let candidates = Key::new(Kind::Candidate, scope, name);
        let offer = self.0.directory.register(candidates.clone(), |_| Ok(()))?;
        let (running, runs_here) = watch::channel(false);
        let (stop, stopped) = mpsc::channel(1);
        let runner = Runner {
            names: self.clone(),
            candidates,
            name: Key::new(Kind::Name, scope, name),
            options,
            start,
            offer: Offer(self.clone(), offer),
            running,
            life: None,
        };
        Ok(Singleton {
            name: format!("{scope}/{name}"),
            runs_here,
            stop,
            _task: Task::spawn(runner.run(stopped)),
        })
    }
}

/// The offer to run a singleton. When it is dropped, the offer is withdrawn, and the actor is stopped at once if it
/// runs here; [`stop`](Self::stop) lets it handle what it has.
#[must_use = "a singleton is no longer offered when this is dropped"]
pub struct Singleton {
    name: String,
    runs_here: watch::Receiver<bool>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
    _task: Task,
}

impl Singleton {
    /// Whether the actor runs on this node.
    pub fn runs_here(&self) -> bool {
        *self.runs_here.borrow()
    }

    /// Changes when the actor is started or ends on this node.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.runs_here.clone()
    }

    /// Withdraws the offer, drains the actor if it runs here, and then gives the name up, so that it starts
    /// elsewhere. To be called before the node is shut down.
    ///
    /// # Cancel safety
    ///
    /// The offer is withdrawn in any case, and the actor is stopped at the latest when this is dropped.
    pub async fn stop(self) {
        let (done, is_done) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            // An error says that it is done.
            let _ = is_done.await;
        }
    }
}

impl fmt::Debug for Singleton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Singleton")
            .field("name", &self.name)
            .field("runs_here", &self.runs_here())
            .finish_non_exhaustive()
    }
}

/// Withdraws its entry when it is dropped.
struct Offer(Names, Made);

impl Drop for Offer {
    fn drop(&mut self) {
        let Self(names, made) = self;
        names
            .0
            .directory
            .unregister(made.holder.id, NameEnd::Dropped);
    }
}

struct Runner<F> {
    names: Names,
    candidates: Key,
    name: Key,
    options: SingletonOptions,
    start: F,
    running: watch::Sender<bool>,
    life: Option<(Child, Registration)>,
    offer: Offer,
}

impl<A: Remote, F: FnMut() -> (ActorHandle<A>, Child) + Send + 'static> Runner<F> {
    async fn run(mut self, mut stopped: mpsc::Receiver<oneshot::Sender<()>>) {
        let node = self.names.0.node.clone();
        let stop = tokio::select! {
            biased;
            () = node.closed() => None,
            stop = self.follow(&mut stopped) => stop,
        };
        let Self { offer, .. } = &self;
        let Offer(names, made) = offer;
        names
            .0
            .directory
            .unregister(made.holder.id, NameEnd::Dropped);
        match &stop {
            Some(_) => self.end(self.options.grace).await,
            None => self.end(Duration::ZERO).await,
        }
        drop(stop); // it is done
    }

    /// Starts and ends the actor as the members come and go, until it is to stop for good.
    async fn follow(
        &mut self,
        stopped: &mut mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Option<oneshot::Sender<()>> {
        tokio::select! {
            biased;
            stop = stopped.recv() => return stop,
            () = sleep(self.options.settle) => {}
        }
        let mut changes = self.names.changes();
        let mut failures = 0;
        loop {
            changes.mark_unchanged();
            let is_chosen = self.is_chosen();
            match &self.life {
                None if is_chosen => self.begin(),
                Some((_, registration)) => match registration.end() {
                    None if is_chosen => failures = 0,
                    None => self.end(self.options.grace).await,
                    Some(NameEnd::Ended) => {
                        self.end(Duration::ZERO).await;
                        sleep(self.names.0.node.pause(failures)).await;
                        failures += 1;
                        continue;
                    }
                    Some(_) => self.end(self.options.grace).await,
                },
                None => {}
            }
            tokio::select! {
                biased;
                stop = stopped.recv() => return stop,
                changed = changes.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn is_chosen(&self) -> bool {
        let directory = &self.names.0.directory;
        let candidates = directory.reachable(&self.candidates);
        let key = format!("{}\0{}", self.name.scope, self.name.name);
        let chosen = rendezvous(key.as_bytes(), candidates.iter().map(|holder| &holder.node));
        chosen == Some(&directory.me().name)
    }

    /// Starts the actor, if nobody else has it.
    fn begin(&mut self) {
        if self.names.0.directory.holder(&self.name).is_some() {
            return;
        }
        let (handle, child) = (self.start)();
        match self
            .names
            .register(&self.name.scope, &self.name.name, &handle)
        {
            Ok(registration) => {
                self.life = Some((child, registration));
                self.running.send_replace(true);
            }
            Err(error) => tracing::warn!(%error, "a singleton is not started"),
        }
    }

    /// Ends the actor, and then gives up its name.
    async fn end(&mut self, grace: Duration) {
        if let Some((child, registration)) = self.life.take() {
            child.drain_within(grace).await;
            self.running.send_replace(false);
            drop(registration);
        }
    }
}
