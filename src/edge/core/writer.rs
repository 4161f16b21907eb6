//! The thread that writes records down while the loop steps more of them.
//!
//! It writes one commit at a time, and only what the loop took out of the engines for it. Whatever else reads or writes the file
//! is done by the loop, once it has taken note of how that commit ended: deliveries, what people ask for, and records where all of
//! them must be written before something else happens, where thousands of streams changed, or where a commit failed before.
//! What the engines did meanwhile rests on a commit that may fail: then they begin again from what is committed (`mend.rs`).

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver as Channel, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::super::ledger::{Anchor, Commit, Ledger, LedgerError, Taken};
use super::super::payload::Records;
use super::super::{EdgeError, spawn};
use super::Happening;
use super::open::Open;
use crate::engine::Effect;
use crate::engine::route::{Message, RouterMemory};
use crate::engine::units::{Partition, Timestamp};

/// Records with everything that came of them.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) parts: BTreeMap<Partition, Open>,
    /// What changed in the engines.
    pub(super) taken: Vec<Taken>,
    pub(super) decided: Decided,
}

/// What came of records, besides what changed in the engines.
#[derive(Debug)]
pub(super) struct Decided {
    /// What the engines asked for.
    pub(super) effects: Vec<(Partition, Effect)>,
    /// What the router made of it, and the router where it changed.
    pub(super) messages: Vec<Message>,
    pub(super) router: Option<RouterMemory>,
    /// The last record of each partition.
    pub(super) anchors: BTreeMap<Partition, Anchor>,
    /// Wall time.
    pub(super) now: Timestamp,
}

/// How writing a job ended.
#[derive(Debug)]
pub(super) struct Written {
    /// They have to be stepped anew where they could not be written.
    pub(super) parts: BTreeMap<Partition, Open>,
    pub(super) decided: Decided,
    pub(super) result: Result<(), LedgerError>,
    /// Given back to the thread whose memory it is: freed here, both would wait for each other at the allocator.
    _taken: Vec<Taken>,
}

/// The database, and the thread that writes to it beside the loop.
#[derive(Debug)]
pub(super) struct Writer {
    ledger: Arc<Mutex<Ledger>>,
    /// Nothing once no more will come.
    jobs: Option<SyncSender<Job>>,
    written: Channel<Written>,
    /// Nothing once it was waited for.
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Writer {
    /// Starts the thread; it wakes the loop whenever it has written.
    pub(super) fn start(ledger: Ledger, wake: SyncSender<Happening>) -> Result<Self, EdgeError> {
        let ledger = Arc::new(Mutex::new(ledger));
        let (jobs, to_write) = sync_channel(1);
        let (done, written) = sync_channel(1);
        let shared = Arc::clone(&ledger);
        let thread = spawn("writer", move || {
            while let Ok(job) = to_write.recv() {
                let written = write(&mut locked(&shared), job);
                if done.send(written).is_err() {
                    return;
                }
                // A full channel is no harm: the loop looks for what is written after everything that it handles.
                drop(wake.try_send(Happening::Written));
            }
        })?;
        Ok(Self { ledger, jobs: Some(jobs), written, thread: Some(thread), busy: false })
    }

    /// The database, when nothing is being written any more.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.ledger)
    }

    /// Whether something is being written, or it is not known yet how that ended.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Writes these beside the loop. Only for a writer that is not busy.
    pub(super) fn write(&mut self, job: Job) {
        debug_assert!(!self.busy, "one after the other");
        self.busy = true;
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            self.ended();
        }
    }

    /// What was written since this was last asked.
    pub(super) fn written(&mut self) -> Option<Written> {
        match self.written.try_recv() {
            Ok(written) => Some(self.take(written)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.ended(),
        }
    }

    /// The same; what is being written is waited for.
    pub(super) fn wait(&mut self) -> Option<Written> {
        if !self.busy {
            return None;
        }
        match self.written.recv() {
            Ok(written) => Some(self.take(written)),
            Err(_) => self.ended(),
        }
    }

    fn take(&mut self, written: Written) -> Written {
        self.busy = false;
        written
    }

    /// The thread ends before the loop only by a panic, which then is the loop's own.
    fn ended(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => unreachable!("it waits for work for as long as the loop can give it any"),
        }
    }
}

impl Drop for Writer {
    /// Waits for the thread, so that the file is closed when the writer is gone.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the writer ended in a panic");
        }
    }
}

/// What a panic left is as SQLite keeps it: a transaction that did not happen.
fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(ledger: &mut Ledger, job: Job) -> Written {
    let Job { parts, taken, decided } = job;
    let result =
        ledger.commit(Commit { taken: &taken, ..decided.commit(&Records::of(parts.values().map(|open| &open.batch))) });
    Written { parts, decided, result, _taken: taken }
}

impl Decided {
    /// A commit of this; what changed in the engines is put over it.
    pub(super) fn commit<'c>(&'c self, payload: &'c Records<'_>) -> Commit<'c> {
        Commit {
            effects: &self.effects,
            payload,
            messages: &self.messages,
            router: self.router.as_ref(),
            ..Commit::at(self.now)
        }
    }
}
