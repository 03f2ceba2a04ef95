//! This process in the network: its inbox, where frames of all streams arrive, who listens here, and how streams
//! begin.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, Bytes};
use lanemesh_net::transport::Connection;
use lanemesh_runtime::actor::Priority;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use zenoh::{
    Session, Wait,
    sample::{Sample, SampleKind},
};

use crate::{
    calls::{Calls, Declared, TokenGuard, calls},
    frame::{Header, Inbox, Kind, Side},
    live::{Live, Token},
    stream::{Ends, Here, Stream, Streams},
};

/// Connections that wait to be accepted at an address; whoever wants another one asks again.
const BACKLOG: usize = 64;
/// Bytes of an address.
const MAX_ADDRESS: usize = 1024;
/// How long a listener is waited for of which nothing is known: this process may have come a moment ago.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first pause before a stream is asked for again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(crate) struct Hub {
    here: Arc<Here>,
    calls: Calls,
    pub(crate) live: Live,
    ends: Ends,
    listeners: Mutex<HashMap<String, mpsc::Sender<Connection>>>,
}

impl Hub {
    /// # Errors
    ///
    /// Those of Zenoh, of threads, and of random numbers.
    pub(crate) async fn start(session: Session, root: String) -> io::Result<Arc<Self>> {
        let inbox = random()?;
        let here = Arc::new(Here { root, inbox });
        let (calls, waiting) = calls();
        let streams: Arc<Streams> = Arc::default();
        let hub = Arc::new(Self {
            here: here.clone(),
            calls: calls.clone(),
            live: Live::new(),
            ends: Ends {
                here,
                calls,
                streams,
            },
            listeners: Mutex::default(),
        });
        let weak = Arc::downgrade(&hub);
        let here = hub.here.clone();
        let first = move |session: &Session| declare(session, &here, &weak);
        waiting.start(session, first).await?;
        Ok(hub)
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Connection>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inbox(&self) -> Inbox {
        self.here.inbox
    }

    /// Declares a token of this process.
    ///
    /// # Errors
    ///
    /// See [`Calls::declare`].
    pub(crate) async fn declare(&self, token: &Token) -> io::Result<TokenGuard> {
        let key = format!("{}/live/{}", self.here.root, token.key());
        self.calls.declare(key).await
    }

    // --- streams that begin here ----------------------------------------------------------------

    pub(crate) async fn connect(&self, address: &str, class: Priority) -> io::Result<Connection> {
        check(address)?;
        let to = self.listener(address).await?;
        let key = (random()?, Side::Opener);
        let (stream, mut accepted) = self.ends.begin(key, class, to);
        let opening = Opening(Some(stream.clone()), self);
        if !self.live.has_inbox(to) {
            return Err(gone());
        }
        let open = stream.frame(Kind::Open, class_number(class), address.as_bytes());
        let mut pause = PAUSES.0;
        loop {
            let frame = open.clone();
            self.calls.publish(self.here.key(to), move || frame);
            match timeout(pause, &mut accepted).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return Err(gone()),
                Err(_) => pause = (pause * 2).min(PAUSES.1),
            }
        }
        opening.done();
        Ok(self.ends.connection(&stream))
    }

    /// Waits for a moment if nobody listens at an address.
    async fn listener(&self, address: &str) -> io::Result<Inbox> {
        let until = Instant::now() + PATIENCE;
        let mut changes = self.live.changes();
        loop {
            changes.mark_unchanged();
            if let Some(inbox) = self.live.listener(address) {
                return Ok(inbox);
            }
            if timeout_at(until, changes.changed()).await.is_err() {
                let text = format!("nobody listens at zenoh:{address}");
                return Err(io::Error::new(ErrorKind::ConnectionRefused, text));
            }
        }
    }

    // --- streams that begin elsewhere -----------------------------------------------------------

