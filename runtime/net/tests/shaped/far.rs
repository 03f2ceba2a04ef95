//! The other process: an actor that keeps account, and a sink for raw bytes.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use lanemesh_net::{Config, Node, Remote};
use lanemesh_runtime::{Actor, ActorResult, Context, Reply, builder};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::network::{FAR, Network};

pub(crate) const SECRET: [u8; 16] = *b"only for a test!";
/// Where the nodes meet, and where raw bytes go.
pub(crate) const PORT: u16 = 7001;
pub(crate) const RAW_PORT: u16 = 7002;
/// Which part of the test a process plays.
pub(crate) const PART: &str = "LANEMESH_NET_SHAPED_PART";

/// A message of 1200 bytes in all.
pub(crate) const PAYLOAD: usize = 1190;

#[derive(Serialize, Deserialize)]
pub(crate) struct Echo(pub(crate) [u64; 8], pub(crate) Reply<[u64; 8]>);

#[derive(Serialize, Deserialize)]
pub(crate) enum Told {
    Payload(u64, String),
    /// How many have come, and whether each number was larger than the one before.
    Account(Reply<(u64, bool)>),
}

pub(crate) struct Accountant {
    count: u64,
    next: u64,
    is_in_order: bool,
}

impl Actor for Accountant {
    type HighPriorityMsg = Echo;
    type LowPriorityMsg = Told;

    async fn on_high(&mut self, echo: Echo, _: &mut Context<Self>) -> ActorResult {
        drop(echo.1.send(echo.0)); // the asker may be gone
        Ok(())
    }

    async fn on_low(&mut self, told: Told, _: &mut Context<Self>) -> ActorResult {
        match told {
            Told::Payload(number, payload) => {
                self.is_in_order &= number >= self.next && payload.len() == PAYLOAD;
                self.next = number + 1;
                self.count += 1;
            }
            Told::Account(reply) => drop(reply.send((self.count, self.is_in_order))),
        }
        Ok(())
    }
}

impl Remote for Accountant {
    const TYPE: &'static str = "test/accountant";
}

/// Times that no busy machine exceeds.
pub(crate) fn patient() -> Config {
    let hour = Duration::from_secs(3600);
    Config {
        suspected_after: hour,
        dead_after: hour,
        handshake_timeout: hour,
        lookup_timeout: hour,
        ..Config::default()
    }
}

/// Counts bytes, and says how many there were.
async fn swallow(mut connection: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    while let Ok(count) = connection.read(&mut buffer).await
        && count > 0
    {
        total += count as u64;
    }
    // The other end may be gone.
    let _ = connection.write_u64(total).await;
}

/// Serves until the standard input ends.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Node::builder("far").secret(SECRET).config(patient());
        let node = node.build();
        let accountant = builder(|| Accountant {
            count: 0,
            next: 0,
            is_in_order: true,
        });
        let (actor, _child) = accountant.spawn();
        node.export("accountant", &actor).unwrap();
        node.bind(&format!("tcp://{FAR}:{PORT}")).await.unwrap();
        let raw = TcpListener::bind((FAR, RAW_PORT)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((connection, _)) = raw.accept().await {
                tokio::spawn(swallow(connection));
            }
        });
        println!("\nserves");
        std::io::stdout().flush().unwrap();
        let end = || std::io::stdin().lock().read_line(&mut String::new());
        tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    });
}

/// The other process, until it is dropped.
pub(crate) struct Far {
    process: Child,
    _input: ChildStdin,
    /// Its test harness ends when it cannot print.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Far {
    pub(crate) fn start(network: &Network) -> Self {
        let test = std::env::current_exe().unwrap();
        let mut process = network
            .command(true, test.to_str().unwrap())
            .args(["--exact", "far_process", "--nocapture"])
            .env(PART, "far")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut printed = lines.by_ref().map_while(Result::ok);
        assert!(printed.any(|line| line == "serves"), "it does not start");
        Self {
            _input: process.stdin.take().unwrap(),
            process,
            _output: lines,
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
