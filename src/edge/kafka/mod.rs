//! Kafka: one consumer on one thread, started from our own offsets, records in.
//!
//! The ledger knows what was counted; Kafka's committed offsets are a mark for others. So the reader asks the core for
//! positions at every assignment, compares them with what the brokers hold and with the last record counted, and
//! reports every hole. [`start`] begins to read, [`KafkaEvent`] is all that comes of it.

mod context;
mod cursor;
mod event;
mod probe;
pub mod produce;
mod property;
mod reader;
mod settings;
mod start;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

pub use self::event::{Anchor, Batch, EndReason, Gap, GapReason, KafkaEvent, KafkaProblem, Record, StartAt, crc};
pub use self::property::Properties;
pub use self::settings::{BATCH_RECORDS, KafkaSettings, OnGap, SettingsError, Start, Tuning};
use crate::engine::units::{Offset, Partition};

/// What the handle and the thread share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    marks: Mutex<BTreeMap<Partition, Offset>>,
}

impl Shared {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// A running reader. Dropping it stops reading without waiting.
#[derive(Debug)]
pub struct KafkaHandle {
    shared: Arc<Shared>,
    notes: Arc<context::Notes>,
    closed: Receiver<()>,
}

/// How the marks fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkCounts {
    /// Commits sent to the group.
    pub sent: u64,
    /// Commits known to have failed; they are sent again.
    pub failed: u64,
}

impl KafkaHandle {
    /// Notes how far each partition is done with; committed to the group some seconds later, best effort.
    pub fn mark(&self, offsets: impl IntoIterator<Item = (Partition, Offset)>) {
        context::lock(&self.shared.marks).extend(offsets.into_iter().filter(|(_, offset)| offset.0 >= 0));
    }

    /// How the marks fared so far.
    pub fn marks(&self) -> MarkCounts {
        MarkCounts {
            sent: self.notes.marks_sent.load(Ordering::Relaxed),
            failed: self.notes.marks_failed.load(Ordering::Relaxed),
        }
    }

    /// Stops reading and closes the consumer. Records not yet handed on are dropped; they come again next time.
    ///
    /// False when the consumer was not closed within `deadline`: the client library can hang there when brokers are
    /// away. Everything that matters is in the ledger by then, so exit the process.
    #[must_use]
    pub fn stop(self, deadline: Duration) -> bool {
        self.shared.stop.store(true, Ordering::SeqCst);
        // The thread says that it is done by letting go of its end.
        self.closed.recv_timeout(deadline) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for KafkaHandle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

/// Starts to read. `out` should hold two to four events: a full channel is what slows the reader down.
pub fn start(settings: &KafkaSettings, out: SyncSender<KafkaEvent>) -> Result<KafkaHandle, SettingsError> {
    let notes = Arc::new(context::Notes::default());
    let shared = Arc::new(Shared::default());
    let context = context::Context(Arc::clone(&notes));
    let create = |config: rdkafka::ClientConfig| -> Result<BaseConsumer<context::Context>, SettingsError> {
        config.create_with_context(context.clone()).map_err(|error| settings::client_error(&error))
    };
    let tuning = settings.tuning.clone();
    let probe = create(settings.probe()?)?;
    let probe = Arc::new(probe::Probe::new(probe, settings.topic.clone(), tuning.marks_timeout));
    let no_thread = |error: std::io::Error| SettingsError::Client(format!("no thread: {error}"));
    let reader = reader::Reader {
        consumer: create(settings.consumer()?)?,
        notes: Arc::clone(&notes),
        rounds: probe.rounds(tuning.marks_every).map_err(no_thread)?,
        probe,
        out,
        shared: Arc::clone(&shared),
        topic: settings.topic.clone(),
        policy: start::Policy { start: settings.start, on_gap: settings.on_gap },
        tuning,
        state: reader::State::default(),
    };
    let (close, closed) = sync_channel::<()>(1);
    let run = move || {
        reader.run();
        // Tells by being dropped.
        drop(close);
    };
    thread::Builder::new().name("kafka-reader".to_owned()).spawn(run).map_err(no_thread)?;
    Ok(KafkaHandle { shared, notes, closed })
}
