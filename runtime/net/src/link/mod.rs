//! A link: two connections to another node, one for each class, and the lanes on them.
//!
//! It carries frames and counts. It does not know the types of messages, and never waits for a lane: a
//! lane takes what it was given credit for. When one connection fails, the link is down for good; a new
//! one is another link.

// One thing: mod, *: reading, writing and what arrives are parts of a link that the link starts.

mod credit;
mod incoming;
mod io;
mod loose;
#[cfg(test)]
mod models;
mod opened;
mod outbox;
mod owing;
mod sync;
mod traffic;
mod window;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use lanemesh_runtime::{
    AskError,
    edge::{PendingAsk, View},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};

pub(crate) use self::{
    credit::{Count, Limits, Owed},
    loose::{Loose, Unsent, check_loose},
    opened::{Inside, OpenLane, Reply},
    outbox::Outbox,
};
pub use self::{loose::LooseTraffic, traffic::Traffic};
use self::{traffic::Meter, window::Window};
use crate::{
    config::Config,
    event::{DownReason, Event, LinkDown, PeerInfo},
    task::Task,
    transport::Connection,
    wire::{Class, Codec, Codecs, Frame, Order, trace::TraceContext},
};

/// Bytes that are encoded and not yet written: more would only stand in front of what comes later.
const OUTBOX: usize = 64 << 10;
/// The same on low while the window is large: what a fast path takes at once.
const LARGE_OUTBOX: usize = 256 << 10;

/// What a link asks of its node.
pub(crate) trait Host: Send + Sync {
    /// Opens a lane to an actor of this node, or says why not.
    fn open(&self, link: &Arc<Link>, open: &Open<'_>) -> Result<OwnLane, (u8, String)>;

    /// A number for a lane that this node opens, on whichever link: one that goes on over another link keeps it.
    fn next_lane(&self) -> u32;

    /// Takes a message that may be lost, for an actor of this node. Returns whether it is in that one's mailbox.
    fn loose(&self, link: &Arc<Link>, name: &str, codec: Codec, payload: &[u8]) -> bool;

    /// The link is down.
    fn down(&self, link: &Arc<Link>);

    fn event(&self, event: Event);
}

/// A request for a lane.
pub(crate) struct Open<'a> {
    pub(crate) lane: u32,
    pub(crate) versions: (u32, u32),
    pub(crate) codecs: Codecs,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
}

/// An open lane to an actor of this node.
pub(crate) struct OwnLane {
    pub(crate) version: u32,
    pub(crate) codec: Codec,
    pub(crate) landing: Arc<dyn Land>,
}

/// The end of a lane at which messages arrive.
pub(crate) trait Land: Send + Sync {
    /// Takes a message, for which there was credit.
    fn message(
        &self,
        link: &Arc<Link>,
        class: Class,
        expires: Option<Instant>,
        is_ask: bool,
        trace: Option<TraceContext>,
        payload: &[u8],
    ) -> Result<(), DownReason>;

    /// Reports credit: what is due, or all that there is.
    fn report(&self, link: &Link, is_wanted: bool);

    /// Reports all credit when everything has been accepted.
    fn confirm(&self, link: &Link);

    /// No more messages of a class. Returns whether that was the last class.
    fn close(&self, class: Class) -> bool;

    fn order(&self, order: Order);

    /// The lane is gone, with its link.
    fn end(&self, link: &Link);
}

pub(crate) struct Link {
    number: u64,
    peer: PeerInfo,
    config: Arc<Config>,
    host: Arc<dyn Host>,
    outboxes: [Outbox; 2],
    meters: [Meter; 2],
    window: Mutex<Flow>,
    opened: Mutex<BTreeMap<u32, Arc<OpenLane>>>,
    owned: Mutex<BTreeMap<u32, Arc<dyn Land>>>,
    asks: Mutex<Asks>,
    pulse: Mutex<Pulse>,
    loose: OnceLock<Arc<Loose>>,
    down: Mutex<Option<DownReason>>,
    is_down: Notify,
    is_settled: watch::Sender<bool>,
}

/// What heartbeats tell.
struct Pulse {
    /// When something was heard on each connection.
    heard: [Instant; 2],
    /// The last heartbeat on high, and when it was sent.
    ping: (u64, Instant),
    round_trip: Option<Duration>,
    /// The shortest one since the link is up.
    shortest: Option<Duration>,
}

