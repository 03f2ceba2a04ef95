//! Spans. A binary of its own: `tracing` caches for the whole process whether anybody listens to a
//! place in the code, and other tests pass the same places without a listener.

mod common;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use common::{Control, Log, Worker, hush};
use lanemesh_runtime::{
    Restart, System, builder,
    supervision::{Backoff, Supervision},
    testing::Sink,
};
use tracing::{Metadata, Subscriber, field::Visit, span};

/// Records the spans that were created.
#[derive(Clone, Default)]
struct Spans {
    made: Arc<Mutex<Vec<SpanFields>>>,
    /// The texts of the events.
    texts: Arc<Mutex<Vec<String>>>,
}

type SpanFields = HashMap<&'static str, String>;

struct Fields<'a>(&'a mut SpanFields);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lanemesh_runtime")
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut fields = HashMap::from([("span", attributes.metadata().name().to_owned())]);
        attributes.record(&mut Fields(&mut fields));
        let mut spans = self.made.lock().unwrap();
        spans.push(fields);
        span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &span::Id, values: &span::Record<'_>) {
        let mut spans = self.made.lock().unwrap();
        values.record(&mut Fields(&mut spans[id.into_u64() as usize - 1]));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = HashMap::new();
        event.record(&mut Fields(&mut fields));
        let text = fields.remove("message").unwrap_or_default();
        self.texts.lock().unwrap().push(text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn span_per_incarnation() {
    hush();
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let log = Log::default();
    let (mut handle, child) = builder(Worker::factory("w", &log))
        .name("traced")
        .restart(Restart::Permanent)
        .supervision(Supervision::default().backoff(Backoff::none()))
        .spawn();
    handle.send_high(Control::Panic).await.unwrap();
    handle.idle().await;
    child.stop().await;
    let seen = spans.made.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    for (index, span) in seen.iter().enumerate() {
        assert_eq!(span["span"], "actor");
        assert_eq!(span["name"], "\"traced\"");
        assert_eq!(span["incarnation"], (index + 1).to_string());
        assert_eq!(span["id"], handle.id().as_u64().to_string());
    }
    let texts = spans.texts.lock().unwrap();
    let lost = texts
        .iter()
        .filter(|text| text.contains("messages are gone"));
    assert_eq!(
        (lost.count(), texts.len()),
        (1, 2),
        "one failure: {texts:?}"
    );
}

#[tokio::test]
async fn used_up_restarts_are_logged_once() {
    hush();
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let log = Log::default();
    let rules = Supervision::default()
        .intensity(1, common::SECOND)
        .backoff(Backoff::none());
    let system = System::supervised("s", rules);
    let alone = builder(Worker::factory("alone", &log)).supervision(rules);
    let (mut first, first_child) = alone.restart(Restart::Permanent).spawn();
    let worker = builder(Worker::factory("w", &log)).restart(Restart::Permanent);
    let (mut second, second_child) = system.spawn(worker);
    for handle in [&mut first, &mut second] {
        handle.send_high(Control::Panic).await.unwrap();
        handle.send_high(Control::Panic).await.unwrap();
        handle.monitor().await;
    }
    drop((first_child, second_child));
    let texts = spans.texts.lock().unwrap();
    let told = texts.iter().filter(|text| *text == "restarts are used up");
    assert_eq!(told.count(), 2, "{texts:?}");
}

#[tokio::test]
async fn handles_that_are_cloned_for_each_message_are_told_of_once() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(spans.clone());
    let (handle, _child) = lanemesh_runtime::spawn(Sink::<(), u64>::new());
    let told = || {
        let texts = spans.texts.lock().unwrap();
        let told = |text: &&String| text.contains("cloned for one message each");
        texts.iter().filter(told).count()
    };
    let habit = async |times| {
        for _ in 0..times {
            handle.clone().try_send_low(1).unwrap();
            handle.idle().await;
        }
    };
    habit(64).await;
    let mut other = handle.clone();
    other.try_send_low(1).unwrap();
    other.try_send_low(1).unwrap();
    drop(other); // not in a row
    habit(64).await;
    assert_eq!(told(), 0);
    habit(300).await;
    assert_eq!(told(), 1);
    assert_eq!(handle.stats().brief_handles, 428);
}
