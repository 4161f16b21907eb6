//! One thread for each receiver, one message at a time: a slow receiver delays only itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver as Jobs, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::core::Happening;
use super::ledger::{Due, Outcome};
use super::notify::{Attempt, DeliveryError, FailureClass, FailureKind, Receiver, backoff, deliver, refresh};
use super::{EdgeError, clock, spawn};
use crate::engine::alert::{Crossing, Id};
use crate::engine::units::{Span, Timestamp};

/// How long a message is retried before it is dead.
const RETRY_FOR: Span = Span::DAY;
/// Attempts of a kind that may each do half of the work.
const DOUBTFUL_ATTEMPTS: u32 = 3;

/// How an attempt ended, with what metrics want to know.
#[derive(Debug)]
pub struct Settled {
    /// The receiver's name.
    pub receiver: String,
    /// The receiver's kind.
    pub kind: &'static str,
    /// The message; nothing where a receiver was told how things stand, which is in no outbox.
    pub message: Option<Id>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The receivers at work.
#[derive(Debug)]
pub(super) struct Workers {
    workers: BTreeMap<String, Worker>,
}

#[derive(Debug)]
struct Worker {
    jobs: SyncSender<Job>,
    busy: bool,
    /// Until when the receiver asked to be left alone, milliseconds of the wall clock. Set by the thread, before it says
    /// how the attempt ended.
    hold: Arc<AtomicI64>,
}

/// What a receiver's thread does.
#[derive(Debug)]
enum Job {
    /// One attempt at a message of the outbox.
    Deliver(Due),
    /// Tells how things stand.
    Refresh(Vec<Crossing>),
}

impl Workers {
    pub(super) fn start(
        receivers: &[(String, Receiver)],
        happenings: &SyncSender<Happening>,
    ) -> Result<Self, EdgeError> {
        let mut workers = BTreeMap::new();
        for (name, receiver) in receivers {
            let (jobs, todo) = sync_channel(1);
            let hold = Arc::new(AtomicI64::new(i64::MIN));
            workers.insert(name.clone(), Worker { jobs, busy: false, hold: Arc::clone(&hold) });
            let (name, receiver, out) = (name.clone(), receiver.clone(), happenings.clone());
            spawn(&format!("deliver-{name}"), move || work(&name, &receiver, (&todo, &out), &hold))?;
        }
        Ok(Self { workers })
    }

    /// The receivers that wait for work and have not asked for a pause.
    pub(super) fn idle(&self) -> Vec<String> {
        let now = clock::now().as_millis();
        let free = |worker: &Worker| !worker.busy && worker.hold.load(Ordering::Acquire) <= now;
        self.workers.iter().filter(|(_, worker)| free(worker)).map(|(name, _)| name.clone()).collect()
    }

    /// Gives a receiver a message.
    pub(super) fn give(&mut self, receiver: &str, due: Due) {
        self.hand(receiver, Job::Deliver(due));
    }

    /// Has a receiver told how things stand, unless it is busy or has asked for a pause: the next time comes soon.
    #[cfg_attr(not(test), expect(dead_code, reason = "the core does not keep what is to be told yet"))]
    pub(super) fn refresh(&mut self, receiver: &str, crossings: Vec<Crossing>) {
        if self.idle().iter().any(|idle| idle == receiver) {
            self.hand(receiver, Job::Refresh(crossings));
        }
    }

    fn hand(&mut self, receiver: &str, job: Job) {
        let Some(worker) = self.workers.get_mut(receiver) else { return };
        match worker.jobs.try_send(job) {
            Ok(()) => worker.busy = true,
            // Full cannot be, for only idle receivers are given work; gone means that its thread panicked.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                tracing::error!(receiver, "the receiver's thread is gone; its messages wait for a restart");
                worker.busy = true;
            }
        }
    }

    /// Notes that a receiver waits for work again.
    pub(super) fn done(&mut self, receiver: &str) {
        if let Some(worker) = self.workers.get_mut(receiver) {
            worker.busy = false;
        }
    }

