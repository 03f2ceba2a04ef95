//! Rooms in processes of their own, found by name: nobody is told where they are.
//!
//! The process that is started first starts the two others, kills one, and starts it again.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use lanemesh_net::{Node, Remote};
use lanemesh_net_zenoh::{
    Names, NodeEvent, Nodes, Zenoh,
    zenoh::{self, Session},
};
use lanemesh_runtime::{prelude::*, spawn};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Room {
    lines: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Msg {
    Say(String),
    Lines(Reply<Vec<String>>),
}

impl Handler for Room {
    type Msg = Msg;

    async fn handle(&mut self, msg: Msg, _: &mut Context<Self>) -> ActorResult {
        match msg {
            Msg::Say(line) => self.lines.push(line),
            Msg::Lines(reply) => drop(reply.send(self.lines.clone())), // the asker may be gone
        }
        Ok(())
    }
}

impl Remote for Room {
    const TYPE: &'static str = "example/room";
}

/// On the loopback interface alone. In a real network nothing of this is needed: `zenoh::Config::default()` finds the others.
async fn session(listen: &str, connect: Option<&str>) -> Result<Session, Failure> {
    let mut config = zenoh::Config::default();
    let connect: Vec<_> = connect.into_iter().collect();
    config.insert_json5("scouting/multicast/enabled", "false")?;
    config.insert_json5("listen/endpoints", &format!("[{listen:?}]"))?;
    config.insert_json5("connect/endpoints", &format!("{connect:?}"))?;
    zenoh::open(config).await
}

async fn join(name: &str, session: Session) -> Result<(Nodes, Names), Failure> {
    let zenoh = Zenoh::new(session).await?;
    let node = Node::builder(name).secret(*b"16 random bytes!");
    let node = node.transport("zenoh", zenoh.clone()).build();
    let address = node.bind(&format!("zenoh:{name}")).await?;
    let nodes = Nodes::join(&zenoh, &node, [address]).await?;
    let names = Names::join(&nodes);
    Ok((nodes, names))
}

/// A process with a room, until its standard input ends.
async fn host(room: &str, endpoint: &str) -> Result<(), Failure> {
    let session = session("tcp/127.0.0.1:0", Some(endpoint)).await?;
    let (_nodes, names) = join(&format!("host of {room}"), session).await?;
    let (handle, _child) = spawn(Room::default());
    let _registration = names.register("rooms", room, &handle).await?;
    println!("ready");
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    Ok(())
}

struct Host(Child);

impl Host {
    fn start(room: &str, endpoint: &str) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([room, endpoint])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        assert_eq!(line, "ready\n", "the host of {room} does not start");
        Ok(Self(process))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn lines(names: &Names, room: &str, said: &str) -> Result<Vec<String>, Failure> {
    let mut room = names.lookup_within::<Room>("rooms", room, MINUTE).await?;
    room.tell(Msg::Say(said.to_owned())).await?;
    Ok(room.ask(Msg::Lines, MINUTE).await?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [room, endpoint] = &*arguments {
        return host(room, endpoint).await;
    }
    let (session, endpoint) = loop {
        // Free now; if somebody else takes it first, the next one is tried.
        let endpoint = format!("tcp/{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
        if let Ok(session) = session(&endpoint, None).await {
            break (session, endpoint);
        }
    };
    let (nodes, names) = join("lobby", session).await?;
    let mut events = nodes.events();
    let blue = Host::start("blue", &endpoint)?;
    let _green = Host::start("green", &endpoint)?;
    assert_eq!(lines(&names, "blue", "hello").await?, ["hello"]);
    assert_eq!(lines(&names, "green", "hello").await?, ["hello"]);
    let found: Vec<_> = names
        .list("rooms")
        .into_iter()
        .map(|(room, _)| room)
        .collect();
    println!("rooms: {found:?}");

    drop(blue); // kill -9
    let gone = loop {
        if let NodeEvent::Down(member) = events.recv().await? {
            break member;
        }
    };
    println!("{gone} is gone");
    assert_eq!(&*gone.node.name, "host of blue");
    assert_eq!(lines(&names, "green", "still here?").await?.len(), 2);

    let _blue = Host::start("blue", &endpoint)?;
    assert_eq!(lines(&names, "blue", "again").await?, ["again"]);
    println!("blue is back, without what was said before");
    Ok(())
}
