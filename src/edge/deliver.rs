//! One thread for each receiver, one message at a time: a slow receiver delays only itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::core::Happening;
use super::ledger::{Due, Outcome};
use super::notify::{Attempt, DeliveryError, FailureKind, Receiver, backoff, deliver};
use super::{EdgeError, clock, spawn};
use crate::engine::alert::Id;
use crate::engine::units::{Span, Timestamp};

/// How long a message is retried before it is dead.
const RETRY_FOR: Span = Span::DAY;

/// How an attempt ended, with what metrics want to know.
#[derive(Debug)]
pub struct Settled {
    /// The receiver's name.
    pub receiver: String,
    /// The receiver's kind.
    pub kind: &'static str,
    /// The message.
    pub message: Id,
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
    jobs: SyncSender<Due>,
    busy: bool,
}

impl Workers {
    pub(super) fn start(
        receivers: &[(String, Receiver)],
        happenings: &SyncSender<Happening>,
    ) -> Result<Self, EdgeError> {
        let mut workers = BTreeMap::new();
        for (name, receiver) in receivers {
            let (jobs, todo) = sync_channel::<Due>(1);
            let (name, receiver, out) = (name.clone(), receiver.clone(), happenings.clone());
            workers.insert(name.clone(), Worker { jobs, busy: false });
            spawn(&format!("deliver-{name}"), move || {
                while let Ok(due) = todo.recv() {
                    let settled = attempt(&name, &receiver, &due);
                    if out.send(Happening::Settled(settled)).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { workers })
    }

    /// The receivers that wait for work.
    pub(super) fn idle(&self) -> Vec<String> {
        self.workers.iter().filter(|(_, worker)| !worker.busy).map(|(name, _)| name.clone()).collect()
    }

    /// Gives a receiver a message.
    pub(super) fn give(&mut self, receiver: &str, due: Due) {
        let Some(worker) = self.workers.get_mut(receiver) else { return };
        match worker.jobs.try_send(due) {
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

fn attempt(name: &str, receiver: &Receiver, due: &Due) -> Settled {
    let now = clock::now();
    let tried =
        catch_unwind(AssertUnwindSafe(|| deliver(receiver, &due.message, Attempt { fallback: due.fallback, now })));
    let outcome = match tried {
        Ok(Ok(())) => Outcome::Delivered,
        Ok(Err(error)) => after_failure(&error, due, clock::now()),
        // What a message made us stumble over, it will again; without agents' text it may not.
        Err(_) if due.fallback => {
            Outcome::Dead { class: "panic".to_owned(), detail: "delivering it panicked".to_owned() }
        }
        Err(_) => Outcome::Fallback { class: "panic".to_owned(), detail: "delivering it panicked".to_owned() },
    };
    Settled { receiver: name.to_owned(), kind: receiver.kind(), message: due.message.id, outcome }
}

/// What to do after a failure: again, once more without agents' text, or never.
fn after_failure(error: &DeliveryError, due: &Due, now: Timestamp) -> Outcome {
    let (class, detail) = (error.class.as_str().to_owned(), error.detail.clone());
    let attempts = due.attempts + 1;
    match error.kind {
        FailureKind::Retry { after } => {
            let wait = backoff(attempts, due.message.id).max(after.unwrap_or(Duration::ZERO));
            let at = now.plus(Span::from_millis(wait.as_millis() as i64));
            if at.since(due.created_at) > RETRY_FOR {
                Outcome::Dead { class, detail }
            } else {
                Outcome::Retry { at, class, detail }
            }
        }
        FailureKind::Permanent if due.fallback => Outcome::Dead { class, detail },
        FailureKind::Permanent => Outcome::Fallback { class, detail },
    }
}
