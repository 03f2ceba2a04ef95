//! A control message overtakes a flood of data.
//!
//! A camera's packets fill the low lane of a slow actor; a "disconnect" sent after all of them is
//! handled next. Prints the time from send to handler for both.

use std::time::{Duration, Instant};

use lanemesh_runtime::{Actor, ActorResult, Context, Reply, builder};

const PACKETS: usize = 2_000;

/// Handling a packet takes this long.
const WORK: Duration = Duration::from_micros(50);

struct Session {
    packets: usize,
    packet_delay: Duration,
}

enum Control {
    Disconnect { sent: Instant, reply: Reply<Report> },
}

struct Report {
    control_delay: Duration,
    packets_before: usize,
}

struct Packet {
    sent: Instant,
}

impl Actor for Session {
    type HighPriorityMsg = Control;
    type LowPriorityMsg = Packet;

    async fn on_high(&mut self, msg: Control, _: &mut Context<Self>) -> ActorResult {
        let Control::Disconnect { sent, reply } = msg;
        // The asker may be gone.
        let _ = reply.send(Report {
            control_delay: sent.elapsed(),
            packets_before: self.packets,
        });
        Ok(())
    }

    async fn on_low(&mut self, packet: Packet, _: &mut Context<Self>) -> ActorResult {
        self.packets += 1;
        self.packet_delay = self.packet_delay.max(packet.sent.elapsed());
        let begun = Instant::now();
        while begun.elapsed() < WORK {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let session = || Session {
        packets: 0,
        packet_delay: Duration::ZERO,
    };
    let (mut handle, child) = builder(session).low_capacity(PACKETS).spawn();

    for _ in 0..PACKETS {
        handle
            .send_low(Packet {
                sent: Instant::now(),
            })
            .await?;
    }
    let sent = Instant::now();
    let report = handle
        .ask(
            |reply| Control::Disconnect { sent, reply },
            Duration::from_secs(10),
        )
        .await?;
    handle.idle().await;
    let packet_delay = handle
        .inspect(|session| session.packet_delay, Duration::from_secs(1))
        .await?;

    println!(
        "control: {:?} behind {PACKETS} packets",
        report.control_delay
    );
    println!("packets: up to {packet_delay:?} in the queue");
    println!(
        "packets handled before the control message: {}",
        report.packets_before
    );

    assert!(
        report.packets_before < PACKETS,
        "control waited for the flood"
    );
    assert!(report.control_delay < packet_delay);
    child.stop().await;
    Ok(())
}
