//! Mailboxes without actors.

use std::time::Duration;

use lanemesh_durable::{
    DeadReason, Durable, Mailbox, OpenError, QueueOptions, StoreError, Terms, disk::SimDisk,
};

use crate::common::{now, open, small};

async fn mailbox(store: &Durable) -> Mailbox {
    store.mailbox("box", QueueOptions::default()).await.unwrap()
}

fn payload(n: u64) -> Vec<u8> {
    n.to_le_bytes().to_vec()
}

fn number(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().unwrap())
}

#[tokio::test]
async fn messages_come_high_first_and_in_order_and_once() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    for n in 0..4 {
        mail.enqueue_low(payload(n)).await.unwrap();
    }
    mail.enqueue_high(payload(9)).await.unwrap();
    let taken = mail.dequeue(3).await.unwrap();
    let numbers: Vec<u64> = taken.iter().map(|m| number(&m.payload)).collect();
    assert_eq!(numbers, [9, 0, 1]);
    assert!(taken[0].is_high && taken[0].attempt == 1);
    assert_eq!(mail.ack(&[taken[0].id, taken[1].id]).await, Ok(2));
    assert_eq!(mail.ack(&[taken[0].id]).await, Ok(0));
    store.close().await;
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let taken = mail.dequeue(16).await.unwrap();
    let numbers: Vec<(u64, u32)> = taken
        .iter()
        .map(|m| (number(&m.payload), m.attempt))
        .collect();
    // 1 was taken by the process before and not acknowledged.
    assert_eq!(numbers, [(1, 2), (2, 1), (3, 1)]);
    store.close().await;
    assert_eq!(
        mail.enqueue_low(payload(1)).await.unwrap_err().error,
        StoreError::Closed
    );
}

#[tokio::test]
async fn a_dequeue_that_is_dropped_takes_nothing() {
    let store = open(&SimDisk::new());
    let mut mail = mailbox(&store).await;
    let mut other = mail.clone();
    {
        let dequeue = other.dequeue(1);
        tokio::pin!(dequeue);
        let polled = futures_poll(dequeue.as_mut()).await;
        assert!(polled.is_none(), "nothing is there");
    }
    mail.enqueue_low(payload(1)).await.unwrap();
    let taken = mail.dequeue(1).await.unwrap();
    assert_eq!((number(&taken[0].payload), taken[0].attempt), (1, 1));
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_message_that_fails_too_often_is_a_dead_letter_and_comes_again_when_requeued() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let options = QueueOptions::default().max_attempts(2);
    let mut mail = store.mailbox("box", options.clone()).await.unwrap();
    let id = mail.enqueue_low(payload(1)).await.unwrap().id;
    for attempt in 1..=2 {
        let taken = mail.dequeue(1).await.unwrap();
        assert_eq!((taken[0].id, taken[0].attempt), (id, attempt));
        assert_eq!(mail.retry(id, None).await, Ok(true));
    }
    let dead = mail.dead_letters(0, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].id, dead[0].reason, dead[0].attempts),
        (id, DeadReason::Attempts, 2)
    );
    assert_eq!(dead[0].payload, payload(1));
    store.close().await;
    let store = open(&disk);
    let mut mail = store.mailbox("box", options).await.unwrap();
    assert_eq!(mail.dead_letters(0, 10).await.unwrap(), dead);
    assert_eq!(store.requeue(id).await, Ok(true));
    assert_eq!(store.requeue(id).await, Ok(false));
    let taken = mail.dequeue(1).await.unwrap();
    assert_eq!((taken[0].id, taken[0].attempt), (id, 1));
    assert_eq!(mail.reject(id).await, Ok(true));
    assert_eq!(
        mail.dead_letters(0, 10).await.unwrap()[0].reason,
        DeadReason::Rejected
    );
    assert_eq!(store.delete_dead_letter(id).await, Ok(true));
    assert_eq!(mail.stats().await.unwrap().dead_letters, 0);
    store.close().await;
    let store = open(&disk);
    assert_eq!(store.dead_letters(None, 0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_has_expired_is_a_dead_letter_and_what_is_delayed_waits() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let expired = Terms::new().expires_in(Duration::ZERO);
    let expired = mail
        .enqueue_with(payload(1), false, expired)
        .await
        .unwrap()
        .id;
    let delay = Duration::from_millis(40);
    let began = now();
    let delayed = Terms::new().deliver_after(delay);
    mail.enqueue_with(payload(2), false, delayed).await.unwrap();
    mail.enqueue_low(payload(3)).await.unwrap();
    let first = mail.dequeue(9).await.unwrap();
    assert_eq!(number(&first[0].payload), 3);
    store.close().await;
    // The delay holds over a restart.
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(
            mail.dequeue(9)
                .await
                .unwrap()
                .iter()
                .map(|m| number(&m.payload)),
        );
    }
    assert_eq!(found, [3, 2]);
    assert!(now() >= began + delay.as_millis() as u64);
    let dead = mail.dead_letters(0, 10).await.unwrap();
    assert_eq!((dead[0].id, dead[0].reason), (expired, DeadReason::Expired));
    // Requeued, it has no expiry.
    assert_eq!(store.requeue(expired).await, Ok(true));
    assert_eq!(number(&mail.dequeue(1).await.unwrap()[0].payload), 1);
}

