//! Reading and writing one connection of a link.

use std::{
    future::poll_fn,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    runtime::Handle,
    time::Instant,
};

use super::{
    Link,
    outbox::{Bytes, Turn, Work},
    window,
};
use crate::{
    event::DownReason,
    transport::BoxWriter,
    wire::{Class, Frame, next},
};

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// What is read before other tasks have a turn, while there is always more: the actors that it is for find it in the
/// processor's cache, and their mailboxes stay short.
const TURN: usize = 128 << 10;

fn lost(error: &io::Error) -> DownReason {
    let text = error.to_string().into();
    match error.kind() {
        // The peer does not keep to the protocol below ours.
        io::ErrorKind::InvalidData => DownReason::Violation(text),
        _ => DownReason::Lost(text),
    }
}

/// Reads frames until the link is down.
pub(super) async fn read(
    link: Arc<Link>,
    class: Class,
    mut connection: impl AsyncRead + Unpin,
) -> DownReason {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    let mut received = Received::default();
    let mut in_turn = 0;
    loop {
        if in_turn >= TURN {
            in_turn = 0;
            pass().await;
        }
        buffer.reserve(CHUNK);
        let read = {
            let mut read = pin!(connection.read_buf(&mut buffer));
            poll_fn(|cx| {
                let polled = read.as_mut().poll(cx);
                if polled.is_pending() {
                    in_turn = 0; // others have one
                    if class == Class::Low {
                        received.acknowledge(&link, window::STEP);
                    }
                }
                polled
            })
            .await
        };
        match read {
            Ok(0) => return DownReason::Lost("the connection was closed".into()),
            Ok(count) => {
                link.meters[class as usize].has_read(count);
                received.total += count as u64;
                in_turn += count;
            }
            Err(error) => return lost(&error),
        }
        link.heard(class);
        if class == Class::Low {
            received.acknowledge(&link, window::LONG_STEP);
        }
        loop {
            let frame = next(&buffer, link.config().max_frame);
            let (frame, length) = match frame {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => return DownReason::Violation(error.to_string().into()),
            };
            if let Err(why) = link.on_frame(class, frame) {
                return why;
            }
            buffer.advance(length);
        }
    }
}

