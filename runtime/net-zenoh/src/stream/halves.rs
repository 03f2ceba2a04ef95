//! What a connection reads from and writes to.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{STEP, Stream, WINDOW};
use crate::frame::Kind;

pub(super) struct Reader(pub(super) Arc<Stream>);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.0;
        let mut state = stream.lock();
        if let Some(error) = state.error() {
            return Poll::Ready(Err(error));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut count = 0;
        while let Some(part) = state.incoming.front_mut() {
            let length = part.len().min(buffer.remaining());
            if length == 0 {
                break;
            }
            buffer.put_slice(&part[..length]);
            part.advance(length);
            count += length;
            if part.is_empty() {
                state.incoming.pop_front();
            }
        }
        if count == 0 {
            if state.has_ended {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.read += count as u64;
        if state.read - state.told >= STEP && !state.is_telling {
            state.is_telling = true;
            drop(state);
            let key = stream.here.key(stream.to);
            let stream = stream.clone();
            stream.calls.clone().publish(key, move || {
                let mut state = stream.lock();
                state.is_telling = false;
                state.told = state.read;
                let read = state.read;
                drop(state);
                stream.frame(Kind::Read, read, &[])
            });
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.0.lock();
            state.has_reader = false;
            state.reader = None;
            std::mem::take(&mut state.incoming)
        };
        drop(unread);
        self.0.forget_if_over();
    }
}

pub(super) struct Writer(pub(super) Arc<Stream>);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if let Some(error) = state.error() {
            return Poll::Ready(Err(error));
        }
        if state.is_closing {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW - (state.written - state.confirmed);
        let count = bytes.len().min(room as usize);
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.outgoing.extend(&bytes[..count]);
        state.written += count as u64;
        drop(state);
        self.0.work.notify_all();
        Poll::Ready(Ok(count))
    }

    /// The thread publishes what was written whether it is asked to or not.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.lock().error().map_or(Ok(()), Err))
    }

    /// Ready when the end was published.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.is_fed {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = state.error() {
            return Poll::Ready(Err(error));
        }
        state.is_closing = true;
        state.writer = Some(cx.waker().clone());
        drop(state);
        self.0.work.notify_all();
        Poll::Pending
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closing = true;
        state.writer = None;
        drop(state);
        self.0.work.notify_all();
    }
}
