//! An actor of a process group on another node.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, node::client};

use super::serving::{free_port, until_end};
use crate::{
    failure::Failure,
    shapes::{Client, LARGE, SMALL},
};

const GROUP: &str = "far";
const TIMEOUT: Duration = Duration::from_secs(120);

#[derive(RactorClusterMessage)]
enum Msg {
    Tell(Vec<u8>),
    #[rpc]
    Ask(Vec<u8>, RpcReplyPort<Vec<u8>>),
    #[rpc]
    Count(RpcReplyPort<u64>),
}

struct Far;

impl Actor for Far {
    type Msg = Msg;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Msg>, (): ()) -> Result<u64, ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        message: Msg,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Tell(payload) => *count += u64::from(payload.len() == LARGE),
            Msg::Ask(payload, reply) => drop(reply.send(payload)), // the asker may be gone
            Msg::Count(reply) => drop(reply.send(*count)),
        }
        Ok(())
    }
}

async fn node(name: &str, port: u16) -> Result<ActorRef<NodeServerMessage>, Failure> {
    let server = NodeServer::new(
        port,
        "cookie".to_owned(),
        name.to_owned(),
        "localhost".to_owned(),
        None,
        None,
    );
    Ok(Actor::spawn(None, server, ()).await?.0)
}

pub(super) async fn serve() -> Result<(), Failure> {
    let port = free_port()?;
    let _node = node("home", port).await?;
    let _actor = Actor::spawn(None, Far, ()).await?;
    until_end(&format!("127.0.0.1:{port}")).await
}

pub(super) struct Proxy {
    far: ActorRef<Msg>,
    _node: ActorRef<NodeServerMessage>,
}

impl Proxy {
    pub(super) async fn connect(address: &str) -> Result<Self, Failure> {
        let node = node("away", free_port()?).await?;
        client::connect(&node, address).await?;
        for _ in 0..1000 {
            let members = pg::get_members(&GROUP.to_owned());
            if let Some(far) = members.into_iter().find(|far| !far.get_id().is_local()) {
                let far = far.into();
                return Ok(Self { far, _node: node });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("the actor is not found".into())
    }
}

impl Client for Proxy {
    async fn ask(&mut self) -> Result<(), Failure> {
        let ask = |reply| Msg::Ask(vec![1; SMALL], reply);
        let answer = self
            .far
            .call(ask, Some(TIMEOUT))
            .await?
            .success_or_else(|| "no answer")?;
        (answer.len() == SMALL)
            .then_some(())
            .ok_or("a wrong answer".into())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        Ok(self.far.cast(Msg::Tell(vec![1; LARGE]))?)
    }

    async fn arrived(&mut self) -> Result<u64, Failure> {
        let count = self.far.call(Msg::Count, Some(TIMEOUT)).await?;
        Ok(count.success_or_else(|| "no answer")?)
    }
}
