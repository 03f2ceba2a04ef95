//! Messages and answers as bytes, with a limit: postcard, or JSON for ends that do not have the types.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use lanemesh_runtime::edge::{PendingAnswer, PendingAsk, arriving, departing};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

use super::frame::Codec;

/// Why a message was not encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodecError(pub(crate) String);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends to a vector, up to a limit.
struct Limited<'a> {
    into: &'a mut Vec<u8>,
    /// The length that the vector may get.
    limit: usize,
}

impl Limited<'_> {
    fn has_room(&self, more: usize) -> bool {
        self.limit - self.into.len() >= more
    }

    fn check(&self, more: usize) -> postcard::Result<()> {
        match self.has_room(more) {
            true => Ok(()),
            false => Err(postcard::Error::SerializeBufferFull),
        }
    }
}

#[cfg(feature = "json")]
impl std::io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.has_room(bytes.len()) {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.into.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a value was not written, or not read.
enum Failure {
    /// It is larger than the limit.
    Limit,
    Other(String),
}

impl From<postcard::Error> for Failure {
    fn from(error: postcard::Error) -> Self {
        match error {
            postcard::Error::SerializeBufferFull => Self::Limit,
            error => Self::Other(error.to_string()),
        }
    }
}

#[cfg(feature = "json")]
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        match error.io_error_kind() {
            Some(_) => Self::Limit,
            None => Self::Other(error.to_string()),
        }
    }
}

#[cfg(not(feature = "json"))]
fn without_json() -> Failure {
    // No lane is opened with it.
    Failure::Other("this program was built without JSON".into())
}

fn write<T: Serialize + ?Sized>(codec: Codec, value: &T, into: Limited<'_>) -> Result<(), Failure> {
    match codec {
        Codec::Postcard => Ok(postcard::serialize_with_flavor(value, into)?),
        #[cfg(feature = "json")]
        Codec::Json => Ok(serde_json::to_writer(into, value)?),
        #[cfg(not(feature = "json"))]
        Codec::Json => Err(without_json()),
    }
}

/// Reads a value, all of `bytes`.
fn read<T: DeserializeOwned>(codec: Codec, bytes: &[u8]) -> Result<T, Failure> {
    match codec {
        Codec::Postcard => match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(Failure::Other(format!("{} bytes follow it", rest.len()))),
        },
        #[cfg(feature = "json")]
        Codec::Json => Ok(serde_json::from_slice(bytes)?),
        #[cfg(not(feature = "json"))]
        Codec::Json => Err(without_json()),
    }
}

impl Flavor for Limited<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.check(1)?;
        self.into.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.check(bytes.len())?;
        self.into.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends a message of up to `limit` bytes; its replies get the numbers from `slot` on. After an
/// error nothing was appended, and the replies of the message answer as before.
pub(crate) fn encode<M: Serialize>(
    codec: Codec,
    message: &M,
    slot: u64,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<Vec<PendingAsk>, CodecError> {
    let before = into.len();
    let limit = before + limit;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        departing(slot, || {
            let into = Limited { into, limit };
            write(codec, message, into)
        })
    }));
    let error = match encoded {
        Ok(Ok(((), asks))) => return Ok(asks),
        Ok(Err(error)) => describe::<M>(&error, limit - before),
        Err(_) => format!("serializing a {} panicked", std::any::type_name::<M>()),
    };
    into.truncate(before);
    Err(CodecError(error))
}

/// Appends an answer of up to `limit` bytes.
pub(crate) fn encode_answer(
    codec: Codec,
    answer: &dyn erased_serde::Serialize,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let before = into.len();
    let limit = before + limit;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        write(codec, answer, Limited { into, limit })
    }));
    let error = match encoded {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Failure::Limit)) => format!("it is larger than a frame may be: {limit} bytes"),
        Ok(Err(Failure::Other(error))) => error,
        Err(_) => "serializing the answer panicked".into(),
    };
    into.truncate(before);
    Err(CodecError(error))
}

/// Reads a message, all of `bytes`.
pub(crate) fn decode<M: DeserializeOwned>(
    codec: Codec,
    bytes: &[u8],
) -> Result<(M, Vec<PendingAnswer>), CodecError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| arriving(|| read::<M>(codec, bytes))));
    match decoded {
        Ok((Ok(message), answers)) => Ok((message, answers)),
        Ok((Err(error), _)) => Err(CodecError(describe::<M>(&error, bytes.len()))),
        Err(_) => Err(CodecError(format!(
            "deserializing a {} panicked",
            std::any::type_name::<M>()
        ))),
    }
}

