//! Files that are none of the log, and a directory that changes beneath a store.

use std::{fs, io, path::Path};

use lanemesh_durable::{
    Durable, Mailbox, OpenError, QueueOptions, StoreError, StoreOptions,
    disk::{Disk, RealDisk, SimDisk},
    offline::{self, Offline},
};

use crate::{
    common::{open, small},
    crash::some_log,
};

fn errors(disk: &SimDisk) -> [OpenError; 2] {
    let opened = Durable::open_on(disk.clone(), &small()).map(drop);
    let verified = offline::verify_on(disk.clone()).map(drop);
    [opened.unwrap_err(), verified.unwrap_err()]
}

#[test]
fn a_segment_of_another_store_is_named_whatever_its_generation() {
    let ((disk, files), (other, of_other)) = (some_log(), some_log());
    let newest = other.content(&of_other.last().unwrap().1).unwrap();
    let mut generations = Vec::new();
    // As it would be after a long time: all of this log would be taken for old.
    let mut later = newest.clone();
    let mut header = lanemesh_durable::log::header::Header::decode(&newest).unwrap();
    header.generation += 1000;
    later[..1024].copy_from_slice(&header.encode());
    for (_, name) in &of_other {
        generations.push(other.content(name).unwrap());
    }
    generations.push(later);
    for foreign in generations {
        disk.insert("00000777.log", foreign);
        for error in errors(&disk) {
            assert!(
                matches!(&error, OpenError::Foreign { file } if file == "00000777.log"),
                "{error}"
            );
        }
        let mut lines = Vec::new();
        let salvage = offline::salvage_on(disk.clone(), None, &mut lines).unwrap();
        assert_eq!((salvage.messages, salvage.foreign), (200, 1));
        Disk::remove(&disk, "00000777.log").unwrap();
    }
    // Of the one that is not alone, also if nothing else says which log it is.
    Disk::words(&disk, "hands", 4).unwrap().store(3, 0);
    disk.insert("00000777.log", newest);
    assert!(matches!(&errors(&disk)[0], OpenError::Foreign { file } if file == "00000777.log"));
    Disk::remove(&disk, "00000777.log").unwrap();
    assert_eq!(
        offline::verify_on(disk).unwrap().segments,
        files.len(),
        "nothing was changed"
    );
}

#[test]
fn a_copy_of_a_segment_is_named() {
    let (disk, files) = some_log();
    for (_, name) in &files {
        disk.insert("00000777.log", disk.content(name).unwrap());
        for error in errors(&disk) {
            let OpenError::Twice { file, other } = &error else {
                panic!("{error}");
            };
            assert_eq!((file, other.as_str()), (name, "00000777.log"));
        }
        Disk::remove(&disk, "00000777.log").unwrap();
    }
    assert!(Durable::open_on(disk, &small()).is_ok());
}

#[test]
fn a_store_of_another_release_is_not_taken_for_an_empty_one() {
    let (disk, files) = some_log();
    for (_, name) in &files {
        disk.damage(name, |bytes| {
            bytes[8] = 9;
            bytes[512 + 8] = 9;
        });
    }
    for error in errors(&disk) {
        assert!(
            matches!(&error, OpenError::Version { file, version: 9 } if *file == files[0].1),
            "{error}"
        );
    }
}

/// They name messages by numbers, which other messages have here.
#[tokio::test]
async fn words_of_another_store_acknowledge_nothing() {
    let (disk, other) = (SimDisk::new(), SimDisk::new());
    for disk in [&disk, &other] {
        let store = open(disk);
        let mut mail = store.mailbox("box", QueueOptions::default()).await.unwrap();
        for n in 0..9 {
            mail.enqueue_low(vec![n]).await.unwrap();
        }
        let taken = mail.dequeue(5).await.unwrap();
        // The process is killed with these acknowledgements in its words.
        disk.cut_power_after(0);
        mail.ack(&taken.iter().map(|taken| taken.id).collect::<Vec<_>>())
            .await
            .unwrap();
        store.close().await;
        disk.kill();
    }
    let words = Disk::peek_words(&other, "hands").unwrap();
    let own = Disk::words(&disk, "hands", words.len()).unwrap();
    for (index, word) in words.into_iter().enumerate() {
        own.store(index, word);
    }
    let mut lines = Vec::new();
    let salvage = offline::salvage_on(disk.clone(), None, &mut lines).unwrap();
    assert_eq!(salvage.messages, 9);
    for _ in 0..2 {
        let store = open(&disk);
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.queue("box").unwrap().low.ready, 9);
        store.close().await;
    }
    // Those of this one do.
    let store = open(&other);
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.queue("box").unwrap().low.ready, 4);
}

