//! A stream of bytes in each direction between two inboxes, out of publications that arrive in order or not at
//! all: what is lost ends the stream.
//!
//! Who writes goes no further than [`WINDOW`] bytes beyond what the other end has read, so no queue has more, and
//! who receives never waits. Zenoh's own queues may make a publication wait: that is why each stream has a thread.

// One thing: mod, *: the halves and the thread are parts of the stream.

mod feeder;
mod halves;

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
    thread,
};

use bytes::Bytes;
use lanemesh_net::transport::Connection;
use lanemesh_runtime::actor::Priority;
use tokio::sync::oneshot;

use self::halves::{Reader, Writer};
use crate::{
    calls::Calls,
    frame::{Header, Inbox, Kind, Side},
};

/// Bytes that may be on their way in one direction, or received and not read.
pub(crate) const WINDOW: u64 = 4 << 20;
/// Bytes that are read before the other end is told.
const STEP: u64 = WINDOW / 8;

/// One end of a stream: its number, and which end.
pub(crate) type StreamKey = (u128, Side);

/// All ends of streams in this process.
#[derive(Default)]
pub(crate) struct Streams(Mutex<HashMap<StreamKey, Arc<Stream>>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<Stream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &StreamKey) -> Option<Arc<Stream>> {
        self.lock().get(key).cloned()
    }

    /// Ends all streams to an inbox that is gone, or to any.
    pub(crate) fn fail_all(&self, to: Option<Inbox>) {
        let is_wanted = |stream: &&Arc<Stream>| to.is_none_or(|to| stream.to == to);
        let gone: Vec<_> = self.lock().values().filter(is_wanted).cloned().collect();
        for stream in gone {
            stream.fail(ErrorKind::ConnectionReset, "the process is gone");
        }
    }
}

/// Where the keys of a network begin, and which inbox is that of this process.
pub(crate) struct Here {
    pub(crate) root: String,
    pub(crate) inbox: Inbox,
}

impl Here {
    /// The key of an inbox.
    pub(crate) fn key(&self, inbox: Inbox) -> String {
        format!("{}/to/{inbox:032x}", self.root)
    }
}

pub(crate) struct Stream {
    key: StreamKey,
    class: Priority,
    /// The inbox of the other end.
    to: Inbox,
    here: Arc<Here>,
    calls: Calls,
    streams: Weak<Streams>,
    state: Mutex<State>,
    /// There may be something for the thread to do.
    work: Condvar,
}

#[derive(Default)]
struct State {
    error: Option<(ErrorKind, &'static str)>,
    /// Told when the other end has accepted.
    accepted: Option<oneshot::Sender<()>>,

    incoming: VecDeque<Bytes>,
    /// Bytes that have arrived, that were read, and of which the other end knows that they were read.
    received: u64,
    read: u64,
    told: u64,
    is_telling: bool,
    has_ended: bool,
    has_reader: bool,
    reader: Option<Waker>,

    outgoing: VecDeque<u8>,
    /// Bytes that were written, that were published, and that the other end has read.
    written: u64,
    published: u64,
    confirmed: u64,
    is_closing: bool,
    is_fed: bool,
    writer: Option<Waker>,
}

impl State {
    fn error(&self) -> Option<io::Error> {
        self.error.map(|(kind, text)| io::Error::new(kind, text))
    }
}

/// What both ends of a stream are made with.
pub(crate) struct Ends {
    pub(crate) here: Arc<Here>,
    pub(crate) calls: Calls,
    pub(crate) streams: Arc<Streams>,
}

impl Ends {
    /// One end of a stream, which is found by its key from now on; and what tells that the other end has accepted.
    pub(crate) fn begin(
        &self,
        key: StreamKey,
        class: Priority,
        to: Inbox,
    ) -> (Arc<Stream>, oneshot::Receiver<()>) {
        let (tx, accepted) = oneshot::channel();
        let state = State {
            accepted: Some(tx),
            has_reader: true,
            ..State::default()
        };
        let stream = Arc::new(Stream {
            key,
            class,
            to,
            here: self.here.clone(),
            calls: self.calls.clone(),
            streams: Arc::downgrade(&self.streams),
            state: Mutex::new(state),
            work: Condvar::new(),
        });
        self.streams.lock().insert(key, stream.clone());
        (stream, accepted)
    }

