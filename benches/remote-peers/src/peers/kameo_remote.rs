//! An actor of kameo on another node, over libp2p with TCP, with the limits that kameo has by itself.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use kameo::{
    Actor, RemoteActor, Reply,
    actor::{RemoteActorRef, Spawn},
    message::{Context, Message},
    remote::{Behaviour, messaging},
    remote_message,
};
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    multiaddr::Protocol,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use serde::{Deserialize, Serialize};

use super::serving::until_end;
use crate::{
    failure::Failure,
    shapes::{Client, LARGE, SMALL},
};

const NAME: &str = "far";

#[derive(Default, Actor, RemoteActor)]
struct Far {
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Ask(Bytes);

#[derive(Serialize, Deserialize, Reply)]
struct Answer(Bytes);

#[derive(Serialize, Deserialize)]
struct Tell(Bytes);

#[derive(Serialize, Deserialize)]
struct Count;

#[remote_message]
impl Message<Ask> for Far {
    type Reply = Answer;

    async fn handle(&mut self, ask: Ask, _: &mut Context<Self, Answer>) -> Answer {
        Answer(ask.0)
    }
}

#[remote_message]
impl Message<Tell> for Far {
    type Reply = ();

    async fn handle(&mut self, tell: Tell, _: &mut Context<Self, ()>) {
        self.count += u64::from(tell.0.len() == LARGE);
    }
}

#[remote_message]
impl Message<Count> for Far {
    type Reply = u64;

    async fn handle(&mut self, _: Count, _: &mut Context<Self, u64>) -> u64 {
        self.count
    }
}

#[derive(NetworkBehaviour)]
struct Network {
    kameo: Behaviour,
}

fn swarm() -> Result<Swarm<Network>, Failure> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|key| Network {
            kameo: Behaviour::new(key.public().to_peer_id(), messaging::Config::default()),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    swarm.behaviour().kameo.init_global();
    Ok(swarm)
}

/// Lets it go on for ever.
fn drive(mut swarm: Swarm<Network>) {
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
}

pub(super) async fn serve() -> Result<(), Failure> {
    let mut swarm = swarm()?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break format!("{address}/p2p/{}", swarm.local_peer_id());
        }
    };
    drive(swarm);
    let far = Far::spawn(Far::default());
    far.register(NAME).await?;
    until_end(&address).await
}

pub(super) struct Remote {
    far: RemoteActorRef<Far>,
    is_acknowledged: bool,
}

impl Remote {
    pub(super) async fn connect(address: &str, is_acknowledged: bool) -> Result<Self, Failure> {
        let mut swarm = swarm()?;
        let address: Multiaddr = address.parse()?;
        let Some(Protocol::P2p(server)) = address.iter().last() else {
            return Err("the address names no peer".into());
        };
        // Without this its registry knows nobody whom it could ask.
        swarm.add_peer_address(server, address.clone());
        swarm.dial(address)?;
        loop {
            if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
                break;
            }
        }
        drive(swarm);
        let mut why = "the actor is not found".to_owned();
        for _ in 0..1000 {
            match RemoteActorRef::lookup(NAME).await {
                Ok(Some(far)) => {
                    return Ok(Self {
                        far,
                        is_acknowledged,
                    });
                }
                Ok(None) => {}
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(why.into())
    }
}

impl Client for Remote {
    async fn ask(&mut self) -> Result<(), Failure> {
        let ask = Ask(Bytes::from_static(&[1; SMALL]));
        let answer = self
            .far
            .ask(&ask)
            .await
            .map_err(|error| error.to_string())?;
        (answer.0.len() == SMALL)
            .then_some(())
            .ok_or("a wrong answer".into())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        let tell = Tell(Bytes::from_static(&[1; LARGE]));
        match self.is_acknowledged {
            true => Ok(self.far.tell(&tell).send_ack().await?),
            false => Ok(self.far.tell(&tell).send()?),
        }
    }

    async fn arrived(&mut self) -> Result<u64, Failure> {
        let count = self.far.ask(&Count).await;
        // While tells are refused, questions are too.
        Ok(count.unwrap_or(0))
    }
}
