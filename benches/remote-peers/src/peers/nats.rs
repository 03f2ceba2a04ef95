//! Request/reply and publications over a server of NATS.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;

use super::serving::{free_port, until_end};
use crate::{
    failure::Failure,
    shapes::{self, LARGE, SMALL},
};

/// The server, which ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(port: u16) -> Result<Self, Failure> {
        let start = |program: &str| {
            Command::new(program)
                .args(["-a", "127.0.0.1", "-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        Ok(Self(
            start("nats-server").or_else(|_| start("/usr/sbin/nats-server"))?,
        ))
    }
}

async fn connect(address: &str) -> Result<async_nats::Client, Failure> {
    for _ in 0..500 {
        if let Ok(client) = async_nats::connect(address).await {
            return Ok(client);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("the server does not start".into())
}

pub(super) async fn serve() -> Result<(), Failure> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let port = address.rsplit(':').next().unwrap_or_default().parse()?;
    let _server = Server::start(port)?;
    let client = connect(&address).await?;
    let count = Arc::new(AtomicU64::new(0));
    let asks = client.subscribe("ask").await?;
    let tells = client.subscribe("tell").await?;
    let counts = client.subscribe("count").await?;
    tokio::spawn(answer(client.clone(), asks, |payload| payload));
    let counted = count.clone();
    tokio::spawn(async move {
        let mut tells = tells;
        while let Some(tell) = tells.next().await {
            // ORDERING: Relaxed: a number that is asked for again.
            counted.fetch_add(u64::from(tell.payload.len() == LARGE), Ordering::Relaxed);
        }
    });
    tokio::spawn(answer(client.clone(), counts, move |_| {
        // ORDERING: Relaxed: as above.
        count.load(Ordering::Relaxed).to_string().into()
    }));
    client.flush().await?;
    until_end(&address).await
}

async fn answer(
    client: async_nats::Client,
    mut questions: Subscriber,
    answer: impl Fn(Bytes) -> Bytes,
) {
    while let Some(question) = questions.next().await {
        if let Some(reply) = question.reply {
            // Whoever asks notices.
            let _ = client.publish(reply, answer(question.payload)).await;
        }
    }
}

pub(super) struct Client(async_nats::Client);

impl Client {
    pub(super) async fn connect(address: &str) -> Result<Self, Failure> {
        Ok(Self(connect(address).await?))
    }
}

impl shapes::Client for Client {
    async fn ask(&mut self) -> Result<(), Failure> {
        let payload = Bytes::from_static(&[1; SMALL]);
        let answer = self.0.request("ask", payload).await?;
        (answer.payload.len() == SMALL)
            .then_some(())
            .ok_or("a wrong answer".into())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        let payload = Bytes::from_static(&[1; LARGE]);
        Ok(self.0.publish("tell", payload).await?)
    }

    async fn arrived(&mut self) -> Result<u64, Failure> {
        let count = self.0.request("count", Bytes::new()).await?;
        Ok(std::str::from_utf8(&count.payload)?.parse()?)
    }
}
