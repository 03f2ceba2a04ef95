//! A shop that accepts orders over HTTP, answers when they are on disk, and is killed again and again.
//!
//! The program starts itself as a server, sends it orders, kills it with orders on their way, and starts
//! it again. Orders without an answer are sent again, under their number, so that they are stored once.
//! In the end it accounts for every order. `-- --lives 50` kills it more often.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use lanemesh_durable::{
    Delivered, Durable, DurableExt, DurableHandle, DurableMessage, Receipt, StoreError, TellError,
    Terms, offline::Offline,
};
use lanemesh_runtime::{builder, prelude::*};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

const DIRECTORY: &str = "LANEMESH_ORDERS_DIRECTORY";
/// Orders in each life of the server.
const ORDERS: u64 = 40;
/// Clients that send at the same time.
const CLIENTS: u64 = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
}

impl DurableMessage for Order {
    const NAME: &'static str = "order";
}

/// Ships orders: a line on the pipe that outlives the server.
struct Warehouse;

impl Handler for Warehouse {
    type Msg = Delivered<Order>;

    async fn handle(&mut self, order: Delivered<Order>, _: &mut Context<Self>) -> ActorResult {
        let line = format!("shipped {} {}\n", order.number, order.attempt);
        std::io::stdout().lock().write_all(line.as_bytes())?;
        Ok(())
    }
}

// --- the server -------------------------------------------------------------------------------

type Shop = Arc<Mutex<DurableHandle<Warehouse>>>;

async fn submit(shop: &Shop, number: u64) -> Result<Receipt<Order>, TellError<Order>> {
    // Not held while the disk syncs, so that orders that come meanwhile share the next sync.
    let mut shop = shop.lock().await;
    let terms = Terms::new().key(number.to_le_bytes());
    shop.low().submit_with(Order { number }, terms).await
}

