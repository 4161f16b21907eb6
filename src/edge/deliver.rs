//! One thread for each receiver, one message at a time: a slow receiver delays only itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver as Jobs, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::core::Happening;
use super::failpoint::{Point, reach};
use super::ledger::{Due, Outcome};
use super::notify::{Attempt, DeliveryError, FailureClass, FailureKind, Receiver, backoff, deliver, refresh};
use super::{EdgeError, clock, spawn};
use crate::engine::alert::{Crossing, Id};
use crate::engine::units::{Span, Timestamp};

/// How long a message is retried before it is dead ...
const RETRY_FOR: Span = Span::DAY;
/// ... and how often at least: a daemon that was off for a weekend, or a clock that is set ahead, must not end it at the
/// first attempt that fails. So many take an hour or more.
const RETRIES_MIN: u32 = 30;
/// Attempts of a kind that may each do half of the work.
const DOUBTFUL_ATTEMPTS: u32 = 3;

/// The longest that a receiver which cannot be reached is left alone: so long may it take to notice that it is back.
const KNOCK_AFTER_MAX: Duration = Duration::from_secs(30);

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
    /// Set by the thread, before it says how the attempt ended.
    hold: Arc<Hold>,
}

/// Until when a receiver is left alone, by the monotonic clock: a wall clock that is set back must not make it longer.
#[derive(Debug)]
struct Hold {
    begun: Instant,
    /// Milliseconds since then; 0 while nobody asked for a pause.
    until: AtomicU64,
}

impl Hold {
    fn new() -> Self {
        Self { begun: clock::instant(), until: AtomicU64::new(0) }
    }