    /// Starts the thread of a stream. If there can be none, the stream has failed.
    pub(crate) fn connection(&self, stream: &Arc<Stream>) -> Connection {
        let name = match stream.class {
            Priority::High => "lanemesh-high",
            Priority::Low => "lanemesh-low",
        };
        let fed = stream.clone();
        self.calls.run(move |session| {
            let (stream, session) = (fed.clone(), session.clone());
            let thread = thread::Builder::new().name(name.to_owned());
            if let Err(error) = thread.spawn(move || feeder::run(&stream, &session)) {
                tracing::warn!(%error, "there can be no thread for a connection");
                fed.fail(ErrorKind::OutOfMemory, "there can be no thread");
            }
        });
        Connection::new(Reader(stream.clone()), Writer(stream.clone()))
    }
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is at the other end.
    pub(crate) fn to(&self) -> Inbox {
        self.to
    }

    /// A frame for the other end.
    pub(crate) fn frame(&self, kind: Kind, number: u64, body: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            to: self.key.1.other(),
            stream: self.key.0,
            from: self.here.inbox,
            number,
        };
        header.with(body)
    }

    /// Ends it with an error, unless it has one.
    pub(crate) fn fail(&self, kind: ErrorKind, text: &'static str) {
        let wakers = {
            let mut state = self.lock();
            if state.error.is_none() {
                state.error = Some((kind, text));
            }
            state.accepted = None;
            state.incoming.clear();
            state.outgoing.clear();
            [state.reader.take(), state.writer.take()]
        };
        self.work.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.forget_if_over();
    }

    /// Ends a stream of which no connection was made.
    pub(crate) fn abandon(&self) {
        self.lock().has_reader = false;
        self.fail(ErrorKind::ConnectionAborted, "it was given up");
    }

    /// Is no longer found once there is nothing that could arrive for it.
    fn forget_if_over(&self) {
        let is_over = {
            let state = self.lock();
            !state.has_reader && (state.error.is_some() || state.is_fed)
        };
        if is_over && let Some(streams) = self.streams.upgrade() {
            let forgotten = streams.lock().remove(&self.key);
            drop(forgotten);
        }
    }

    /// Something has arrived. Returns whether the other end is to be told that nobody is here.
    pub(crate) fn on_frame(&self, header: &Header, body: Bytes) -> bool {
        let broken = match header.kind {
            Kind::Open => return false,
            Kind::Accept => {
                if let Some(accepted) = self.lock().accepted.take() {
                    let _ = accepted.send(()); // it may have been given up
                }
                return false;
            }
            Kind::Data => match self.on_data(header.number, body) {
                Ok(waker) => {
                    waker.into_iter().for_each(Waker::wake);
                    return false;
                }
                Err(broken) => broken,
            },
            Kind::End => {
                let mut state = self.lock();
                if header.number == state.received {
                    state.has_ended = true;
                    let waker = state.reader.take();
                    drop(state);
                    waker.into_iter().for_each(Waker::wake);
                    return false;
                }
                LOST
            }
            Kind::Read => {
                let mut state = self.lock();
                if header.number <= state.written {
                    state.confirmed = state.confirmed.max(header.number);
                    let waker = state.writer.take();
                    drop(state);
                    waker.into_iter().for_each(Waker::wake);
                    return false;
                }
                (
                    ErrorKind::InvalidData,
                    "the peer has read more than was written",
                )
            }
            Kind::Reset => {
                self.fail(
                    ErrorKind::ConnectionReset,
                    "the peer has closed the connection",
                );
                return false;
            }
        };
        self.fail(broken.0, broken.1);
        true
    }

    fn on_data(
        &self,
        number: u64,
        body: Bytes,
    ) -> Result<Option<Waker>, (ErrorKind, &'static str)> {
        let mut state = self.lock();
        if state.error.is_some() {
            return Ok(None);
        }
        if number != state.received || state.has_ended {
            return Err(LOST);
        }
        let length = body.len() as u64;
        if state.received - state.read + length > WINDOW {
            let text = "the peer has sent more than the window allows";
            return Err((ErrorKind::InvalidData, text));
        }
        if !state.has_reader {
            return Err((ErrorKind::BrokenPipe, "nobody reads"));
        }
        state.received += length;
        if length > 0 {
            state.incoming.push_back(body);
        }
        Ok(state.reader.take())
    }
}

const LOST: (ErrorKind, &str) = (ErrorKind::ConnectionReset, "bytes were lost on the way");
