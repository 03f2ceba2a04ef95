//! What may become of the files of a store that is not open.

use std::{io, path::Path, process::Command, time::Duration};

use lanemesh_durable::{
    Durable, Mailbox, OpenError, QueueOptions, StoreError, StoreOptions, Terms,
    disk::{Disk, SimDisk},
    offline,
};

use crate::{
    common::{open, small},
    crash::some_log,
};

fn contents(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let names = Disk::list(disk).unwrap().into_iter();
    names
        .map(|name| (name.clone(), disk.content(&name)))
        .collect()
}

#[test]
fn a_segment_that_was_cut_short_is_named_and_nothing_is_changed() {
    let (disk, files) = some_log();
    for index in [0, files.len() / 2, files.len() - 1] {
        let (_, name) = &files[index];
        let whole = disk.content(name).unwrap();
        for bytes in [0, 100, 1024, 4096, whole.len() - 1] {
            disk.damage(name, |content| content.truncate(bytes));
            let before = contents(&disk);
            for error in [
                Durable::open_on(disk.clone(), &small())
                    .map(drop)
                    .unwrap_err(),
                offline::verify_on(disk.clone()).map(drop).unwrap_err(),
            ] {
                let OpenError::Size { file, expected, .. } = &error else {
                    panic!("{name}, {bytes} bytes: {error}");
                };
                assert_eq!((file, *expected), (name, whole.len() as u64));
                assert!(error.to_string().contains("cut short"), "{error}");
            }
            assert_eq!(contents(&disk), before);
            disk.damage(name, |content| content.clone_from(&whole));
        }
    }
    assert!(offline::verify_on(disk).is_ok());
}

#[test]
fn a_missing_segment_is_named_also_the_last_one() {
    let (disk, files) = some_log();
    for (generation, name) in &files {
        let whole = disk.content(name).unwrap();
        Disk::remove(&disk, name).unwrap();
        for error in [
            Durable::open_on(disk.clone(), &small())
                .map(drop)
                .unwrap_err(),
            offline::verify_on(disk.clone()).map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(error, OpenError::Missing { generation: missing } if missing == *generation),
                "{name}: {error}"
            );
        }
        disk.insert(name, whole);
    }
    assert!(Durable::open_on(disk, &small()).is_ok());
}

#[test]
fn a_lost_head_of_the_last_segment_is_not_taken_for_a_spare_file() {
    let (disk, files) = some_log();
    let (_, name) = files.last().unwrap();
    disk.damage(name, |bytes| bytes[..1024].fill(0));
    assert!(matches!(
        Durable::open_on(disk, &small()),
        Err(OpenError::Missing { .. })
    ));
}

#[tokio::test]
async fn another_limit_of_messages_in_flight_forgets_nothing_of_the_last_process() {
    for (before, after) in [(4, 512), (512, 4)] {
        let disk = SimDisk::new();
        let options = small().max_in_flight(before);
        let store = Durable::open_on(disk.clone(), &options).unwrap();
        let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
        for n in 0..3 {
            mail.enqueue_low(vec![n]).await.unwrap();
        }
        let taken = mail.dequeue(3).await.unwrap();
        disk.cut_power_after(0);
        assert_eq!(mail.ack(&[taken[0].id, taken[2].id]).await, Ok(2));
        store.close().await;
        disk.kill();
        let options = small().max_in_flight(after);
        let store = Durable::open_on(disk.clone(), &options).unwrap();
        let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
        let taken = mail.dequeue(9).await.unwrap();
        assert_eq!((taken.len(), taken[0].attempt), (1, 2));
        assert_eq!(taken[0].payload, [1]);
    }
}

#[tokio::test]
async fn what_a_full_log_cannot_take_stays_in_the_words() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    for n in 0..20 {
        mail.enqueue_low(vec![n; 300]).await.unwrap();
    }
    let taken = mail.dequeue(20).await.unwrap();
    let ids: Vec<u64> = taken.iter().map(|message| message.id).collect();
    // The process is killed with acknowledgements in its words only.
    disk.cut_power_after(0);
    assert_eq!(mail.ack(&ids[..10]).await, Ok(10));
    store.close().await;
    disk.kill();
    // And nothing can be written at the next starts: neither a new segment nor the reserve is there.
    let used = |name: &String| {
        let content = disk.content(name).unwrap_or_default();
        lanemesh_durable::log::scan::read(&content).is_some()
    };
    let spares: Vec<String> = Disk::list(&disk).unwrap();
    for name in spares
        .iter()
        .filter(|name| name.ends_with(".log") && !used(name))
    {
        Disk::remove(&disk, name).unwrap();
    }
    disk.set_limit(Some(disk.allocated()));
    for _ in 0..3 {
        let store = open(&disk);
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.queue("box").unwrap().low.ready, 10);
        let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
        assert_eq!(mail.dequeue(1).await.unwrap()[0].payload, vec![10; 300]);
        disk.cut_power_after(0);
        store.close().await;
        disk.kill();
    }
    disk.set_limit(None);
    let store = open(&disk);
    let mut mail = store
        .mailbox("box", QueueOptions::default().max_attempts(9))
        .await
        .unwrap();
    let taken = mail.dequeue(20).await.unwrap();
    assert_eq!(taken.len(), 10);
    // Its first attempt, and one in each of the three lives.
    assert_eq!((taken[0].payload[0], taken[0].attempt), (10, 5));
}

#[test]
fn a_directory_that_cannot_be_one_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert!(
            matches!(Durable::open(&path), Err(OpenError::Io(_))),
            "{path:?}"
        );
        assert!(offline::verify(&path).is_err());
    }
}

