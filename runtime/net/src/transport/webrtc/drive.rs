//! Drives a session: one task that feeds the stack, sends what comes out of it, and moves bytes between its channels
//! and the connections.
//!
//! Nothing waits here without a bound. What is written to a connection is taken when the channel has room; what has
//! arrived is handed on before another datagram is looked at, so a reader that is slow makes the peer slow, by
//! datagrams that are lost.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use str0m::{
    Event, IceConnectionState, Input, Output, Rtc,
    channel::{ChannelData, ChannelId},
    net::{Protocol, Receive},
};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex,
        split,
    },
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

use super::{
    BUFFERED, MESSAGE, SPOKEN,
    hub::{Datagram, Place},
    order::{NUMBER, Order},
    rtp::{Next, Rtp},
};
use crate::transport::{Connection, Datagrams};

/// Bytes between a connection and its channel, each way.
const PIPE: usize = 32 << 10;
/// How long the end waits for what was written before it.
const LINGER: Duration = Duration::from_secs(1);

/// What the peer has done wrong.
pub(super) type Fault = Arc<OnceLock<String>>;

/// A connection, and the end of it that a session has.
pub(super) fn pipe(fault: &Fault) -> (Connection, DuplexStream) {
    let (near, far) = duplex(PIPE);
    let (reader, writer) = split(near);
    let fault = fault.clone();
    (Connection::new(Reader { reader, fault }, writer), far)
}