struct Flow {
    window: Window,
    writer: Option<Waker>,
}

impl Flow {
    fn take(&mut self, wanted: usize) -> usize {
        let count = self.window.allowed(wanted as u64);
        if count > 0 {
            self.window.sent(count, Instant::now());
        }
        count as usize
    }
}

#[derive(Default)]
struct Asks {
    pending: HashMap<u64, (PendingAsk, Codec)>,
    is_closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    pub(crate) fn new(
        number: u64,
        peer: PeerInfo,
        config: Arc<Config>,
        host: Arc<dyn Host>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let outbox = || Outbox::new(OUTBOX, config.max_asks);
        Arc::new(Self {
            number,
            peer,
            outboxes: [outbox(), outbox()],
            meters: Default::default(),
            window: Mutex::new(Flow {
                window: Window::new(config.max_window, now),
                writer: None,
            }),
            config,
            host,
            opened: Mutex::default(),
            owned: Mutex::default(),
            asks: Mutex::default(),
            pulse: Mutex::new(Pulse {
                heard: [now; 2],
                ping: (0, now),
                round_trip: None,
                shortest: None,
            }),
            loose: OnceLock::new(),
            down: Mutex::default(),
            is_down: Notify::new(),
            is_settled: watch::Sender::new(false),
        })
    }

