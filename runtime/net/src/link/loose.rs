//! Messages that may be lost: they have no lane and no credit, and go beside the connections where a transport has a way
//! for datagrams.
//!
//! A message is cut into pieces of a datagram each, and put together at the other end, unless one of them is missing. It
//! begins with its codec and the name of the export that it is for, whose rights are looked at for each.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::Link;
use crate::{
    transport::Datagrams,
    wire::{Codec, Fields, FrameError, put_text},
};

/// Bytes before each piece: the number of the message, of the piece, and how many pieces there are.
const HEAD: usize = 4 + 1 + 1;
/// Pieces of a message.
const MAX_PIECES: usize = 16;
/// Messages of which pieces are missing. The oldest is given up for another one.
const MAX_PARTIAL: usize = 4;

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
}

impl Loose {
    pub(super) fn new(datagrams: Datagrams) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver, limit) = datagrams.into_parts();
        let loose = Self {
            sender,
            number: AtomicU32::new(0),
            limit: limit.saturating_sub(HEAD).max(1),
        };
        (loose, receiver)
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

    /// Sends a message with its beginning, all of it or nothing.
    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Unsent> {
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
pub(super) async fn read(link: Arc<Link>, mut datagrams: mpsc::Receiver<Bytes>) {
    let mut partial = Partial::default();
    while let Some(datagram) = datagrams.recv().await {
        // What cannot be read is as good as lost.
        let Ok(Some(message)) = partial.put(&datagram) else {
            continue;
        };
        let _ = hand_on(&link, &message);
    }
}

fn hand_on(link: &Arc<Link>, message: &[u8]) -> Result<(), FrameError> {
    let mut fields = Fields(message);
    let codec = Codec::from_u8(fields.u8()?)?;
    let name = fields.text()?;
    link.host.loose(link, name, codec, fields.rest());
    Ok(())
}

/// Messages of which pieces are missing; the newest is last.
#[derive(Default)]
struct Partial(VecDeque<Pieces>);

struct Pieces {
    number: u32,
    missing: usize,
    pieces: Vec<Option<Bytes>>,
}

impl Partial {
    /// Takes a piece. Returns the message if it is whole.
    fn put(&mut self, datagram: &Bytes) -> Result<Option<Bytes>, FrameError> {
        let mut fields = Fields(datagram);
        let (number, index, count) = (fields.u32()?, fields.u8()?, fields.u8()?);
        let (index, count) = (usize::from(index), usize::from(count));
        if index >= count || count > MAX_PIECES {
            return Err(FrameError::Unknown);
        }
        let piece = datagram.slice(HEAD..);
        if count == 1 {
            return Ok(Some(piece));
        }
        let place = self.0.iter().position(|known| known.number == number);
        let place = place.unwrap_or_else(|| {
            if self.0.len() == MAX_PARTIAL {
                self.0.pop_front();
            }
            self.0.push_back(Pieces {
                number,
                missing: count,
                pieces: vec![None; count],
            });
            self.0.len() - 1
        });
        let known = &mut self.0[place];
        let slot = known.pieces.get_mut(index).ok_or(FrameError::Unknown)?;
        if slot.replace(piece).is_none() {
            known.missing -= 1;
        }
        if known.missing > 0 {
            return Ok(None);
        }
        let whole = self.0.remove(place);
        let whole = whole.into_iter().flat_map(|known| known.pieces).flatten();
        Ok(Some(whole.fold(BytesMut::new(), |mut all, piece| {
            all.extend_from_slice(&piece);
            all
        }).freeze()))
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
        let messages: Vec<Vec<u8>> = (0..100).map(|number| vec![number; usize::from(number % 64) + 1]).collect();
        for message in &messages {
            assert_eq!(loose.send(message), Ok(()));
        }
        let (mut partial, mut arrived, mut lost) = (Partial::default(), 0, Vec::new());
        let mut window = Vec::new();
        loop {
            let datagram = far.try_recv().ok();
            let is_over = datagram.is_none();
            window.extend(datagram);
            // Out of order by a few places, and one in twenty is lost.
            while window.len() > if is_over { 0 } else { 4 } {
                let datagram = window.swap_remove(random.usize(0..window.len()));
                if random.u8(0..20) == 0 {
                    lost.push(u32::from_le_bytes(datagram[..4].try_into().unwrap()));
                } else if let Some(message) = partial.put(&datagram).unwrap() {
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
        assert_eq!(arrived + lost.len(), messages.len());
        assert!(partial.0.len() <= MAX_PARTIAL);
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
    }

    #[test]
    fn wrong_pieces_are_errors() {
        let mut partial = Partial::default();
        for wrong in [&[][..], &[0; 5], &[0, 0, 0, 0, 1, 1], &[0, 0, 0, 0, 0, 17], &[0, 0, 0, 0, 0, 0]] {
            assert!(partial.put(&Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
        }
        // A piece of a message that had fewer.
        assert_eq!(partial.put(&Bytes::from_static(&[0, 0, 0, 0, 0, 2])), Ok(None));
        assert!(partial.put(&Bytes::from_static(&[0, 0, 0, 0, 2, 3])).is_err());
        // The same piece again.
        assert_eq!(partial.put(&Bytes::from_static(&[0, 0, 0, 0, 0, 2])), Ok(None));
    }
}
