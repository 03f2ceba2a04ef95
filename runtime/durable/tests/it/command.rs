//! The command, on stores that are not open.

use std::{fs, path::Path, process::Command};

use lanemesh_durable::{Mailbox, Terms};

/// Standard output, standard error, and the status.
fn run(arguments: &[&str], directory: &Path) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_lanemesh-durable"))
        .arg(arguments[0])
        .arg(directory)
        .args(&arguments[1..])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

async fn some_store(directory: &Path) -> u64 {
    let mut mailbox = Mailbox::open(directory).await.unwrap();
    let id = mailbox.enqueue_high(b"dead".to_vec()).await.unwrap().id;
    let taken = mailbox.dequeue(1).await.unwrap();
    assert!(mailbox.reject(taken[0].id).await.unwrap());
    mailbox.enqueue_low(b"alive".to_vec()).await.unwrap();
    let later = Terms::new().deliver_after(std::time::Duration::from_secs(3600));
    mailbox
        .enqueue_with(b"later".to_vec(), false, later)
        .await
        .unwrap();
    mailbox.close().await;
    id
}

#[tokio::test]
async fn it_inspects_exports_and_requeues() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let id = some_store(directory).await;
    let (inspected, _, status) = run(&["inspect"], directory);
    assert_eq!(status, Some(0));
    assert!(
        inspected.contains("queue mailbox: high 0 + 0 delayed, low 1 + 1 delayed"),
        "{inspected}"
    );
    assert!(
        inspected.contains(&format!("dead letter {id}: queue mailbox")),
        "{inspected}"
    );
    assert!(inspected.contains("Rejected"), "{inspected}");
    let (verified, _, status) = run(&["verify"], directory);
    assert_eq!(status, Some(0));
    assert!(verified.starts_with("whole: "), "{verified}");
    let (exported, ..) = run(&["export", "--queue", "mailbox"], directory);
    let lines: Vec<serde_json::Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["payload"], "616c697665");
    assert_eq!(
        (&lines[2]["state"], &lines[2]["class"]),
        (&"dead".into(), &"high".into())
    );
    assert_eq!(run(&["export", "--queue", "other"], directory).0, "");
    let id = id.to_string();
    let (requeued, ..) = run(&["requeue", "--id", "999"], directory);
    assert_eq!(requeued, "0 dead letters are messages again\n");
    let (requeued, ..) = run(&["requeue", "--id", &id], directory);
    assert_eq!(requeued, "1 dead letters are messages again\n");
    let (_, error, status) = run(&["delete"], directory);
    assert_eq!(status, Some(2));
    assert!(error.contains("delete needs --queue or --id"), "{error}");
    let (deleted, ..) = run(&["delete", "--id", &id], directory);
    assert_eq!(
        deleted, "0 dead letters are deleted\n",
        "it is a message again"
    );
    let mut mailbox = Mailbox::open(directory).await.unwrap();
    assert_eq!(mailbox.dequeue(1).await.unwrap()[0].payload, b"dead");
    for arguments in [&["inspect"][..], &["verify"], &["export", "--damaged"]] {
        let (_, error, status) = run(arguments, directory);
        assert_eq!(status, Some(1));
        assert!(error.contains("open elsewhere"), "{error}");
    }
    assert!(mailbox.reject(id.parse().unwrap()).await.unwrap());
    mailbox.close().await;
    let (deleted, ..) = run(&["delete", "--queue", "mailbox"], directory);
    assert_eq!(deleted, "1 dead letters are deleted\n");
    let (inspected, ..) = run(&["inspect"], directory);
    assert!(inspected.contains("0 dead letters"), "{inspected}");
}

#[tokio::test]
async fn it_names_damage_and_wrong_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    let (_, error, status) = run(&["verify"], &empty);
    assert_eq!(status, Some(1));
    assert!(error.contains("there is no store"), "{error}");
    assert!(!empty.exists(), "it makes none");
    let (_, error, status) = run(&["mend"], directory.path());
    assert_eq!(status, Some(2));
    assert!(error.contains("there is no command mend"), "{error}");
    some_store(directory.path()).await;
    let logs = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let used = logs.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    for path in used {
        let mut bytes = fs::read(&path).unwrap();
        // The first record of a segment, after the batch's own.
        bytes[1024 + 60] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    for command in ["verify", "inspect", "requeue", "export"] {
        let (_, error, status) = run(&[command], directory.path());
        assert_eq!(status, Some(1), "{command}");
        assert!(error.contains("record 1, at offset"), "{command}: {error}");
    }
    let (exported, said, status) = run(&["export", "--damaged"], directory.path());
    assert_eq!(status, Some(0));
    assert!(said.contains("3 messages are whole"), "{said}");
    assert!(said.contains("damaged places passed over: 1"), "{said}");
    let payload = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["payload"].as_str().unwrap().to_owned()
    };
    let exported: Vec<String> = exported.lines().map(payload).collect();
    assert_eq!(exported, ["64656164", "616c697665", "6c61746572"]);
    let (_, error, status) = run(&["inspect", "--damaged"], directory.path());
    assert_eq!(status, Some(2));
    assert!(error.contains("inspect has no option --damaged"), "{error}");
}

#[tokio::test]
async fn who_reads_its_output_may_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut mailbox = Mailbox::open(directory.path()).await.unwrap();
    for _ in 0..40 {
        // More than a pipe holds, in hexadecimal.
        mailbox.enqueue_low(vec![7; 10_000]).await.unwrap();
    }
    mailbox.close().await;
    for arguments in [&["export"][..], &["export", "--damaged"], &["inspect"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lanemesh-durable"))
            .arg(arguments[0])
            .arg(directory.path())
            .args(&arguments[1..])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && !said.contains("panicked"),
            "{said}"
        );
    }
}
