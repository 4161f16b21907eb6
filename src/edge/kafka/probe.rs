//! Asks the brokers how far the partitions reach, over connections of its own.
//!
//! The consumer's connections will not do: a broker answers one connection in order, so a question would wait behind
//! the long poll for records, half a second for each partition. And a dead broker must not hold up the reader.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::context::{Context, lock};
use super::start::Marks;
use crate::edge::clock;
use crate::engine::units::Partition;

/// What one round of questions brought; partitions that gave no answer are missing.
pub(super) type Round = Vec<(Partition, Marks)>;

/// The client outside the group.
pub(super) struct Probe {
    client: BaseConsumer<Context>,
    topic: String,
    timeout: Duration,
    owned: Mutex<Vec<Partition>>,
}

impl Probe {
    pub(super) fn new(client: BaseConsumer<Context>, topic: String, timeout: Duration) -> Self {
        Self { client, topic, timeout, owned: Mutex::default() }
    }

    /// The partitions to ask for from now on.
    pub(super) fn own(&self, partitions: Vec<Partition>) {
        *lock(&self.owned) = partitions;
    }

    /// One question, bounded in time.
    pub(super) fn marks(&self, partition: Partition) -> Option<Marks> {
        let answer = self.client.fetch_watermarks(&self.topic, partition.0, self.timeout);
        // Serves the log lines that queue up on this client.
        while self.client.poll(Duration::ZERO).is_some() {}
        match answer {
            Ok((low, high)) if low >= 0 && high >= low => Some(Marks { low, high }),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(partition = partition.0, %error, "no answer about the ends of the partition");
                None
            }
        }
    }

    /// Asks in a thread until nobody listens to the answers; `every` is also the longest it lives on after that.
    pub(super) fn rounds(self: &Arc<Self>, every: Duration) -> std::io::Result<Receiver<Round>> {
        let (send, receive) = sync_channel(1);
        let probe = Arc::downgrade(self);
        let ask = move || {
            loop {
                // Short naps, so that a stopped reader is noticed soon.
                let mut left = every;
                while !left.is_zero() && probe.strong_count() > 0 {
                    let nap = left.min(Duration::from_millis(200));
                    clock::sleep(nap);
                    left -= nap;
                }
                let Some(probe) = probe.upgrade() else { return };
                probe.round(&send);
            }
        };
        thread::Builder::new().name("kafka-probe".to_owned()).spawn(ask)?;
        Ok(receive)
    }

    fn round(&self, send: &SyncSender<Round>) {
        let owned = lock(&self.owned).clone();
        let round = owned.into_iter().filter_map(|p| self.marks(p).map(|marks| (p, marks))).collect();
        // A round nobody has looked at yet is as good as this one.
        drop(send.try_send(round));
    }
}
