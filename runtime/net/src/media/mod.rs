//! Tracks of a link that go by RTP: which of them is on which section of the session.
//!
//! A page has declared the sections in its offer. One of them is bound to a track by a message of the page, or by its answer
//! to one of this node, and free again when either end is done with it. The rights of a track are looked at when it is
//! bound, and for each frame.

mod message;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};

pub(crate) use self::message::check_message;
use self::message::{Answer, Message};
use crate::{
    error::{LookupError, refusal},
    event::{DownReason, PeerInfo},
    link::Link,
    transport::media::{Arrived, Counts, Media, MediaFrame, MediaKind, Order, Section},
    wire::FrameError,
};

/// Questions for sections that are not answered, of calls that were given up too.
const MAX_ASKED: usize = 256;

/// Frames of a link that go by RTP, counted since it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaTraffic {
    /// Frames that were handed to the session.
    pub sent: u64,
    /// Frames that were not, because there was no room for them.
    pub passed_over: u64,
    /// Frames of the peer that are in the mailboxes of their callbacks.
    pub arrived: u64,
    /// How often frames of the peer were missing: one or more each time.
    pub interrupted: u64,
    /// Frames of the peer that have arrived and were dropped, because they need one that is missing.
    pub useless: u64,
    /// Frames of the peer that have arrived and were dropped, because their callback is not there or not for it, has no room, or
    /// they are larger than [`Config::max_frame`](crate::Config::max_frame).
    pub refused: u64,
    /// Key frames that the peer was asked for.
    pub key_frames_wanted: u64,
}

/// Where the frames of a track go. Returns whether there was room.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Put>);

type Put = dyn Fn(&PeerInfo, MediaFrame) -> bool + Send + Sync;

impl Sink {
    pub(crate) fn new(put: impl Fn(&PeerInfo, MediaFrame) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(put))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

/// What the tracks of a link ask of its node.
pub(crate) trait Tracks: Send + Sync {
    /// Where the frames of a peer for a track go, or why not.
    fn sink(&self, link: &Arc<Link>, track: &str) -> Result<Sink, (u8, String)>;
}

/// The sections of a link.
pub(crate) struct Plane {
    sections: Vec<Section>,
    frames: mpsc::Sender<(usize, MediaFrame)>,
    counts: Arc<Counts>,
    outgoing: Mutex<Outgoing>,
    changed: Notify,
}

/// What this end asks for, and sends.
#[derive(Default)]
struct Outgoing {
    orders: VecDeque<Order>,
    next: u32,
    asked: HashMap<u32, oneshot::Sender<Answered>>,
    /// By their sections.
    senders: HashMap<usize, Sending>,
    bound: HashMap<usize, Bound>,
    is_closed: bool,
}

/// A section with frames of this end, or none if they go in a lane.
type Answered = Result<Option<RtpSender>, LookupError>;

struct Sending {
    number: u32,
    wants_key: Arc<watch::Sender<bool>>,
}

/// A section with frames of the peer.
struct Bound {
    number: u32,
    track: Arc<str>,
}

/// Ends of the channels to the session that the task of a plane has.
pub(crate) struct Ends {
    arrived: mpsc::Receiver<Arrived>,
    said: mpsc::Receiver<Vec<u8>>,
    orders: mpsc::Sender<Order>,
}

impl Plane {
    pub(crate) fn new(media: Media) -> (Arc<Self>, Ends) {
        let Media {
            sections,
            arrived,
            said,
            orders,
            frames,
            counts,
        } = media;
        let plane = Self {
            sections,
            frames,
            counts,
            outgoing: Mutex::default(),
            changed: Notify::new(),
        };
        let ends = Ends {
            arrived,
            said,
            orders,
        };
        (Arc::new(plane), ends)
    }

