//! Sequences of sends, receives, joins, leaves and cancelled waits, with a ledger of every message.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use lanemesh::mesh::{Balance, MeshBuilder, MeshReceiver, MeshSender};
use proptest::{collection::vec, prelude::*};

const SENDERS: usize = 3;
const KEYS: u64 = 6;

#[derive(Debug, Clone)]
enum Op {
    /// Sender, key.
    TrySend(usize, u64),
    /// Sender, keys: as many as there is room for.
    SendVec(usize, Vec<u64>),
    /// A send that is polled once, and cancelled if it waits.
    PollSend(usize, u64),
    /// A send that waits until the receivers, who take one message after the other, let it go on.
    Send(usize, u64),
    Recv(usize),
    RecvMany(usize, usize),
    Join,
    Leave(usize),
    Close(usize),
    CloneTo(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let sender = || 0..SENDERS;
    let any = || 0..8_usize;
    prop_oneof![
        8 => (sender(), 0..KEYS).prop_map(|(s, k)| Op::TrySend(s, k)),
        3 => (sender(), vec(0..KEYS, 0..6)).prop_map(|(s, keys)| Op::SendVec(s, keys)),
        3 => (sender(), 0..KEYS).prop_map(|(s, k)| Op::PollSend(s, k)),
        2 => (sender(), 0..KEYS).prop_map(|(s, k)| Op::Send(s, k)),
        6 => any().prop_map(Op::Recv),
        3 => (any(), 0..5_usize).prop_map(|(r, limit)| Op::RecvMany(r, limit)),
        2 => Just(Op::Join),
        2 => any().prop_map(Op::Leave),
        1 => any().prop_map(Op::Close),
        1 => (sender(), sender()).prop_map(|(from, to)| Op::CloneTo(from, to)),
    ]
}

/// A message: who sent it, its key, and its number among those of this sender and key. A clone is another sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    sender: u32,
    key: u64,
    n: u32,
}

struct Model {
    senders: Vec<(u32, MeshSender<Sent>)>,
    receivers: Vec<MeshReceiver<Sent>>,
    closed: Vec<MeshReceiver<Sent>>,
    next_sender: u32,
    /// The next number to be sent and to be received of each sender and key.
    sent: HashMap<(u32, u64), u32>,
    received: HashMap<(u32, u64), u32>,
    has_keys: bool,
    accepted: usize,
    taken: usize,
}

impl Model {
    fn new(has_keys: bool, balance: Balance, capacity: usize, slots: usize) -> Self {
        let mut builder = MeshBuilder::new(capacity)
            .balance(balance)
            .lanes(|lanes| lanes.shared_slots(slots).first_ring(1));
        if has_keys {
            builder = builder.by_key(|sent: &Sent| Some(sent.key));
        }
        let (tx, rx) = builder.build();
        Self {
            senders: (0..SENDERS as u32).map(|id| (id, tx.clone())).collect(),
            receivers: vec![rx],
            closed: Vec::new(),
            next_sender: SENDERS as u32,
            sent: HashMap::new(),
            received: HashMap::new(),
            has_keys,
            accepted: 0,
            taken: 0,
        }
    }

    fn next(&self, at: usize, key: u64) -> Sent {
        let sender = self.senders[at].0;
        let n = self.sent.get(&(sender, key)).copied().unwrap_or(0);
        Sent { sender, key, n }
    }

    fn accept(&mut self, sent: Sent) {
        *self.sent.entry((sent.sender, sent.key)).or_default() += 1;
        self.accepted += 1;
    }

    fn take(&mut self, sent: Sent) {
        self.taken += 1;
        let next = self.received.entry((sent.sender, sent.key)).or_default();
        if self.has_keys {
            assert_eq!(sent.n, *next, "{sent:?} out of order");
        }
        *next += 1;
    }

    fn recv(&mut self, at: usize) -> bool {
        let count = self.receivers.len() + self.closed.len();
        let at = at % count;
        let rx = match at.checked_sub(self.receivers.len()) {
            None => &mut self.receivers[at],
            Some(closed) => &mut self.closed[closed],
        };
        match rx.try_recv() {
            Ok(sent) => self.take(sent),
            Err(_) => return false,
        }
        true
    }

