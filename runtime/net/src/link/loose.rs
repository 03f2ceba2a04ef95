//! Messages that may be lost: they have no lane and no credit, and go beside the connections where a transport has a way
//! for datagrams.
//!
//! A message is cut into pieces of a datagram each, and put together at the other end, unless one of them is missing. It
//! begins with its codec and the name of the export that it is for, whose rights are looked at for each. Messages are
//! numbered, so that the other end knows how many it has not got.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::Link;
use crate::{
    counter::Counter,
    transport::Datagrams,
    wire::{Codec, Fields, FrameError, put_text},
};

/// Bytes before each piece: the number of the message, of the piece, and how many pieces there are.
const HEAD: usize = 4 + 1 + 1;
/// Pieces of a message.
const MAX_PIECES: usize = 16;
/// Messages of which pieces are missing. The oldest is given up for a later one.
const MAX_PARTIAL: usize = 4;
/// How many messages later the missing pieces of one may come.
const MAX_BEHIND: u64 = 64;

/// Messages of a link that may be lost, counted since it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LooseTraffic {
    /// Messages that were handed to the transport. Each arrives or is lost.
    pub sent: u64,
    /// Messages that were not sent, because there was no room for them.
    pub passed_over: u64,
    /// Messages of the peer that are in the mailboxes of their actors.
    pub arrived: u64,
    /// Messages of the peer that have not arrived, or not all of it, although a later one has. One that comes late
    /// after all counts no more.
    pub lost: u64,
    /// Messages of the peer that have arrived, and were dropped: their actor is not there or not for it, its mailbox is
    /// full, or they cannot be read.
    pub refused: u64,
}

#[derive(Default)]
struct Counts {
    sent: Counter,
    passed_over: Counter,
    arrived: Counter,
    lost: Counter,
    refused: Counter,
}

/// A message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// There is no room now.
    Full,
    /// The link is down.
    Closed,
}

/// Sends messages that may be lost.
pub(crate) struct Loose {
    sender: mpsc::Sender<Bytes>,
    /// Of the next message.
    number: AtomicU32,
    limit: usize,
    counts: Counts,
}

impl Loose {
    pub(super) fn new(datagrams: Datagrams) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver, limit) = datagrams.into_parts();
        let loose = Self {
            sender,
            number: AtomicU32::new(0),
            limit: limit.saturating_sub(HEAD).max(1),
            counts: Counts::default(),
        };
        (loose, receiver)
    }

    pub(crate) fn traffic(&self) -> LooseTraffic {
        let Counts {
            sent,
            passed_over,
            arrived,
            lost,
            refused,
        } = &self.counts;
        LooseTraffic {
            sent: sent.now(),
            passed_over: passed_over.now(),
            arrived: arrived.now(),
            lost: lost.now(),
            refused: refused.now(),
        }
    }

    /// Bytes that a message may have, with the name before it.
    pub(crate) fn limit(&self) -> usize {
        self.limit * MAX_PIECES
    }

    /// The beginning of a message for an export.
    pub(crate) fn begin(codec: Codec, name: &str) -> Vec<u8> {
        let mut message = vec![codec as u8];
        put_text(&mut message, name);
        message
    }

    /// Sends a message with its beginning, all of it or nothing, and counts it.
    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Unsent> {
        let sent = self.try_send(message);
        match sent {
            Ok(()) => self.counts.sent.add(),
            Err(Unsent::Full) => self.counts.passed_over.add(),
            Err(Unsent::Closed) => {}
        }
        sent
    }

    fn try_send(&self, message: &[u8]) -> Result<(), Unsent> {
        let count = message.len().div_ceil(self.limit);
        if count > MAX_PIECES {
            return Err(Unsent::Full);
        }
        let permits = self.sender.try_reserve_many(count);
        let permits = permits.map_err(|error| match error {
            TrySendError::Full(()) => Unsent::Full,
            TrySendError::Closed(()) => Unsent::Closed,
        })?;
        // ORDERING: Relaxed: only that the numbers differ matters.
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let pieces = message.chunks(self.limit).enumerate();
        for ((index, piece), permit) in pieces.zip(permits) {
            let mut datagram = BytesMut::with_capacity(HEAD + piece.len());
            datagram.put_u32_le(number);
            datagram.put_u8(index as u8);
            datagram.put_u8(count as u8);
            datagram.put_slice(piece);
            permit.send(datagram.freeze());
        }
        Ok(())
    }
}

