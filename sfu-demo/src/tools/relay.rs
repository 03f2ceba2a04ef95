//! A relay of plain RTP from one port to many subscribers, byte for byte.
//!
//! The first shard owns the port; each shard has subscribers and a socket for them. Packets cross to another shard in
//! bundles on the low lane, with one copy for all of its subscribers. Empty bundles come back to be reused, so that
//! nothing is allocated once warm.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cpu_time;
use crate::mailbox::{Mailbox, Message, Receiver, Sender};
use crate::net::rtp;
use crate::net::udp::{Bind, RecvBatch, SendBatch, Socket, Stored};
use crate::stats::{DropReason, Drops, Latency, LatencySummary};

/// Datagrams received from the port at a time.
const BATCH: usize = 64;
/// Bundles that may be in flight to a shard.
const BUNDLES: usize = 64;

/// The configuration of a relay.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The address to receive RTP on.
    pub listen: SocketAddr,
    /// The subscribers.
    pub to: Vec<SocketAddr>,
    /// The number of shards that share the subscribers, at least 1.
    pub shards: usize,
    /// Whether addresses of other machines are allowed, although plain RTP is not encrypted.
    pub allow_remote: bool,
    /// Packets sent to one subscriber back to back, 1 to 64.
    pub burst: usize,
}

/// The statistics of a shard of the relay.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RelayStats {
    /// Datagrams received, by type.
    pub received: rtp::Counts,
    /// Datagrams sent.
    pub sent: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// Packets not forwarded, by reason.
    pub drops: Drops,
    /// From arrival to the system call that sends.
    pub latency: LatencySummary,
    /// How often the mailbox's receiver went to sleep.
    pub sleeps: u64,
    /// CPU time of the shard's thread.
    pub cpu: Duration,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    /// The address that RTP is received on.
    pub listen: SocketAddr,
    stop: Arc<AtomicBool>,
    wake: std::net::UdpSocket,
    shards: Vec<JoinHandle<io::Result<RelayStats>>>,
}

/// Packets for another shard.
struct Bundle {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    arrived: Instant,
}

/// A message between shards.
enum Crossing {
    /// A bundle with packets.
    Full(Bundle),
    /// An empty bundle, to be reused.
    Empty(Bundle),
}

type CrossingSender<M> = <M as Mailbox>::Sender<std::convert::Infallible, Crossing>;
type CrossingReceiver<M> = <M as Mailbox>::Receiver<std::convert::Infallible, Crossing>;

/// Starts a relay on mailbox `M`, whose shards have an executor each.
///
/// # Errors
///
/// If an address is not allowed or cannot be bound.
pub fn start<M: Mailbox>(config: RelayConfig) -> io::Result<Relay> {
    check(&config)?;
    let ingress = Bind::new(config.listen).open()?;
    let listen = ingress.local_addr()?;
    let count = config.shards.max(1);
    let (lanes, ends): (Vec<_>, Vec<_>) = (0..count).map(|_| M::mailbox(1, 2 * BUNDLES)).unzip();
    let stop = Arc::new(AtomicBool::new(false));
    let mut ingress = Some(ingress);
    let mut shards = Vec::new();
    for (here, end) in ends.into_iter().enumerate() {
        let subscribers: Vec<_> = config
            .to
            .iter()
            .copied()
            .skip(here)
            .step_by(count)
            .collect();
        let lanes: Vec<CrossingSender<M>> = lanes.clone();
        let ingress = ingress.take();
        let stop = Arc::clone(&stop);
        let burst = config.burst;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // The sockets are opened here, so that what fails is known at once.
        let mut shard = {
            let _inside = runtime.enter();
            Shard::<M>::new(here, ingress, subscribers, lanes, burst, listen)?
        };
        let thread = std::thread::Builder::new()
            .name(format!("relay-{here}"))
            .spawn(move || runtime.block_on(shard.run(end, &stop)))?;
        shards.push(thread);
    }
    let any = if listen.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let wake = std::net::UdpSocket::bind(any)?;
    Ok(Relay {
        listen,
        stop,
        wake,
        shards,
    })
}

fn check(config: &RelayConfig) -> io::Result<()> {
    let addresses = std::iter::once(&config.listen).chain(&config.to);
    let remote = addresses
        .into_iter()
        .find(|address| !address.ip().to_canonical().is_loopback());
    match remote {
        Some(address) if !config.allow_remote => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{address} is not on this machine, and plain RTP is not encrypted; \
                 use --allow-remote to allow it"
            ),
        )),
        _ => Ok(()),
    }
}

impl Relay {
    /// Stops the relay. Returns the statistics of each shard.
    ///
    /// # Errors
    ///
    /// If a shard failed.
    pub fn stop(self) -> io::Result<Vec<RelayStats>> {
        // ORDERING: pairs with the Acquire load in `Shard::run`, which the datagram below wakes.
        self.stop.store(true, Ordering::Release);
        let mut target = self.listen;
        if target.ip().is_unspecified() {
            target.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        // An empty datagram wakes the first shard and is not counted. The others stop when their lanes close.
        self.wake.send_to(&[], target)?;
        self.shards
            .into_iter()
            .map(|shard| {
                shard
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a shard panicked")))
            })
            .collect()
    }
}

struct Shard<M: Mailbox> {
    here: usize,
    ingress: Option<Socket>,
    egress: Socket,
    subscribers: Vec<SocketAddr>,
    lanes: Vec<CrossingSender<M>>,
    spare: Vec<Bundle>,
    made: usize,
    outgoing: SendBatch,
    stored: Vec<Stored>,
    stats: RelayStats,
    latency: Latency,
}

impl<M: Mailbox> Shard<M> {
    fn new(
        here: usize,
        ingress: Option<std::net::UdpSocket>,
        subscribers: Vec<SocketAddr>,
        lanes: Vec<CrossingSender<M>>,
        burst: usize,
        listen: SocketAddr,
    ) -> io::Result<Self> {
        let egress = Bind::new(SocketAddr::new(listen.ip(), 0)).open()?;
        Ok(Self {
            here,
            ingress: ingress.map(Socket::new).transpose()?,
            egress: Socket::new(egress)?,
            subscribers,
            // The first shard has a lane to each of the others; they have one to the first.
            lanes: if here == 0 {
                lanes
            } else {
                lanes.into_iter().take(1).collect()
            },
            spare: Vec::new(),
            made: 0,
            outgoing: SendBatch::new().with_burst(burst),
            stored: Vec::with_capacity(BATCH),
            stats: RelayStats::default(),
            latency: Latency::new(),
        })
    }

