//! Trace contexts: of which trace a message is part, told to other nodes in the headers of frames.
//!
//! A message has a context if it has a field for it: a [`Trace`], which is no part of the message's bytes. What the
//! context is for is up to the actors; nothing here makes spans.

use std::{cell::Cell, error::Error, fmt, num::NonZero, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::field::{Fields, FrameError};

/// Bytes of a context in a frame.
pub(crate) const LENGTH: usize = 16 + 8 + 1;
const SAMPLED: u8 = 1;

/// A context as in the header `traceparent` of W3C Trace Context, level 1 and 2: which trace, which span of it, and flags.
///
/// # Examples
///
/// ```
/// use lanemesh_net::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// assert!("00-00000000000000000000000000000000-00f067aa0ba902b7-01".parse::<TraceContext>().is_err());
/// # Ok::<(), lanemesh_net::InvalidTrace>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: NonZero<u128>,
    span: NonZero<u64>,
    flags: u8,
}

impl TraceContext {
    /// The context of a span, whose trace is recorded if it `is_sampled`. None if one of the numbers is 0, which the
    /// standard forbids.
    pub fn new(trace: u128, span: u64, is_sampled: bool) -> Option<Self> {
        Some(Self {
            trace: NonZero::new(trace)?,
            span: NonZero::new(span)?,
            flags: u8::from(is_sampled),
        })
    }

    /// The same trace and flags for another span, unless that is 0.
    pub fn with_span(self, span: u64) -> Option<Self> {
        NonZero::new(span).map(|span| Self { span, ..self })
    }

    /// The number of the trace.
    pub fn trace(&self) -> u128 {
        self.trace.get()
    }

    /// The number of the span that the message comes from.
    pub fn span(&self) -> u64 {
        self.span.get()
    }

    /// The flags: the lowest one is that it is sampled.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded. Others are not told to other nodes.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(crate) fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(&self.trace().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span().to_be_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// Of a frame, which has those that are sampled.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, FrameError> {
        let trace = NonZero::new(u128::from_be_bytes(fields.array()?));
        let span = NonZero::new(u64::from_be_bytes(fields.array()?));
        let flags = fields.u8()?;
        match (trace, span) {
            (Some(trace), Some(span)) if flags & SAMPLED != 0 => Ok(Self { trace, span, flags }),
            _ => Err(FrameError::Unknown),
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// A text is not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTrace;

impl fmt::Display for InvalidTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not a traceparent of W3C Trace Context")
    }
}

impl Error for InvalidTrace {}

/// A number of so many hexadecimal digits in lower case.
fn hex(part: Option<&str>, digits: usize) -> Result<u128, InvalidTrace> {
    let part = part
        .filter(|part| part.len() == digits)
        .ok_or(InvalidTrace)?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !part.bytes().all(is_hex) {
        return Err(InvalidTrace);
    }
    u128::from_str_radix(part, 16).map_err(|_| InvalidTrace)
}

impl FromStr for TraceContext {
    type Err = InvalidTrace;

    /// Reads a `traceparent`. Of versions to come it reads what they have in common with this one.
    fn from_str(text: &str) -> Result<Self, InvalidTrace> {
        let mut parts = text.split('-');
        let version = hex(parts.next(), 2)?;
        let (trace, span) = (hex(parts.next(), 32)?, hex(parts.next(), 16)?);
        let flags = hex(parts.next(), 2)? as u8;
        let is_longer = parts.next().is_some();
        if version == 0xff || (version == 0 && is_longer) {
            return Err(InvalidTrace);
        }
        let trace = NonZero::new(trace).ok_or(InvalidTrace)?;
        let span = NonZero::new(span as u64).ok_or(InvalidTrace)?;
        Ok(Self { trace, span, flags })
    }
}

/// The place for a [`TraceContext`] in a message.
///
/// It is no part of the bytes of a message. On the way to another node a context that is sampled goes in the header of the
/// frame, 25 bytes long; none, and one that is not sampled, costs nothing, and arrives as none. A message has one context:
/// of several places in it the first sampled one counts, and all have it on arrival. In whatever else is serialized, such as
/// an answer or a file, it is lost.
///
/// # Examples
///
/// ```
/// use lanemesh_net::Trace;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     number: u64,
///     #[serde(default)] // pages may leave it out
///     trace: Trace,
/// }
///
/// let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// let order = Order { number: 7, trace: Trace::of(context) };
/// assert_eq!(order.trace.context(), Some(context));
/// # Ok::<(), lanemesh_net::InvalidTrace>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trace(Option<TraceContext>);

impl Trace {
    /// No context.
    pub const NONE: Self = Self(None);

