//! Messages as bytes: which type and version they have, and how they are encoded.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

/// Turns values into bytes and back.
pub trait Codec {
    /// Appends the bytes of a value.
    ///
    /// # Errors
    ///
    /// If the value cannot be represented.
    fn encode<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of such a value.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError>;
}

/// Why a message could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError(String);

impl CodecError {
    /// An error with this text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

/// The default codec: [postcard](https://docs.rs/postcard), compact and fast. Fields have no names in
/// it, so a change of a type needs a new [`version`](DurableMessage::VERSION).
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Codec for Postcard {
    fn encode<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes = std::mem::take(into);
        *into = postcard::to_extend(value, bytes).map_err(CodecError::new)?;
        Ok(())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(CodecError::new(format_args!(
                "{} bytes too many",
                rest.len()
            ))),
            Err(error) => Err(CodecError::new(error)),
        }
    }
}

/// A message that can be stored: plain data with a name and a version.
///
/// A [`Reply`](lanemesh_runtime::Reply) cannot be stored, since nobody waits for the answer after a
/// restart: it has no traits of serde, so a message with one cannot implement this, and an actor whose
/// messages of a class do not implement it cannot have that class on disk. Only where `lanemesh-net`, which
/// carries replies, is in the same program do replies have these traits: then each send of such a message
/// fails with [`StoreError::Encode`](crate::StoreError::Encode), and gives it back.
///
/// # Examples
///
/// An order got a field in version 2. What was stored by a program of version 1 is cast up:
///
/// ```
/// use lanemesh_durable::{Codec, CodecError, DurableMessage, Postcard};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct OrderV1 {
///     number: u64,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Order {
///     number: u64,
///     is_express: bool,
/// }
///
/// impl DurableMessage for Order {
///     const NAME: &'static str = "order";
///     const VERSION: u32 = 2;
///
///     fn upcast(version: u32, bytes: &[u8]) -> Result<Self, CodecError> {
///         match version {
///             1 => {
///                 let OrderV1 { number } = Postcard::decode(bytes)?;
///                 Ok(Self { number, is_express: false })
///             }
///             // Of a later program: it becomes a dead letter with its bytes.
///             _ => Err(CodecError::new("unknown version")),
///         }
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Postcard::encode(&OrderV1 { number: 7 }, &mut bytes)?;
/// assert_eq!(Order::read("order", 1, &bytes)?, Order { number: 7, is_express: false });
/// assert!(Order::read("order", 3, &bytes).is_err());
/// assert!(Order::read("parcel", 1, &bytes).is_err());
/// # Ok::<(), CodecError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    note = "implement `DurableMessage` for it; a message with a `Reply` cannot be durable, since nobody waits for it after a restart"
)]
pub trait DurableMessage: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the type in the log. It stays when the type is renamed or moved.
    const NAME: &'static str;

    /// The version of the type. Raise it when its encoding changes. Default 1.
    const VERSION: u32 = 1;

    /// Appends the bytes of this message. Default: [`Postcard`]. For another codec, override this and
    /// [`decode`](Self::decode), and call the codec.
    ///
    /// # Errors
    ///
    /// Those of the codec.
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        Postcard::encode(self, into)
    }

    /// Reads a message of the present version. It is called on the journal's thread, which does all work on
    /// disk, so it must be fast.
    ///
    /// # Errors
    ///
    /// Those of the codec. The message becomes a dead letter then, also if this panics.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Postcard::decode(bytes)
    }

    /// Reads a message of another version. Default: an error. It is called as [`decode`](Self::decode) is.
    ///
    /// # Errors
    ///
    /// If the version is not known. The message becomes a dead letter then, with its bytes, also if this panics.
    fn upcast(version: u32, bytes: &[u8]) -> Result<Self, CodecError> {
        let _ = bytes;
        Err(CodecError::new(format_args!(
            "version {version} of {} is not known",
            Self::NAME
        )))
    }

    /// Reads a message as it was stored.
    ///
    /// # Errors
    ///
    /// If it has another name, an unknown version, or other bytes.
    fn read(name: &str, version: u32, bytes: &[u8]) -> Result<Self, CodecError> {
        if name != Self::NAME {
            return Err(CodecError::new(format_args!(
                "{name} is not {}",
                Self::NAME
            )));
        }
        match version == Self::VERSION {
            true => Self::decode(bytes),
            false => Self::upcast(version, bytes),
        }
    }
}
