//! Protocol Buffers inside of messages.

use std::{fmt, marker::PhantomData};

use prost::Message;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

/// Bytes that are allocated before they are there.
const AT_ONCE: usize = 64 << 10;

/// A message of Protocol Buffers as a part of a message: a field, a variant's content, or what a reply carries.
///
/// What it holds is encoded by [`prost`], so that its type may change as such types may: a field that one end does not
/// know is no error. What is around it is encoded by the codec of the lane.
///
/// # Examples
///
/// ```
/// use lanemesh_net::{Protobuf, Remote};
/// use lanemesh_runtime::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// # type Position = u64;
/// # type Route = String;
/// #[derive(Serialize, Deserialize)]
/// enum Msg {
///     Moved(Protobuf<Position>), // types that prost has generated
///     Route(Protobuf<Position>, Reply<Protobuf<Route>>),
/// }
///
/// struct Ship;
///
/// impl Handler for Ship {
///     type Msg = Msg;
///
///     async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
///         match msg {
///             Msg::Moved(Protobuf(_position)) => {}
///             Msg::Route(_, reply) => drop(reply.send(Protobuf(Route::default()))),
///         }
///         Ok(())
///     }
/// }
///
/// impl Remote for Ship {
///     const TYPE: &'static str = "example/ship";
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protobuf<M>(
    /// The message.
    pub M,
);

impl<M> From<M> for Protobuf<M> {
    fn from(message: M) -> Self {
        Self(message)
    }
}

impl<M: Message> Serialize for Protobuf<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.encode_to_vec())
    }
}

impl<'de, M: Message + Default> Deserialize<'de> for Protobuf<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes(PhantomData))
    }
}

struct Bytes<M>(PhantomData<M>);

impl<'de, M: Message + Default> Visitor<'de> for Bytes<M> {
    type Value = Protobuf<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a message of Protocol Buffers")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        M::decode(bytes).map(Protobuf).map_err(E::custom)
    }

    // JSON has no bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let expected = sequence.size_hint().unwrap_or(0).min(AT_ONCE);
        let mut bytes = Vec::with_capacity(expected);
        while let Some(byte) = sequence.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Codec, decode, encode};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Told {
        Text(Protobuf<String>),
        Number(u8, Protobuf<u64>),
    }

    #[test]
    fn what_was_encoded_is_decoded_by_each_codec() {
        for codec in [Codec::Postcard, Codec::Json] {
            for told in [
                Told::Text(Protobuf("ahoy".to_owned())),
                Told::Text(Protobuf::default()),
                Told::Number(1, Protobuf(u64::MAX)),
            ] {
                let mut bytes = Vec::new();
                encode(codec, &told, 0, 1000, &mut bytes).unwrap();
                let (read, _) = decode::<Told>(codec, &bytes).unwrap();
                assert_eq!(read, told);
            }
        }
    }

    #[test]
    fn any_other_bytes_are_an_error_or_a_message() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut errors = 0;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..random.usize(0..24)).map(|_| random.u8(0..16)).collect();
            for codec in [Codec::Postcard, Codec::Json] {
                errors += u32::from(decode::<Told>(codec, &bytes).is_err());
            }
        }
        assert!(errors > 2000);
    }
}