    async fn run(
        &mut self,
        mut end: CrossingReceiver<M>,
        stop: &AtomicBool,
    ) -> io::Result<RelayStats> {
        let mut batch = RecvBatch::new(BATCH);
        let mut messages = Vec::with_capacity(BUNDLES);
        loop {
            if let Some(ingress) = &self.ingress {
                tokio::select! {
                    ready = ingress.readable() => ready?,
                    _ = end.recv_many(&mut messages, BUNDLES) => {}
                }
            } else if end.recv_many(&mut messages, BUNDLES).await == 0 {
                break;
            }
            for message in messages.drain(..) {
                match message {
                    Message::Low(Crossing::Full(bundle)) => self.forward(bundle)?,
                    Message::Low(Crossing::Empty(bundle)) => self.spare.push(bundle),
                }
            }
            // ORDERING: pairs with the Release store in `Relay::stop`.
            let stopping = stop.load(Ordering::Acquire);
            while self.receive(&mut batch)? == BATCH {
                // A port that never runs dry must not starve the mailbox.
                if end.try_recv_many(&mut messages, BUNDLES) > 0 {
                    break;
                }
            }
            if stopping && self.ingress.is_some() {
                break;
            }
        }
        self.stats.latency = self.latency.summary();
        self.stats.sleeps = end.observe().sleeps;
        self.stats.cpu = cpu_time::of_thread();
        Ok(self.stats)
    }

    /// Receives from the port and forwards. Returns how many datagrams were received.
    fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<usize> {
        let Some(ingress) = &self.ingress else {
            return Ok(0);
        };
        match ingress.try_recv(batch) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
        let arrived = Instant::now();
        let received = batch.len();
        for datagram in batch.iter() {
            if datagram.bytes.is_empty() {
                continue;
            }
            if self.stats.received.read(datagram.bytes).is_some() {
                self.stored.push(self.outgoing.store(datagram.bytes));
            } else {
                self.stats.drops.add(DropReason::Malformed, 1);
            }
        }
        self.cross(arrived);
        self.fan_out(arrived)?;
        Ok(received)
    }

    fn cross(&mut self, arrived: Instant) {
        if self.stored.is_empty() {
            return;
        }
        for shard in (0..self.lanes.len()).filter(|shard| *shard != self.here) {
            let mut bundle = match self.spare.pop() {
                Some(bundle) => bundle,
                None if self.made < BUNDLES * self.lanes.len() => {
                    self.made += 1;
                    Bundle {
                        bytes: Vec::new(),
                        ends: Vec::new(),
                        arrived,
                    }
                }
                None => {
                    self.stats.drops.add(DropReason::Lane, self.stored.len());
                    continue;
                }
            };
            bundle.bytes.clear();
            bundle.ends.clear();
            bundle.arrived = arrived;
            for stored in &self.stored {
                bundle.bytes.extend_from_slice(self.outgoing.bytes(*stored));
                bundle.ends.push(bundle.bytes.len());
            }
            if let Err(refused) = self.lanes[shard].try_send_low(Crossing::Full(bundle)) {
                self.stats.drops.add(DropReason::Lane, self.stored.len());
                if let Crossing::Full(bundle) = refused.into_inner() {
                    self.spare.push(bundle);
                }
            }
        }
    }

    /// Forwards packets from the first shard.
    fn forward(&mut self, bundle: Bundle) -> io::Result<()> {
        let mut from = 0;
        for &to in &bundle.ends {
            self.stored
                .push(self.outgoing.store(&bundle.bytes[from..to]));
            from = to;
        }
        self.fan_out(bundle.arrived)?;
        if let Some(first) = self.lanes.first_mut() {
            // If there is no room the bundle is lost, and the first shard makes another.
            let _ = first.try_send_low(Crossing::Empty(bundle));
        }
        Ok(())
    }

    /// Sends the stored packets to every subscriber. One subscriber after the other, so that packets of one size form a
    /// segment.
    fn fan_out(&mut self, arrived: Instant) -> io::Result<()> {
        for &to in &self.subscribers {
            for &stored in &self.stored {
                self.outgoing.push(to, stored);
            }
        }
        let packets = self.stored.len() * self.subscribers.len();
        self.stored.clear();
        let flushed = self.egress.try_send(&mut self.outgoing)?;
        self.stats.sent += flushed.sent as u64;
        self.stats.send_calls += flushed.calls as u64;
        self.stats.drops.add(DropReason::Refused, flushed.refused);
        if flushed.blocked {
            self.stats
                .drops
                .add(DropReason::Socket, self.outgoing.len());
        }
        self.outgoing.clear();
        if packets > 0 {
            self.latency.record(arrived, Instant::now());
        }
        Ok(())
    }
}
