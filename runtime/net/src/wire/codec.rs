//! Messages and answers as bytes: postcard, with a limit.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use lanemesh_runtime::edge::{PendingAnswer, PendingAsk, arriving, departing};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

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
    fn check(&self, more: usize) -> postcard::Result<()> {
        match self.limit - self.into.len() >= more {
            true => Ok(()),
            false => Err(postcard::Error::SerializeBufferFull),
        }
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
    message: &M,
    slot: u64,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<Vec<PendingAsk>, CodecError> {
    let before = into.len();
    let limit = before + limit;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        departing(slot, || {
            let flavor = Limited { into, limit };
            postcard::serialize_with_flavor(message, flavor)
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
    answer: &dyn erased_serde::Serialize,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let before = into.len();
    let limit = before + limit;
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        postcard::serialize_with_flavor(answer, Limited { into, limit })
    }));
    let error = match encoded {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "serializing the answer panicked".into(),
    };
    into.truncate(before);
    Err(CodecError(error))
}

/// Reads a message, all of `bytes`.
pub(crate) fn decode<M: DeserializeOwned>(
    bytes: &[u8],
) -> Result<(M, Vec<PendingAnswer>), CodecError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        arriving(|| postcard::take_from_bytes::<M>(bytes))
    }));
    match decoded {
        Ok((Ok((message, [])), answers)) => Ok((message, answers)),
        Ok((Ok((_, rest)), _)) => Err(CodecError(format!(
            "{} bytes follow a {}",
            rest.len(),
            std::any::type_name::<M>()
        ))),
        Ok((Err(error), _)) => Err(CodecError(describe::<M>(&error, bytes.len()))),
        Err(_) => Err(CodecError(format!(
            "deserializing a {} panicked",
            std::any::type_name::<M>()
        ))),
    }
}

fn describe<M>(error: &postcard::Error, limit: usize) -> String {
    let kind = std::any::type_name::<M>();
    match error {
        postcard::Error::SerializeBufferFull => {
            format!("a {kind} is larger than a frame may be: {limit} bytes")
        }
        error => format!("a {kind} of at most {limit} bytes: {error}"),
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

    #[tokio::test]
    async fn message_with_a_reply_goes_there_and_the_answer_back() {
        let mut bytes = vec![9];
        let (reply, answer) = Reply::<String>::pair();
        let message = (5_u32, reply);
        let mut asks = encode(&message, 3, 100, &mut bytes).unwrap();
        drop(message);
        let ((number, reply), mut answers) = decode::<(u32, Reply<String>)>(&bytes[1..]).unwrap();
        assert_eq!((number, answers[0].slot()), (5, 3));
        reply.send("yes".into()).unwrap();
        let mut back = Vec::new();
        let encode = &mut |answer: &dyn erased_serde::Serialize| {
            encode_answer(answer, 100, &mut back).unwrap();
        };
        assert!(std::future::poll_fn(|cx| answers[0].poll(cx, encode)).await);
        let ask = asks.pop().unwrap();
        ask.complete(&mut postcard::Deserializer::from_bytes(&back))
            .unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(answer.receive(second).await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn message_that_is_too_large_or_panics_leaves_no_bytes_and_a_reply_that_answers() {
        let mut bytes = vec![9];
        let (reply, answer) = Reply::<u8>::pair();
        let message = (reply, "0123456789");
        let error = encode(&message, 0, 8, &mut bytes).unwrap_err();
        assert!(error.0.contains("larger than a frame"), "{error}");
        assert_eq!(bytes, [9]);
        message.0.send(1).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(answer.receive(second).await, Ok(1));

        let (reply, answer) = Reply::<u8>::pair();
        let message = (reply, Panics);
        let error = encode(&message, 0, 8, &mut bytes).unwrap_err();
        assert!(error.0.contains("panicked"), "{error}");
        assert_eq!(bytes, [9]);
        drop(message);
        assert_eq!(answer.receive(second).await, Err(AskError::Crashed));
        assert!(encode_answer(&Panics, 8, &mut bytes).is_err());
        assert!(encode_answer(&"0123456789", 8, &mut bytes).is_err());
        assert_eq!(bytes, [9]);
    }

    #[test]
    fn wrong_bytes_are_an_error() {
        assert!(decode::<u32>(&[]).is_err());
        assert!(decode::<u32>(&[1, 2]).is_err());
        assert!(decode::<String>(&[255, 255, 255, 255, 15, 65]).is_err());
        assert!(decode::<Panics>(&[]).is_err());
    }
}
