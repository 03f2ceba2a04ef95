//! Waiting sends of a mesh, and batches.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
    time::Instant,
};

use super::lanes::{Class, Lane, Lanes, MemberOf, MeshOf, Refusal};
use crate::{
    error::{SendError, SendTimeoutError},
    sender::Sender,
    sync::{park, semaphore::Acquire, wake_all::WakeAll},
};

impl<T, C: Class<T>> Lanes<T, C> {
    /// Sends what is in `message`, and waits as long as it has to. If it is cancelled, or if the mesh is closed, the
    /// message is still there.
    pub(super) async fn send_from(
        &mut self,
        mesh: &MeshOf<C, T>,
        message: &mut Option<T>,
    ) -> Result<(), SendError<()>> {
        while !self.budget.spend(1) {
            poll_fn(|cx| self.budget.poll(None, cx)).await;
        }
        while let Some(taken) = message.take() {
            let Err((back, refusal)) = self.offer(mesh, taken) else {
                break;
            };
            *message = Some(back);
            if matches!(refusal, Refusal::Closed) {
                return Err(SendError(()));
            }
            self.wait(refusal).await;
        }
        Ok(())
    }

    /// Waits until it is worth while to offer a message again that was refused.
    async fn wait(&mut self, refusal: Refusal<MemberOf<C, T>>) {
        let snapshot = self.snapshot.clone();
        let mut superseded = pin!(Acquire::new(&snapshot.superseded, 1));
        match refusal {
            Refusal::Closed => {}
            Refusal::HandOver(member) => C::port(&member.ports).wait().await,
            Refusal::Full(at) => {
                let lanes = match at {
                    Some(at) => &mut self.lanes[at..=at],
                    None => &mut self.lanes[..],
                };
                let mut waiting = Waiting(lanes);
                poll_fn(|cx| {
                    if superseded.as_mut().poll(cx, |_| true).is_ready() {
                        return Poll::Ready(());
                    }
                    waiting.poll(cx, |sender, cx| sender.poll_room(cx, 1).map(drop))
                })
                .await;
            }
            Refusal::Behind(at) => {
                let mut waiting = Waiting(&mut self.lanes[at..=at]);
                poll_fn(|cx| {
                    if superseded.as_mut().poll(cx, |_| true).is_ready()
                        || waiting.0.iter_mut().all(Lane::is_settled)
                    {
                        return Poll::Ready(());
                    }
                    waiting.poll(cx, Sender::poll_drained)
                })
                .await;
            }
        }
    }

    /// Sends a message as a thread, until `deadline` at the latest.
    pub(super) fn send_until(
        &mut self,
        mesh: &MeshOf<C, T>,
        message: T,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let mut message = Some(message);
        let sent = {
            let mut send = pin!(self.send_from(mesh, &mut message));
            park::block_on(deadline, |cx| send.as_mut().poll(cx))
        };
        match (message, sent) {
            (None, _) => Ok(()),
            (Some(message), None) => Err(SendTimeoutError::Timeout(message)),
            (Some(message), Some(_)) => Err(SendTimeoutError::Closed(message)),
        }
    }

    /// Sends from the front of `messages` until one is refused, and says how many.
    pub(super) fn try_send_vec(
        &mut self,
        mesh: &MeshOf<C, T>,
        messages: &mut Vec<T>,
    ) -> Result<usize, SendError<usize>> {
        let messages = Reversed::new(messages);
        match self.send_some(mesh, messages.0) {
            (sent, Some(Refusal::Closed)) => Err(SendError(sent)),
            (sent, _) => Ok(sent),
        }
    }

    /// Sends all of `messages`, and waits as long as it has to.
    pub(super) async fn send_vec(
        &mut self,
        mesh: &MeshOf<C, T>,
        messages: &mut Vec<T>,
    ) -> Result<usize, SendError<usize>> {
        let messages = Reversed::new(messages);
        let mut sent = 0;
        loop {
            while !self.budget.spend(0) {
                poll_fn(|cx| self.budget.poll(None, cx)).await;
            }
            let (went, refusal) = self.send_some(mesh, messages.0);
            self.budget.spend(went);
            sent += went;
            match refusal {
                None => return Ok(sent),
                Some(Refusal::Closed) => return Err(SendError(sent)),
                Some(refusal) => self.wait(refusal).await,
            }
        }
    }

    /// Sends from the back of `messages`, and says how many, and why no more.
    fn send_some(
        &mut self,
        mesh: &MeshOf<C, T>,
        messages: &mut Vec<T>,
    ) -> (usize, Option<Refusal<MemberOf<C, T>>>) {
        let mut sent = 0;
        while let Some(message) = messages.pop() {
            if let Err((back, refusal)) = self.offer(mesh, message) {
                messages.push(back);
                return (sent, Some(refusal));
            }
            sent += 1;
        }
        (sent, None)
    }
}

/// A vector in reverse, so that what is sent first can be taken off its end.
struct Reversed<'a, T>(&'a mut Vec<T>);

impl<'a, T> Reversed<'a, T> {
    fn new(messages: &'a mut Vec<T>) -> Self {
        messages.reverse();
        Self(messages)
    }
}

impl<T> Drop for Reversed<'_, T> {
    fn drop(&mut self) {
        self.0.reverse();
    }
}

/// Lanes that are waited for. Dropped, none of them keeps a waker.
struct Waiting<'a, T>(&'a mut [Lane<T>]);

impl<T> Waiting<'_, T> {
    /// Ready when one of them is.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl Fn(&mut Sender<T>, &mut Context<'_>) -> Poll<()>,
    ) -> Poll<()> {
        for lane in &mut *self.0 {
            // One that is not open has room, and nothing in it.
            let Some(sender) = &mut lane.sender else {
                return Poll::Ready(());
            };
            if poll(sender, cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        let mut all = WakeAll::default();
        for lane in &mut *self.0 {
            if let Some(sender) = &mut lane.sender {
                all.run(|| sender.stop_waiting());
            }
        }
        all.done();
    }
}
