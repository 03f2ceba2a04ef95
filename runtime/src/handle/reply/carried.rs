//! Replies in messages that leave the process, and in messages that arrive.
//!
//! A [`Reply`] is serialized as a number, inside of [`departing`]; in formats for people as `{"$reply": "7"}`. That makes a second end of its
//! oneshot, the [`PendingAsk`], which the link completes when the answer arrives; the first end is
//! dropped with the message and completes nothing. In the other process, inside of [`arriving`], the
//! number becomes a new `Reply`, whose answer the [`PendingAnswer`] waits for.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Unexpected, Visitor},
    ser::{Error as _, SerializeMap},
};

use crate::{
    error::AskError,
    handle::reply::{Answer, Reply, oneshot::Oneshot, pair},
};

/// The only key of what a reply is in formats for people, such as JSON. The value is its number, as a text.
const READABLE: &str = "$reply";

/// Reads a reply from a format for people.
struct Readable;

impl<'de> Visitor<'de> for Readable {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a reply: a map of {READABLE:?} to its number as a text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let entry = map.next_entry::<Cow<'de, str>, Cow<'de, str>>()?;
        let slot = entry.filter(|(key, _)| key == READABLE);
        let slot = slot.and_then(|(_, slot)| slot.parse().ok());
        let slot = slot.ok_or_else(|| A::Error::invalid_type(Unexpected::Map, &self))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(slot),
            Some(_) => Err(A::Error::invalid_length(2, &"one entry")),
        }
    }
}

/// How many replies one message may contain.
const MAX_REPLIES: usize = 16;

/// The replies of the message that is being serialized.
struct Leaving {
    first: u64,
    asks: Vec<PendingAsk>,
}

thread_local! {
    static LEAVING: RefCell<Option<Leaving>> = const { RefCell::new(None) };
    static ARRIVING: RefCell<Option<Vec<PendingAnswer>>> = const { RefCell::new(None) };
}

/// Serializes a message that leaves the process, by calling `encode`. Its replies get the numbers
/// from `first` on. Returns them with the result.
///
/// When `encode` succeeds, the message is to be dropped: its replies answer nothing any more.
/// A message may contain up to 16 replies.
///
/// # Errors
///
/// Those of `encode`; the replies in the message are then as they were.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{Reply, edge};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (reply, answer) = Reply::<u32>::pair();
/// assert!(serde_json::to_string(&reply).is_err(), "only inside of `departing`");
/// let (text, asks) = edge::departing(40, || serde_json::to_string(&reply))?;
/// drop(reply);
///
/// // Elsewhere.
/// let (reply, answers) = edge::arriving(|| serde_json::from_str::<Reply<u32>>(&text));
/// reply?.send(7).unwrap();
/// let mut back = None;
/// for mut pending in answers {
///     assert_eq!(pending.slot(), 40);
///     let encode = &mut |answer: &dyn erased_serde::Serialize| back = serde_json::to_string(answer).ok();
///     assert!(std::future::poll_fn(|cx| pending.poll(cx, encode)).await);
/// }
///
/// // Back home.
/// for ask in asks {
///     let back = back.take().unwrap();
///     ask.complete(&mut serde_json::Deserializer::from_str(&back))?;
/// }
/// assert_eq!(answer.receive(Duration::from_secs(1)).await?, 7);
/// # Ok(()) }
/// ```
pub fn departing<T, E>(
    first: u64,
    encode: impl FnOnce() -> Result<T, E>,
) -> Result<(T, Vec<PendingAsk>), E> {
    /// Also if `encode` panics.
    struct Scope(Option<Leaving>);
    impl Scope {
        fn end(&mut self) -> Vec<PendingAsk> {
            let leaving = LEAVING.with(|leaving| leaving.replace(self.0.take()));
            leaving.map_or_else(Vec::new, |leaving| leaving.asks)
        }
    }
    impl Drop for Scope {
        fn drop(&mut self) {
            for ask in self.end() {
                ask.revoke();
            }
        }
    }
    let asks = Vec::new();
    let mut scope = Scope(LEAVING.with(|leaving| leaving.replace(Some(Leaving { first, asks }))));
    let encoded = encode()?;
    let asks = scope.end();
    mem::forget(scope); // it holds nothing any more
    Ok((encoded, asks))
}

/// Deserializes a message that has arrived, by calling `decode`. Returns the answers that its replies
/// will give with the result.
pub fn arriving<T>(decode: impl FnOnce() -> T) -> (T, Vec<PendingAnswer>) {
    struct Scope(Option<Vec<PendingAnswer>>);
    impl Drop for Scope {
        fn drop(&mut self) {
            let arrived = ARRIVING.with(|arriving| arriving.replace(self.0.take()));
            drop(arrived);
        }
    }
    let scope = Scope(ARRIVING.with(|arriving| arriving.replace(Some(Vec::new()))));
    let decoded = decode();
    let answers = ARRIVING.with(|arriving| arriving.borrow_mut().take());
    drop(scope);
    (decoded, answers.unwrap_or_default())
}