    pub(crate) fn traffic(&self) -> MediaTraffic {
        let counts = &*self.counts;
        MediaTraffic {
            sent: counts.sent.now(),
            passed_over: counts.passed_over.now(),
            arrived: counts.arrived.now(),
            interrupted: counts.interrupted.now(),
            useless: counts.useless.now(),
            refused: counts.refused.now(),
            key_frames_wanted: counts.key_frames_wanted.now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) {
        self.lock().orders.push_back(order);
        self.changed.notify_one();
    }

    fn say(&self, message: &Message<'_>) {
        self.order(Order::Say(message.write()));
    }

    /// Asks the peer for a section for a track of it. None if that takes frames in a lane.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has no effect.
    pub(crate) async fn open(self: &Arc<Self>, link: &Link, track: &str) -> Answered {
        let (tx, answered) = oneshot::channel();
        let number = {
            let mut outgoing = self.lock();
            if outgoing.is_closed {
                return Err(LookupError::LinkDown);
            }
            if outgoing.asked.len() >= MAX_ASKED {
                return Err(LookupError::Limit); // it does not answer
            }
            let number = outgoing.next;
            outgoing.next = number.wrapping_add(1);
            outgoing.asked.insert(number, tx);
            number
        };
        let (mid, number) = ("", number);
        self.say(&Message::Ask { number, mid, track });
        match timeout(link.config().lookup_timeout, answered).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(LookupError::LinkDown),
            Err(_) => Err(LookupError::Timeout),
        }
    }

    /// Asks the peer for a key frame of a track that it sends.
    pub(crate) fn want_key_frame(&self, track: &str) {
        let mut outgoing = self.lock();
        let of_track = outgoing
            .bound
            .iter()
            .filter(|(_, bound)| &*bound.track == track);
        // Whoever asks in a loop asks once.
        let wanted = of_track.map(|(place, _)| Order::WantKey(*place));
        let wanted: Vec<_> = wanted
            .filter(|order| !outgoing.orders.contains(order))
            .collect();
        outgoing.orders.extend(wanted);
        drop(outgoing);
        self.changed.notify_one();
    }

    /// Runs until the session is over.
    pub(crate) async fn run(self: Arc<Self>, link: Arc<Link>, host: Arc<dyn Tracks>, ends: Ends) {
        let Ends {
            mut arrived,
            mut said,
            orders,
        } = ends;
        let _close = Close(&self);
        loop {
            let next = self.lock().orders.pop_front();
            if let Some(order) = next {
                if orders.send(order).await.is_err() {
                    return;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                message = said.recv() => {
                    let Some(message) = message else { return };
                    if let Err(error) = self.on_message(&message, &link, &*host) {
                        link.close(DownReason::Violation(error.to_string().into()));
                        return;
                    }
                }
                arrived = arrived.recv() => match arrived {
                    Some(Arrived::Frame(place, frame)) => {
                        self.on_frame(place, frame, &link, &*host);
                    }
                    Some(Arrived::KeyFrameWanted(place)) => {
                        if let Some(sending) = self.lock().senders.get(&place) {
                            sending.wants_key.send_replace(true);
                        }
                    }
                    None => return,
                },
            }
        }
    }

    fn on_frame(&self, place: usize, frame: MediaFrame, link: &Arc<Link>, host: &dyn Tracks) {
        let bound = self
            .lock()
            .bound
            .get(&place)
            .map(|bound| bound.track.clone());
        let Some(track) = bound else {
            return; // it was on its way when the section became free
        };
        let is_short = frame.data.len() <= link.config().max_frame;
        let sink = host.sink(link, &track).ok().filter(|_| is_short);
        if sink.is_some_and(|Sink(put)| put(link.peer(), frame)) {
            self.counts.arrived.add();
        } else {
            self.counts.refused.add();
            self.order(Order::Missed(place));
        }
    }

    fn on_message(
        self: &Arc<Self>,
        message: &[u8],
        link: &Arc<Link>,
        host: &dyn Tracks,
    ) -> Result<(), FrameError> {
        match Message::read(message)? {
            Message::Ask { number, mid, track } => {
                let found = self.find(mid).and_then(|place| {
                    host.sink(link, track)?;
                    Ok(place)
                });
                let refused;
                let answer = match found {
                    Ok(place) => {
                        let track = track.into();
                        self.lock().bound.insert(place, Bound { number, track });
                        self.order(Order::Open(place));
                        Answer::Section(mid)
                    }
                    Err((why, text)) => {
                        refused = text;
                        Answer::Refused(why, &refused)
                    }
                };
                self.say(&Message::Answer { number, answer });
            }
            Message::Close { number } => {
                let mut outgoing = self.lock();
                let closed = outgoing.bound.extract_if(|_, bound| bound.number == number);
                let closed: Vec<_> = closed.map(|(place, _)| Order::Close(place)).collect();
                outgoing.orders.extend(closed);
                drop(outgoing);
                self.changed.notify_one();
            }
            Message::Answer { number, answer } => self.on_answer(number, answer)?,
        }
        Ok(())
    }

    /// A free section on which the peer sends.
    fn find(&self, mid: &str) -> Result<usize, (u8, String)> {
        let mut sections = self.sections.iter();
        let Some(place) = sections.position(|section| section.mid == mid && section.is_inward)
        else {
            let text = format!("no section for sending is named {mid:?}");
            return Err((refusal::MISMATCH, text));
        };
        if self.sections[place].codecs.is_empty() {
            let text = "the section has no codec that this node knows".to_owned();
            return Err((refusal::MISMATCH, text));
        }
        match self.lock().bound.get(&place) {
            Some(bound) => Err((refusal::LIMIT, format!("the section has {}", bound.track))),
            None => Ok(place),
        }
    }

    fn on_answer(self: &Arc<Self>, number: u32, answer: Answer<'_>) -> Result<(), FrameError> {
        let mut outgoing = self.lock();
        let waiting = outgoing.asked.remove(&number).ok_or(FrameError::Unknown)?;
        let answered = match answer {
            Answer::Lane => Ok(None),
            Answer::Refused(why, text) => Err(refusal::error(why, text.to_owned())),
            Answer::Section(mid) => {
                let mut sections = self.sections.iter();
                let place = sections.position(|section| section.mid == mid && !section.is_inward);
                let place = place.filter(|place| !outgoing.senders.contains_key(place));
                let place = place.ok_or(FrameError::Unknown)?;
                let wants_key = Arc::new(watch::Sender::new(true)); // for the first one
                let sending = Sending {
                    number,
                    wants_key: wants_key.clone(),
                };
                outgoing.senders.insert(place, sending);
                outgoing.orders.push_back(Order::Open(place));
                Ok(Some(RtpSender {
                    plane: self.clone(),
                    place,
                    wants_key,
                    passed_over: 0,
                }))
            }
        };
        drop(outgoing);
        self.changed.notify_one();
        // If nobody waits any more, the sender closes its section.
        drop(waiting.send(answered));
        Ok(())
    }
}

/// Nothing is sent or asked for any more.
struct Close<'a>(&'a Plane);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        let mut outgoing = self.0.lock();
        outgoing.is_closed = true;
        let asked = std::mem::take(&mut outgoing.asked);
        outgoing.senders.clear();
        outgoing.bound.clear();
        outgoing.orders.clear();
        drop(outgoing);
        drop(asked);
    }
}

