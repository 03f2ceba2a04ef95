//! Frames in a stream (RFC 4571): two bytes of length, then a datagram. Buffers are bounded in both directions.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use crate::net::udp::MAX_DATAGRAM;

/// The size of the largest frame with its length, in bytes.
const FRAME: usize = 2 + MAX_DATAGRAM;
/// The size of an [`Inbox`] in bytes: several frames, so that one read can get many.
const ROOM: usize = 8 * FRAME;
/// The size of an [`Outbox`] in bytes.
const MAX_BYTES: usize = 256 << 10;
/// How long a frame may wait to be sent.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Frames in one write.
const SLICES: usize = 16;
/// Buffers that are kept for later frames.
const SPARE: usize = 64;

/// A frame is longer than the largest datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The receive buffer of a stream.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty buffer.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The space for the next read. It is never empty after [`Inbox::frame`] has returned `None`.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Adds `read` bytes that were written to [`Inbox::room`].
    pub(crate) fn filled(&mut self, read: usize) {
        self.end += read;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// Removes and returns the next complete frame, without its length. Empty ones are skipped.
    ///
    /// # Errors
    ///
    /// If it is too long: the stream cannot be read any further.
    pub(crate) fn frame(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let Some(frame) = self.peek()? else {
                return Ok(None);
            };
            let range = self.start + 2..self.start + 2 + frame.len();
            self.start = range.end;
            if !range.is_empty() {
                return Ok(Some(&self.bytes[range]));
            }
        }
    }

    /// The next complete frame, which stays in the buffer.
    ///
    /// # Errors
    ///
    /// As [`Inbox::frame`].
    pub(crate) fn peek(&self) -> Result<Option<&[u8]>, TooLong> {
        let [high, low, rest @ ..] = &self.bytes[self.start..self.end] else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len > MAX_DATAGRAM {
            return Err(TooLong);
        }
        Ok(rest.get(..len))
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

/// The send queue of a stream. A frame that is partly sent is never dropped: the reader would lose the frame
/// boundaries.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Bytes of the first frame that are sent.
    written: usize,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// An empty buffer.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            written: 0,
            spare: Vec::new(),
        }
    }

    /// Whether no frame is queued.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Queues a frame. Returns how many of the oldest were dropped for it.
    ///
    /// # Panics
    ///
    /// If it is longer than 65,535 bytes.
    pub(crate) fn push(&mut self, now: Instant, datagram: &[u8]) -> usize {
        let len = u16::try_from(datagram.len()).expect("a datagram fits in a frame");
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.extend_from_slice(&len.to_be_bytes());
        frame.extend_from_slice(datagram);
        self.bytes += frame.len();
        self.frames.push_back((now, frame));
        let mut dropped = 0;
        while self.bytes > MAX_BYTES && self.drop_oldest() {
            dropped += 1;
        }
        dropped
    }

    /// Drops frames that have waited too long. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        while let Some((since, _)) = self.frames.get(usize::from(self.written > 0))
            && now.saturating_duration_since(*since) > MAX_AGE
            && self.drop_oldest()
        {
            dropped += 1;
        }
        dropped
    }

    /// Calls `write` with the frames to send next.
    pub(crate) fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        for ((_, frame), slice) in self.frames.iter().zip(&mut slices) {
            let from = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame[from..]);
            filled += 1;
        }
        write(&slices[..filled])
    }

    /// Removes `written` bytes that were sent. Returns how many frames they completed.
    pub(crate) fn advance(&mut self, written: usize) -> usize {
        self.written += written;
        let mut whole = 0;
        while let Some((_, frame)) = self.frames.front()
            && self.written >= frame.len()
        {
            self.written -= frame.len();
            self.remove(0);
            whole += 1;
        }
        whole
    }

    fn drop_oldest(&mut self) -> bool {
        let at = usize::from(self.written > 0);
        // The newest is never dropped.
        at + 1 < self.frames.len() && self.remove(at)
    }

    fn remove(&mut self, at: usize) -> bool {
        let Some((_, mut frame)) = self.frames.remove(at) else {
            return false;
        };
        self.bytes -= frame.len();
        if self.spare.len() < SPARE {
            frame.clear();
            self.spare.push(frame);
        }
        true
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(datagram: &[u8]) -> Vec<u8> {
        let mut frame = (datagram.len() as u16).to_be_bytes().to_vec();
        frame.extend(datagram);
        frame
    }

    /// Feeds bytes in pieces of `step` and takes the frames out.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut inbox = Inbox::new();
        let mut frames = Vec::new();
        for piece in bytes.chunks(step) {
            let room = inbox.room();
            assert!(room.len() >= piece.len(), "room for what a frame lacks");
            room[..piece.len()].copy_from_slice(piece);
            inbox.filled(piece.len());
            while let Some(frame) = inbox.frame()? {
                frames.push(frame.to_vec());
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let datagrams: Vec<Vec<u8>> = (0..40usize)
            .map(|n| vec![n as u8 + 1; [1, 2, 77, 1200, MAX_DATAGRAM][n % 5]])
            .collect();
        let mut stream: Vec<u8> = datagrams.iter().flat_map(|d| framed(d)).collect();
        stream.splice(0..0, [0, 0]); // an empty one, which is none
        for step in [1, 2, 3, 1000, FRAME, 3 * FRAME] {
            assert_eq!(read(&stream, step).unwrap(), datagrams, "{step}");
        }
    }

    #[test]
    fn frame_longer_than_a_datagram_ends_the_stream() {
        let mut stream = framed(&[7; 100]);
        stream.extend(((MAX_DATAGRAM + 1) as u16).to_be_bytes());
        assert_eq!(read(&stream, 1), Err(TooLong));
        assert_eq!(read(&[0xff, 0xff], 2), Err(TooLong));
    }

    /// Removes `n` bytes, like a socket with room for no more.
    fn take(outbox: &mut Outbox, n: usize, into: &mut Vec<u8>) -> usize {
        let taken = outbox.with_slices(|slices| {
            let before = into.len();
            for slice in slices {
                let left = n - (into.len() - before);
                into.extend(&slice[..slice.len().min(left)]);
            }
            into.len() - before
        });
        outbox.advance(taken)
    }

    #[test]
    fn what_goes_in_comes_out_in_any_pieces() {
        let now = Instant::now();
        for step in [1, 5, 700, 100_000] {
            let mut outbox = Outbox::new();
            let (mut out, mut expected, mut whole) = (Vec::new(), Vec::new(), 0);
            for n in 0..50usize {
                let datagram = vec![n as u8; n * 13 % 400 + 1];
                assert_eq!(outbox.push(now, &datagram), 0);
                expected.extend(framed(&datagram));
                whole += take(&mut outbox, step, &mut out);
            }
            while !outbox.is_empty() {
                whole += take(&mut outbox, step, &mut out);
            }
            assert!(out == expected && whole == 50, "{step}");
            assert_eq!((outbox.bytes, outbox.written), (0, 0));
        }
    }

    #[test]
    fn slow_reader_loses_the_oldest_and_never_half_a_frame() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        let mut out = Vec::new();
        outbox.push(now, &[0; 1000]);
        take(&mut outbox, 10, &mut out);
        let mut dropped = 0;
        for n in 0..1000u32 {
            let mut datagram = vec![1; 1000];
            datagram[..4].copy_from_slice(&n.to_be_bytes());
            dropped += outbox.push(now, &datagram);
            assert!(outbox.bytes <= MAX_BYTES);
        }
        while !outbox.is_empty() {
            take(&mut outbox, 4096, &mut out);
        }
        let frames = read(&out, 1000).unwrap();
        assert_eq!(frames.len() + dropped, 1001);
        assert_eq!(frames[0], [0; 1000], "the one that had begun");
        let last = u32::from_be_bytes(frames.last().unwrap()[..4].try_into().unwrap());
        assert_eq!(last, 999, "the newest is kept");
    }

    #[test]
    fn what_is_too_old_is_dropped_but_for_what_has_begun() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        let mut out = Vec::new();
        for n in 0..10u8 {
            outbox.push(now, &[n; 50]);
        }
        take(&mut outbox, 1, &mut out);
        let later = now + MAX_AGE + Duration::from_millis(1);
        outbox.push(later, &[99; 50]);
        assert_eq!(outbox.expire(now + MAX_AGE), 0);
        assert_eq!(outbox.expire(later), 9);
        while !outbox.is_empty() {
            take(&mut outbox, 4096, &mut out);
        }
        assert_eq!(read(&out, 10).unwrap(), [vec![0; 50], vec![99; 50]]);
    }
}
