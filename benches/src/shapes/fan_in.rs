//! Many sending tasks and one receiving task, in any number of rigs at the same time: the traffic
//! of `funnel` and `tasks`.

use std::time::Instant;

use crate::plan::Timing;
use crate::rig::executor::{joined, on_all_cores};
use crate::rig::fault::{Fault, ensure};
use crate::rig::payload::{Arrivals, Payload, Tally};
use crate::rivals::channels::{AsyncFamily, AsyncRx, AsyncTx, Capacity};

/// Size of one measurement.
#[derive(Debug, Clone, Copy)]
pub struct FanIn {
    /// Number of channels that run at the same time.
    pub rigs: usize,
    /// Number of sending tasks of each channel.
    pub senders: usize,
    /// Capacity of each channel.
    pub slots: Capacity,
}

impl FanIn {
    /// Sends about `count` messages: the same number from every sender, with one `send` for each.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if a rig does not receive exactly what was sent in it.
    pub fn run<T: Payload, F: AsyncFamily<T>>(self, count: u64) -> Result<Timing, Fault> {
        let share = (count / (self.rigs * self.senders) as u64).max(1);
        let mut sources: Vec<T::Source> = (0..self.rigs * self.senders)
            .map(|index| T::source(index % self.senders))
            .collect();
        on_all_cores(async move {
            let start = Instant::now();
            let mut rigs = Vec::with_capacity(self.rigs);
            for _ in 0..self.rigs {
                let (producers, mut rx) = F::open(self.slots, self.senders);
                let receiver = tokio::spawn(async move {
                    let mut received = Arrivals::<T>::from(self.senders);
                    while let Some(message) = rx.recv().await {
                        received.add(message.stamp());
                    }
                    received
                });
                let senders: Vec<_> = producers
                    .into_iter()
                    .zip(sources.drain(..self.senders))
                    .map(|(tx, source)| tokio::spawn(send::<T, _>(tx, source, share)))
                    .collect();
                rigs.push((receiver, senders));
            }
            let mut count = 0;
            for (receiver, senders) in rigs {
                let mut sent = Tally::default();
                for sender in senders {
                    sent.merge(joined(sender).await?);
                }
                let received = joined(receiver).await?;
                received.check(sent)?;
                ensure(
                    sent.count() == share * self.senders as u64,
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
}

async fn send<T: Payload, X: AsyncTx<T>>(mut tx: X, mut source: T::Source, share: u64) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..share {
        let message = T::next(&mut source);
        let stamp = message.stamp();
        if !tx.send(message).await {
            break;
        }
        tally.add(stamp);
    }
    tally
}