/// Reads a connection of a session. Its end is an error if the peer has done something wrong.
struct Reader {
    reader: ReadHalf<DuplexStream>,
    fault: Fault,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(cx, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        Poll::Ready(match self.fault.get() {
            Some(fault) if is_end => Err(wrong(fault)),
            _ => Ok(()),
        })
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A channel, and the connection that it carries.
struct Lane {
    id: ChannelId,
    is_open: bool,
    reader: ReadHalf<DuplexStream>,
    /// Nothing more is written to the connection.
    is_finished: bool,
    inward: Inward,
}

impl Lane {
    fn new(id: ChannelId, far: DuplexStream) -> Self {
        let (reader, writer) = split(far);
        Self {
            id,
            is_open: false,
            reader,
            is_finished: false,
            inward: Inward {
                writer,
                arrived: VecDeque::new(),
                written: 0,
                is_unread: false,
            },
        }
    }
}

/// What has arrived on a channel.
struct Inward {
    writer: WriteHalf<DuplexStream>,
    /// What is not yet written to the connection, and how much of the first of it is.
    arrived: VecDeque<Vec<u8>>,
    written: usize,
    /// Nobody reads it.
    is_unread: bool,
}

impl Inward {
    fn arrives(&mut self, message: Vec<u8>) {
        if !message.is_empty() && !self.is_unread {
            self.arrived.push_back(message);
        }
    }

    async fn hand_on_all(&mut self) {
        while !self.arrived.is_empty() {
            self.hand_on().await;
        }
    }

    /// Writes some of it to the connection.
    ///
    /// # Cancel safety
    ///
    /// What was not written stays.
    async fn hand_on(&mut self) {
        let Some(first) = self.arrived.front() else {
            return;
        };
        match self.writer.write(&first[self.written..]).await {
            Ok(count) if self.written + count < first.len() => self.written += count,
            Ok(_) => {
                self.arrived.pop_front();
                self.written = 0;
            }
            Err(_) => {
                self.arrived.clear();
                self.is_unread = true;
            }
        }
    }
}

/// What the task waits for.
enum Woken {
    End,
    Arrived(Datagram),
    /// This end sends a datagram that may be lost.
    Loose(Bytes),
    /// The connection of this class gave this many bytes to send.
    Written(usize, io::Result<usize>),
    HandedOn,
    /// There is something to do for the sections.
    Media(Next),
    Timeout,
}

pub(super) struct Driver {
    rtc: Rtc,
    place: Place,
    /// The addresses of the socket, as the peer knows them.
    local: Vec<SocketAddr>,
    lanes: [Lane; 2],
    /// The channel for what may be lost, and who sends and receives it, unless that is gone.
    loose: ChannelId,
    datagrams: Option<Datagrams>,
    /// If the offer has declared sections for media.
    rtp: Option<Rtp>,
    order: Order,
    /// The number of the next message on high.
    next: u32,
    fault: Fault,
    /// What was read from a connection, after room for a number.
    buffers: [Vec<u8>; 2],
    ends_at: Option<Instant>,
    is_over: bool,
}

impl Driver {
    pub(super) fn new(
        rtc: Rtc,
        place: Place,
        local: Vec<SocketAddr>,
        channels: [ChannelId; 3],
        rtp: Option<Rtp>,
        far: ([DuplexStream; 2], Datagrams),
        fault: Fault,
    ) -> Self {
        let ([high, low], datagrams) = far;
        Self {
            rtc,
            place,
            local,
            lanes: [Lane::new(channels[0], high), Lane::new(channels[1], low)],
            loose: channels[2],
            datagrams: Some(datagrams),
            rtp,
            order: Order::default(),
            next: 0,
            fault,
            buffers: [(); 2].map(|()| vec![0; MESSAGE]),
            ends_at: None,
            is_over: false,
        }
    }

    /// Runs the session to its end. `opened` is told when its channels are open; if nobody waits for that any more, the
    /// session ends.
    pub(super) async fn run(mut self, opened: oneshot::Sender<()>) {
        if let Err(error) = self.drive(opened).await {
            tracing::debug!(%error, "a session has failed");
            if error.kind() == io::ErrorKind::InvalidData {
                // The first one counts.
                let _ = self.fault.set(error.to_string());
            }
        }
        self.is_over = true;
        // What has arrived before the end is still read. Who reads too slowly has lost it.
        let [high, low] = &mut self.lanes;
        let last = async { tokio::join!(high.inward.hand_on_all(), low.inward.hand_on_all()) };
        let _ = timeout(LINGER, last).await;
        // The peer is told, if it is there.
        if self.rtc.close().is_ok() {
            let _ = self.drain().await;
        }
    }

    async fn drive(&mut self, opened: oneshot::Sender<()>) -> io::Result<()> {
        let mut opened = Some(opened);
        while let Some(deadline) = self.drain().await? {
            if self.are_open()
                && let Some(opened) = opened.take()
                && opened.send(()).is_err()
            {
                return Ok(());
            }
            if self.has_lingered() {
                return Ok(());
            }
            if deadline <= Instant::now() {
                self.input(Input::Timeout(Instant::now()))?;
                continue;
            }
            match self.woken(deadline, &mut opened).await {
                Woken::End => return Ok(()),
                Woken::Arrived(datagram) => self.receive(&datagram),
                Woken::Written(class, count) => self.send(class, count.unwrap_or(0))?,
                Woken::HandedOn => {}
                Woken::Loose(datagram) => write(&mut self.rtc, self.loose, &datagram)?,
                Woken::Media(next) => self.on_media(next)?,
                Woken::Timeout => self.input(Input::Timeout(Instant::now()))?,
            }
        }
        Ok(())
    }

    fn are_open(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_open)
    }

    /// Whether what was written to the connections that are finished has arrived, or takes too long.
    fn has_lingered(&mut self) -> bool {
        if !self.lanes.iter().any(|lane| lane.is_finished) {
            return false;
        }
        let now = Instant::now();
        let ends_at = *self.ends_at.get_or_insert(now + LINGER);
        now >= ends_at || self.lanes_are_empty()
    }

    fn buffered(&mut self, channel: ChannelId) -> usize {
        let channel = self.rtc.channel(channel);
        channel.map_or(0, |mut channel| channel.buffered_amount())
    }

    fn lanes_are_empty(&mut self) -> bool {
        let [high, low] = [0, 1].map(|class| self.lanes[class].id);
        self.buffered(high) + self.buffered(low) == 0
    }

    /// Whether more may be read from the connection of a class.
    fn has_room(&mut self, class: usize) -> bool {
        let lane = &self.lanes[class];
        let id = lane.id;
        lane.is_open && !lane.is_finished && self.buffered(id) < BUFFERED[class]
    }

    async fn woken(
        &mut self,
        deadline: Instant,
        opened: &mut Option<oneshot::Sender<()>>,
    ) -> Woken {
        let has_room = [self.has_room(0), self.has_room(1)];
        // The channel is open when the others are.
        let is_loose = opened.is_none() && self.buffered(self.loose) < BUFFERED[2];
        let may_speak = self.may_speak();
        let deadline = self
            .ends_at
            .map_or(deadline, |ends_at| ends_at.min(deadline));
        let [high, low] = &mut self.lanes;
        let [from_high, from_low] = &mut self.buffers;
        let [has_high, has_low] = [&*high, &*low].map(|lane| !lane.inward.arrived.is_empty());
        tokio::select! {
            biased;
            () = self.place.end.notified() => Woken::End,
            () = given_up(opened) => Woken::End,
            () = high.inward.hand_on(), if has_high => Woken::HandedOn,
            count = high.reader.read(&mut from_high[NUMBER..]), if has_room[0] => {
                Woken::Written(0, count)
            }
            datagram = next(&mut self.datagrams), if is_loose => Woken::Loose(datagram),
            () = low.inward.hand_on(), if has_low => Woken::HandedOn,
            // Checks of ICE bring nothing that is read: they wait for no reader.
            datagram = self.place.inbox.receive(!has_high && !has_low) => {
                datagram.map_or(Woken::End, Woken::Arrived)
            }
            // Media come after high and what carries it. None of them and low is before the other for long.
            woken = async {
                tokio::select! {
                    count = low.reader.read(from_low), if has_room[1] => Woken::Written(1, count),
                    next = next_of(&mut self.rtp, &mut self.place.packets, may_speak) => {
                        Woken::Media(next)
                    }
                }
            } => woken,
            () = sleep_until(deadline.into()) => Woken::Timeout,
        }
    }

    /// Whether a message about a section may be sent.
    fn may_speak(&mut self) -> bool {
        let open = self.rtp.as_ref().filter(|rtp| rtp.is_open);
        let channel = open.map(|rtp| rtp.channel);
        channel.is_some_and(|channel| self.buffered(channel) < SPOKEN)
    }

    fn on_media(&mut self, next: Next) -> io::Result<()> {
        let Some(rtp) = &mut self.rtp else {
            return Ok(());
        };
        match next {
            Next::Arrived(datagram) => self.receive(&datagram),
            Next::Frame(place, frame) => rtp.send(&mut self.rtc, place, frame),
            Next::Order(order) => {
                if let Some(message) = rtp.on_order(&mut self.rtc, order) {
                    write(&mut self.rtc, rtp.channel, &message)?;
                }
            }
        }
        Ok(())
    }

    fn input(&mut self, input: Input<'_>) -> io::Result<()> {
        self.rtc.handle_input(input).map_err(failed)
    }

    /// Gives a datagram to the stack.
    fn receive(&mut self, datagram: &Datagram) {
        let Datagram { source, bytes, at } = datagram;
        let is_family = |local: &&SocketAddr| local.is_ipv4() == source.is_ipv4();
        let Some(local) = self.local.iter().find(is_family) else {
            return;
        };
        // Whatever is not understood may come from anybody.
        let Ok(receive) = Receive::new(Protocol::Udp, *source, *local, bytes) else {
            return;
        };
        // What the stack does not take may come from a stranger with a forged source.
        if let Err(error) = self.rtc.handle_input(Input::Receive(*at, receive)) {
            tracing::debug!(%source, %error, "a datagram was not taken");
        }
    }

    /// Sends what was read from a connection. Nothing is its end.
    fn send(&mut self, class: usize, count: usize) -> io::Result<()> {
        if count == 0 {
            self.lanes[class].is_finished = true;
            return Ok(());
        }
        let message = match class {
            0 => {
                self.buffers[0][..NUMBER].copy_from_slice(&self.next.to_le_bytes());
                self.next = self.next.wrapping_add(1);
                &self.buffers[0][..NUMBER + count]
            }
            _ => &self.buffers[1][..count],
        };
        write(&mut self.rtc, self.lanes[class].id, message)
    }

    /// Takes everything out of the stack. Returns when it has to be looked at again, unless the session is over.
    async fn drain(&mut self) -> io::Result<Option<Instant>> {
        loop {
            match self.rtc.poll_output().map_err(failed)? {
                Output::Timeout(at) => return Ok(self.rtc.is_alive().then_some(at)),
                Output::Transmit(transmit) => {
                    self.place
                        .send(transmit.destination, &transmit.contents)
                        .await;
                }
                Output::Event(event) => {
                    // What happens after the end changes nothing.
                    if !self.is_over && !self.on_event(event)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Returns whether the session goes on.
    fn on_event(&mut self, event: Event) -> io::Result<bool> {
        match event {
            Event::ChannelOpen(id, _) if id == self.loose => {}
            Event::ChannelOpen(id, _) if self.is_of_rtp(id) => {
                if let Some(rtp) = &mut self.rtp {
                    rtp.is_open = true;
                }
            }
            Event::ChannelOpen(id, _) => {
                let lane = self.lanes.iter_mut().find(|lane| lane.id == id);
                lane.ok_or_else(|| wrong("it opens another channel"))?
                    .is_open = true;
            }
            Event::ChannelData(data) => self.on_data(data)?,
            Event::MediaData(data) => {
                if let Some(rtp) = &mut self.rtp {
                    rtp.on_frame(&mut self.rtc, data);
                }
            }
            Event::KeyframeRequest(request) => {
                if let Some(rtp) = &self.rtp {
                    rtp.on_request(request.mid);
                }
            }
            Event::ChannelClose(_) | Event::Closed => return Ok(false),
            // Once the channels are open, the heartbeats of the link tell whether the peer is there, after the time
            // that its owner has set. Checks of ICE are lost as anything else is, and first in a flood.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                return Ok(self.are_open());
            }
            _ => {}
        }
        Ok(true)
    }

    fn is_of_rtp(&self, channel: ChannelId) -> bool {
        self.rtp.as_ref().is_some_and(|rtp| rtp.channel == channel)
    }

    fn on_data(&mut self, data: ChannelData) -> io::Result<()> {
        let ChannelData { id, binary, data } = data;
        if !binary {
            return Err(wrong(
                "a text message where only binary ones are understood",
            ));
        }
        let [high, low] = &mut self.lanes;
        match id {
            id if id == high.id => {
                let sink = |message| high.inward.arrives(message);
                self.order.put(data, sink)
            }
            id if id == low.id => {
                low.inward.arrives(data);
                Ok(())
            }
            id if id == self.loose => {
                if let Some(datagrams) = &self.datagrams {
                    datagrams.send(data); // or it is lost, as others are
                }
                Ok(())
            }
            id => match &self.rtp {
                Some(rtp) if rtp.channel == id => rtp.on_message(data),
                _ => Err(wrong("it sends on another channel")),
            },
        }
    }
}

/// Sends a message on a channel that has room for it.
fn write(rtc: &mut Rtc, channel: ChannelId, message: &[u8]) -> io::Result<()> {
    let channel = rtc.channel(channel);
    let mut channel = channel.ok_or_else(|| failed("the channel is closed"))?;
    match channel.write(true, message) {
        Ok(true) => Ok(()),
        Ok(false) => Err(failed("the channel has less room than it says")),
        Err(error) => Err(failed(error)),
    }
}

/// The next message that may be lost.
async fn next(datagrams: &mut Option<Datagrams>) -> Bytes {
    if let Some(some) = datagrams {
        if let Some(datagram) = some.receive().await {
            return datagram;
        }
        *datagrams = None;
    }
    pending().await
}

/// The next thing to do for the sections for media; never ready if the session has none.
async fn next_of(
    rtp: &mut Option<Rtp>,
    packets: &mut mpsc::Receiver<Datagram>,
    may_speak: bool,
) -> Next {
    match rtp {
        Some(rtp) => rtp.next(packets, may_speak).await,
        None => pending().await,
    }
}

/// Ready when nobody waits for the channels any more.
async fn given_up(opened: &mut Option<oneshot::Sender<()>>) {
    match opened {
        Some(opened) => opened.closed().await,
        None => pending().await,
    }
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