/// Hands messages to the node until the link is down.
pub(super) async fn read(link: Arc<Link>, loose: Arc<Loose>, mut datagrams: mpsc::Receiver<Bytes>) {
    let mut arriving = Arriving::default();
    while let Some(datagram) = datagrams.recv().await {
        let put = arriving.put(&datagram);
        loose.counts.lost.set(arriving.lost());
        let is_taken = match put {
            Ok(None) => continue,
            Ok(Some(message)) => hand_on(&link, &message),
            Err(error) => Err(error),
        };
        match is_taken {
            Ok(true) => loose.counts.arrived.add(),
            Ok(false) => loose.counts.refused.add(),
            Err(error) => {
                tracing::debug!(%error, "a message that may be lost is wrong");
                loose.counts.refused.add();
            }
        }
    }
}

/// Returns whether it is in an actor's mailbox.
fn hand_on(link: &Arc<Link>, message: &[u8]) -> Result<bool, FrameError> {
    let mut fields = Fields(message);
    let codec = Codec::from_u8(fields.u8()?)?;
    let name = fields.text()?;
    Ok(link.host.loose(link, name, codec, fields.rest()))
}

/// What has arrived, and the messages of which pieces are missing.
#[derive(Default)]
struct Arriving {
    partial: Vec<Pieces>,
    /// Messages that must have been sent, by the highest number.
    begun: u64,
    whole: u64,
}

struct Pieces {
    number: u64,
    missing: usize,
    pieces: Vec<Option<Bytes>>,
}

impl Arriving {
    /// How many were sent, and are neither here nor on the way to be whole.
    fn lost(&self) -> u64 {
        // A peer that says a number twice has sent more than it has numbers.
        let known = self.whole + self.partial.len() as u64;
        self.begun.saturating_sub(known)
    }

    /// The number that was cut to four bytes: the one that is nearest to the highest.
    fn full_number(&self, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.begun as u32) as i32;
        self.begun.saturating_add_signed(ahead.into())
    }

    /// Takes a piece. Returns the message if it is whole.
    fn put(&mut self, datagram: &Bytes) -> Result<Option<Bytes>, FrameError> {
        let mut fields = Fields(datagram);
        let (number, index, count) = (fields.u32()?, fields.u8()?, fields.u8()?);
        let (index, count) = (usize::from(index), usize::from(count));
        if index >= count || count > MAX_PIECES {
            return Err(FrameError::Unknown);
        }
        let number = self.full_number(number);
        self.begun = self.begun.max(number.saturating_add(1));
        let first = self.begun.saturating_sub(MAX_BEHIND);
        self.partial.retain(|known| known.number >= first);
        let piece = datagram.slice(HEAD..);
        if count == 1 {
            self.whole += 1;
            return Ok(Some(piece));
        }
        let Some(place) = self.place(number, count) else {
            return Ok(None); // of a message that was given up
        };
        let known = &mut self.partial[place];
        if known.pieces.len() != count {
            return Err(FrameError::Unknown);
        }
        if known.pieces[index].replace(piece).is_none() {
            known.missing -= 1;
        }
        if known.missing > 0 {
            return Ok(None);
        }
        self.whole += 1;
        let Pieces { pieces, .. } = self.partial.swap_remove(place);
        let mut whole = BytesMut::with_capacity(pieces.iter().flatten().map(Bytes::len).sum());
        for piece in pieces.iter().flatten() {
            whole.put_slice(piece);
        }
        Ok(Some(whole.freeze()))
    }

    /// Where the pieces of a message are kept, unless later ones have taken all places.
    fn place(&mut self, number: u64, count: usize) -> Option<usize> {
        let known = self.partial.iter().position(|known| known.number == number);
        if known.is_some() {
            return known;
        }
        if number + MAX_BEHIND < self.begun {
            return None;
        }
        let new = Pieces {
            number,
            missing: count,
            pieces: vec![None; count],
        };
        if self.partial.len() < MAX_PARTIAL {
            self.partial.push(new);
            return Some(self.partial.len() - 1);
        }
        let numbers = self.partial.iter().map(|known| known.number).enumerate();
        let (oldest, given_up) = numbers.min_by_key(|(_, number)| *number)?;
        if given_up > number {
            return None;
        }
        self.partial[oldest] = new;
        Some(oldest)
    }
}

