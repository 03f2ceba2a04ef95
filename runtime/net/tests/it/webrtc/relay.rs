//! A path between one peer and a node that the tests can hold up, cut, or make lossy.

use std::{collections::VecDeque, net::SocketAddr};

use tokio::{
    net::UdpSocket,
    sync::watch,
    task::{AbortHandle, spawn},
};

/// What becomes of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// They wait.
    Hold,
    Lose,
    /// One in so many is lost.
    LoseOneIn(usize),
    /// The checks of ICE are lost, and nothing else.
    LoseChecks,
}

pub(crate) struct Relay {
    /// Where the peer sends.
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: AbortHandle,
}

impl Relay {
    /// A path to the socket of a node.
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(node).await.unwrap();
        let address = front.local_addr().unwrap();
        let (mode, changes) = watch::channel(Mode::Pass);
        let task = spawn(run(front, back, changes)).abort_handle();
        Self {
            address,
            mode,
            task,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(front: UdpSocket, back: UdpSocket, mut changes: watch::Receiver<Mode>) {
    let mut peer = None;
    let mut waiting: VecDeque<(bool, Vec<u8>)> = VecDeque::new();
    let (mut one, mut other) = ([0; 2048], [0; 2048]);
    let mut count = 0;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            Ok((length, from)) = front.recv_from(&mut one) => {
                peer = Some(from);
                waiting.push_back((true, one[..length].to_vec()));
            }
            Ok(length) = back.recv(&mut other) => waiting.push_back((false, other[..length].to_vec())),
        }
        let mode = *changes.borrow_and_update();
        if mode == Mode::Hold {
            continue;
        }
        for (to_node, datagram) in waiting.drain(..) {
            count += 1;
            match mode {
                Mode::Lose => continue,
                Mode::LoseOneIn(many) if count % many == 0 => continue,
                Mode::LoseChecks if datagram[0] < 4 => continue, // STUN
                _ => {}
            }
            // A full buffer is a loss, too.
            let _ = match peer {
                _ if to_node => back.send(&datagram).await,
                Some(peer) => front.send_to(&datagram, peer).await,
                None => continue,
            };
        }
    }
}