    pub(crate) async fn listen(self: &Arc<Self>, address: &str) -> io::Result<Listening> {
        check(address)?;
        let (tx, connections) = mpsc::channel(BACKLOG);
        {
            let mut listeners = self.listeners();
            let is_taken = listeners
                .get(address)
                .is_some_and(|known| !known.is_closed());
            if is_taken {
                return Err(ErrorKind::AddrInUse.into());
            }
            listeners.insert(address.to_owned(), tx);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let token = Token::Listener {
            address: address.to_owned(),
            since: since.map_or(0, |since| since.as_micros() as u64),
            inbox: self.here.inbox,
        };
        // If it cannot be declared, the receiver is dropped, and the address is free again.
        let token = self.declare(&token).await?;
        Ok(Listening {
            address: address.to_owned(),
            connections,
            _token: token,
        })
    }

    /// A frame has arrived. It comes from a thread of Zenoh, and nothing here waits.
    fn receive(&self, mut frame: Bytes) {
        let Some((header, length)) = Header::parse(&frame) else {
            tracing::debug!("what has arrived is no frame");
            return;
        };
        frame.advance(length);
        let key = (header.stream, header.to);
        if let Some(stream) = self.ends.streams.get(&key) {
            if stream.to() != header.from {
                return; // somebody else than the one who has begun the stream
            }
            if header.kind == Kind::Open {
                self.accept_again(&stream);
            } else if stream.on_frame(&header, frame) {
                self.reset(&header);
            }
            return;
        }
        match header.kind {
            Kind::Open if header.to == Side::Acceptor => self.accept(&header, &frame),
            Kind::Data => self.reset(&header),
            _ => {}
        }
    }

    fn accept(&self, header: &Header, address: &[u8]) {
        let address = std::str::from_utf8(address).unwrap_or_default();
        let class = match header.number {
            0 => Priority::High,
            _ => Priority::Low,
        };
        let Some(listener) = self.listeners().get(address).cloned() else {
            return self.reset(header);
        };
        let place = match listener.try_reserve() {
            Ok(place) => place,
            Err(mpsc::error::TrySendError::Full(())) => return, // it is asked for again
            Err(mpsc::error::TrySendError::Closed(())) => return self.reset(header),
        };
        let key = (header.stream, Side::Acceptor);
        let (stream, _) = self.ends.begin(key, class, header.from);
        place.send(self.ends.connection(&stream));
        self.accept_again(&stream);
    }

    fn accept_again(&self, stream: &Stream) {
        let frame = stream.frame(Kind::Accept, 0, &[]);
        self.calls.answer(self.here.key(stream.to()), frame);
    }

    /// Tells who has sent a frame that nobody reads it.
    fn reset(&self, header: &Header) {
        let reset = Header {
            kind: Kind::Reset,
            to: header.to.other(),
            from: self.here.inbox,
            ..*header
        };
        self.calls
            .answer(self.here.key(header.from), reset.with(&[]));
    }

    fn live(&self, key: &str, is_alive: bool) {
        let Some(token) = Token::parse(key) else {
            tracing::debug!(key, "a token that is not understood");
            return;
        };
        let gone = match token {
            Token::Inbox(inbox) if !is_alive => Some(inbox),
            _ => None,
        };
        self.live.set(token, is_alive);
        if let Some(inbox) = gone {
            self.ends.streams.fail_all(Some(inbox));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Nothing arrives for them any more.
        self.ends.streams.fail_all(None);
    }
}

/// Subscribes to what arrives and to what is alive, and tells that this process is.
fn declare(session: &Session, here: &Here, hub: &Weak<Hub>) -> zenoh::Result<Declared> {
    let receiver = hub.clone();
    let received = move |sample: Sample| {
        if let Some(hub) = receiver.upgrade() {
            hub.receive(sample.payload().to_bytes().into_owned().into());
        }
    };
    let inbox = session
        .declare_subscriber(here.key(here.inbox))
        .callback(received)
        .wait()?;
    let prefix = format!("{}/live/", here.root);
    let (hub, all) = (hub.clone(), format!("{prefix}**"));
    let changed = move |sample: Sample| {
        let key = sample.key_expr().as_str().strip_prefix(&*prefix);
        if let (Some(hub), Some(key)) = (hub.upgrade(), key) {
            hub.live(key, sample.kind() == SampleKind::Put);
        }
    };
    let live = session
        .liveliness()
        .declare_subscriber(all)
        .history(true)
        .callback(changed)
        .wait()?;
    let token = Token::Inbox(here.inbox).key();
    let key = format!("{}/live/{token}", here.root);
    let token = session.liveliness().declare_token(key).wait()?;
    Ok(vec![Box::new(token), Box::new(live), Box::new(inbox)])
}

/// Accepts connections at an address as long as it is there.
pub(crate) struct Listening {
    pub(crate) address: String,
    pub(crate) connections: mpsc::Receiver<Connection>,
    _token: TokenGuard,
}

/// A stream that is not accepted yet: if it is given up, the other end is told.
struct Opening<'a>(Option<Arc<Stream>>, &'a Hub);

impl Opening<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            let reset = stream.frame(Kind::Reset, 0, &[]);
            stream.abandon();
            self.1.calls.publish(self.1.here.key(stream.to()), || reset);
        }
    }
}

fn gone() -> io::Error {
    let text = "the process that listened is gone, or does so no longer";
    io::Error::new(ErrorKind::ConnectionRefused, text)
}

fn class_number(class: Priority) -> u64 {
    match class {
        Priority::High => 0,
        Priority::Low => 1,
    }
}

fn check(address: &str) -> io::Result<()> {
    if (1..=MAX_ADDRESS).contains(&address.len()) {
        return Ok(());
    }
    let text = format!("an address has 1 to {MAX_ADDRESS} bytes after zenoh:");
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u128::from_le_bytes(bytes))
}
