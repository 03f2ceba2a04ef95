//! A request's identity travels with its messages: through three actors, into every line of the log,
//! and back with the answer.
//!
//! Messages are types of the program, so what travels with them is a field. An actor that does not
//! care passes it on; nothing is paid by those that have none.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lanemesh_runtime::{ActorResult, Context, Handler, Reply, SharedHandle, spawn};

const SECOND: Duration = Duration::from_secs(1);

/// A message with the identity of the request that it belongs to.
struct Traced<M> {
    request: u64,
    message: M,
}

impl<M> Traced<M> {
    /// Another message of the same request.
    fn with<N>(&self, message: N) -> Traced<N> {
        Traced {
            request: self.request,
            message,
        }
    }
}

/// Stands for the log of the program: (request, line).
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, String)>>>);

impl Log {
    fn line<M>(&self, traced: &Traced<M>, line: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(|lock| lock.into_inner())
            .push((traced.request, line.into()));
    }

    fn of(&self, request: u64) -> Vec<String> {
        let log = self.0.lock().unwrap_or_else(|lock| lock.into_inner());
        let lines = log.iter().filter(|(of, _)| *of == request);
        lines.map(|(_, line)| line.clone()).collect()
    }
}

/// Knows prices.
struct Prices(Log);

impl Handler for Prices {
    type Msg = Traced<(&'static str, Reply<u64>)>;

    async fn handle(&mut self, asked: Self::Msg, _: &mut Context<Self>) -> ActorResult {
        self.0
            .line(&asked, format!("the price of {}", asked.message.0));
        let (article, reply) = asked.message;
        drop(reply.send(article.len() as u64 * 10));
        Ok(())
    }
}

/// Writes bills. It may handle another request while one waits for its price.
struct Bills {
    log: Log,
    prices: SharedHandle<Prices>,
}

enum Bill {
    For(&'static str, Reply<u64>),
    /// The price has come, for this one who asked.
    Priced(u64, Reply<u64>),
}

impl Handler for Bills {
    type Msg = Traced<Bill>;

    async fn handle(&mut self, traced: Traced<Bill>, ctx: &mut Context<Self>) -> ActorResult {
        match &traced.message {
            Bill::For(article, _) => self.log.line(&traced, format!("a bill for {article}")),
            Bill::Priced(price, _) => self.log.line(&traced, format!("it is {price}")),
        }
        let request = traced.with(());
        match traced.message {
            Bill::For(article, reply) => {
                let prices = self.prices.clone();
                let asked = request.with(article);
                ctx.pipe(async move {
                    let ask = |reply| asked.with((asked.message, reply));
                    let price = prices.ask(ask, SECOND).await.unwrap_or(0);
                    request.with(Bill::Priced(price, reply))
                });
            }
            Bill::Priced(price, reply) => drop(reply.send(price + 1)), // the bill costs 1
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = Log::default();
    let (prices, _prices) = spawn(Prices(log.clone()));
    let (bills, _bills) = spawn(Bills {
        log: log.clone(),
        prices: prices.shared(),
    });
    let bills = bills.shared();
    // Two requests at once, in one actor.
    let bill = |request, article| {
        let bills = bills.clone();
        let log = log.clone();
        async move {
            let sent = Traced {
                request,
                message: (),
            };
            let ask = |reply| sent.with(Bill::For(article, reply));
            let sum = bills.ask(ask, SECOND).await;
            log.line(&sent, format!("answered {sum:?}"));
            sum
        }
    };
    let (tea, coffee) = tokio::join!(bill(7, "tea"), bill(8, "coffee"));
    assert_eq!((tea?, coffee?), (31, 61));
    for (request, article, price, sum) in [(7, "tea", 30, 31), (8, "coffee", 60, 61)] {
        let lines = log.of(request);
        println!("request {request}: {lines:?}");
        let expected = [
            format!("a bill for {article}"),
            format!("the price of {article}"),
            format!("it is {price}"),
            format!("answered Ok({sum})"),
        ];
        assert_eq!(lines, expected);
    }
    Ok(())
}
