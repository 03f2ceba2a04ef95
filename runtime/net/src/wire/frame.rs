//! Frames: a length of four bytes, a kind of one byte, and the fields of the kind.
//!
//! A frame is checked against a limit before anything is allocated for it, and read without copying.

use super::{
    field::{Fields, FrameError, put_note, put_text},
    trace::TraceContext,
};

/// Bytes before the fields of a frame: the length, which counts the kind, and the kind.
pub(crate) const HEADER: usize = 5;

/// Bytes of a message's frame before its payload.
pub(crate) const MESSAGE: usize = HEADER + 12;

/// The priority of a message, and the connection that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    High,
    Low,
}

impl Class {
    pub(crate) fn from_u8(byte: u8) -> Result<Self, FrameError> {
        match byte {
            0 => Ok(Self::High),
            1 => Ok(Self::Low),
            _ => Err(FrameError::Unknown),
        }
    }
}

/// How messages and answers are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Small and fast; both ends have the types.
    Postcard,
    /// For ends that do not have the types, such as scripts in a page.
    Json,
}

impl Codec {
    pub(crate) fn from_u8(byte: u8) -> Result<Self, FrameError> {
        match byte {
            0 => Ok(Self::Postcard),
            1 => Ok(Self::Json),
            _ => Err(FrameError::Unknown),
        }
    }
}

/// A set of codecs: a bit for each. Bits that nobody knows are those of later programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codecs(u8);

impl Codecs {
    /// Not a codec: the opener may send trace contexts, and the owner that is not of an earlier version says whether they
    /// are welcome.
    const TRACES: u8 = 1 << 7;
    /// Not a codec either: the opener understands that it is given more room.
    const ROOM: u8 = 1 << 6;
    const KNOWN: u8 = Self::TRACES | Self::ROOM;

    /// Those that this program was built with.
    pub(crate) const OWN: Self = Self(Self::KNOWN | if cfg!(feature = "json") { 3 } else { 1 });

    pub(crate) fn only(codec: Codec) -> Self {
        Self(Self::KNOWN | 1 << codec as u8)
    }

    /// Whether who has these knows of more room.
    pub(crate) fn has_room(self) -> bool {
        self.0 & Self::ROOM != 0
    }

    /// Whether who has these knows of trace contexts.
    pub(crate) fn has_traces(self) -> bool {
        self.0 & Self::TRACES != 0
    }

    pub(crate) fn contains(self, codec: Codec) -> bool {
        self.0 & (1 << codec as u8) != 0
    }

    /// The one to use between ends that have these and those: the fastest.
    pub(crate) fn common(self, other: Self) -> Option<Codec> {
        let is_common = |codec: &Codec| self.contains(*codec) && other.contains(*codec);
        [Codec::Postcard, Codec::Json].into_iter().find(is_common)
    }
}

/// What the holder of a handle wants of the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Stop,
    Drain,
    Kill,
}