    /// Its number in this node.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn outbox(&self, class: Class) -> &Outbox {
        &self.outboxes[class as usize]
    }

    /// Runs the link over its two connections until it is down. A link whose run is dropped, with its runtime, is down too.
    pub(crate) fn run(
        self: Arc<Self>,
        high: Connection,
        low: Connection,
    ) -> impl Future<Output = ()> + Send {
        let end = End(self.clone());
        async move {
            self.carry(high, low).await;
            drop(end);
        }
    }

    async fn carry(self: &Arc<Self>, mut high: Connection, low: Connection) {
        let mut tasks = JoinSet::new();
        // It ends with the link, and no link ends with it.
        let _loose = high.take_datagrams().map(|datagrams| {
            let (loose, datagrams) = Loose::new(datagrams);
            let loose = self.loose.get_or_init(|| Arc::new(loose)).clone();
            Task::spawn(loose::read(self.clone(), loose, datagrams))
        });
        self.outbox(Class::High).connect(high.writer);
        self.outbox(Class::Low).connect(low.writer);
        tasks.spawn(io::write(self.clone(), Class::High));
        tasks.spawn(io::write(self.clone(), Class::Low));
        tasks.spawn(io::read(self.clone(), Class::High, high.reader));
        tasks.spawn(io::read(self.clone(), Class::Low, low.reader));
        tasks.spawn(io::beat(self.clone()));
        let why = tokio::select! {
            biased;
            () = self.is_down.notified() => DownReason::Closed,
            ended = tasks.join_next() => match ended {
                Some(Ok(why)) => why,
                // A panic, which is a mistake of ours: of foreign code they are caught.
                Some(Err(error)) => DownReason::Lost(error.to_string().into()),
                None => DownReason::Closed,
            },
        };
        self.close(why);
        tasks.shutdown().await;
    }

    /// Ready when it is down, and nothing more arrives by it: what does by the link that follows is later.
    pub(crate) async fn settled(&self) {
        let mut is_settled = self.is_settled.subscribe();
        // The sender is in `self`.
        let _ = is_settled.wait_for(|is_settled| *is_settled).await;
    }

    /// Takes the link down: the first reason counts.
    pub(crate) fn close(&self, why: DownReason) {
        lock(&self.down).get_or_insert(why);
        self.outboxes.iter().for_each(Outbox::close);
        self.is_down.notify_one();
    }

    /// Takes the link down when what was sent before is written.
    pub(crate) fn finish(&self) {
        self.push(Class::High, &Frame::Bye);
        self.outbox(Class::High).finish();
    }

    /// Tells everybody that it is down. Nothing is written or read any more.
    fn settle(self: &Arc<Self>) {
        self.outboxes.iter().for_each(Outbox::clear);
        let opened = std::mem::take(&mut *lock(&self.opened));
        let unconfirmed = opened.values().map(|lane| lane.lock().unconfirmed());
        let unconfirmed = unconfirmed.sum();
        let pending = {
            let mut asks = lock(&self.asks);
            asks.is_closed = true;
            std::mem::take(&mut asks.pending)
        };
        // In the order in which they were asked.
        let mut pending: Vec<_> = pending.into_values().map(|(ask, _)| ask).collect();
        pending.sort_by_key(PendingAsk::slot);
        let mut asks = 0;
        for ask in pending {
            asks += u64::from(!ask.is_abandoned());
            ask.fail(AskError::Unknown);
        }
        let owned = std::mem::take(&mut *lock(&self.owned));
        owned.values().for_each(|lane| lane.end(self));
        drop(owned);
        self.host.down(self);
        let why = lock(&self.down).clone().unwrap_or(DownReason::Closed);
        tracing::info!(peer = %self.peer, %why, unconfirmed, asks, "a link is down");
        self.host.event(Event::LinkDown(LinkDown {
            peer: self.peer.clone(),
            why,
            unconfirmed,
            asks,
        }));
        // After that event: theirs follow it.
        opened.values().for_each(|lane| lane.down());
    }

    // --- written frames -----------------------------------------------------------------------

    /// Sends a frame that no credit bounds.
    pub(crate) fn push(&self, class: Class, frame: &Frame<'_>) {
        match self.outbox(class).push(frame) {
            true => self.flush(class),
            false => self.close(DownReason::Violation("it does not read".into())),
        }
    }

    /// Waits until some of `wanted` bytes may be sent on the low connection, and counts them as sent.
    async fn wait_for_window(&self, wanted: usize) -> usize {
        poll_fn(|cx| {
            let mut flow = lock(&self.window);
            match flow.take(wanted) {
                0 => {
                    flow.writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                count => Poll::Ready(count),
            }
        })
        .await
    }

    /// How many of `wanted` bytes may be sent on the low connection now; they count as sent.
    fn take_window(&self, wanted: usize) -> usize {
        lock(&self.window).take(wanted)
    }

    /// The window of the low connection, in bytes.
    pub(crate) fn window(&self) -> u64 {
        lock(&self.window).window.limit()
    }

    /// What has crossed the connection of a class.
    pub(crate) fn traffic(&self, class: Class) -> Traffic {
        self.meters[class as usize].total()
    }

    /// The handles of this node whose lanes are open, and how many of each one's messages are unconfirmed.
    pub(crate) fn views(&self) -> Vec<(View, u64)> {
        let opened: Vec<_> = lock(&self.opened).values().cloned().collect();
        let view = |lane: Arc<OpenLane>| lane.lock().view();
        opened.into_iter().filter_map(view).collect()
    }

    /// Messages that were written and whose arrival is not confirmed.
    pub(crate) fn unconfirmed(&self) -> u64 {
        let opened = lock(&self.opened);
        opened.values().map(|lane| lane.lock().unconfirmed()).sum()
    }

    /// Sends messages that may be lost, if the transport has a way for them.
    pub(crate) fn loose(&self) -> Option<&Arc<Loose>> {
        self.loose.get()
    }

    /// How many lanes this node, and how many the peer has opened.
    pub(crate) fn lanes(&self) -> (usize, usize) {
        (lock(&self.opened).len(), lock(&self.owned).len())
    }

    /// Asks of this node that wait for their answers.
    pub(crate) fn asks(&self) -> usize {
        lock(&self.asks).pending.len()
    }

    // --- lanes --------------------------------------------------------------------------------

    /// Asks the peer for a lane to one of its actors; if it is `known`, by the number that it had on another link.
    pub(crate) fn open(
        &self,
        versions: (u32, u32),
        codecs: Codecs,
        kind: &str,
        name: &str,
        known: Option<u32>,
    ) -> (u32, Arc<OpenLane>) {
        let lane = known.unwrap_or_else(|| self.host.next_lane());
        let opened = Arc::<OpenLane>::default();
        lock(&self.opened).insert(lane, opened.clone());
        if lock(&self.down).is_some() {
            // It may have settled before the lane was there.
            opened.down();
        }
        let open = Frame::Open {
            lane,
            versions,
            codecs,
            kind,
            name,
        };
        self.push(Class::High, &open);
        (lane, opened)
    }

    /// Forgets a lane that this node has opened.
    pub(crate) fn forget(&self, lane: u32) {
        lock(&self.opened).remove(&lane);
    }

    /// Closes both classes of a lane that the owner has opened. Before it has, it would not know the lane.
    pub(crate) fn close_lane(&self, lane: u32) {
        self.push(Class::High, &Frame::Close { lane });
        self.push(Class::Low, &Frame::Close { lane });
    }

    /// Forgets a lane that the peer has opened.
    pub(crate) fn disown(&self, lane: u32) {
        let removed = lock(&self.owned).remove(&lane);
        drop(removed);
    }

    /// Remembers who waits for answers in a codec, and returns their numbers; or gives them back if the link is down.
    pub(crate) fn expect(
        &self,
        codec: Codec,
        new: Vec<PendingAsk>,
    ) -> Result<Vec<u64>, Vec<PendingAsk>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let slots = new.iter().map(PendingAsk::slot).collect();
        let mut asks = lock(&self.asks);
        if asks.is_closed {
            return Err(new);
        }
        let new = new.into_iter().map(|ask| (ask.slot(), (ask, codec)));
        asks.pending.extend(new);
        Ok(slots)
    }

    /// The message of these asks was not written: they are no longer expected.
    pub(crate) fn take_back(&self, slots: Vec<u64>) -> Vec<PendingAsk> {
        let mut asks = lock(&self.asks);
        let take = |slot: u64| asks.pending.remove(&slot).map(|(ask, _)| ask);
        slots.into_iter().filter_map(take).collect()
    }

    /// Whether so many more asks may be sent.
    pub(crate) fn has_room_for_asks(&self, more: usize) -> bool {
        let mut asks = lock(&self.asks);
        if asks.pending.len() + more <= self.config.max_asks {
            return true;
        }
        let abandoned: Vec<_> = asks
            .pending
            .extract_if(|_, (ask, _)| ask.is_abandoned())
            .collect();
        let has_room = asks.pending.len() + more <= self.config.max_asks;
        drop(asks);
        drop(abandoned);
        has_room
    }

    // --- heartbeats ---------------------------------------------------------------------------

    fn heard(&self, class: Class) {
        lock(&self.pulse).heard[class as usize] = Instant::now();
    }

    /// When something was last heard on the connection that was silent for longer.
    fn last_heard(&self) -> Instant {
        let [high, low] = lock(&self.pulse).heard;
        high.min(low)
    }

    fn ping(&self, number: u64) {
        lock(&self.pulse).ping = (number, Instant::now());
        self.push(Class::High, &Frame::Ping { number });
        self.push(Class::Low, &Frame::Ping { number });
    }

    fn on_pong(&self, number: u64) {
        let mut pulse = lock(&self.pulse);
        let (last, sent) = pulse.ping;
        if number == last {
            let round_trip = sent.elapsed();
            pulse.round_trip = Some(round_trip);
            let shortest = pulse.shortest.get_or_insert(round_trip);
            *shortest = round_trip.min(*shortest);
        }
    }

    /// The round trip of the last heartbeat on high that was answered before the next one.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        lock(&self.pulse).round_trip
    }

    /// The round trip by which the credit of a class grows. On high, which has no window, messages that have much credit
    /// make a queue, in which heartbeats stand too: the shortest round trip is that without the queue.
    pub(crate) fn round_trip_for(&self, class: Class) -> Option<Duration> {
        let pulse = lock(&self.pulse);
        match class {
            Class::High => pulse.shortest,
            Class::Low => pulse.round_trip,
        }
    }

    fn suspect(&self) {
        let peer = self.peer.clone();
        self.host.event(Event::LinkSuspected { peer });
    }

    /// Reports what credit is left to report, for lanes that are too quiet to do so by themselves.
    fn report_credits(&self) {
        let owned: Vec<_> = lock(&self.owned).values().cloned().collect();
        owned.iter().for_each(|lane| lane.report(self, true));
    }
}

/// The end of a link's run, however that comes.
struct End(Arc<Link>);

impl Drop for End {
    fn drop(&mut self) {
        let Self(link) = self;
        link.close(DownReason::Closed);
        // A panic is a mistake of ours: of foreign code they are caught.
        let settled = catch_unwind(AssertUnwindSafe(|| link.settle()));
        if settled.is_err() {
            tracing::error!(peer = %link.peer, "the end of a link panicked");
        }
        link.is_settled.send_replace(true);
    }
}

pub(crate) fn violation(text: &str) -> DownReason {
    DownReason::Violation(text.into())
}
