//! A web server whose state is a `SharedHandle`: requests become questions, and each reason for having
//! no answer is a status of its own. One order crashes the actor, and costs no other request
//! anything.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use lanemesh_runtime::{
    ActorResult, AskError, Context, Handler, Overflow, Reply, Restart, SharedHandle, System,
    builder,
    crash::{Lease, Persistent},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

const SECOND: Duration = Duration::from_secs(1);

/// How many are left; it survives a crash.
struct Stock(Lease<u64>);

enum Request {
    /// Answers with how many were sold.
    Order(u64, Reply<u64>),
    Left(Reply<u64>),
}

impl Handler for Stock {
    type Msg = Request;

    async fn handle(&mut self, request: Request, _: &mut Context<Self>) -> ActorResult {
        match request {
            Request::Order(count, reply) => {
                let each = 100 / count; // a bug: nobody has thought of 0
                assert!(each <= 100);
                let sold = count.min(*self.0);
                *self.0 -= sold;
                drop(reply.send(sold)); // the client may be gone
            }
            Request::Left(reply) => drop(reply.send(*self.0)),
        }
        Ok(())
    }
}

/// What a client is told when there is no answer.
fn status(error: AskError) -> StatusCode {
    match error {
        AskError::Full => StatusCode::TOO_MANY_REQUESTS,
        AskError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        AskError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn order(
    State(stock): State<SharedHandle<Stock>>,
    Path(count): Path<u64>,
) -> Result<String, StatusCode> {
    let sold = stock
        .ask(|reply| Request::Order(count, reply), SECOND)
        .await;
    sold.map(|sold| sold.to_string()).map_err(status)
}

async fn left(State(stock): State<SharedHandle<Stock>>) -> Result<String, StatusCode> {
    let left = stock.ask(Request::Left, SECOND).await;
    left.map(|left| left.to_string()).map_err(status)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::panic::set_hook(Box::new(|_| {})); // one panic is intended
    let system = System::new("shop");
    let left_at_first = Persistent::new(1_000);
    let stock = builder(move || Stock(left_at_first.lease()))
        .restart(Restart::Permanent)
        .low_capacity(64) // for all requests together
        .low_overflow(Overflow::Wait);
    let (stock, _child) = system.spawn(stock);

    let app = Router::new()
        .route("/orders/{count}", post(order))
        .route("/left", get(left))
        .with_state(stock.shared());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());

    // A hundred clients at once, and one that finds the bug.
    let mut clients = JoinSet::new();
    for client in 0..100 {
        let count = if client == 50 { 0 } else { 3 };
        clients.spawn(request(address, format!("POST /orders/{count}")));
    }
    let mut answers = clients.join_all().await;
    answers.sort();
    let failed = answers.pop().unwrap_or_default();
    assert_eq!(failed, (500, String::new()));
    assert_eq!(answers, vec![(200, "3".to_owned()); 99]);
    let answer = request(address, "GET /left".to_owned()).await;
    println!("99 orders of 3, and one that crashed: {answer:?} left");
    assert_eq!(answer, (200, "703".to_owned()));

    // First the server takes no more requests, then the system ends.
    drop(stop);
    server.await??;
    let report = system.drain(SECOND).await;
    assert!(report.is_clean(), "{report}");
    Ok(())
}

/// Status and body of the answer.
async fn request(address: SocketAddr, what: String) -> (u16, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("{what} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.unwrap_or_default();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status.unwrap_or_default(), body.to_owned())
}