/// Reads an answer and gives it to who waits for it; what follows it in `bytes` is ignored.
pub(crate) fn complete(codec: Codec, ask: PendingAsk, bytes: &[u8]) -> Result<(), CodecError> {
    let complete = || match codec {
        Codec::Postcard => ask.complete(&mut postcard::Deserializer::from_bytes(bytes)),
        #[cfg(feature = "json")]
        Codec::Json => ask.complete(&mut serde_json::Deserializer::from_slice(bytes)),
        #[cfg(not(feature = "json"))]
        Codec::Json => {
            drop(ask);
            Ok(())
        }
    };
    match catch_unwind(AssertUnwindSafe(complete)) {
        Ok(completed) => completed.map_err(|error| CodecError(error.to_string())),
        Err(_) => Err(CodecError("deserializing an answer panicked".into())),
    }
}

fn describe<M>(failure: &Failure, limit: usize) -> String {
    let kind = std::any::type_name::<M>();
    match failure {
        Failure::Limit => format!("a {kind} is larger than a frame may be: {limit} bytes"),
        Failure::Other(error) => format!("a {kind} of at most {limit} bytes: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lanemesh_runtime::{AskError, Reply};
    use serde::{Deserialize, Serializer};

    use super::*;

    struct Panics;

    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("on purpose");
        }
    }

    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("on purpose");
        }
    }

    const CODECS: [Codec; 2] = [Codec::Postcard, Codec::Json];

    #[tokio::test]
    async fn message_with_a_reply_goes_there_and_the_answer_back() {
        for codec in CODECS {
            let mut bytes = vec![9];
            let (reply, answer) = Reply::<String>::pair();
            let message = (5_u32, reply);
            let mut asks = encode(codec, &message, u64::MAX, 100, &mut bytes).unwrap();
            drop(message);
            let decoded = decode::<(u32, Reply<String>)>(codec, &bytes[1..]);
            let ((number, reply), mut answers) = decoded.unwrap();
            assert_eq!((number, answers[0].slot()), (5, u64::MAX));
            reply.send("yes".into()).unwrap();
            let mut back = Vec::new();
            let encode = &mut |answer: &dyn erased_serde::Serialize| {
                encode_answer(codec, answer, 100, &mut back).unwrap();
            };
            assert!(std::future::poll_fn(|cx| answers[0].poll(cx, encode)).await);
            complete(codec, asks.pop().unwrap(), &back).unwrap();
            let second = Duration::from_secs(1);
            assert_eq!(answer.receive(second).await.unwrap(), "yes");
        }
    }

    #[tokio::test]
    async fn message_that_is_too_large_or_panics_leaves_no_bytes_and_a_reply_that_answers() {
        for codec in CODECS {
            let mut bytes = vec![9];
            let (reply, answer) = Reply::<u8>::pair();
            let message = (reply, "0123456789");
            let error = encode(codec, &message, 0, 8, &mut bytes).unwrap_err();
            assert!(error.0.contains("larger than a frame"), "{error}");
            assert_eq!(bytes, [9]);
            message.0.send(1).unwrap();
            let second = Duration::from_secs(1);
            assert_eq!(answer.receive(second).await, Ok(1));

            let (reply, answer) = Reply::<u8>::pair();
            let message = (reply, Panics);
            let error = encode(codec, &message, 0, 80, &mut bytes).unwrap_err();
            assert!(error.0.contains("panicked"), "{error}");
            assert_eq!(bytes, [9]);
            drop(message);
            assert_eq!(answer.receive(second).await, Err(AskError::Crashed));
            assert!(encode_answer(codec, &Panics, 8, &mut bytes).is_err());
            assert!(encode_answer(codec, &"0123456789", 8, &mut bytes).is_err());
            assert_eq!(bytes, [9]);
        }
    }

    #[tokio::test]
    async fn wrong_bytes_are_an_error() {
        let codec = Codec::Postcard;
        assert!(decode::<u32>(codec, &[]).is_err());
        assert!(decode::<u32>(codec, &[1, 2]).is_err());
        assert!(decode::<String>(codec, &[255, 255, 255, 255, 15, 65]).is_err());
        assert!(decode::<Panics>(codec, &[]).is_err());
        let codec = Codec::Json;
        let deep = "[".repeat(100_000);
        for text in ["", "1 2", "-1", "\"1\"", &deep] {
            assert!(decode::<u32>(codec, text.as_bytes()).is_err(), "{text}");
        }
        assert!(decode::<serde_json::Value>(codec, deep.as_bytes()).is_err());
        assert!(decode::<String>(codec, b"\"\xff\"").is_err());
        assert!(decode::<Reply<u8>>(codec, b"{\"$reply\":-1}").is_err());
        assert!(decode::<Reply<u8>>(codec, b"7").is_err());
        assert!(decode::<Panics>(codec, b"1").is_err());
        for codec in CODECS {
            let (reply, answer) = Reply::<u32>::pair();
            let ask = encode(codec, &reply, 0, 100, &mut Vec::new())
                .unwrap()
                .pop();
            drop(reply);
            assert!(complete(codec, ask.unwrap(), &[255]).is_err());
            let second = Duration::from_secs(1);
            assert_eq!(answer.receive(second).await, Err(AskError::Crashed));
        }
    }
}
