//! Sends and reservations that do not wait, and what becomes of permits.

use std::time::{Duration, Instant};

use lanemesh::{SendError, SendTimeoutError, TrySendError};

use crate::{
    How, MOST,
    model::{Item, Model, Permit},
};

/// The index of one of these, if there is any.
pub(crate) fn pick<T>(of: &[T], n: u8) -> Option<usize> {
    (!of.is_empty()).then(|| usize::from(n) % of.len())
}

impl Model {
    pub(crate) fn send(&mut self, n: u8, how: &How) {
        let Some(index) = pick(&self.own, n) else {
            return;
        };
        let source = self.own[index].0;
        let item = self.next(source);
        let tx = &mut self.own[index].1;
        let result = match how {
            How::Try => tx.try_send(item),
            How::TimeoutOfZero => in_time(tx.send_timeout(item, Duration::ZERO)),
            How::DeadlineThatHasPassed => in_time(tx.send_deadline(item, Instant::now())),
        };
        self.sent(item, result);
    }

    pub(crate) fn send_shared(&mut self, n: u8, how: &How) {
        let Some(index) = pick(&self.shared, n) else {
            return;
        };
        let source = self.shared[index].0;
        let item = self.next(source);
        let tx = &self.shared[index].1;
        let result = match how {
            How::Try => tx.try_send(item),
            How::TimeoutOfZero => in_time(tx.send_timeout(item, Duration::ZERO)),
            How::DeadlineThatHasPassed => in_time(tx.send_deadline(item, Instant::now())),
        };
        self.sent(item, result);
    }

    /// The next messages of a source.
    fn batch(&mut self, source: usize, count: u8) -> (u64, Vec<Item>) {
        let items: Vec<_> = (0..count % 20).map(|_| self.next(source)).collect();
        (items.first().map_or(0, |item| item.1), items)
    }

    pub(crate) fn send_batch(&mut self, n: u8, count: u8) {
        let Some(index) = pick(&self.own, n) else {
            return;
        };
        let source = self.own[index].0;
        let (first, items) = self.batch(source, count);
        let (count, mut left) = (items.len(), items);
        let sent = self.own[index].1.try_send_vec(&mut left);
        let (sent, closed) = sent.map_or_else(|SendError(sent)| (sent, true), |sent| (sent, false));
        assert_eq!(sent + left.len(), count);
        self.batch_sent(source, first, count, sent, closed);
    }

    pub(crate) fn send_batch_shared(&mut self, n: u8, count: u8) {
        let Some(index) = pick(&self.shared, n) else {
            return;
        };
        let source = self.shared[index].0;
        let (first, items) = self.batch(source, count);
        let count = items.len();
        let mut items = items.into_iter();
        let sent = self.shared[index].1.try_send_many(items.by_ref());
        let (sent, closed, unsent) = match sent {
            Ok(sent) => (sent, false, 0),
            Err(error) => (error.sent, true, error.unsent.len()),
        };
        assert_eq!(sent + unsent + items.count(), count);
        // An empty batch does not notice that the channel is closed.
        if count > 0 {
            self.batch_sent(source, first, count, sent, closed);
        }
    }

    pub(crate) fn reserve_many(&mut self, n: u8, count: u8, sends: u8) {
        let Some(index) = pick(&self.own, n) else {
            return;
        };
        let source = self.own[index].0;
        let count = usize::from(count) % (self.capacity + 2);
        let sends = usize::from(sends) % (count + 1);
        let items: Vec<_> = (0..sends).map(|_| self.next(source)).collect();
        let (ok, closed) = match self.own[index].1.try_reserve_many(count) {
            Ok(mut permits) => {
                assert_eq!(permits.len(), count);
                for &item in &items {
                    permits.next_permit().unwrap().send(item).unwrap();
                }
                (true, false)
            }
            Err(error) => (false, error.is_closed()),
        };
        self.check(source, count, ok, closed);
        if ok {
            self.sources[source]
                .queue
                .extend(items.iter().map(|item| item.1));
        }
    }