impl<R: DeserializeOwned + Send + 'static> Serialize for Reply<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let slot = LEAVING.with(|leaving| {
            let mut leaving = leaving.borrow_mut();
            let Some(leaving) = leaving.as_mut() else {
                return Err("a reply can only be serialized with a message that a link carries");
            };
            if leaving.asks.len() == MAX_REPLIES {
                return Err("a message may carry up to 16 replies");
            }
            let Some(oneshot) = self.0.as_ref().filter(|oneshot| oneshot.forward()) else {
                return Err("a reply can be serialized once");
            };
            let slot = leaving.first.wrapping_add(leaving.asks.len() as u64);
            let waiting = Box::new(Far(Some(oneshot.clone())));
            leaving.asks.push(PendingAsk { slot, waiting });
            Ok(slot)
        });
        let slot = slot.map_err(S::Error::custom)?;
        if !serializer.is_human_readable() {
            return slot.serialize(serializer);
        }
        // A number that a reader without the types would not know from others, and might not read exactly.
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(READABLE, &slot.to_string())?;
        map.end()
    }
}

impl<'de, R: Serialize + Send + 'static> Deserialize<'de> for Reply<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let slot = if deserializer.is_human_readable() {
            deserializer.deserialize_map(Readable)?
        } else {
            u64::deserialize(deserializer)?
        };
        let reply = ARRIVING.with(|arriving| {
            let mut arriving = arriving.borrow_mut();
            let Some(answers) = arriving.as_mut() else {
                return Err("a reply can only be deserialized with a message that a link carries");
            };
            if answers.len() == MAX_REPLIES {
                return Err("a message may carry up to 16 replies");
            }
            let (reply, answer) = pair(Arc::default());
            let answer = Box::new(answer);
            answers.push(PendingAnswer { slot, answer });
            Ok(reply)
        });
        reply.map_err(D::Error::custom)
    }
}

trait Waiting: Send {
    fn complete(
        &mut self,
        answer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error>;

    fn fail(&mut self, why: AskError);

    fn revoke(&mut self);

    fn is_abandoned(&self) -> bool;
}

/// The second end of a oneshot, until it is completed.
struct Far<R>(Option<Arc<Oneshot<R>>>);

impl<R: DeserializeOwned + Send> Waiting for Far<R> {
    fn complete(
        &mut self,
        answer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        let answer = erased_serde::deserialize(answer)?;
        if let Some(oneshot) = self.0.take() {
            oneshot.put_from_afar(Some(answer), None);
        }
        Ok(())
    }

    fn fail(&mut self, why: AskError) {
        if let Some(oneshot) = self.0.take() {
            oneshot.put_from_afar(None, Some(why));
        }
    }

    fn revoke(&mut self) {
        if let Some(oneshot) = self.0.take() {
            oneshot.call_back();
        }
    }

    fn is_abandoned(&self) -> bool {
        self.0.as_ref().is_none_or(|oneshot| oneshot.is_abandoned())
    }
}

impl<R> Drop for Far<R> {
    fn drop(&mut self) {
        if let Some(oneshot) = self.0.take() {
            oneshot.put_from_afar(None, None);
        }
    }
}

/// An ask whose reply has left with a message. Dropping it tells the asker that there is no answer.
pub struct PendingAsk {
    slot: u64,
    waiting: Box<dyn Waiting>,
}

impl PendingAsk {
    /// The number of the reply.
    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// Whether the asker has given up.
    pub fn is_abandoned(&self) -> bool {
        self.waiting.is_abandoned()
    }

    /// Deserializes the answer and gives it to the asker.
    ///
    /// # Errors
    ///
    /// When the answer cannot be deserialized: the asker is told that there is none.
    pub fn complete<'de>(
        mut self,
        answer: impl Deserializer<'de>,
    ) -> Result<(), erased_serde::Error> {
        let mut answer = <dyn erased_serde::Deserializer<'_>>::erase(answer);
        self.waiting.complete(&mut answer)
    }

    /// Tells the asker why there is no answer.
    pub fn fail(mut self, why: AskError) {
        self.waiting.fail(why);
    }

    fn revoke(mut self) {
        self.waiting.revoke();
    }
}

impl fmt::Debug for PendingAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAsk")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

trait Answering: Send {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut(&dyn erased_serde::Serialize),
    ) -> Poll<bool>;
}

impl<R: Serialize + Send> Answering for Answer<R> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut(&dyn erased_serde::Serialize),
    ) -> Poll<bool> {
        Answer::poll(self, cx).map(|answer| {
            if let Some(answer) = &answer {
                encode(answer);
            }
            answer.is_some()
        })
    }
}

/// The answer that a reply will give which has arrived with a message. Dropping it tells the actor
/// that the asker is gone.
pub struct PendingAnswer {
    slot: u64,
    answer: Box<dyn Answering>,
}

impl PendingAnswer {
    /// The number of the reply, in the process of the asker.
    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// Waits for the answer and calls `encode` with it. Ready with `false` if there will be none.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        encode: &mut dyn FnMut(&dyn erased_serde::Serialize),
    ) -> Poll<bool> {
        self.answer.poll(cx, encode)
    }
}

impl fmt::Debug for PendingAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAnswer")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