#[test]
fn files_that_are_none_of_the_log_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "x.log", "1.log.bak"] {
        std::fs::write(directory.path().join(name), b"mine").unwrap();
    }
    let options = StoreOptions::default()
        .segment_size(8 << 10)
        .max_in_flight(16);
    for _ in 0..2 {
        let store = Durable::open_with(directory.path(), &options).unwrap();
        let mut mail = store
            .blocking_mailbox("box", QueueOptions::default())
            .unwrap();
        let terms = Terms::new().deliver_after(Duration::from_secs(1));
        mail.blocking_enqueue_with(b"later".to_vec(), true, terms)
            .unwrap();
        drop(mail);
        store.blocking_close();
    }
    for name in ["notes.txt", "x.log", "1.log.bak"] {
        assert_eq!(std::fs::read(directory.path().join(name)).unwrap(), b"mine");
    }
    let mailbox = Mailbox::blocking_open(directory.path()).unwrap();
    assert_eq!(
        mailbox
            .store()
            .blocking_stats()
            .unwrap()
            .queue("box")
            .unwrap()
            .high
            .delayed,
        2
    );
}

/// A process may have 1,024 files open, unless somebody has changed that.
#[tokio::test]
async fn a_long_backlog_needs_few_open_files() {
    let disk = SimDisk::new();
    let count = 800_u32;
    let store = open(&disk);
    let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
    for n in 0..count {
        let mut payload = vec![0; 3000];
        payload[..4].copy_from_slice(&n.to_le_bytes());
        mail.enqueue_low(payload).await.unwrap();
    }
    let stats = store.stats().await.unwrap();
    assert!(stats.disk / (8 << 10) > 300, "{} bytes", stats.disk);
    // Half of it by the process that has stored it, the rest by the next one.
    for half in [0..count / 2, count / 2..count] {
        if half.start > 0 {
            store.clone().close().await;
            let options = QueueOptions::default();
            mail = open(&disk).mailbox("box", options).await.unwrap();
        }
        for n in half {
            let taken = mail.dequeue(1).await.unwrap();
            let found = u32::from_le_bytes(taken[0].payload[..4].try_into().unwrap());
            assert_eq!(found, n);
            mail.ack(&[taken[0].id]).await.unwrap();
        }
    }
    assert!(disk.most_open() < 48, "{} files", disk.most_open());
}

/// Names a directory on a disk that is small, to the test in the process that has it.
const SMALL_DISK: &str = "LANEMESH_TEST_SMALL_DISK";

/// Runs a test of this file where a disk of so many MiB is mounted, which no other process sees. `None` where that
/// cannot be done.
fn on_a_small_disk(test: &str, size: &str) -> Option<()> {
    let directory = tempfile::tempdir().unwrap();
    // The mount ends with the process.
    let script =
        r#"mount -t tmpfs -o "size=$2" tmpfs "$1" || exit 77; exec "$3" --exact "$4" --nocapture"#;
    let run = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(size)
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(SMALL_DISK, directory.path())
        .output();
    let output = match run {
        Ok(output) if !matches!(output.status.code(), Some(1 | 77)) => output,
        refused => {
            eprintln!("SKIPPED: a disk cannot be mounted here: {refused:?}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "{text}");
    Some(())
}

/// Not simulated: the file system itself has no more room.
#[test]
fn a_disk_that_is_really_full_gives_messages_back_drains_and_heals() {
    const BYTES: usize = 10_000;
    let Some(disk) = std::env::var_os(SMALL_DISK) else {
        let this = "files::a_disk_that_is_really_full_gives_messages_back_drains_and_heals";
        let _ = on_a_small_disk(this, "40m");
        return;
    };
    let directory = Path::new(&disk).join("mailbox");
    let mut mailbox = Mailbox::blocking_open(&directory).unwrap();
    let message = |n: u64| [&n.to_le_bytes()[..], &[7; BYTES]].concat();
    let number = |payload: &[u8]| u64::from_le_bytes(payload[..8].try_into().unwrap());
    let fill = |mailbox: &mut Mailbox, from: u64| {
        let mut n = from;
        loop {
            match mailbox.blocking_enqueue_low(message(n)) {
                Ok(_) => n += 1,
                Err(refused) => {
                    assert_eq!(refused.error, StoreError::Full);
                    assert_eq!(refused.message, message(n));
                    return n;
                }
            }
        }
    };
    let first = fill(&mut mailbox, 0);
    assert!(first > 500, "{first} messages only");
    let mut expected = 0;
    let mut take = |mailbox: &mut Mailbox, until: u64| {
        while expected < until {
            for job in mailbox.blocking_dequeue(16).unwrap() {
                assert_eq!(number(&job.payload), expected);
                expected += 1;
                mailbox.blocking_ack(&[job.id]).unwrap();
            }
        }
    };
    take(&mut mailbox, first - 100);
    // Whoever is refused may have to wait a moment, so that a full disk is not written to for nothing.
    let more = std::iter::repeat_with(|| fill(&mut mailbox, first)).find(|more| *more > first);
    let more = more.unwrap();
    mailbox.blocking_close();
    let mut mailbox = Mailbox::blocking_open(&directory).unwrap();
    take(&mut mailbox, more);
    assert_eq!(mailbox.blocking_stats().unwrap().low.ready, 0);
    mailbox.blocking_close();
}

#[test]
fn a_disk_without_room_for_a_mailbox_is_said_to_be_full() {
    let Some(disk) = std::env::var_os(SMALL_DISK) else {
        let this = "files::a_disk_without_room_for_a_mailbox_is_said_to_be_full";
        let _ = on_a_small_disk(this, "20m");
        return;
    };
    let Err(OpenError::Io(error)) = Mailbox::blocking_open(Path::new(&disk).join("mailbox")) else {
        panic!("it opens");
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(
        error.to_string().contains("3 files of 8388608 bytes"),
        "{error}"
    );
}
