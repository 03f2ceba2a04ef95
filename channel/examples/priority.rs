//! Two priorities: media packets that may be dropped, and commands that overtake them.

use lanemesh::{MailboxBuilder, Message, Overflow, Sent};

#[derive(Debug, PartialEq)]
enum Command {
    Mute,
    Leave,
}

fn main() {
    // Few commands, many packets; a packet that finds its lane full is dropped and counted.
    let (mut tx, mut rx) = MailboxBuilder::new(4, 100)
        .low_overflow(Overflow::Drop)
        .build::<Command, u32>();

    let mut dropped = 0;
    for packet in 0..150 {
        match tx.blocking_send_low(packet).expect("the receiver is there") {
            Sent::Queued => {}
            Sent::Dropped => dropped += 1,
        }
    }
    assert_eq!(dropped, 50);
    assert_eq!(rx.stats().low.dropped, 50);

    tx.try_send_high(Command::Mute).expect("room for commands");
    assert_eq!(rx.try_recv(), Ok(Message::High(Command::Mute)));
    assert_eq!(rx.try_recv(), Ok(Message::Low(0)));

    // Also within a batch: a command is received before the packets that wait.
    tx.try_send_high(Command::Leave).expect("room for commands");
    let mut batch = Vec::new();
    let count = rx.try_recv_many(&mut batch, 10).expect("messages wait");
    assert_eq!(count, 10);
    assert_eq!(batch[0], Message::High(Command::Leave));
    assert_eq!(batch[1], Message::Low(1));

    println!("commands overtook 100 packets; {dropped} packets were dropped");
}
