//! The messages that the benchmarks send, and how they detect loss.
//!
//! Every message carries a stamp. The sending end keeps a [`Tally`] of count and sum, the receiving
//! end [`Arrivals`], which also know the order of each producer's messages.

use std::marker::PhantomData;

use bytes::Bytes;

use crate::rig::fault::Fault;

/// Length of a media packet in bytes: close to the usual limit of one datagram.
pub const PACKET_LEN: usize = 1200;

/// Number of distinct packets that a producer cycles through, so that sending does not measure the
/// allocator.
const PACKETS: usize = 16;

/// A message that a shape can send.
pub trait Payload: Default + Clone + Send + Sync + Unpin + 'static {
    /// Name in tables and results.
    const NAME: &'static str;

    /// State from which one producer makes its messages.
    type Source: Send + 'static;

    /// The source of the producer with this index.
    fn source(producer: usize) -> Self::Source;

    /// The next message of a source.
    fn next(source: &mut Self::Source) -> Self;

    /// Number that identifies the message at both ends. Its upper 24 bits are the producer's index.
    fn stamp(&self) -> u64;

    /// The stamp that would come before the first of this producer.
    fn before_first(producer: usize) -> u64;

    /// Whether a producer that has sent the first stamp sends the second one later: the next, if
    /// stamps come again.
    fn follows(previous: u64, stamp: u64) -> bool;
}

impl Payload for u64 {
    const NAME: &'static str = "u64";

    type Source = u64;

    fn source(producer: usize) -> u64 {
        (producer as u64) << 40
    }

    #[inline]
    fn next(source: &mut u64) -> u64 {
        *source += 1;
        *source
    }

    #[inline]
    fn stamp(&self) -> u64 {
        *self
    }

    fn before_first(producer: usize) -> u64 {
        Self::source(producer)
    }

    #[inline]
    fn follows(previous: u64, stamp: u64) -> bool {
        stamp > previous
    }
}

/// The packets of one producer, used in rotation.
#[derive(Debug)]
pub struct Packets {
    ring: Vec<Bytes>,
    at: usize,
}

impl Payload for Bytes {
    const NAME: &'static str = "1200 B";

    type Source = Packets;

    fn source(producer: usize) -> Packets {
        let ring = (0..PACKETS)
            .map(|index| {
                let mut packet = vec![0_u8; PACKET_LEN];
                let stamp = ((producer as u64) << 40) + index as u64 + 1;
                packet[..8].copy_from_slice(&stamp.to_le_bytes());
                Bytes::from(packet)
            })
            .collect();
        Packets { ring, at: 0 }
    }

    #[inline]
    fn next(source: &mut Packets) -> Bytes {
        source.at = (source.at + 1) % PACKETS;
        source.ring[source.at].clone()
    }

    #[inline]
    fn stamp(&self) -> u64 {
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&self[..8]);
        u64::from_le_bytes(stamp)
    }

    fn before_first(producer: usize) -> u64 {
        ((producer as u64) << 40) + 1
    }

    #[inline]
    fn follows(previous: u64, stamp: u64) -> bool {
        stamp.wrapping_sub(previous) % PACKETS as u64 == 1
    }
}

/// Count and sum of the stamps seen at one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    /// Adds one stamp.
    #[inline]
    pub fn add(&mut self, stamp: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(stamp);
    }

    /// Adds the stamps of another tally.
    pub fn merge(&mut self, other: Tally) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Number of stamps.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the stamps, modulo 2^64.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Compares what was received with what was sent.
    ///
    /// # Errors
    ///
    /// [`Fault::Lost`] if the counts differ, [`Fault::Altered`] if only the sums do.
    pub fn check(sent: Tally, received: Tally) -> Result<(), Fault> {
        if sent.count != received.count {
            return Err(Fault::Lost {
                sent: sent.count,
                received: received.count,
            });
        }
        if sent.sum != received.sum {
            return Err(Fault::Altered);
        }
        Ok(())
    }
}

/// What has arrived at one end: a tally, and whether each producer's messages came in order.
#[derive(Debug)]
pub struct Arrivals<T> {
    tally: Tally,
    last: Vec<u64>,
    in_order: bool,
    payload: PhantomData<fn(T)>,
}