#[test]
fn a_file_that_only_looks_like_one_of_the_log_is_not_removed() {
    let names = ["+7.log", "7.log", "notes.new", "7.log.new", "hands.old.new"];
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for name in names {
        fs::write(directory.join(name), [b'x'; 12_288]).unwrap();
    }
    fs::write(directory.join("00000003.log.new"), b"half").unwrap();
    for _ in 0..2 {
        let mut mail = Mailbox::blocking_open(directory).unwrap();
        mail.blocking_enqueue_low(b"data".to_vec()).unwrap();
        mail.blocking_close();
    }
    for name in names {
        assert_eq!(fs::read(directory.join(name)).unwrap(), [b'x'; 12_288]);
    }
    assert!(!directory.join("00000003.log.new").exists());
    // The name of a segment, in a directory without any.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("20251201.log");
    fs::write(&file, [b'x'; 12_288]).unwrap();
    let error = Durable::open(directory.path()).map(drop).unwrap_err();
    assert!(
        matches!(&error, OpenError::Foreign { file } if file == "20251201.log"),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), [b'x'; 12_288]);
}

fn small_segments(directory: &Path) -> (Durable, Mailbox) {
    let options = StoreOptions::default()
        .segment_size(8 << 10)
        .max_in_flight(16);
    let store = Durable::open_with(directory, &options).unwrap();
    let mailbox = store.blocking_mailbox("box", QueueOptions::default());
    (store, mailbox.unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn a_store_stays_locked_when_its_lock_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _mailbox) = small_segments(directory.path());
    fs::remove_file(directory.path().join("lock")).unwrap();
    for _ in 0..2 {
        let opened = Durable::open(directory.path()).map(drop);
        assert!(matches!(opened, Err(OpenError::Locked)), "{opened:?}");
    }
    store.blocking_close();
    Durable::open(directory.path()).unwrap();
}

/// A receipt would be true of files that no start finds.
#[test]
#[cfg(unix)]
fn a_directory_that_is_removed_beneath_a_store_poisons_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let (store, mut mail) = small_segments(&path);
    mail.blocking_enqueue_low(b"one".to_vec()).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let refused = mail.blocking_enqueue_low(b"two".to_vec()).unwrap_err();
    assert_eq!(refused.message, b"two");
    let StoreError::Poisoned(why) = refused.error else {
        panic!("{refused}");
    };
    assert!(why.contains(".log: the file was removed"), "{why}");
    assert!(store.blocking_stats().unwrap().poisoned.is_some());
}

#[test]
fn a_directory_that_is_moved_is_named_and_the_store_heals_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (
        directory.path().join("store"),
        directory.path().join("moved"),
    );
    let (_store, mut mail) = small_segments(&path);
    let mut stored = 0;
    let mut fill = |mail: &mut Mailbox| {
        for _ in 0..100 {
            mail.blocking_enqueue_low(vec![0; 1000])
                .map_err(|refused| refused.error)?;
            stored += 1;
        }
        Ok(())
    };
    fs::rename(&path, &moved).unwrap();
    let refused = fill(&mut mail).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Disk(why) if why.contains("store/0000")),
        "{refused}"
    );
    fs::rename(&moved, &path).unwrap();
    fill(&mut mail).unwrap();
    mail.blocking_close();
    let (_store, mail) = small_segments(&path);
    assert_eq!(mail.blocking_stats().unwrap().low.ready, stored);
}

#[test]
fn directories_above_a_store_are_made_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/c");
    drop(small_segments(&path));
    assert!(path.join("lock").exists());
}

#[test]
fn a_store_that_nobody_can_write_to_is_verified_and_exported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_, mut mail) = small_segments(path);
    for n in 0..20 {
        mail.blocking_enqueue_low(vec![n; 900]).unwrap();
    }
    mail.blocking_close();
    fs::remove_file(path.join("lock")).unwrap();
    set_writable(path, false);
    // Whoever may write everywhere makes the file by which the directory is locked.
    let may_write = fs::write(path.join("probe"), b"").is_ok();
    assert_eq!(offline::verify(path).unwrap().records, 21);
    let mut lines = Vec::new();
    assert_eq!(
        offline::salvage(path, None, &mut lines).unwrap().messages,
        20
    );
    let opened = [
        Durable::open(path).map(Durable::blocking_close),
        Offline::open(path).map(drop),
    ];
    if !may_write {
        for error in opened {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("lock: "), "{error}");
        }
    }
    set_writable(path, true);
    let mut disk = RealDisk::reading(path).unwrap();
    disk.lock().unwrap();
    let refused = [
        disk.create("00000009.log", 8192).map(drop),
        disk.remove("hands"),
        disk.words("hands", 1000).map(drop),
    ];
    for refused in refused {
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ReadOnlyFilesystem
        );
    }
    let names = disk.list().unwrap();
    let segment = names.iter().find(|name| name.ends_with(".log")).unwrap();
    assert!(disk.open(segment).unwrap().write_at(b"x", 0).is_err());
}

fn set_writable(directory: &Path, is_writable: bool) {
    let files = fs::read_dir(directory).unwrap();
    let files = files.map(|file| file.unwrap().path());
    for path in files.chain([directory.to_owned()]) {
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = permissions.mode();
            permissions.set_mode(match is_writable {
                true => mode | 0o200,
                false => mode & !0o222,
            });
        }
        #[cfg(not(unix))]
        permissions.set_readonly(!is_writable);
        fs::set_permissions(path, permissions).unwrap();
    }
}
