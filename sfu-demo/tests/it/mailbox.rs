//! Every mailbox keeps the contract of the trait.

use std::sync::Arc;
use std::task::Poll;

use sfu_demo::mailbox::{Mailbox, MailboxKind, Message, OnMailbox, Receiver, Refused, Sender};

fn on_each(job: impl OnMailbox<Output = ()> + Copy) {
    for kind in MailboxKind::ALL {
        println!("{kind}");
        kind.with(job);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn control_overtakes_media_that_waits() {
    #[derive(Clone, Copy)]
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            let (mut tx, mut rx) = M::mailbox::<u32, u32>(8, 64);
            for n in 0..20 {
                tx.try_send_low(n).unwrap();
            }
            tx.try_send_high(7).unwrap();
            let mut got = Vec::new();
            while got.len() < 21 {
                assert!(rx.try_recv_many(&mut got, 64) > 0);
            }
            assert_eq!(got[0], Message::High(7));
            let low = got[1..].to_vec();
            assert_eq!(low, (0..20).map(Message::Low).collect::<Vec<_>>());
        }
    }
    on_each(Job);
}

#[test]
fn full_class_gives_the_message_back() {
    #[derive(Clone, Copy)]
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            let (mut tx, rx) = M::mailbox::<u32, Box<u32>>(1, 4);
            let mut batch: Vec<_> = (0..6).map(Box::new).collect();
            assert_eq!(tx.try_send_low_many(&mut batch), Ok(4));
            assert_eq!(batch, [Box::new(4), Box::new(5)]);
            assert_eq!(
                tx.try_send_low(Box::new(6)),
                Err(Refused::Full(Box::new(6)))
            );
            assert_eq!(
                tx.try_send_high(1),
                Ok(()),
                "a full low class leaves the high one alone"
            );
            drop(rx);
            assert_eq!(
                tx.try_send_low(Box::new(7)),
                Err(Refused::Closed(Box::new(7)))
            );
            assert_eq!(tx.try_send_low_many(&mut batch), Err(Refused::Closed(())));
            assert_eq!(batch.len(), 2);
        }
    }
    on_each(Job);
}

#[test]
fn what_was_sent_before_the_last_sender_went_arrives() {
    #[derive(Clone, Copy)]
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            block_on(async {
                let (tx, mut rx) = M::mailbox::<u32, u32>(8, 8);
                let senders: Vec<_> = (0..4)
                    .map(|n| {
                        let mut tx = tx.clone();
                        std::thread::spawn(move || {
                            tx.try_send_low(n).unwrap();
                            tx.try_send_high(n).unwrap();
                        })
                    })
                    .collect();
                drop(tx);
                let mut got = Vec::new();
                while rx.recv_many(&mut got, 3).await > 0 {}
                assert_eq!(got.len(), 8);
                for sender in senders {
                    sender.join().unwrap();
                }
            });
        }
    }
    on_each(Job);
}

#[test]
fn cancelled_receive_loses_nothing() {
    #[derive(Clone, Copy)]
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            block_on(async {
                let (mut tx, mut rx) = M::mailbox::<Arc<u32>, Arc<u32>>(8, 8);
                let mut got = Vec::new();
                {
                    let mut waiting = Box::pin(rx.recv_many(&mut got, 8));
                    let first = std::future::poll_fn(|cx| {
                        Poll::Ready(waiting.as_mut().poll(cx).is_pending())
                    });
                    assert!(first.await);
                    tx.try_send_low(Arc::new(1)).unwrap();
                    tx.try_send_high(Arc::new(2)).unwrap();
                }
                assert_eq!(rx.recv_many(&mut got, 8).await, 2);
                assert_eq!(got.len(), 2);
                assert!(rx.observe().sleeps >= 1);
            });
        }
    }
    on_each(Job);
}

#[test]
fn sleeping_receiver_wakes_for_each_class() {
    #[derive(Clone, Copy)]
    struct Job;
    impl OnMailbox for Job {
        type Output = ();
        fn run<M: Mailbox>(self) {
            let (mut tx, mut rx) = M::mailbox::<u32, u32>(8, 8);
            let (done_tx, done_rx) = std::sync::mpsc::channel();
            let receiver = std::thread::spawn(move || {
                block_on(async {
                    let mut got = Vec::new();
                    while rx.recv_many(&mut got, 8).await > 0 {
                        done_tx.send(std::mem::take(&mut got)).unwrap();
                    }
                });
            });
            for n in 0..100 {
                if n % 2 == 0 {
                    tx.try_send_high(n).unwrap();
                    assert_eq!(done_rx.recv().unwrap(), [Message::High(n)]);
                } else {
                    tx.try_send_low(n).unwrap();
                    assert_eq!(done_rx.recv().unwrap(), [Message::Low(n)]);
                }
            }
            drop(tx);
            receiver.join().unwrap();
        }
    }
    on_each(Job);
}