    /// Begins a pause of this length.
    fn begin(&self, pause: Duration) {
        self.until.store(millis(self.begun.elapsed().saturating_add(pause)), Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.until.load(Ordering::Acquire) <= millis(self.begun.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
            let hold = Arc::new(Hold::new());
            workers.insert(name.clone(), Worker { jobs, busy: false, hold: Arc::clone(&hold) });
            let (name, receiver, out) = (name.clone(), receiver.clone(), happenings.clone());
            spawn(&format!("deliver-{name}"), move || work(&name, &receiver, (&todo, &out), &hold)).map(drop)?;
        }
        Ok(Self { workers })
    }

    /// The receivers that wait for work and have not asked for a pause.
    pub(super) fn idle(&self) -> Vec<String> {
        let free = |worker: &Worker| !worker.busy && worker.hold.is_over();
        self.workers.iter().filter(|(_, worker)| free(worker)).map(|(name, _)| name.clone()).collect()
    }

    /// Gives a receiver a message.
    pub(super) fn give(&mut self, receiver: &str, due: Due) {
        self.hand(receiver, Job::Deliver(due));
    }

    /// Has a receiver told how things stand, unless it is busy or has asked for a pause: the next time comes soon.
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
fn work(name: &str, receiver: &Receiver, (todo, out): (&Jobs<Job>, &SyncSender<Happening>), hold: &Hold) {
    let mut next = clock::instant();
    // Attempts in a row that reached nobody.
    let mut unreached = 0;
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
        let away = |e: &DeliveryError| matches!(e.class, FailureClass::Connect | FailureClass::Tls);
        unreached = if error.as_ref().is_some_and(away) { unreached + 1 } else { 0 };
        // A message whose time is over is given up without a pause, and so are all like it.
        let knock = (unreached > 0 && matches!(outcome, Outcome::Retry { .. })).then(|| knock_after(name, unreached));
        if let Some(after) = error.as_ref().and_then(pause).or(knock) {
            hold.begin(after);
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

/// How long to leave a receiver alone that could not be reached so many times in a row. Otherwise all that waits for it
/// would be tried in turn, and each attempt is a commit; and what was tried last would come last when it is back.
fn knock_after(name: &str, unreached: u32) -> Duration {
    backoff(unreached, Id::of(&[name.as_bytes()])).min(KNOCK_AFTER_MAX)
}

fn attempt(receiver: &Receiver, due: &Due, now: Timestamp) -> (Outcome, Option<DeliveryError>) {
    let attempt = Attempt { fallback: due.fallback, now };
    let tried = catch_unwind(AssertUnwindSafe(|| {
        reach(Point::MessageTaken);
        deliver(receiver, &due.message, attempt)
    }));
    reach(Point::MessageSent);
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
    if at.since(due.created_at) > RETRY_FOR && attempts >= RETRIES_MIN {
        Outcome::Dead { class, detail }
    } else {
        Outcome::Retry { at, class, detail }
    }
}

fn span(duration: Duration) -> Span {
    Span::from_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::Receiver as Happenings;

    use super::super::notify::{AlertmanagerSettings, FolderSettings};
    use super::*;
    use crate::engine::alert::{Reason, State};
    use crate::engine::route::{Message, Occasion, Status};
    use crate::engine::units::{Offset, Partition};

    fn due(attempts: u32, fallback: bool) -> Due {
        let message = Message {
            id: Id(7),
            thread: Id(7),
            receiver: "r".to_owned(),
            group_key: "g".to_owned(),
            group_labels: BTreeMap::new(),
            status: Status::Firing,
            occasion: Occasion::First,
            crossings: Vec::new(),
            notes: Vec::new(),
        };
        Due { message, created_at: Timestamp::from_millis(0), attempts, fallback }
    }

    fn failure(kind: FailureKind) -> DeliveryError {
        DeliveryError { kind, class: FailureClass::Command, detail: "no".to_owned() }
    }

    #[test]
    fn a_doubtful_failure_is_tried_three_times_then_without_agents_text_then_never() {
        let now = Timestamp::from_millis(60_000);
        let ended = |attempts, fallback| after_failure(&failure(FailureKind::Doubtful), &due(attempts, fallback), now);
        for attempts in 0..2 {
            assert!(matches!(ended(attempts, false), Outcome::Retry { .. }), "{attempts}");
        }
        assert!(matches!(ended(2, false), Outcome::Fallback { .. }));
        assert!(matches!(ended(3, true), Outcome::Dead { .. }));
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_and_a_day_is_the_end() {
        let after = Some(Duration::from_secs(500));
        let kind = FailureKind::Retry { after };
        let now = Timestamp::from_millis(60_000);
        let Outcome::Retry { at, .. } = after_failure(&failure(kind), &due(0, false), now) else { panic!("no retry") };
        assert_eq!(at, now.plus(Span::from_millis(500_000)));
        let late = Timestamp::from_millis(0).plus(Span::DAY);
        let ended = |attempts| after_failure(&failure(kind), &due(attempts, false), late);
        assert!(matches!(ended(RETRIES_MIN - 1), Outcome::Dead { .. }));
        // The daemon was off for that day.
        assert!(matches!(ended(RETRIES_MIN - 2), Outcome::Retry { .. }) && matches!(ended(0), Outcome::Retry { .. }));
    }

    fn alertmanager(at: std::net::SocketAddr) -> Receiver {
        let url = format!("http://{at}");
        let settings = serde_json::json!({"url": url, "allow_http": true, "allow_private": true});
        let settings: AlertmanagerSettings = serde_json::from_value(settings).unwrap();
        Receiver::Alertmanager(settings)
    }

    fn crossing() -> Crossing {
        Crossing {
            alert_id: Id(1),
            id: Id(2),
            transition: 1,
            rule: "g/Silent".to_owned(),
            alert: "Silent".to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            from: State::Inactive,
            to: State::Firing,
            reason: Reason::Signalled,
            at: Timestamp::from_millis(0),
            started_at: Timestamp::from_millis(0),
            position: (Partition(0), Offset(0)),
            account: None,
        }
    }

    fn workers(receivers: &[(&str, Receiver)]) -> (Workers, Happenings<Happening>) {
        let receivers: Vec<_> = receivers.iter().map(|(name, r)| ((*name).to_owned(), r.clone())).collect();
        let (send, happenings) = sync_channel(4);
        (Workers::start(&receivers, &send).unwrap(), happenings)
    }

    fn settled(happenings: &Happenings<Happening>) -> Settled {
        match happenings.recv_timeout(Duration::from_mins(1)) {
            Ok(Happening::Settled(settled)) => settled,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_receiver_that_hangs_delays_no_other() {
        let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut held = None;
        for with_a_message in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let quick = Receiver::Folder(FolderSettings { path: folder.path().to_owned() });
            let (mut workers, happenings) =
                workers(&[("a-slow", alertmanager(hangs.local_addr().unwrap())), ("quick", quick)]);
            if with_a_message {
                let mut slow = due(0, false);
                slow.message.crossings.push(crossing());
                workers.give("a-slow", slow);
                // It is in the middle of it, and stays there.
                held = Some(hangs.accept().unwrap());
            } else {
                workers.refresh("a-slow", vec![crossing()]);
            }
            assert_eq!(workers.idle(), ["quick"]);
            workers.give("quick", due(0, false));
            let first = settled(&happenings);
            assert_eq!((first.receiver.as_str(), first.outcome), ("quick", Outcome::Delivered));
            workers.done("quick");
            // What is told besides the outbox is dropped while the receiver is busy.
            workers.refresh("a-slow", Vec::new());
            assert_eq!(workers.idle(), ["quick"]);
        }
        drop(held);
    }

    #[test]
    fn a_receiver_that_has_too_much_is_left_alone_as_long_as_it_asks() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut workers, happenings) = workers(&[("am", alertmanager(server.local_addr().unwrap()))]);
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 8_192];
            assert!(stream.read(&mut request).unwrap() > 0);
            let answer = "HTTP/1.1 429 X\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            drop(stream.read(&mut request));
        });
        workers.refresh("am", vec![crossing()]);
        let told = settled(&happenings);
        assert_eq!(told.message, None, "no row of the outbox");
        assert!(matches!(&told.outcome, Outcome::Retry { class, .. } if class == "rate_limited"), "{told:?}");
        workers.done("am");
        assert!(workers.idle().is_empty(), "neither messages nor refreshes");
        assert!(!workers.busy());
    }

    #[test]
    fn a_receiver_that_is_away_is_left_alone_after_each_attempt_but_not_for_what_is_given_up() {
        // Bound and not listening: it refuses, and nobody else is given its port.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let nobody = socket.local_addr().unwrap().as_socket().unwrap();
        let (mut workers, happenings) = workers(&[("am", alertmanager(nobody))]);
        let message = Message { crossings: vec![crossing()], ..due(0, false).message };
        let hold = |workers: &Workers| workers.workers["am"].hold.until.load(Ordering::Acquire);

        workers.give("am", Due { message: message.clone(), ..due(RETRIES_MIN, false) });
        let told = settled(&happenings);
        assert!(matches!(&told.outcome, Outcome::Dead { class, .. } if class == "connect"), "{told:?}");
        assert_eq!(hold(&workers), 0);
        workers.done("am");

        let now = clock::now();
        workers.give("am", Due { message, created_at: now, ..due(0, false) });
        let told = settled(&happenings);
        assert!(matches!(&told.outcome, Outcome::Retry { class, .. } if class == "connect"), "{told:?}");
        assert!(hold(&workers) > 0);
    }

    #[test]
    fn a_pause_ends_and_the_longest_is_no_overflow() {
        let hold = Hold::new();
        assert!(hold.is_over());
        hold.begin(Duration::from_mins(10));
        assert!(!hold.is_over());
        hold.begin(Duration::ZERO);
        assert!(hold.is_over());
        hold.begin(Duration::MAX);
        assert!(!hold.is_over());
    }

    #[test]
    fn a_receiver_that_is_away_is_asked_at_least_every_half_minute() {
        let pauses = || (1..1_000).map(|unreached| knock_after("mail", unreached));
        assert!(pauses().all(|pause| pause > Duration::ZERO && pause <= KNOCK_AFTER_MAX));
        assert!(pauses().any(|pause| pause == KNOCK_AFTER_MAX));
    }
}