#[tokio::test]
async fn a_key_is_known_within_its_window_and_after_a_restart() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let key = |n| Terms::new().key(format!("invoice {n}"));
    let first = mail.enqueue_with(payload(1), false, key(1)).await.unwrap();
    let again = mail.enqueue_with(payload(1), false, key(1)).await.unwrap();
    assert!(!first.is_duplicate && again.is_duplicate);
    assert_eq!(first.id, again.id);
    let taken = mail.dequeue(9).await.unwrap();
    assert_eq!(taken.len(), 1);
    mail.ack(&[first.id]).await.unwrap();
    store.close().await;
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    assert!(
        mail.enqueue_with(payload(1), false, key(1))
            .await
            .unwrap()
            .is_duplicate
    );
    assert!(
        !mail
            .enqueue_with(payload(2), false, key(2))
            .await
            .unwrap()
            .is_duplicate
    );
    let options = QueueOptions::default().key_window(Duration::ZERO);
    let mut mail = store.mailbox("box", options).await.unwrap();
    assert!(
        !mail
            .enqueue_with(payload(1), false, key(1))
            .await
            .unwrap()
            .is_duplicate
    );
}

/// Promise 5.
#[test]
fn two_processes_cannot_open_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let one = Mailbox::blocking_open(directory.path()).unwrap();
    let two = Mailbox::blocking_open(directory.path());
    assert!(matches!(two, Err(OpenError::Locked)));
    one.blocking_close();
    Mailbox::blocking_open(directory.path())
        .unwrap()
        .blocking_close();
}

#[test]
fn threads_use_the_blocking_twins() {
    let directory = tempfile::tempdir().unwrap();
    let mut mail = Mailbox::blocking_open(directory.path()).unwrap();
    let mut reader = mail.clone();
    let reading = std::thread::spawn(move || {
        let mut sum = 0;
        while sum < 6 {
            for message in reader.blocking_dequeue(2).unwrap() {
                sum += number(&message.payload);
                assert_eq!(reader.blocking_ack(&[message.id]), Ok(1));
            }
        }
        sum
    });
    for n in 1..=3 {
        mail.blocking_enqueue_with(payload(n), n == 2, Terms::new())
            .unwrap();
    }
    assert_eq!(reading.join().unwrap(), 6);
    mail.blocking_close();
}

#[tokio::test]
async fn a_full_queue_gives_the_message_back_and_heals() {
    let store = open(&SimDisk::new());
    let options = QueueOptions::default().max_messages(2);
    let mut mail = store.mailbox("box", options).await.unwrap();
    for n in 0..2 {
        mail.enqueue_low(payload(n)).await.unwrap();
    }
    let refused = mail.enqueue_low(payload(7)).await.unwrap_err();
    assert_eq!(
        (refused.error, refused.message),
        (StoreError::Full, payload(7))
    );
    let taken = mail.dequeue(1).await.unwrap();
    mail.ack(&[taken[0].id]).await.unwrap();
    mail.enqueue_low(payload(7)).await.unwrap();
    let large = mail.enqueue_low(vec![0; 9 << 10]).await.unwrap_err();
    assert_eq!(large.error, StoreError::TooLarge);
    let bytes = QueueOptions::default().max_bytes(200);
    let mut other = store.mailbox("other", bytes).await.unwrap();
    other.enqueue_low(vec![1; 100]).await.unwrap();
    assert_eq!(
        other.enqueue_low(vec![2; 100]).await.unwrap_err().error,
        StoreError::Full
    );
}

#[tokio::test]
async fn the_log_takes_at_most_twice_what_is_live_and_two_segments_and_the_reserve() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let mut straggler = mailbox(&store).await;
    straggler.enqueue_low(payload(1 << 40)).await.unwrap();
    let held = straggler.dequeue(1).await.unwrap();
    for n in 0..3_000_u64 {
        mail.enqueue_low([payload(n), vec![7; 200]].concat())
            .await
            .unwrap();
        let taken = mail.dequeue(8).await.unwrap();
        let ids: Vec<u64> = taken.iter().map(|message| message.id).collect();
        mail.ack(&ids).await.unwrap();
    }
    let stats = store.stats().await.unwrap();
    let segment = 8 << 10;
    let reserve = 3 * segment;
    assert!(
        stats.disk <= 2 * stats.live + 2 * segment + reserve,
        "{stats:?}"
    );
    assert!(
        stats.written > 40 * segment,
        "segments were used again: {stats:?}"
    );
    assert_eq!(disk.allocated(), stats.disk);
    assert_eq!(
        mail.ack(&[held[0].id]).await,
        Ok(1),
        "the straggler was moved, not lost"
    );
    store.close().await;
    assert_eq!(
        mailbox(&open(&disk)).await.stats().await.unwrap().low.ready,
        0
    );
}