/// Why a frame was not sent. It is given back.
pub(crate) enum Unsent {
    /// The link is down.
    Closed(MediaFrame),
    /// The section is for other codecs.
    Codec(MediaFrame),
}

/// Sends frames on a section, which is free again when this is dropped.
pub(crate) struct RtpSender {
    plane: Arc<Plane>,
    place: usize,
    wants_key: Arc<watch::Sender<bool>>,
    passed_over: u64,
}

impl RtpSender {
    /// Sends a frame, or passes it over if there is no room.
    pub(crate) fn send(&mut self, frame: MediaFrame, is_key: bool) -> Result<(), Unsent> {
        let section = &self.plane.sections[self.place];
        let mut codecs = section.codecs.iter();
        let is_known = codecs.any(|codec| codec.eq_ignore_ascii_case(&frame.codec));
        if section.kind != frame.kind || !is_known {
            return Err(Unsent::Codec(frame));
        }
        match self.plane.frames.try_send((self.place, frame)) {
            Ok(()) if is_key => drop(self.wants_key.send_replace(false)),
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed((_, frame))) => {
                return Err(Unsent::Closed(frame));
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.plane.counts.passed_over.add();
                self.passed_over += 1;
                self.wants_key.send_replace(true);
            }
        }
        Ok(())
    }

    /// Whether video is sent, in which frames need those before them.
    pub(crate) fn wants_key_frame(&self) -> bool {
        let is_video = self.plane.sections[self.place].kind == MediaKind::Video;
        is_video && *self.wants_key.borrow()
    }

    pub(crate) fn requests(&self) -> watch::Receiver<bool> {
        self.wants_key.subscribe()
    }

    pub(crate) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.plane.frames.is_closed()
    }
}

impl Drop for RtpSender {
    fn drop(&mut self) {
        let mut outgoing = self.plane.lock();
        if let Some(Sending { number, .. }) = outgoing.senders.remove(&self.place) {
            let close = Message::Close { number }.write();
            outgoing.orders.push_back(Order::Close(self.place));
            outgoing.orders.push_back(Order::Say(close));
        }
        drop(outgoing);
        self.plane.changed.notify_one();
    }
}