/// Puts the task behind the others of its worker, and lets another worker take it: `yield_now` would look at the driver first.
async fn pass() {
    let mut has_passed = false;
    poll_fn(|cx| {
        if mem::replace(&mut has_passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What has been read from the low connection, and what the peer has been told of it.
#[derive(Default)]
struct Received {
    total: u64,
    acknowledged: u64,
}

impl Received {
    /// Acknowledges if there is as much as `step`.
    fn acknowledge(&mut self, link: &Link, step: u64) {
        if self.total - self.acknowledged >= step {
            self.acknowledged = self.total;
            let bytes = self.total;
            link.push(Class::High, &Frame::Received { bytes });
        }
    }
}

/// Writes what is in the outbox, and what others have begun to write, until the link is down.
pub(super) async fn write(link: Arc<Link>, class: Class) -> DownReason {
    let outbox = link.outbox(class);
    loop {
        let Work { turn, ready } = match poll_fn(|cx| outbox.poll_work(cx)).await {
            Ok(work) => work,
            Err(connection) => {
                if let Some(mut connection) = connection {
                    // What was written is on its way, and the peer learns that it was the last.
                    let _ = connection.shutdown().await;
                }
                return DownReason::Closed;
            }
        };
        // The buffer is empty: they are appended to it.
        ready.iter().for_each(|owing| link.settle_answer(owing));
        let Turn {
            mut connection,
            mut bytes,
            ..
        } = turn;
        while bytes.written < bytes.buffer.len() {
            if bytes.allowed == bytes.written {
                let wanted = bytes.buffer.len() - bytes.written;
                bytes.allowed += match class {
                    Class::High => wanted,
                    Class::Low => link.wait_for_window(wanted).await,
                };
            }
            let part = &bytes.buffer[bytes.written..bytes.allowed];
            if let Err(error) = connection.write_all(part).await {
                return lost(&error);
            }
            // What the transport still holds cannot arrive, and so makes no room in the window.
            if let Err(error) = connection.flush().await {
                return lost(&error);
            }
            link.meters[class as usize].wrote(part.len());
            bytes.written = bytes.allowed;
        }
        outbox.end_work(connection, bytes);
    }
}

impl Link {
    /// Writes what is in an outbox: at once, as far as that is possible without waiting.
    pub(crate) fn flush(&self, class: Class) {
        let outbox = self.outbox(class);
        if Handle::try_current().is_err() {
            return outbox.rouse(); // a transport may need the runtime
        }
        let allow = |wanted| match class {
            Class::High => wanted,
            Class::Low => self.take_window(wanted),
        };
        let Some(turn) = outbox.take_turn(allow) else {
            return; // whoever writes looks again
        };
        let Turn {
            mut connection,
            mut bytes,
            writer,
        } = turn;
        // Transports are foreign code, and the caller is not part of the link.
        let written = catch_unwind(AssertUnwindSafe(|| {
            write_now(
                &mut connection,
                &mut bytes,
                &mut Context::from_waker(&writer),
            )
        }));
        self.meters[class as usize].wrote(bytes.written);
        match written {
            Ok(Ok(is_flush_due)) => outbox.end_turn(connection, bytes, is_flush_due),
            Ok(Err(error)) => self.close(lost(&error)),
            Err(_) => self.close(DownReason::Lost("writing panicked".into())),
        }
    }
}

/// Writes what is allowed until the connection takes no more. Returns whether a flush has begun and
/// not ended.
fn write_now(
    connection: &mut BoxWriter,
    bytes: &mut Bytes,
    cx: &mut Context<'_>,
) -> io::Result<bool> {
    while bytes.written < bytes.allowed {
        let part = &bytes.buffer[bytes.written..bytes.allowed];
        match Pin::new(&mut *connection).poll_write(cx, part)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => bytes.written += count,
            Poll::Pending => return Ok(false), // it is flushed with the rest
        }
    }
    Ok(Pin::new(connection).poll_flush(cx)?.is_pending())
}

/// Sends heartbeats on both connections, and notices when nothing is heard on one of them.
pub(super) async fn beat(link: Arc<Link>) -> DownReason {
    let config = link.config();
    let mut number = 0;
    let mut is_suspected = false;
    let mut lateness = Lateness::default();
    loop {
        number += 1;
        link.ping(number);
        let began = Instant::now();
        tokio::time::sleep(config.heartbeat).await;
        link.report_credits();
        let heard = link.last_heard();
        let late = lateness.add(heard, began.elapsed().saturating_sub(2 * config.heartbeat));
        let silence = heard.elapsed().saturating_sub(late);
        if silence >= config.dead_after {
            return DownReason::Silent;
        }
        if silence < config.suspected_after {
            is_suspected = false;
        } else if !is_suspected {
            is_suspected = true;
            link.suspect();
        }
    }
}

/// For how long this process was held up since something was last heard: what the peer has said meanwhile is not read yet, so that
/// is no silence of the peer.
#[derive(Default)]
struct Lateness {
    heard: Option<Instant>,
    late: Duration,
}

impl Lateness {
    /// All of it, with `more`.
    fn add(&mut self, heard: Instant, more: Duration) -> Duration {
        if self.heard.replace(heard) != Some(heard) {
            self.late = Duration::ZERO;
        }
        self.late += more;
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lateness_counts_until_something_is_heard() {
        let second = Duration::from_secs(1);
        let (mut lateness, first) = (Lateness::default(), Instant::now());
        assert_eq!(lateness.add(first, Duration::ZERO), Duration::ZERO);
        assert_eq!(lateness.add(first, 3 * second), 3 * second);
        assert_eq!(lateness.add(first, second), 4 * second);
        tokio::time::advance(second).await;
        let later = Instant::now();
        assert_eq!(lateness.add(later, Duration::ZERO), Duration::ZERO);
        assert_eq!(lateness.add(later, second), second);
    }
}