/// Takes `bytes` for datagrams, each after a byte with its length: for the fuzz target.
///
/// # Panics
///
/// If a message is made of more than has arrived, or more is kept than may be.
pub(crate) fn check_loose(mut bytes: &[u8]) {
    let mut arriving = Arriving::default();
    let mut arrived = 0;
    while let Some((&length, rest)) = bytes.split_first() {
        let (datagram, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        arrived += datagram.len();
        if let Ok(Some(message)) = arriving.put(&Bytes::copy_from_slice(datagram)) {
            assert!(message.len() <= arrived, "it makes up bytes");
        }
        let partial = &arriving.partial;
        assert!(partial.len() <= MAX_PARTIAL);
        let is_open = |known: &Pieces| (1..known.pieces.len()).contains(&known.missing);
        assert!(partial.iter().all(is_open), "what is whole is not kept");
        assert!(arriving.lost() <= arriving.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(capacity: usize) -> (Loose, mpsc::Receiver<Bytes>) {
        let (near, far) = Datagrams::pair(capacity, HEAD + 4);
        let (loose, _) = Loose::new(near);
        (loose, far.into_parts().1)
    }

    #[test]
    fn messages_are_whole_or_missing() {
        let mut random = fastrand::Rng::with_seed(3);
        let (loose, mut far) = ends(1000);
        let messages: Vec<Vec<u8>> = (0..100)
            .map(|number| vec![number; usize::from(number % 64) + 1])
            .collect();
        for message in &messages {
            assert_eq!(loose.send(message), Ok(()));
        }
        let (mut arriving, mut arrived, mut lost) = (Arriving::default(), 0, Vec::new());
        let mut window = Vec::new();
        loop {
            let datagram = far.try_recv().ok();
            let is_over = datagram.is_none();
            window.extend(datagram);
            // Out of order by a few places, and one in twenty is lost.
            while window.len() > if is_over { 0 } else { 4 } {
                let datagram: Bytes = window.swap_remove(random.usize(0..window.len()));
                if random.u8(0..20) == 0 {
                    lost.push(datagram[..4].to_vec());
                } else if let Some(message) = arriving.put(&datagram).unwrap() {
                    assert!(messages.contains(&message.to_vec()));
                    arrived += 1;
                }
            }
            if is_over {
                break;
            }
        }
        lost.sort_unstable();
        lost.dedup();
        assert!(lost.len() > 10, "{lost:?}");
        // Pieces that came too late count as lost, too.
        let known_lost = arriving.lost() as usize;
        assert!(known_lost + MAX_PARTIAL >= lost.len() && known_lost < 40);
        assert!(arriving.partial.len() <= MAX_PARTIAL);
        let waiting = arriving.partial.len();
        assert_eq!(arrived + known_lost + waiting, messages.len());
        assert_eq!(loose.traffic().sent, 100);
    }

    #[test]
    fn messages_that_are_missing_are_counted_until_they_come_late() {
        let whole = |number: u32| {
            let mut datagram = number.to_le_bytes().to_vec();
            datagram.extend([0, 1, 9]);
            Bytes::from(datagram)
        };
        let mut arriving = Arriving::default();
        for (number, lost) in [(0, 0), (1, 0), (5, 3), (3, 2), (2, 1), (6, 1)] {
            assert!(arriving.put(&whole(number)).unwrap().is_some());
            assert_eq!(arriving.lost(), lost, "after {number}");
        }
        // Numbers begin again after four bytes.
        arriving.begun = u64::from(u32::MAX);
        arriving.whole = arriving.begun;
        for (number, lost) in [(u32::MAX, 0), (1, 1), (0, 0)] {
            assert!(arriving.put(&whole(number)).unwrap().is_some());
            assert_eq!(arriving.lost(), lost, "after {number}");
        }
        assert_eq!(arriving.begun, (1 << 32) + 2);
    }

    #[test]
    fn late_piece_of_a_message_that_was_given_up_takes_no_place() {
        let piece = |number: u8, index| Bytes::from(vec![number, 0, 0, 0, index, 2, number]);
        let mut arriving = Arriving::default();
        for number in 0..=MAX_PARTIAL as u8 {
            assert_eq!(arriving.put(&piece(number, 0)), Ok(None));
        }
        assert_eq!(arriving.put(&piece(0, 1)), Ok(None), "given up");
        for number in 1..=MAX_PARTIAL as u8 {
            let message = Bytes::from(vec![number; 2]);
            assert_eq!(arriving.put(&piece(number, 1)), Ok(Some(message)));
        }
        assert_eq!(arriving.lost(), 1);
        // Nothing comes for one that is far behind.
        arriving.put(&piece(10, 0)).unwrap();
        let later = arriving.put(&Bytes::from_static(&[100, 0, 0, 0, 0, 1]));
        assert_eq!(later, Ok(Some(Bytes::new())));
        assert_eq!((arriving.partial.len(), arriving.lost()), (0, 96));
        assert_eq!(arriving.put(&piece(10, 1)), Ok(None));
        assert_eq!(arriving.partial.len(), 0);
    }

    #[test]
    fn what_has_no_room_is_not_sent_in_part() {
        let (loose, mut far) = ends(4);
        assert_eq!(loose.send(&[1; 12]), Ok(()));
        assert_eq!(loose.send(&[2; 8]), Err(Unsent::Full));
        assert_eq!(loose.send(&[3; 4]), Ok(()));
        assert_eq!(loose.send(&vec![4; loose.limit() + 1]), Err(Unsent::Full));
        assert_eq!(far.len(), 4);
        far.close();
        assert_eq!(loose.send(&[3; 4]), Err(Unsent::Closed));
        while far.try_recv().is_ok() {}
        let LooseTraffic {
            sent, passed_over, ..
        } = loose.traffic();
        assert_eq!((sent, passed_over), (2, 2));
    }

    #[test]
    fn any_datagrams_are_taken_or_refused() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let mut bytes = Vec::new();
            for _ in 0..random.usize(0..60) {
                let piece = [
                    random.u8(0..9),
                    0,
                    0,
                    random.u8(0..2),
                    random.u8(0..5),
                    random.u8(0..5),
                    1,
                ];
                bytes.push(random.u8(0..9).max(5));
                bytes.extend(piece);
            }
            check_loose(&bytes);
        }
    }

    #[test]
    fn wrong_pieces_are_errors() {
        let mut partial = Arriving::default();
        for wrong in [
            &[][..],
            &[0; 5],
            &[0, 0, 0, 0, 1, 1],
            &[0, 0, 0, 0, 0, 17],
            &[0, 0, 0, 0, 0, 0],
        ] {
            assert!(
                partial.put(&Bytes::copy_from_slice(wrong)).is_err(),
                "{wrong:?}"
            );
        }
        // A piece of a message that had fewer.
        assert_eq!(
            partial.put(&Bytes::from_static(&[0, 0, 0, 0, 0, 2])),
            Ok(None)
        );
        assert!(
            partial
                .put(&Bytes::from_static(&[0, 0, 0, 0, 2, 3]))
                .is_err()
        );
        // The same piece again.
        assert_eq!(
            partial.put(&Bytes::from_static(&[0, 0, 0, 0, 0, 2])),
            Ok(None)
        );
        // The highest number there is.
        let mut arriving = Arriving {
            begun: u64::MAX,
            ..Arriving::default()
        };
        assert!(
            arriving
                .put(&Bytes::from_static(&[0, 0, 0, 0, 0, 1]))
                .is_ok()
        );
    }
}