#[tokio::test]
async fn an_acknowledgement_makes_no_sync_of_its_own() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    for n in 0..10 {
        mail.enqueue_low(payload(n)).await.unwrap();
    }
    let syncs = disk.syncs();
    for message in mail.dequeue(10).await.unwrap() {
        assert_eq!(mail.ack(&[message.id]).await, Ok(1));
    }
    assert_eq!(mail.stats().await.unwrap().low.ready, 0);
    assert_eq!(disk.syncs(), syncs);
    // The next message takes them with it.
    mail.enqueue_low(payload(1)).await.unwrap();
    assert_eq!(disk.syncs(), syncs + 1);
}

/// Compaction moves the message behind the records of its failures, whose own segment stays.
#[tokio::test]
async fn a_requeued_message_begins_anew_also_after_it_was_moved() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let options = QueueOptions::default().max_attempts(2);
    let mut mail = store.mailbox("box", options.clone()).await.unwrap();
    let id = mail.enqueue_low(b"again".to_vec()).await.unwrap().id;
    let mut others = Vec::new();
    for _ in 0..12 {
        others.push(mail.enqueue_high(vec![0; 1000]).await.unwrap().id);
    }
    assert_eq!(mail.dequeue(13).await.unwrap().len(), 13);
    assert_eq!(mail.retry(id, None).await, Ok(true));
    assert_eq!(mail.dequeue(1).await.unwrap()[0].id, id);
    assert_eq!(mail.retry(id, None).await, Ok(true));
    assert_eq!(store.requeue(id).await, Ok(true));
    // What is left of them keeps the second segment, in which the records of the failures are. The
    // first one is given up when there is a third.
    assert_eq!(mail.ack(&others[..7]).await, Ok(7));
    for _ in 0..6 {
        let other = mail.enqueue_high(vec![0; 1000]).await.unwrap().id;
        assert_eq!(mail.dequeue(1).await.unwrap()[0].id, other);
        assert_eq!(mail.ack(&[other]).await, Ok(1));
    }
    store.close().await;
    let store = open(&disk);
    let mut mail = store.mailbox("box", options).await.unwrap();
    let taken = mail.dequeue(6).await.unwrap();
    assert_eq!((taken[5].id, taken[5].attempt), (id, 1));
}

#[tokio::test]
async fn a_full_disk_drains_and_heals() {
    let disk = SimDisk::new();
    disk.set_limit(Some(64 << 10));
    let store = Durable::open_on(disk.clone(), &small()).unwrap();
    let mut mail = mailbox(&store).await;
    let mut stored = Vec::new();
    let refused = loop {
        match mail.enqueue_low(vec![stored.len() as u8; 300]).await {
            Ok(ticket) => stored.push(ticket.id),
            Err(refused) => break refused,
        }
    };
    assert_eq!(
        (refused.error, refused.message.len()),
        (StoreError::Full, 300)
    );
    assert!(stored.len() > 100, "{}", stored.len());
    let mut seen = Vec::new();
    while seen.len() < stored.len() {
        for message in mail.dequeue(7).await.unwrap() {
            assert_eq!(mail.ack(&[message.id]).await, Ok(1));
            seen.push(message.id);
        }
    }
    assert_eq!(seen, stored);
    mail.enqueue_low(b"there is room again".to_vec())
        .await
        .unwrap();
    store.close().await;
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let left = mail.dequeue(9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].payload, b"there is room again");
}

/// Promise 3.
#[tokio::test]
async fn a_failed_sync_poisons_the_mailbox() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    mail.enqueue_low(payload(1)).await.unwrap();
    disk.fail_sync_after(0);
    for n in 2..5 {
        let refused = mail.enqueue_low(payload(n)).await.unwrap_err();
        assert!(
            matches!(refused.error, StoreError::Poisoned(_)),
            "{refused:?}"
        );
        assert_eq!(refused.message, payload(n));
    }
    assert!(matches!(
        mail.dequeue(1).await,
        Err(StoreError::Poisoned(_))
    ));
    assert!(store.stats().await.unwrap().poisoned.is_some());
    store.close().await;
    // After a power loss there is what had a receipt, and perhaps what had none.
    disk.lose_power(|| false);
    let store = open(&disk);
    let mut mail = mailbox(&store).await;
    let taken = mail.dequeue(9).await.unwrap();
    assert_eq!(number(&taken[0].payload), 1);
    assert_eq!(taken.len(), 1);
}

#[tokio::test]
async fn a_mailbox_decides_only_about_what_was_taken_out_of_it() {
    let store = open(&SimDisk::new());
    let mut mail = mailbox(&store).await;
    let mut other = store
        .mailbox("other", QueueOptions::default())
        .await
        .unwrap();
    mail.enqueue_low(payload(1)).await.unwrap();
    let id = mail.dequeue(1).await.unwrap()[0].id;
    assert_eq!(other.ack(&[id]).await, Ok(0));
    assert_eq!(other.retry(id, None).await, Ok(false));
    assert_eq!(other.reject(id).await, Ok(false));
    assert_eq!(mail.stats().await.unwrap().low.in_flight, 1);
    assert_eq!(mail.clone().ack(&[id]).await, Ok(1));
}