    /// With a context.
    pub fn of(context: TraceContext) -> Self {
        Self(Some(context))
    }

    /// The context.
    pub fn context(&self) -> Option<TraceContext> {
        self.0
    }
}

/// What happens to a message on this thread, and its context.
#[derive(Clone, Copy)]
enum Current {
    Nothing,
    Departs(Option<TraceContext>),
    Arrives(Option<TraceContext>),
}

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(Current::Nothing) };
}

/// Runs `encode`, and returns the sampled context that was in what it has written. A panic has to be caught inside.
pub(crate) fn departing<T>(encode: impl FnOnce() -> T) -> (T, Option<TraceContext>) {
    CURRENT.set(Current::Departs(None));
    let encoded = encode();
    match CURRENT.replace(Current::Nothing) {
        Current::Departs(context) => (encoded, context),
        Current::Nothing | Current::Arrives(_) => (encoded, None), // what is written has read another one
    }
}

/// Runs `decode`: what it reads has this context. A panic has to be caught inside.
pub(crate) fn arriving<T>(context: Option<TraceContext>, decode: impl FnOnce() -> T) -> T {
    CURRENT.set(Current::Arrives(context));
    let decoded = decode();
    CURRENT.set(Current::Nothing);
    decoded
}

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(context) = self.0.filter(TraceContext::is_sampled)
            && matches!(CURRENT.get(), Current::Departs(None))
        {
            CURRENT.set(Current::Departs(Some(context)));
        }
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer)?;
        match CURRENT.get() {
            Current::Arrives(context) => Ok(Self(context)),
            Current::Nothing | Current::Departs(_) => Ok(Self::NONE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traceparent_is_read_as_the_standard_says() {
        let context: TraceContext = TEXT.parse().unwrap();
        assert_eq!(context.trace(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(
            (context.span(), context.flags()),
            (0x00f0_67aa_0ba9_02b7, 1)
        );
        let again = TraceContext::new(context.trace(), context.span(), true);
        assert_eq!(again, Some(context));
        for fine in [
            TEXT.replace("-01", "-00"),
            TEXT.replace("-01", "-03"),
            TEXT.replace("00-4b", "cc-4b"),
            TEXT.replace("00-4b", "cc-4b") + "-more",
        ] {
            assert!(fine.parse::<TraceContext>().is_ok(), "{fine}");
        }
        for wrong in [
            String::new(),
            TEXT[..54].to_owned(),
            TEXT.to_owned() + "-",
            TEXT.to_owned() + "0",
            TEXT.replace("00-4b", "ff-4b"),
            TEXT.replace('f', "F"),
            TEXT.replace('4', "+"),
            TEXT.replace('b', "é"),
            TEXT.replace("00f067aa0ba902b7", "0000000000000000"),
            TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        ] {
            assert_eq!(wrong.parse::<TraceContext>(), Err(InvalidTrace), "{wrong}");
        }
    }

    #[test]
    fn frame_has_no_context_that_is_not_sampled() {
        let context: TraceContext = TEXT.parse().unwrap();
        let bytes = context.to_bytes();
        assert_eq!(TraceContext::read(&mut Fields(&bytes)), Ok(context));
        for (at, wrong) in [(0..16, 0), (16..24, 0), (24..25, 2)] {
            let mut bytes = bytes;
            bytes[at].fill(wrong);
            assert_eq!(
                TraceContext::read(&mut Fields(&bytes)),
                Err(FrameError::Unknown)
            );
        }
        let short = TraceContext::read(&mut Fields(&bytes[..24]));
        assert_eq!(short, Err(FrameError::TooShort));
    }

    #[test]
    fn first_sampled_place_counts_and_nothing_stays_on_the_thread() {
        let context: TraceContext = TEXT.parse().unwrap();
        let other = context.with_span(7).unwrap();
        let not_sampled = TraceContext::new(1, 1, false).unwrap();
        let message = [not_sampled, context, other].map(Trace::of);
        let (bytes, departed) = departing(|| postcard::to_stdvec(&message).unwrap());
        assert_eq!((bytes.len(), departed), (0, Some(context)));
        let read = |bytes: &[u8]| postcard::from_bytes::<[Trace; 3]>(bytes).unwrap();
        assert_eq!(arriving(departed, || read(&bytes)), [Trace::of(context); 3]);
        assert_eq!(read(&bytes), [Trace::NONE; 3]);
        // Outside of a message it goes nowhere.
        let bytes = postcard::to_stdvec(&message).unwrap();
        assert_eq!(read(&bytes), [Trace::NONE; 3]);
        assert_eq!(departing(|| ()).1, None);
        assert_eq!(arriving(None, || read(&bytes)), [Trace::NONE; 3]);
    }
}
