//! Sequences of operations on the public interface against a `VecDeque` for each producer and
//! class.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use lanemesh::{
    Builder, MailboxBuilder, MailboxReceiver, MailboxSender, Message, TryRecvError, TrySendError,
};
use proptest::{collection::vec, prelude::*};

use crate::common::Wakes;

#[derive(Debug, Clone)]
enum Op {
    High(usize),
    Low(usize),
    Feed(usize),
    Flush(usize),
    Many(usize, usize),
    SendVec(usize, usize),
    CloneTo(usize, usize),
    Upgrade(usize, usize),
    Drop(usize),
    Recv,
    Poll,
    RecvMany(usize),
    Close,
}

const PRODUCERS: usize = 3;

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..PRODUCERS;
    prop_oneof![
        6 => who().prop_map(Op::Low),
        4 => who().prop_map(Op::High),
        4 => who().prop_map(Op::Feed),
        2 => who().prop_map(Op::Flush),
        3 => (who(), 0..12_usize).prop_map(|(n, count)| Op::Many(n, count)),
        3 => (who(), 0..12_usize).prop_map(|(n, count)| Op::SendVec(n, count)),
        2 => (who(), who()).prop_map(|(from, to)| Op::CloneTo(from, to)),
        1 => (who(), who()).prop_map(|(from, to)| Op::Upgrade(from, to)),
        1 => who().prop_map(Op::Drop),
        8 => Just(Op::Recv),
        4 => Just(Op::Poll),
        3 => (0..12_usize).prop_map(Op::RecvMany),
        1 => Just(Op::Close),
    ]
}

/// The messages of one producer that are in the channel: `(producer, number)` each.
#[derive(Default)]
struct Producer {
    tx: Option<MailboxSender<(usize, u32), (usize, u32)>>,
    next: u32,
    high: VecDeque<u32>,
    low: VecDeque<u32>,
    staged: VecDeque<u32>,
}

impl Producer {
    fn flush(&mut self) {
        self.low.append(&mut self.staged);
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn is_spent(&self) -> bool {
        self.tx.is_none() && self.high.is_empty() && self.low.is_empty()
    }
}

struct Model {
    rx: MailboxReceiver<(usize, u32), (usize, u32)>,
    producers: Vec<Producer>,
    high_capacity: usize,
    low_capacity: usize,
    closed: bool,
}

impl Model {
    fn queued(&self) -> usize {
        self.producers
            .iter()
            .map(|p| p.high.len() + p.low.len())
            .sum()
    }

    fn ended(&self) -> bool {
        self.closed || self.producers.iter().all(|p| p.tx.is_none())
    }

    fn received(&mut self, message: Message<(usize, u32), (usize, u32)>) {
        match message {
            Message::High((who, n)) => assert_eq!(self.producers[who].high.pop_front(), Some(n)),
            Message::Low((who, n)) => {
                assert!(self.producers.iter().all(|p| p.high.is_empty()));
                assert_eq!(self.producers[who].low.pop_front(), Some(n));
            }
        }
    }

    fn nothing(&self, why: TryRecvError) {
        assert_eq!(self.queued(), 0);
        assert_eq!(why == TryRecvError::Closed, self.ended());
    }

    fn send(&mut self, who: usize, op: &Op) {
        let (closed, high, low) = (self.closed, self.high_capacity, self.low_capacity);
        let producer = &mut self.producers[who];
        let Some(mut tx) = producer.tx.take() else {
            return;
        };
        let n = producer.number();
        let used = producer.low.len() + producer.staged.len();
        let (result, room) = match op {
            Op::High(_) => (tx.try_send_high((who, n)), high - producer.high.len()),
            Op::Low(_) => (tx.try_send_low((who, n)), low - used),
            _ => (tx.low().try_feed((who, n)), low - used),
        };
        match (result, op) {
            (Ok(()), Op::High(_)) => producer.high.push_back(n),
            (Ok(()), Op::Low(_)) => {
                producer.flush();
                producer.low.push_back(n);
            }
            (Ok(()), _) => producer.staged.push_back(n),
            (Err(TrySendError::Full(back)), _) => assert!(back == (who, n) && room == 0 && !closed),
            (Err(TrySendError::Closed(back)), _) => assert!(back == (who, n) && closed),
        }
        assert!(result.is_err() || (room > 0 && !closed));
        producer.tx = Some(tx);
    }