impl<T: Payload> Arrivals<T> {
    /// Nothing yet, from this many producers.
    pub fn from(producers: usize) -> Arrivals<T> {
        Arrivals {
            tally: Tally::default(),
            last: (0..producers).map(T::before_first).collect(),
            in_order: true,
            payload: PhantomData,
        }
    }

    /// Adds one stamp.
    #[inline]
    pub fn add(&mut self, stamp: u64) {
        self.tally.add(stamp);
        // An altered stamp may name a producer that does not exist; the tally finds it.
        if let Some(last) = self.last.get_mut((stamp >> 40) as usize) {
            self.in_order &= T::follows(*last, stamp);
            *last = stamp;
        }
    }

    /// Number of messages.
    pub fn count(&self) -> u64 {
        self.tally.count
    }

    /// The tally alone.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Compares what has arrived with what was sent.
    ///
    /// # Errors
    ///
    /// Those of [`Tally::check`], and [`Fault::Reordered`] if the messages of a producer have
    /// overtaken each other.
    pub fn check(&self, sent: Tally) -> Result<(), Fault> {
        self.check_in_any_order(sent)?;
        self.check_order()
    }

    /// Checks the order alone.
    ///
    /// # Errors
    ///
    /// [`Fault::Reordered`].
    pub fn check_order(&self) -> Result<(), Fault> {
        if self.in_order {
            Ok(())
        } else {
            Err(Fault::Reordered)
        }
    }

    /// The same for a channel that does not keep the order.
    ///
    /// # Errors
    ///
    /// Those of [`Tally::check`].
    pub fn check_in_any_order(&self, sent: Tally) -> Result<(), Fault> {
        Tally::check(sent, self.tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(stamps: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for stamp in stamps {
            tally.add(*stamp);
        }
        tally
    }

    #[test]
    fn equal_tallies_pass_in_any_order() {
        assert_eq!(Tally::check(tally(&[1, 2, 3]), tally(&[3, 1, 2])), Ok(()));
    }

    #[test]
    fn loss_is_named_with_both_counts() {
        let fault = Tally::check(tally(&[1, 2, 3]), tally(&[1, 2]));
        assert_eq!(
            fault,
            Err(Fault::Lost {
                sent: 3,
                received: 2
            })
        );
    }

    #[test]
    fn duplicate_that_hides_a_loss_is_seen() {
        assert_eq!(
            Tally::check(tally(&[1, 2, 3]), tally(&[1, 2, 2])),
            Err(Fault::Altered)
        );
    }

    /// The messages of two producers, in the given order of their indices.
    fn arrivals<T: Payload>(order: &[(usize, usize)]) -> Result<(), Fault> {
        let made: Vec<Vec<u64>> = (0..2)
            .map(|producer| {
                let mut source = T::source(producer);
                (0..40).map(|_| T::next(&mut source).stamp()).collect()
            })
            .collect();
        let (mut sent, mut arrivals) = (Tally::default(), Arrivals::<T>::from(2));
        for (producer, index) in order {
            sent.add(made[*producer][*index]);
            arrivals.add(made[*producer][*index]);
        }
        arrivals.check(sent)
    }

    fn order_is_checked<T: Payload>() {
        let in_turn: Vec<(usize, usize)> =
            (0..40).flat_map(|index| [(0, index), (1, index)]).collect();
        assert_eq!(arrivals::<T>(&in_turn), Ok(()));
        for at in [0, 35, 75] {
            let mut swapped = in_turn.clone();
            swapped.swap(at, at + 2);
            assert_eq!(arrivals::<T>(&swapped), Err(Fault::Reordered));
        }
    }

    #[test]
    fn order_of_each_producer_is_checked() {
        order_is_checked::<u64>();
        order_is_checked::<Bytes>();
    }

    #[test]
    fn packets_carry_distinct_stamps() {
        let mut source = Bytes::source(3);
        let mut seen: Vec<u64> = (0..PACKETS)
            .map(|_| Bytes::next(&mut source).stamp())
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), PACKETS);
        assert_eq!(Bytes::next(&mut source).len(), PACKET_LEN);
    }
}