async fn accept(State(shop): State<Shop>, body: String) -> (StatusCode, String) {
    let Ok(number) = body.trim().parse() else {
        return (StatusCode::BAD_REQUEST, "not a number".to_owned());
    };
    let stored = match submit(&shop, number).await {
        Ok(receipt) => receipt.await,
        Err(error) => Err(error),
    };
    match stored {
        Ok(ticket) if ticket.is_duplicate => (StatusCode::OK, "known".to_owned()),
        Ok(_) => (StatusCode::CREATED, "accepted".to_owned()),
        Err(TellError {
            error: StoreError::Full,
            ..
        }) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "try again later".to_owned(),
        ),
        Err(TellError { error, .. }) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[tokio::main]
async fn serve(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = Durable::open(directory)?;
    let (shop, child) = builder(|| Warehouse)
        .durable(&store, "orders")
        .spawn()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    let router = Router::new()
        .route("/orders", post(accept))
        .with_state(Arc::new(Mutex::new(shop)));
    let end_of_input = tokio::task::spawn_blocking(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(async { drop(end_of_input.await) })
        .await?;
    // The handles are gone with the router: the warehouse ships what is left, and ends.
    child.await;
    store.close().await;
    Ok(())
}

// --- the program that kills it ----------------------------------------------------------------

#[derive(Default)]
struct Account {
    /// How often each order was shipped, and with which attempts.
    shipped: BTreeMap<u64, Vec<u32>>,
    accepted: u64,
    known: u64,
    unanswered: u64,
}

/// A server, and the thread that reads what it ships.
struct Server {
    process: Child,
    port: u16,
    shipped: thread::JoinHandle<Vec<(u64, u32)>>,
}

impl Server {
    fn start(directory: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(process.stdout.take().ok_or("no pipe")?).lines();
        let (port_tx, port_rx) = mpsc::channel();
        let shipped = thread::spawn(move || {
            let mut shipped = Vec::new();
            for line in lines.map_while(Result::ok) {
                let words: Vec<&str> = line.split(' ').collect();
                match words[..] {
                    ["listening", port] => drop(port_tx.send(port.parse())),
                    ["shipped", number, attempt] => {
                        if let (Ok(number), Ok(attempt)) = (number.parse(), attempt.parse()) {
                            shipped.push((number, attempt));
                        }
                    }
                    _ => {}
                }
            }
            shipped
        });
        let port = port_rx.recv()??;
        Ok(Self {
            process,
            port,
            shipped,
        })
    }

    /// The status of the answer; an error if there was none.
    fn order(port: u16, number: u64) -> Result<u16, Box<dyn std::error::Error>> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        let url = format!("http://127.0.0.1:{port}/orders");
        Ok(agent.post(url).send(number.to_string())?.status().as_u16())
    }

    /// What was shipped until it ended.
    fn shipped(mut self) -> Result<Vec<(u64, u32)>, Box<dyn std::error::Error>> {
        self.process.wait()?;
        self.shipped
            .join()
            .map_err(|_| "the reader panicked".into())
    }
}

impl Account {
    /// Sends the orders from several clients; kills the server after `answers`, if it is told to.
    fn send(&mut self, server: &mut Server, orders: &[u64], answers: Option<usize>) -> Vec<u64> {
        let (outcome_tx, outcomes) = mpsc::channel();
        let port = server.port;
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let outcome_tx = outcome_tx.clone();
                scope.spawn(move || {
                    for number in orders.iter().filter(|number| *number % CLIENTS == client) {
                        let status = Server::order(port, *number).ok();
                        let _ = outcome_tx.send((*number, status));
                    }
                });
            }
            drop(outcome_tx);
            let mut again = Vec::new();
            for (count, (number, status)) in outcomes.iter().enumerate() {
                match status {
                    Some(201) => self.accepted += 1,
                    Some(200) => self.known += 1,
                    _ => {
                        self.unanswered += 1;
                        again.push(number);
                    }
                }
                if Some(count) == answers {
                    let _ = server.process.kill();
                }
            }
            again
        })
    }

    fn book(&mut self, shipped: Vec<(u64, u32)>) {
        for (number, attempt) in shipped {
            self.shipped.entry(number).or_default().push(attempt);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return serve(Path::new(&directory));
    }
    let mut arguments = std::env::args().skip(1);
    let lives: u64 = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => 12,
        (Some("--lives"), Some(lives)) => lives.parse()?,
        _ => return Err("usage: orders [--lives NUMBER]".into()),
    };
    let directory = std::env::temp_dir().join(format!("lanemesh-orders-{}", std::process::id()));
    let mut account = Account::default();
    let mut again = Vec::new();
    for life in 0..lives {
        let mut server = Server::start(&directory)?;
        let mut orders = std::mem::take(&mut again);
        orders.extend(life * ORDERS..(life + 1) * ORDERS);
        let answers = (life * 7 % ORDERS) as usize;
        again = account.send(&mut server, &orders, Some(answers));
        account.book(server.shipped()?);
    }
    // The last one is not killed, and ends in order.
    let mut server = Server::start(&directory)?;
    again = account.send(&mut server, &again, None);
    assert!(again.is_empty(), "a server that lives answers");
    drop(server.process.stdin.take());
    account.book(server.shipped()?);

    let Account {
        shipped,
        accepted,
        known,
        unanswered,
    } = account;
    let total = lives * ORDERS;
    let twice = shipped
        .values()
        .filter(|attempts| attempts.len() > 1)
        .count();
    println!(
        "{lives} crashes, {total} orders: {accepted} accepted, {known} known already when they were sent \
         again, {unanswered} answers lost; {} shipped, {twice} of them more than once",
        shipped.len()
    );
    assert_eq!(
        accepted + known,
        total,
        "every order got its answer in the end"
    );
    assert!(
        shipped.keys().copied().eq(0..total),
        "every order was shipped"
    );
    for (number, attempts) in &shipped {
        // Only what was in the warehouse's hands at a crash comes again, and says so.
        assert!(
            attempts.is_sorted_by(|a, b| a < b),
            "{number}: {attempts:?}"
        );
    }
    assert!(
        twice as u64 <= lives,
        "one order a crash at most is in a handler"
    );
    let mut store = Offline::open(&directory)?;
    let mut left = Vec::new();
    store.export(None, &mut left)?;
    assert!(
        left.is_empty(),
        "nothing is left: {}",
        String::from_utf8_lossy(&left)
    );
    drop(store);
    std::fs::remove_dir_all(&directory)?;
    println!("every order is accounted for");
    Ok(())
}