    fn send_batch(&mut self, who: usize, count: usize, as_vec: bool) {
        let (closed, low) = (self.closed, self.low_capacity);
        let producer = &mut self.producers[who];
        let Some(mut tx) = producer.tx.take() else {
            return;
        };
        let numbers: Vec<_> = (0..count).map(|_| producer.number()).collect();
        let room = low - producer.low.len() - producer.staged.len();
        let mut batch: Vec<_> = numbers.iter().map(|&n| (who, n)).collect();
        let sent = if as_vec {
            let sent = tx.low().try_send_vec(&mut batch).ok();
            assert_eq!(sent.unwrap_or(0) + batch.len(), count);
            sent
        } else {
            tx.low().try_send_many(batch).ok()
        };
        assert_eq!(sent.is_none(), closed);
        if let Some(sent) = sent {
            assert_eq!(sent, count.min(room));
            producer.flush();
            producer.low.extend(&numbers[..sent]);
        }
        producer.tx = Some(tx);
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::High(who) | Op::Low(who) | Op::Feed(who) => self.send(who, op),
            Op::Many(who, count) => self.send_batch(who, count, false),
            Op::SendVec(who, count) => self.send_batch(who, count, true),
            Op::Flush(who) => {
                let producer = &mut self.producers[who];
                match producer.tx.as_mut().map(|tx| tx.low().flush()) {
                    Some(Ok(())) => producer.flush(),
                    Some(Err(back)) => {
                        assert!(self.closed);
                        let back: Vec<_> = back.0.into_iter().map(|(_, n)| n).collect();
                        assert_eq!(back, producer.staged.drain(..).collect::<Vec<_>>());
                    }
                    None => {}
                }
            }
            Op::CloneTo(from, to) => {
                if self.producers[to].is_spent() {
                    self.producers[to].tx = self.producers[from].tx.clone();
                }
            }
            Op::Upgrade(from, to) => {
                if self.producers[to].is_spent()
                    && let Some(tx) = &self.producers[from].tx
                {
                    self.producers[to].tx = tx.downgrade().upgrade();
                    assert!(self.producers[to].tx.is_some());
                }
            }
            Op::Drop(who) => {
                self.producers[who].tx = None;
                if self.closed {
                    self.producers[who].staged.clear();
                }
                self.producers[who].flush();
            }
            Op::Recv => match self.rx.try_recv() {
                Ok(message) => self.received(message),
                Err(why) => self.nothing(why),
            },
            Op::Poll => {
                let (wakes, waker) = Wakes::new();
                let polled = self.rx.poll_recv(&mut Context::from_waker(&waker));
                match polled {
                    Poll::Ready(Some(message)) => self.received(message),
                    Poll::Ready(None) => self.nothing(TryRecvError::Closed),
                    Poll::Pending if wakes.count() > 0 => {}
                    Poll::Pending => self.nothing(TryRecvError::Empty),
                }
            }
            Op::RecvMany(limit) => {
                let mut got = Vec::new();
                match self.rx.try_recv_many(&mut got, limit) {
                    Ok(count) => assert_eq!(count, limit.min(self.queued())),
                    Err(why) => self.nothing(why),
                }
                got.into_iter().for_each(|message| self.received(message));
            }
            Op::Close => {
                self.rx.close();
                self.closed = true;
            }
        }
        assert_eq!(self.rx.len(), self.queued());
        for producer in &self.producers {
            if let Some(tx) = &producer.tx {
                let own = producer.high.len() + producer.low.len() + producer.staged.len();
                assert_eq!(tx.len(), own);
                assert_eq!(tx.is_closed(), self.closed);
            }
        }
    }
}

/// With the `membarrier` feature, lanes are unfenced after this many messages.
fn unfenced(builder: Builder, after: u32) -> Builder {
    #[cfg(feature = "membarrier")]
    if lanemesh::register_membarrier().is_ok() {
        return builder.unfenced_after(after);
    }
    let _ = after;
    builder
}

proptest! {
    #[test]
    fn a_mailbox_behaves_as_its_model(
        (high, low, first_ring, burst, budget) in (1..5_usize, 1..20_usize, 1..20_usize, 1..6_usize, 1..40_usize),
        unfenced_after in 1..20_u32,
        ops in vec(op(), 0..150),
    ) {
        let (tx, rx) = MailboxBuilder::new(high, low)
            .high(|b| b.first_ring(1))
            .low(|b| unfenced(b.first_ring(first_ring).burst(burst).budget(budget), unfenced_after))
            .build();
        let mut producers: Vec<_> = (0..PRODUCERS).map(|_| Producer::default()).collect();
        producers[0].tx = Some(tx);
        let mut model = Model {
            rx,
            producers,
            high_capacity: high,
            low_capacity: low,
            closed: false,
        };
        for op in &ops {
            model.run(op);
        }
        while let Ok(message) = model.rx.try_recv() {
            model.received(message);
        }
        prop_assert_eq!(model.queued(), 0);
    }
}