/// What two nodes tell each other. Lanes are numbered by the node that opens them; *opener* and
/// *owner* say who sends a frame about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Opener: asks for a lane to the actor of this name.
    Open {
        lane: u32,
        versions: (u32, u32),
        codecs: Codecs,
        kind: &'a str,
        name: &'a str,
    },
    /// Owner: the lane is open, with this many messages and bytes of credit in each class.
    Opened {
        lane: u32,
        version: u32,
        codec: Codec,
        /// Messages may have trace contexts. Only said to who has said so.
        has_traces: bool,
        messages: [u32; 2],
        bytes: [u64; 2],
    },
    /// Owner: there is no such lane.
    Refused { lane: u32, why: u8, text: &'a str },
    /// Opener: a message, which expires in so many microseconds; 0 is never.
    Message {
        lane: u32,
        expires: u64,
        is_ask: bool,
        trace: Option<TraceContext>,
        payload: &'a [u8],
    },
    /// Owner: how many messages and bytes of a class the actor's mailbox has accepted, in total.
    Credit {
        lane: u32,
        class: Class,
        messages: u64,
        bytes: u64,
    },
    /// Owner: the credit of a class is this much from now on, at least. Only said to who understands it.
    Room {
        lane: u32,
        class: Class,
        messages: u64,
        bytes: u64,
    },
    /// Opener: the credit of both classes is wanted as soon as all messages are accepted.
    Confirm { lane: u32 },
    /// Opener: no more messages of the class whose connection this comes on.
    Close { lane: u32 },
    /// Owner: the actor has ended.
    Ended { lane: u32, why: u8, text: &'a str },
    /// Opener: a request to the actor itself.
    Order { lane: u32, order: Order },
    /// The answer to an ask of the node that this frame goes to.
    Answer { slot: u64, payload: &'a [u8] },
    /// There will be no answer.
    NoAnswer { slot: u64 },
    /// Are you there?
    Ping { number: u64 },
    /// Yes.
    Pong { number: u64 },
    /// How many bytes have arrived on the low connection, in total.
    Received { bytes: u64 },
    /// The node goes away on purpose.
    Bye,
}

/// Reads the first frame of `bytes`, and says how long it is; none if it is not complete. `limit` is for what
/// follows the length.
pub(crate) fn next(bytes: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > limit {
        return Err(FrameError::TooLarge);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    Ok(Some((Frame::read(body)?, length + 4)))
}

impl<'a> Frame<'a> {
    fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut fields = Fields(body);
        let frame = match fields.u8()? {
            1 => Self::Open {
                lane: fields.u32()?,
                versions: (fields.u32()?, fields.u32()?),
                codecs: Codecs(fields.u8()?),
                kind: fields.text()?,
                name: fields.text()?,
            },
            2 => {
                let (lane, version, codec) = (fields.u32()?, fields.u32()?, fields.u8()?);
                Self::Opened {
                    lane,
                    version,
                    codec: Codec::from_u8(codec & !Codecs::TRACES)?,
                    has_traces: codec & Codecs::TRACES != 0,
                    messages: [fields.u32()?, fields.u32()?],
                    bytes: [fields.u64()?, fields.u64()?],
                }
            }
            3 => Self::Refused {
                lane: fields.u32()?,
                why: fields.u8()?,
                text: fields.text()?,
            },
            kind @ (4 | 5 | 17 | 18) => Self::Message {
                lane: fields.u32()?,
                expires: fields.u64()?,
                is_ask: matches!(kind, 5 | 18),
                trace: match kind {
                    4 | 5 => None,
                    _ => Some(TraceContext::read(&mut fields)?),
                },
                payload: fields.rest(),
            },
            6 => Self::Credit {
                lane: fields.u32()?,
                class: Class::from_u8(fields.u8()?)?,
                messages: fields.u64()?,
                bytes: fields.u64()?,
            },
            7 => Self::Confirm {
                lane: fields.u32()?,
            },
            8 => Self::Close {
                lane: fields.u32()?,
            },
            9 => Self::Ended {
                lane: fields.u32()?,
                why: fields.u8()?,
                text: fields.text()?,
            },
            10 => Self::Order {
                lane: fields.u32()?,
                order: match fields.u8()? {
                    0 => Order::Stop,
                    1 => Order::Drain,
                    2 => Order::Kill,
                    _ => return Err(FrameError::Unknown),
                },
            },
            11 => Self::Answer {
                slot: fields.u64()?,
                payload: fields.rest(),
            },
            12 => Self::NoAnswer {
                slot: fields.u64()?,
            },
            13 => Self::Ping {
                number: fields.u64()?,
            },
            14 => Self::Pong {
                number: fields.u64()?,
            },
            15 => Self::Received {
                bytes: fields.u64()?,
            },
            16 => Self::Bye,
            19 => Self::Room {
                lane: fields.u32()?,
                class: Class::from_u8(fields.u8()?)?,
                messages: fields.u64()?,
                bytes: fields.u64()?,
            },
            _ => return Err(FrameError::Unknown),
        };
        fields.end()?;
        Ok(frame)
    }

    /// Appends the frame.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        let at = into.len();
        into.extend_from_slice(&[0; HEADER]);
        let kind = match *self {
            Self::Open {
                lane,
                versions,
                codecs,
                kind,
                name,
            } => {
                put(into, &lane.to_le_bytes());
                put(into, &versions.0.to_le_bytes());
                put(into, &versions.1.to_le_bytes());
                into.push(codecs.0);
                put_text(into, kind);
                put_text(into, name);
                1
            }
            Self::Opened {
                lane,
                version,
                codec,
                has_traces,
                messages,
                bytes,
            } => {
                put(into, &lane.to_le_bytes());
                put(into, &version.to_le_bytes());
                into.push(codec as u8 | if has_traces { Codecs::TRACES } else { 0 });
                messages
                    .iter()
                    .for_each(|count| put(into, &count.to_le_bytes()));
                bytes
                    .iter()
                    .for_each(|count| put(into, &count.to_le_bytes()));
                2
            }
            Self::Refused { lane, why, text } => {
                put(into, &lane.to_le_bytes());
                into.push(why);
                put_note(into, text);
                3
            }
            Self::Message {
                lane,
                expires,
                is_ask,
                trace,
                payload,
            } => {
                put(into, &lane.to_le_bytes());
                put(into, &expires.to_le_bytes());
                if let Some(trace) = trace {
                    put(into, &trace.to_bytes());
                }
                put(into, payload);
                message_kind(is_ask, trace.is_some())
            }
            Self::Credit {
                lane,
                class,
                messages,
                bytes,
            }
            | Self::Room {
                lane,
                class,
                messages,
                bytes,
            } => {
                put(into, &lane.to_le_bytes());
                into.push(class as u8);
                put(into, &messages.to_le_bytes());
                put(into, &bytes.to_le_bytes());
                match self {
                    Self::Credit { .. } => 6,
                    _ => 19,
                }
            }
            Self::Confirm { lane } => {
                put(into, &lane.to_le_bytes());
                7
            }
            Self::Close { lane } => {
                put(into, &lane.to_le_bytes());
                8
            }
            Self::Ended { lane, why, text } => {
                put(into, &lane.to_le_bytes());
                into.push(why);
                put_note(into, text);
                9
            }
            Self::Order { lane, order } => {
                put(into, &lane.to_le_bytes());
                into.push(order as u8);
                10
            }
            Self::Answer { slot, payload } => {
                put(into, &slot.to_le_bytes());
                put(into, payload);
                11
            }
            Self::NoAnswer { slot } => {
                put(into, &slot.to_le_bytes());
                12
            }
            Self::Ping { number } => {
                put(into, &number.to_le_bytes());
                13
            }
            Self::Pong { number } => {
                put(into, &number.to_le_bytes());
                14
            }
            Self::Received { bytes } => {
                put(into, &bytes.to_le_bytes());
                15
            }
            Self::Bye => 16,
        };
        into[at + 4] = kind;
        end(into, at);
    }
}

fn message_kind(is_ask: bool, has_trace: bool) -> u8 {
    let kind = if has_trace { 17 } else { 4 };
    kind + u8::from(is_ask)
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(bytes);
}

/// Begins a frame whose last field is appended by others: an answer. [`end`] completes it.
pub(crate) fn begin(slot: u64, into: &mut Vec<u8>) -> usize {
    let at = into.len();
    Frame::Answer { slot, payload: &[] }.write(into);
    at
}

/// Adds a context to the message whose frame begins at `at` and goes on to the end.
pub(crate) fn add_trace(into: &mut Vec<u8>, at: usize, trace: TraceContext) {
    let at = at + MESSAGE;
    into.splice(at..at, trace.to_bytes());
}

/// Sets the fields of the message whose frame begins `frame`, except its context and its payload.
pub(crate) fn set_message(
    frame: &mut [u8],
    lane: u32,
    expires: u64,
    is_ask: bool,
    has_trace: bool,
) {
    frame[4] = message_kind(is_ask, has_trace);
    frame[HEADER..HEADER + 4].copy_from_slice(&lane.to_le_bytes());
    frame[HEADER + 4..MESSAGE].copy_from_slice(&expires.to_le_bytes());
}

/// Sets the length of the frame that begins at `at` and goes on to the end.
pub(crate) fn end(into: &mut [u8], at: usize) {
    let length = (into.len() - at - 4) as u32;
    into[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::trace;
    use super::*;

    fn all() -> Vec<Frame<'static>> {
        let lane = 7;
        vec![
            Frame::Open {
                lane,
                versions: (1, 3),
                codecs: Codecs(3),
                kind: "chat/room",
                name: "room/42",
            },
            Frame::Opened {
                lane,
                version: 2,
                codec: Codec::Json,
                has_traces: true,
                messages: [64, 256],
                bytes: [1 << 40, 5],
            },
            Frame::Refused {
                lane,
                why: 1,
                text: "no",
            },
            Frame::Message {
                lane,
                expires: 9,
                is_ask: true,
                trace: None,
                payload: b"abc",
            },
            Frame::Message {
                lane,
                expires: 1,
                is_ask: true,
                trace: TraceContext::new(1 << 100, 2, true),
                payload: b"abc",
            },
            Frame::Message {
                lane,
                expires: 0,
                is_ask: false,
                trace: None,
                payload: b"",
            },
            Frame::Credit {
                lane,
                class: Class::Low,
                messages: u64::MAX,
                bytes: 1,
            },
            Frame::Room {
                lane,
                class: Class::High,
                messages: 1,
                bytes: u64::MAX,
            },
            Frame::Confirm { lane },
            Frame::Close { lane },
            Frame::Ended {
                lane,
                why: 2,
                text: "é",
            },
            Frame::Order {
                lane,
                order: Order::Kill,
            },
            Frame::Answer {
                slot: 8,
                payload: b"x",
            },
            Frame::NoAnswer { slot: 8 },
            Frame::Ping { number: 1 },
            Frame::Pong { number: 1 },
            Frame::Received { bytes: 4096 },
            Frame::Bye,
        ]
    }

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        for frame in all() {
            frame.write(&mut bytes);
        }
        let mut rest = &bytes[..];
        for frame in all() {
            let (read, length) = next(rest, 1000).unwrap().unwrap();
            assert_eq!(read, frame);
            rest = &rest[length..];
        }
        assert_eq!(next(rest, 1000), Ok(None));
    }

    #[test]
    fn fields_of_a_message_are_set_without_its_payload() {
        for trace in [None, TraceContext::new(3, 4, true)] {
            let mut bytes = vec![7];
            let message = |lane, expires, is_ask, trace| Frame::Message {
                lane,
                expires,
                is_ask,
                trace,
                payload: b"abc",
            };
            message(0, 0, false, None).write(&mut bytes);
            if let Some(trace) = trace {
                add_trace(&mut bytes, 1, trace);
            }
            end(&mut bytes, 1);
            set_message(&mut bytes[1..], 5, 1 << 40, true, trace.is_some());
            let read = next(&bytes[1..], 1000).unwrap();
            let length = MESSAGE + 3 + trace.map_or(0, |_| trace::LENGTH);
            assert_eq!(read, Some((message(5, 1 << 40, true, trace), length)));
        }
    }

    #[test]
    fn cut_frame_is_incomplete_and_shortened_frame_is_an_error() {
        for frame in all() {
            let mut bytes = Vec::new();
            frame.write(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(next(&bytes[..cut], 1000), Ok(None));
            }
            let is_open_ended = matches!(frame, Frame::Message { .. } | Frame::Answer { .. });
            bytes.push(0);
            end(&mut bytes, 0);
            if !is_open_ended {
                assert_eq!(next(&bytes, 1000), Err(FrameError::TooLong), "{frame:?}");
            }
            if frame != Frame::Bye {
                bytes.truncate(HEADER + 1);
                end(&mut bytes, 0);
                assert_eq!(next(&bytes, 1000), Err(FrameError::TooShort), "{frame:?}");
            }
        }
    }

    #[test]
    fn length_is_checked_before_the_frame_has_arrived() {
        assert_eq!(next(&[0, 0, 1, 0], 0xffff), Err(FrameError::TooLarge));
        assert_eq!(next(&[0, 0, 1, 0], 0x1_0000), Ok(None));
        assert_eq!(next(&[0, 0, 0, 0], 10), Err(FrameError::TooShort));
        assert_eq!(next(&[1, 0, 0, 0, 99], 10), Err(FrameError::Unknown));
        let refused = [10, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0, 0xff, 0xff];
        assert_eq!(next(&refused, 99), Err(FrameError::NotText));
    }
}