    pub(crate) fn reserve_many_shared(&mut self, n: u8, count: u8, sends: u8) {
        let Some(index) = pick(&self.shared, n) else {
            return;
        };
        let source = self.shared[index].0;
        let count = usize::from(count) % (self.capacity + 2);
        let sends = usize::from(sends) % (count + 1);
        let items: Vec<_> = (0..sends).map(|_| self.next(source)).collect();
        let (ok, closed) = match self.shared[index].1.try_reserve_many(count) {
            Ok(mut permits) => {
                assert_eq!(permits.len(), count);
                for &item in &items {
                    permits.next().unwrap().send(item).unwrap();
                }
                (true, false)
            }
            Err(error) => (false, error.is_closed()),
        };
        self.check(source, count, ok, closed);
        if ok {
            self.sources[source]
                .queue
                .extend(items.iter().map(|item| item.1));
        }
    }

    pub(crate) fn reserve_owned(&mut self, n: u8) {
        let Some(index) = pick(&self.own, n).filter(|_| self.permits.len() < MOST) else {
            return;
        };
        let (source, tx) = self.own.swap_remove(index);
        match tx.try_reserve_owned() {
            Ok(permit) => {
                self.check(source, 1, true, false);
                self.sources[source].permits += 1;
                self.permits.push(Permit::Own(source, permit));
            }
            Err(error) => {
                self.check(source, 1, false, error.is_closed());
                self.own.push((source, error.into_inner()));
            }
        }
    }

    pub(crate) fn reserve_owned_shared(&mut self, n: u8) {
        let Some(index) = pick(&self.shared, n).filter(|_| self.permits.len() < MOST) else {
            return;
        };
        let (source, tx) = self.shared.swap_remove(index);
        match tx.try_reserve_owned() {
            Ok(permit) => {
                self.check(source, 1, true, false);
                self.sources[source].permits += 1;
                self.permits.push(Permit::Shared(source, permit));
            }
            Err(error) => {
                self.check(source, 1, false, error.is_closed());
                self.shared.push((source, error.into_inner()));
            }
        }
    }

    pub(crate) fn use_permit(&mut self, n: u8) {
        let Some(index) = pick(&self.permits, n) else {
            return;
        };
        let permit = self.permits.swap_remove(index);
        let (Permit::Own(source, _) | Permit::Shared(source, _)) = permit;
        let item = self.next(source);
        let sent = match permit {
            Permit::Own(_, permit) => permit.send(item).map(|tx| self.own.push((source, tx))),
            Permit::Shared(_, permit) => permit.send(item).map(|tx| self.shared.push((source, tx))),
        };
        self.sources[source].permits -= 1;
        assert_eq!(sent.is_ok(), !self.closed, "room that is reserved is there");
        match sent {
            Ok(()) => self.sources[source].queue.push_back(item.1),
            Err(SendError(back)) => assert_eq!(back, item),
        }
    }

    pub(crate) fn release_permit(&mut self, n: u8, drop_it: bool) {
        let Some(index) = pick(&self.permits, n) else {
            return;
        };
        let permit = self.permits.swap_remove(index);
        let (Permit::Own(source, _) | Permit::Shared(source, _)) = permit;
        self.sources[source].permits -= 1;
        match permit {
            permit if drop_it => drop(permit),
            Permit::Own(_, permit) => self.own.push((source, permit.release())),
            Permit::Shared(_, permit) => self.shared.push((source, permit.release())),
        }
    }
}

fn in_time(result: Result<(), SendTimeoutError<Item>>) -> Result<(), TrySendError<Item>> {
    result.map_err(|error| match error {
        SendTimeoutError::Timeout(item) => TrySendError::Full(item),
        SendTimeoutError::Closed(item) => TrySendError::Closed(item),
    })
}
