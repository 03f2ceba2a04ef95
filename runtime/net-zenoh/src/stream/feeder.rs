//! The thread that publishes what is written to a stream: a publication may wait for room in Zenoh's queues.

use std::{io::ErrorKind, sync::PoisonError, task::Waker};

use lanemesh_runtime::actor::Priority;
use zenoh::{Session, Wait, qos};

use super::Stream;
use crate::frame::Kind;

/// Bytes of a publication. Zenoh's batches have up to 64 KiB.
const CHUNK: usize = 32 << 10;

/// Publishes until the stream is closed or has failed.
pub(super) fn run(stream: &Stream, session: &Session) {
    let feeding = Feeding(stream);
    let (priority, is_express) = match stream.class {
        Priority::High => (qos::Priority::RealTime, true),
        Priority::Low => (qos::Priority::Data, false),
    };
    let declared = session
        .declare_publisher(stream.here.key(stream.to))
        .congestion_control(qos::CongestionControl::Block)
        .priority(priority)
        .express(is_express)
        .wait();
    let publisher = match declared {
        Ok(publisher) => publisher,
        Err(error) => {
            tracing::warn!(%error, "a connection over Zenoh has failed");
            return;
        }
    };
    while let Some((frame, is_last)) = stream.next_frame() {
        if let Err(error) = publisher.put(frame).wait() {
            tracing::warn!(%error, "a connection over Zenoh has failed");
            return;
        }
        if is_last {
            return feeding.done();
        }
    }
}

/// If the thread ends otherwise than by the end of what there is to publish, the stream has failed.
struct Feeding<'a>(&'a Stream);

impl Feeding<'_> {
    fn done(self) {
        let waker = {
            let mut state = self.0.lock();
            state.is_fed = true;
            state.writer.take()
        };
        waker.into_iter().for_each(Waker::wake);
        self.0.forget_if_over();
    }
}

impl Drop for Feeding<'_> {
    fn drop(&mut self) {
        if !self.0.lock().is_fed {
            self.0
                .fail(ErrorKind::NotConnected, "Zenoh publishes nothing more");
        }
    }
}

impl Stream {
    /// Waits for something to publish. Returns it, and whether it is the last; None if the stream has failed.
    fn next_frame(&self) -> Option<(Vec<u8>, bool)> {
        let mut state = self.lock();
        loop {
            if state.error.is_some() {
                return None;
            }
            let count = state.outgoing.len().min(CHUNK);
            if count > 0 {
                let offset = state.published;
                state.published += count as u64;
                let bytes: Vec<u8> = state.outgoing.drain(..count).collect();
                drop(state);
                return Some((self.frame(Kind::Data, offset, &bytes), false));
            }
            if state.is_closing {
                return Some((self.frame(Kind::End, state.published, &[]), true));
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
