//! Idempotent producers, codecs and versions.

use std::time::Duration;

use lanemesh_durable::{
    Codec, CodecError, DeadReason, Durable, DurableExt, DurableHandle, DurableMessage, Mailbox,
    QueueOptions, Terms, actor::LowOnly, disk::SimDisk,
};
use lanemesh_runtime::{Child, builder, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::common::{Num, open};

/// Tells what it gets.
struct Teller<M>(mpsc::UnboundedSender<M>);

impl<M: DurableMessage> Actor for Teller<M> {
    type HighPriorityMsg = M;
    type LowPriorityMsg = M;

    async fn on_high(&mut self, message: M, _: &mut Context<Self>) -> ActorResult {
        let _ = self.0.send(message);
        Ok(())
    }

    async fn on_low(&mut self, message: M, _: &mut Context<Self>) -> ActorResult {
        let _ = self.0.send(message);
        Ok(())
    }
}

async fn teller<M: DurableMessage>(
    store: &Durable,
    options: QueueOptions,
) -> (DurableHandle<Teller<M>>, Child, mpsc::UnboundedReceiver<M>) {
    let (tell, told) = mpsc::unbounded_channel();
    let teller = builder(move || Teller(tell.clone())).durable(store, "teller");
    let (handle, child) = teller.queue_options(options).spawn().await.unwrap();
    (handle, child, told)
}

fn number(n: u64) -> Terms {
    Terms::new().number(n)
}

#[tokio::test]
async fn a_numbered_message_that_is_sent_again_is_stored_once() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, mut told) = teller::<Num>(&store, QueueOptions::default()).await;
    let first = handle.low();
    first.set_identity(7);
    let one = first.tell_with(Num(1), number(1)).await.unwrap();
    let two = first.tell_with(Num(2), number(5)).await.unwrap();
    assert!(!one.is_duplicate && !two.is_duplicate);
    for earlier in [1, 4, 5] {
        let again = first.tell_with(Num(9), number(earlier)).await.unwrap();
        assert!(again.is_duplicate, "{earlier}");
        assert_eq!(again.id, two.id);
    }
    // Another producer, another class, a clone, and a message without a number are not the same.
    let mut clone = first.clone();
    assert!(
        !clone
            .tell_with(Num(3), number(1))
            .await
            .unwrap()
            .is_duplicate
    );
    clone.set_identity(8);
    assert!(
        !clone
            .tell_with(Num(4), number(1))
            .await
            .unwrap()
            .is_duplicate
    );
    assert!(!handle.low().tell(Num(5)).await.unwrap().is_duplicate);
    handle.high().set_identity(7);
    assert!(
        !handle
            .high()
            .tell_with(Num(6), number(1))
            .await
            .unwrap()
            .is_duplicate
    );
    let mut numbers = Vec::new();
    while numbers.len() < 6 {
        numbers.push(told.recv().await.unwrap().0);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.queue("teller").unwrap().duplicates, 3);
    child.stop().await;
    drop((handle, clone));
    store.close().await;
    // All are handled and gone, and known still.
    let store = open(&disk);
    let (mut handle, _child, _told) = teller::<Num>(&store, QueueOptions::default()).await;
    handle.low().set_identity(7);
    assert!(
        handle
            .low()
            .tell_with(Num(9), number(5))
            .await
            .unwrap()
            .is_duplicate
    );
    assert!(
        !handle
            .low()
            .tell_with(Num(9), number(6))
            .await
            .unwrap()
            .is_duplicate
    );
}

#[tokio::test]
async fn the_marks_of_producers_and_keys_expire() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let options = QueueOptions::default()
        .producer_window(Duration::ZERO)
        .key_window(Duration::ZERO);
    let (mut handle, _child, _told) = teller::<Num>(&store, options).await;
    handle.low().set_identity(7);
    let terms = || number(1).key("key");
    let one = handle.low().tell_with(Num(1), terms()).await.unwrap();
    let again = handle.low().tell_with(Num(1), terms()).await.unwrap();
    assert!(!again.is_duplicate && again.id > one.id);
}

/// Stores other messages, so that many segments are used again.
async fn churn(mail: &mut Mailbox, count: u64, mut terms: impl FnMut(u64) -> Terms) {
    for n in 0..count {
        mail.enqueue_with(vec![7; 200], true, terms(n))
            .await
            .unwrap();
        let taken = mail.dequeue(1).await.unwrap();
        mail.ack(&[taken[0].id]).await.unwrap();
    }
}

#[tokio::test]
async fn marks_outlive_their_segments_while_they_are_current() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    let key = || Terms::new().key("once");
    let first = mail.enqueue_with(b"x".to_vec(), true, key()).await.unwrap();
    let taken = mail.dequeue(1).await.unwrap();
    mail.ack(&[taken[0].id]).await.unwrap();
    churn(&mut mail, 300, |_| Terms::new()).await;
    assert!(store.stats().await.unwrap().written > 64 << 10);
    store.close().await;
    let store = open(&disk);
    let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    let again = mail.enqueue_with(b"x".to_vec(), true, key()).await.unwrap();
    assert_eq!((again.id, again.is_duplicate), (first.id, true));
}

