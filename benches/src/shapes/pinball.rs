//! `pinball`: complete graphs whose nodes pass balls to a random neighbour.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::plan::{Cell, Effort, Shape, Timing, Value};
use crate::rig::executor::{joined, on_all_cores};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rig::stats::Unit;
use crate::rivals::channels::{
    AsyncFamily, AsyncRx, AsyncTx, AsyncVisitor, Capacity, TryTx, visit_async,
};

/// Number of graphs that run at the same time, as in tachyonix's benchmark of this name.
const RIGS: usize = 61;
/// Number of nodes of each graph.
const NODES: usize = 13;
const BALLS: &[usize] = &[1, 3, 7, 17, 41, 101, 241];

/// Name, description and cells of this shape.
pub const SHAPE: Shape = Shape {
    name: "pinball",
    about: "61 complete graphs of 13 nodes. Each node is a task with one receiver and a sender to \
            every other node. Balls walk at random; each hop is one message. No send ever waits: a \
            channel has one slot for every ball, and in a subject with lanes every lane can grow \
            to as many.",
    cells,
};

/// The lower bits of a message: how many hops the ball has left. Above them, 16 bits count the
/// messages to one neighbour, of which a run has a few thousand; then comes the node that sent it.
const HOPS: u64 = (1 << 24) - 1;
/// The hops of the message that ends the node that receives it.
const STOP: u64 = HOPS;

/// The sender to one neighbour.
struct Edge<X> {
    tx: X,
    /// The last message without its hops.
    last: u64,
}

impl<X> Edge<X> {
    fn next(&mut self, hops: u64) -> u64 {
        self.last += HOPS + 1;
        self.last + hops
    }
}

fn cells(effort: &Effort) -> Vec<Cell> {
    let mut visit = Visit {
        cells: Vec::new(),
        balls: 0,
    };
    for balls in effort.choose(BALLS, &[1, 41]) {
        visit.balls = *balls;
        visit_async(&mut visit);
    }
    visit.cells
}

struct Visit {
    cells: Vec<Cell>,
    balls: usize,
}

impl AsyncVisitor for Visit {
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self) {
        let balls = self.balls;
        let params = vec![("balls", Value::from(balls))];
        let run = move |count| run::<F>(RIGS, balls, count);
        self.cells.push(Cell::rate::<F>(
            SHAPE.name,
            params,
            Unit::MillionsPerSecond,
            50_000,
            run,
        ));
    }
}

/// Lets the balls of all graphs together take about `count` hops.
///
/// # Errors
///
/// A [`Fault`] if a ball is lost or duplicated.
pub fn run<F: AsyncFamily<u64>>(rigs: usize, balls: usize, count: u64) -> Result<Timing, Fault> {
    let hops = (count / (rigs * balls) as u64).clamp(1, HOPS - 1);
    on_all_cores(async move {
        let start = Instant::now();
        let mut graphs = Vec::with_capacity(rigs);
        for rig in 0..rigs {
            graphs.push(start_graph::<F>(rig, balls, hops)?);
        }
        let mut count = 0;
        for (injected, nodes) in graphs {
            let (mut sent, mut received) = (injected, Tally::default());
            let mut arrivals = Vec::with_capacity(NODES);
            for node in nodes {
                let (node_sent, node_received) = joined(node).await?;
                sent.merge(node_sent);
                received.merge(node_received.tally());
                arrivals.push(node_received);
            }
            Tally::check(sent, received)?;
            arrivals.iter().try_for_each(Arrivals::check_order)?;
            let stops = NODES as u64 - 1;
            ensure(
                received.count() == balls as u64 * hops + stops,
                "a channel closed early",
            )?;
            count += received.count();
        }
        Ok(Timing {
            count,
            elapsed: start.elapsed(),
        })
    })
}

type Node = tokio::task::JoinHandle<(Tally, Arrivals<u64>)>;

/// Starts a graph with its balls spread evenly.
fn start_graph<F: AsyncFamily<u64>>(
    rig: usize,
    balls: usize,
    hops: u64,
) -> Result<(Tally, Vec<Node>), Fault> {
    let slots = Capacity::same(balls);
    let mut receivers = Vec::with_capacity(NODES);
    let mut neighbours: Vec<Vec<Edge<F::Tx>>> =
        (0..NODES).map(|_| Vec::with_capacity(NODES)).collect();
    for node in 0..NODES {
        let (producers, rx) = F::open(slots, NODES - 1);
        receivers.push(rx);
        let others = (0..NODES).filter(|other| *other != node);
        for (other, tx) in others.zip(producers) {
            let last = u64::before_first(other);
            neighbours[other].push(Edge { tx, last });
        }
    }
    let mut injected = Tally::default();
    for ball in 0..balls {
        let edges = &mut neighbours[ball % NODES];
        let at = ball / NODES % edges.len();
        let message = edges[at].next(hops);
        ensure(edges[at].tx.try_send(message).sent(), "no room for a ball")?;
        injected.add(message);
    }
    let balls_left = Arc::new(AtomicU64::new(balls as u64));
    let nodes = receivers
        .into_iter()
        .zip(neighbours)
        .enumerate()
        .map(|(node, (rx, edges))| {
            let seed = (rig * NODES + node + 1) as u64;
            tokio::spawn(run_node(rx, edges, balls_left.clone(), seed))
        })
        .collect();
    Ok((injected, nodes))
}

/// Runs one node. It passes balls on until it is told to stop, or until it retires the last ball
/// and tells the other nodes.
async fn run_node<R: AsyncRx<u64>, X: AsyncTx<u64>>(
    mut rx: R,
    mut edges: Vec<Edge<X>>,
    balls_left: Arc<AtomicU64>,
    seed: u64,
) -> (Tally, Arrivals<u64>) {
    let (mut sent, mut received) = (Tally::default(), Arrivals::from(NODES));
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    while let Some(message) = rx.recv().await {
        received.add(message);
        let hops = message & HOPS;
        if hops == STOP {
            break;
        }
        if hops > 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = ((random >> 32) * edges.len() as u64) >> 32;
            let edge = &mut edges[at as usize];
            let message = edge.next(hops - 1);
            if edge.tx.send(message).await {
                sent.add(message);
                continue;
            }
            // Retire a ball that could not be sent, so that the graph ends and its tally is
            // checked.
        }
        // ORDERING: AcqRel, so that retiring the last ball happens after retiring all others; the
        // messages themselves are ordered by the channels.
        if balls_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            for edge in &mut edges {
                let message = edge.next(STOP);
                if edge.tx.send(message).await {
                    sent.add(message);
                }
            }
            break;
        }
    }
    (sent, received)
}
