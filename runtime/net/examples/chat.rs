//! A room in one process and guests in others. A guest is killed and comes back; the room notices, and goes
//! on with the rest.
//!
//! The room sends to guests by looking them up on the nodes that they come from: messages do not carry
//! handles. The program starts itself as the guests.
//!
//! With `--page` the room stays open, and prints the address of a page with which a browser joins in: the page is a
//! node like the others, and its guest is an object of a script. It ends with its standard input.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use lanemesh_net::{Access, Event, Node, Remote, Token, browser::CLIENT};
use lanemesh_runtime::{
    Actor, ActorHandle, ActorResult, Context, Reply, actor::Observe, builder, spawn,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SECRET: [u8; 16] = *b"known to us all.";
/// Of tokens. A program would read it from its configuration, like the secret.
const TOKEN_KEY: [u8; 16] = *b"of tokens alone.";
const PAGE: &str = include_str!("chat.html");
const SECOND: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Serialize, Deserialize)]
enum Control {
    /// A guest is here: on its node it is exported by its name.
    Enter(String, Reply<Vec<String>>),
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    from: String,
    text: String,
}

struct Room {
    node: Node,
    guests: BTreeMap<String, ActorHandle<Guest>>,
}

impl Actor for Room {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = Line;

    async fn on_high(&mut self, msg: Control, _: &mut Context<Self>) -> ActorResult {
        let Control::Enter(name, reply) = msg;
        let guest = self.node.lookup::<Guest>(name.as_str()).on(name.as_str());
        self.guests.insert(name, guest.await?);
        self.guests.retain(|_, guest| guest.is_alive());
        drop(reply.send(self.guests.keys().cloned().collect())); // the guest may be gone
        Ok(())
    }

    async fn on_low(&mut self, line: Line, _: &mut Context<Self>) -> ActorResult {
        for guest in self.guests.values_mut() {
            // One that is gone, or does not keep up, misses the line.
            let _ = guest.try_send_low(line.clone());
        }
        Ok(())
    }
}

impl Observe for Room {
    type State = Vec<String>;

    fn observe(&self) -> Vec<String> {
        let here = self.guests.iter().filter(|(_, guest)| guest.is_alive());
        here.map(|(name, _)| name.clone()).collect()
    }
}

impl Remote for Room {
    const TYPE: &'static str = "example/room";
}

/// Prints what is said.
struct Guest;

impl Actor for Guest {
    type HighPriorityMsg = ();
    type LowPriorityMsg = Line;

    async fn on_low(&mut self, line: Line, _: &mut Context<Self>) -> ActorResult {
        println!("{}: {}", line.from, line.text);
        Ok(())
    }
}

impl Remote for Guest {
    const TYPE: &'static str = "example/guest";
}

/// A guest's process: enters, says something, and prints what it hears until its standard input ends.
async fn visit(name: &str, address: &str) -> Outcome<()> {
    let node = Node::builder(name).secret(SECRET).build();
    let (guest, _child) = spawn(Guest);
    node.export(name, &guest)?;
    node.connect(address).await?;
    let mut room = node.lookup::<Room>("room").await?;
    let enter = |reply| Control::Enter(name.to_owned(), reply);
    let here = room.ask(enter, 10 * SECOND).await?;
    room.send_low(Line {
        from: name.to_owned(),
        text: format!("I see {}", here.join(", ")),
    })
    .await?;
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(end).await??;
    Ok(())
}

struct Process {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(name: &str, address: &str) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([name, address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no output")?;
        let lines = BufReader::new(output).lines();
        Ok(Self { process, lines })
    }

    /// Reads what it prints up to this line.
    fn hears(&mut self, line: &str) -> Outcome<()> {
        for heard in self.lines.by_ref() {
            let heard = heard?;
            println!("  {heard}");
            if heard == line {
                return Ok(());
            }
        }
        Err(format!("{line:?} was not heard").into())
    }
}

/// Answers one request of a browser: the script, or a page with a name and a token for it.
async fn answer(mut stream: TcpStream, number: u64, address: &str) -> Outcome<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < 16 << 10 {
        request.push(stream.read_u8().await?);
    }
    let (kind, body) = if request.starts_with(b"GET /lanemesh.js ") {
        ("text/javascript", CLIENT.to_owned())
    } else {
        // Here a program would look who this is.
        let name = format!("page{number}");
        let token = Token::new(&*name, 3600 * SECOND).grant("room", Access::ALL);
        let page = PAGE.replace("{name}", &name);
        let page = page.replace("{token}", &token.sign(&TOKEN_KEY));
        ("text/html", page.replace("{address}", address))
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Serves pages whose guests connect to the node at `address`.
async fn serve_pages(listener: TcpListener, address: String) {
    for number in 1.. {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let address = address.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, number, &address).await {
                eprintln!("a request was not answered: {error}");
            }
        });
    }
}

async fn host(has_page: bool) -> Outcome<()> {
    let node = Node::builder("host").secret(SECRET);
    let node = node.token_key(TOKEN_KEY).build();
    let address = node.bind("tcp://127.0.0.1:0").await?;
    let for_room = node.clone();
    let (mut room, child) = builder(move || Room {
        node: for_room.clone(),
        guests: BTreeMap::new(),
    })
    .spawn();
    node.export("room", &room)?;
    let mut events = node.events();

    println!("anna and ben enter");
    let mut anna = Process::start("anna", &address)?;
    anna.hears("anna: I see anna")?;
    let mut ben = Process::start("ben", &address)?;
    ben.hears("ben: I see anna, ben")?;
    anna.hears("ben: I see anna, ben")?;

    println!("ben is killed");
    ben.process.kill()?;
    ben.process.wait()?;
    while !matches!(events.recv().await?, Event::LaneEnded { .. }) {}
    assert_eq!(room.state(SECOND).await?, ["anna"]);
    room.send_low(Line {
        from: "host".into(),
        text: "ben is gone".into(),
    })
    .await?;
    anna.hears("host: ben is gone")?;

    println!("ben is back");
    let mut ben = Process::start("ben", &address)?;
    ben.hears("ben: I see anna, ben")?;
    anna.hears("ben: I see anna, ben")?;

    if has_page {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("open http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let lanes = node.bind("ws://127.0.0.1:0").await?;
        tokio::spawn(serve_pages(listener, lanes));
        let end = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(end).await??;
    }
    for guest in [anna, ben] {
        let Process { mut process, .. } = guest;
        drop(process.stdin.take());
        process.wait()?;
    }
    node.shutdown(SECOND).await;
    drop(child);
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(name), Some(address)) => visit(&name, &address).await,
        (flag, None) => host(flag.as_deref() == Some("--page")).await,
        _ => Err("chat [--page]".into()),
    }
}