    /// Whether a message is on its way.
    pub(super) fn busy(&self) -> bool {
        self.workers.values().any(|worker| worker.busy)
    }
}

/// A receiver's thread: one job at a time, at the receiver's pace.
fn work(name: &str, receiver: &Receiver, (todo, out): (&Jobs<Job>, &SyncSender<Happening>), hold: &AtomicI64) {
    let mut next = clock::instant();
    while let Ok(job) = todo.recv() {
        clock::sleep(next.saturating_duration_since(clock::instant()));
        let now = clock::now();
        let (message, outcome, error) = match job {
            Job::Deliver(due) => {
                let (outcome, error) = attempt(receiver, &due, now);
                (Some(due.message.id), outcome, error)
            }
            Job::Refresh(crossings) => {
                let (outcome, error) = told(receiver, &crossings, now);
                (None, outcome, error)
            }
        };
        next = clock::instant() + receiver.pace();
        if let Some(after) = error.and_then(|error| pause(&error)) {
            hold.store(clock::now().plus(span(after)).as_millis(), Ordering::Release);
        }
        let settled = Settled { receiver: name.to_owned(), kind: receiver.kind(), message, outcome };
        if out.send(Happening::Settled(settled)).is_err() {
            return;
        }
    }
}

/// How long a receiver that has too much asked to be left alone, with every message and not this one only.
fn pause(error: &DeliveryError) -> Option<Duration> {
    match error.kind {
        FailureKind::Retry { after } if error.class == FailureClass::RateLimited => after,
        _ => None,
    }
}

fn attempt(receiver: &Receiver, due: &Due, now: Timestamp) -> (Outcome, Option<DeliveryError>) {
    let tried =
        catch_unwind(AssertUnwindSafe(|| deliver(receiver, &due.message, Attempt { fallback: due.fallback, now })));
    match tried {
        Ok(Ok(())) => (Outcome::Delivered, None),
        Ok(Err(error)) => (after_failure(&error, due, clock::now()), Some(error)),
        // What a message made us stumble over, it will again; without agents' text it may not.
        Err(_) if due.fallback => {
            (Outcome::Dead { class: "panic".to_owned(), detail: "delivering it panicked".to_owned() }, None)
        }
        Err(_) => (Outcome::Fallback { class: "panic".to_owned(), detail: "delivering it panicked".to_owned() }, None),
    }
}

fn told(receiver: &Receiver, crossings: &[Crossing], now: Timestamp) -> (Outcome, Option<DeliveryError>) {
    let tried = catch_unwind(AssertUnwindSafe(|| refresh(receiver, crossings, now)));
    // Nothing waits for another attempt: the next one tells what is so by then.
    let failed = |class: &str, detail: String| Outcome::Retry { at: now, class: class.to_owned(), detail };
    match tried {
        Ok(Ok(())) => (Outcome::Delivered, None),
        Ok(Err(error)) => (failed(error.class.as_str(), error.detail.clone()), Some(error)),
        Err(_) => (failed("panic", "telling how things stand panicked".to_owned()), None),
    }
}

/// What to do after a failure: again, once more without agents' text, or never.
fn after_failure(error: &DeliveryError, due: &Due, now: Timestamp) -> Outcome {
    let (class, detail) = (error.class.as_str().to_owned(), error.detail.clone());
    let attempts = due.attempts + 1;
    let after = match error.kind {
        FailureKind::Retry { after } => after.unwrap_or(Duration::ZERO),
        FailureKind::Doubtful if attempts < DOUBTFUL_ATTEMPTS => Duration::ZERO,
        FailureKind::Permanent | FailureKind::Doubtful if due.fallback => return Outcome::Dead { class, detail },
        FailureKind::Permanent | FailureKind::Doubtful => return Outcome::Fallback { class, detail },
    };
    let at = now.plus(span(backoff(attempts, due.message.id).max(after)));
    if at.since(due.created_at) > RETRY_FOR {
        Outcome::Dead { class, detail }
    } else {
        Outcome::Retry { at, class, detail }
    }
}

fn span(duration: Duration) -> Span {
    Span::from_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}