#[tokio::test]
async fn marks_that_have_expired_take_no_room() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let options = QueueOptions::default().key_window(Duration::ZERO);
    let mut mail = store.mailbox("box", options).await.unwrap();
    churn(&mut mail, 600, |n| Terms::new().key(n.to_le_bytes())).await;
    let stats = store.stats().await.unwrap();
    // Twice what is live, two segments, and the reserve.
    assert!(stats.disk <= 2 * stats.live + 5 * (8 << 10), "{stats:?}");
    store.close().await;
}

/// A codec of one's own: JSON.
struct Json;

impl Codec for Json {
    fn encode<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(into, value).map_err(CodecError::new)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(CodecError::new)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Letter {
    text: String,
}

impl DurableMessage for Letter {
    const NAME: &'static str = "letter";

    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        if self.text.is_empty() {
            return Err(CodecError::new("an empty letter"));
        }
        Json::encode(self, into)
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Json::decode(bytes)
    }
}

/// What a later program has in its place.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct LetterV2 {
    text: String,
    to: String,
}

impl DurableMessage for LetterV2 {
    const NAME: &'static str = "letter";
    const VERSION: u32 = 2;

    fn encode(&self, into: &mut Vec<u8>) -> Result<(), CodecError> {
        Json::encode(self, into)
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Json::decode(bytes)
    }

    fn upcast(version: u32, bytes: &[u8]) -> Result<Self, CodecError> {
        match version {
            1 => {
                let Letter { text } = Json::decode(bytes)?;
                Ok(Self {
                    text,
                    to: "all".to_owned(),
                })
            }
            _ => Err(CodecError::new("a later version")),
        }
    }
}

#[tokio::test]
async fn a_codec_of_ones_own_is_used_and_earlier_versions_are_cast_up() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let letter = |text: &str| Letter {
        text: text.to_owned(),
    };
    let (mut handle, child, mut told) = teller(&store, QueueOptions::default()).await;
    handle.low().tell(letter("one")).await.unwrap();
    assert_eq!(told.recv().await, Some(letter("one")));
    let refused = handle.low().tell(letter("")).await.unwrap_err();
    assert_eq!(refused.message, letter(""));
    assert!(
        refused.error.to_string().contains("an empty letter"),
        "{refused}"
    );
    let mixed = vec![letter("two"), letter("")];
    assert_eq!(
        handle.low().tell_many(mixed).await.unwrap_err().rest.len(),
        2
    );
    child.stop().await;
    handle.low().tell(letter("two")).await.unwrap();
    drop(handle);
    store.close().await;
    let store = open(&disk);
    let (mut handle, child, mut told) = teller(&store, QueueOptions::default()).await;
    let two = LetterV2 {
        text: "two".to_owned(),
        to: "all".to_owned(),
    };
    assert_eq!(told.recv().await, Some(two));
    child.stop().await;
    // Version 2 is not known to the program of version 1.
    let three = LetterV2 {
        text: "three".to_owned(),
        to: "one".to_owned(),
    };
    handle.low().tell(three).await.unwrap();
    drop(handle);
    store.close().await;
    let store = open(&disk);
    let (_handle, _child, _told) = teller::<Letter>(&store, QueueOptions::default()).await;
    let dead = loop {
        match store.dead_letters(Some("teller"), 0, 9).await.unwrap() {
            dead if dead.is_empty() => tokio::task::yield_now().await,
            dead => break dead,
        }
    };
    assert_eq!(
        (dead[0].reason, dead[0].version),
        (DeadReason::Undecodable, 2)
    );
    assert_eq!(dead[0].payload, br#"{"text":"three","to":"one"}"#);
}

/// Only the low class is on disk; then a program of another kind has the queue.
#[tokio::test]
async fn what_another_program_stored_in_a_class_in_memory_is_a_dead_letter() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let (mut handle, child, _told) = teller::<Num>(&store, QueueOptions::default()).await;
    child.stop().await;
    handle.high().tell(Num(1)).await.unwrap();
    handle.low().tell(Num(2)).await.unwrap();
    drop(handle);
    store.close().await;
    let store = open(&disk);
    let (tell, mut told) = mpsc::unbounded_channel();
    let low = builder(move || Teller::<Num>(tell.clone())).durable_low(&store, "teller");
    let (_handle, _child): (DurableHandle<_, LowOnly>, Child) = low.spawn().await.unwrap();
    assert_eq!(told.recv().await, Some(Num(2)));
    let dead = store.dead_letters(None, 0, 9).await.unwrap();
    assert_eq!(
        (dead.len(), dead[0].is_high, dead[0].reason),
        (1, true, DeadReason::Undecodable)
    );
}