    fn run(&mut self, op: Op) {
        let mut cx = Context::from_waker(Waker::noop());
        match op {
            Op::TrySend(at, key) => {
                let sent = self.next(at, key);
                match self.senders[at].1.try_send(sent) {
                    Ok(()) => self.accept(sent),
                    Err(error) => {
                        assert!(error.is_full());
                        assert_eq!(error.into_inner(), sent);
                    }
                }
            }
            Op::SendVec(at, keys) => {
                let mut batch = Vec::new();
                let mut numbers = HashMap::new();
                for key in keys {
                    let mut sent = self.next(at, key);
                    sent.n += *numbers.entry(key).and_modify(|n| *n += 1).or_insert(0);
                    batch.push(sent);
                }
                let all = batch.clone();
                let sent = self.senders[at].1.try_send_vec(&mut batch).unwrap();
                assert_eq!(batch, all[sent..]);
                all[..sent].iter().for_each(|sent| self.accept(*sent));
            }
            Op::PollSend(at, key) => {
                let sent = self.next(at, key);
                let ready = pin!(self.senders[at].1.send(sent)).poll(&mut cx).is_ready();
                if ready {
                    self.accept(sent);
                }
            }
            Op::Send(at, key) => {
                let sent = self.next(at, key);
                let (id, mut tx) = self.senders.swap_remove(at);
                let mut polls = 0;
                {
                    let mut send = pin!(tx.send(sent));
                    while send.as_mut().poll(&mut cx).is_pending() {
                        polls += 1;
                        assert!(polls < 10_000, "it waits for ever");
                        self.recv(polls);
                    }
                }
                self.accept(sent);
                self.senders.push((id, tx));
            }
            Op::Recv(at) => drop(self.recv(at)),
            Op::RecvMany(at, limit) => {
                let at = at % self.receivers.len();
                let mut batch = Vec::new();
                let _ = self.receivers[at].try_recv_many(&mut batch, limit);
                batch.into_iter().for_each(|sent| self.take(sent));
            }
            Op::Join if self.receivers.len() < 4 => {
                let rx = self.receivers[0].add_receiver().unwrap();
                self.receivers.push(rx);
            }
            Op::Leave(at) => {
                let at = at % (self.receivers.len() + self.closed.len());
                if at >= self.receivers.len() {
                    let rx = self.closed.swap_remove(at - self.receivers.len());
                    assert!(rx.leave().is_empty());
                } else if self.receivers.len() > 1 {
                    assert!(self.receivers.swap_remove(at).leave().is_empty());
                }
            }
            Op::Close(at) if self.receivers.len() > 1 => {
                let at = at % self.receivers.len();
                let mut rx = self.receivers.swap_remove(at);
                rx.close();
                self.closed.push(rx);
            }
            Op::Join | Op::Close(_) => {}
            Op::CloneTo(from, to) => {
                let tx = self.senders[from].1.clone();
                self.senders[to] = (self.next_sender, tx);
                self.next_sender += 1;
            }
        }
    }

    fn finish(mut self) {
        while let Some(mut rx) = self.closed.pop() {
            while let Ok(sent) = rx.try_recv() {
                self.take(sent);
            }
        }
        loop {
            let before = self.taken;
            for at in 0..self.receivers.len() {
                while self.recv(at) {}
            }
            if self.taken == before {
                break;
            }
        }
        assert_eq!(self.taken, self.accepted);
        assert_eq!(
            self.sent.values().sum::<u32>(),
            self.received.values().sum()
        );
        // With everything received no key is held back.
        for (_, tx) in &mut self.senders {
            for key in 0..KEYS {
                let sent = Sent {
                    sender: u32::MAX,
                    key,
                    n: 0,
                };
                tx.try_send(sent).unwrap();
                for rx in &mut self.receivers {
                    let _ = rx.try_recv();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_message_is_received_once_and_in_the_order_of_its_key(
        has_keys: bool,
        least_loaded: bool,
        capacity in 1..5_usize,
        slots in 0..3_usize,
        ops in vec(op(), 1..if cfg!(miri) { 30 } else { 120 }),
    ) {
        let balance = if least_loaded { Balance::LeastLoaded } else { Balance::RoundRobin };
        let mut model = Model::new(has_keys, balance, capacity, slots);
        for op in ops {
            model.run(op);
        }
        model.finish();
    }
}
