//! Tasks: an actor that owns its state, which many tasks query through its mailbox.

use tokio::sync::oneshot;

enum Ask {
    Add(u64),
    Total(oneshot::Sender<u64>),
}

#[tokio::main]
async fn main() {
    let (tx, mut rx) = lanemesh::channel(16);
    let actor = tokio::spawn(async move {
        let mut total = 0;
        while let Some(ask) = rx.recv().await {
            match ask {
                Ask::Add(n) => total += n,
                // The task that asked may have been dropped meanwhile.
                Ask::Total(answer) => drop(answer.send(total)),
            }
        }
        total
    });

    let tasks: Vec<_> = (1..=100)
        .map(|n| {
            let mut tx = tx.clone();
            tokio::spawn(async move {
                tx.send(Ask::Add(n)).await.expect("the actor runs");
                let (answer, asked) = oneshot::channel();
                tx.send(Ask::Total(answer)).await.expect("the actor runs");
                // Messages are in order: the total includes what this task has added.
                assert!(asked.await.expect("the actor answers") >= n);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }

    drop(tx);
    let total = actor.await.expect("the actor ends with its last sender");
    assert_eq!(total, 5050);
    println!("100 tasks added up to {total}");
}
