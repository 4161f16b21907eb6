//! Points at which a test makes the daemon die, panic, wait or fail. Only builds with debug assertions have them: a
//! release build does not look.
//!
//! `SHEWHART_FAILPOINTS=committed@17:abort,message-sent:sleep=5000` aborts when a commit is done for the 17th time, and
//! sleeps five seconds after the first message that was sent. A point fires once; with `@3+` from the third time on,
//! every time. `record=MARK:panic` fires at each record whose payload holds those bytes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock;

/// Where tests may interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A batch came and is not stepped yet.
    BatchTaken,
    /// A batch is stepped and not committed.
    BatchStepped,
    /// In a commit, before the first stream is written.
    CommitBegun,
    /// In a commit, streams and positions are written, messages are not.
    StreamsWritten,
    /// In a commit, everything is written.
    CommitWritten,
    /// A commit has returned.
    Committed,
    /// A message is chosen and its receiver's thread has it, before any connection.
    MessageTaken,
    /// The receiver has said how it took a message; nobody knows yet.
    MessageSent,
    /// It is written down how a message ended.
    MessageSettled,
    /// Partitions go and nothing has been done about it.
    RevokeBegun,
    /// Partitions are gone, as far as the core is concerned.
    Revoked,
    /// The write-ahead log is about to be copied into the file.
    Checkpoint,
    /// In the take-over of an older file, before each step of it.
    Migrating,
    /// A request over HTTP is about to be answered.
    Request,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::BatchTaken,
        Self::BatchStepped,
        Self::CommitBegun,
        Self::StreamsWritten,
        Self::CommitWritten,
        Self::Committed,
        Self::MessageTaken,
        Self::MessageSent,
        Self::MessageSettled,
        Self::RevokeBegun,
        Self::Revoked,
        Self::Checkpoint,
        Self::Migrating,
        Self::Request,
    ];

    /// Its name in `SHEWHART_FAILPOINTS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BatchTaken => "batch-taken",
            Self::BatchStepped => "batch-stepped",
            Self::CommitBegun => "commit-begun",
            Self::StreamsWritten => "streams-written",
            Self::CommitWritten => "commit-written",
            Self::Committed => "committed",
            Self::MessageTaken => "message-taken",
            Self::MessageSent => "message-sent",
            Self::MessageSettled => "message-settled",
            Self::RevokeBegun => "revoke-begun",
            Self::Revoked => "revoked",
            Self::Checkpoint => "checkpoint",
            Self::Migrating => "migrating",
            Self::Request => "request",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Abort,
    Panic,
    Sleep(Duration),
}

#[derive(Debug)]
struct Trap {
    at: At,
    act: Act,
    /// The time it fires first, counted from one.
    from: u64,
    /// Whether it fires every time from then on.
    on: bool,
    reached: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum At {
    Point(Point),
    /// A record that holds these bytes.
    Record(Vec<u8>),
}

impl Trap {
    fn parse(text: &str) -> Option<Self> {
        let (place, act) = text.rsplit_once(':')?;
        let act = match act.split_once('=') {
            None if act == "abort" => Act::Abort,
            None if act == "panic" => Act::Panic,
            Some(("sleep", millis)) => Act::Sleep(Duration::from_millis(millis.parse().ok()?)),
            _ => return None,
        };
        if let Some(mark) = place.strip_prefix("record=") {
            return Some(Self { at: At::Record(mark.into()), act, from: 1, on: true, reached: AtomicU64::new(0) });
        }
        let (name, times) = place.split_once('@').unwrap_or((place, "1"));
        let (from, on) = times.strip_suffix('+').map_or((times, false), |from| (from, true));
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name)?;
        Some(Self { at: At::Point(point), act, from: from.parse().ok()?, on, reached: AtomicU64::new(0) })
    }

    fn spring(&self) {
        let time = self.reached.fetch_add(1, Ordering::SeqCst) + 1;
        if time == self.from || (self.on && time > self.from) {
            self.act.perform(&self.at);
        }
    }
}

impl Act {
    #[expect(clippy::panic, reason = "this is what it is for")]
    fn perform(self, at: &At) {
        match self {
            Self::Abort => {
                tracing::error!(?at, "a test ends the process here");
                std::process::abort();
            }
            Self::Panic => panic!("a test panics at {at:?}"),
            Self::Sleep(length) => clock::sleep(length),
        }
    }
}

/// What the environment asks for; what cannot be read of it ends the process, lest a test of nothing pass.
fn traps() -> &'static [Trap] {
    static TRAPS: OnceLock<Vec<Trap>> = OnceLock::new();
    TRAPS.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting of a user's: tests alone know it")]
        let text = std::env::var("SHEWHART_FAILPOINTS").unwrap_or_default();
        let parse = |one: &str| Trap::parse(one).unwrap_or_else(|| unreadable(one));
        text.split(',').filter(|one| !one.is_empty()).map(parse).collect()
    })
}

#[expect(clippy::panic, reason = "only a test can have written it")]
fn unreadable(text: &str) -> Trap {
    panic!("SHEWHART_FAILPOINTS has {text:?}, which is no failpoint")
}

/// Does what a test wants at a point; nothing otherwise.
pub(super) fn reach(point: Point) {
    if cfg!(debug_assertions) {
        traps().iter().filter(|trap| trap.at == At::Point(point)).for_each(Trap::spring);
    }
}

/// The same at a record.
pub(super) fn reach_record(payload: &[u8]) {
    if cfg!(debug_assertions) {
        let held = |mark: &[u8]| payload.windows(mark.len().max(1)).any(|window| window == mark);
        for trap in traps() {
            if let At::Record(mark) = &trap.at
                && held(mark)
            {
                trap.spring();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_read_as_it_is_written() {
        let read = |text: &str| Trap::parse(text).map(|t| (t.at, t.act, t.from, t.on));
        assert_eq!(read("committed@17:abort"), Some((At::Point(Point::Committed), Act::Abort, 17, false)));
        let nap = Act::Sleep(Duration::from_millis(50));
        assert_eq!(read("checkpoint@2+:sleep=50"), Some((At::Point(Point::Checkpoint), nap, 2, true)));
        assert_eq!(read("record=BOOM:panic"), Some((At::Record(b"BOOM".to_vec()), Act::Panic, 1, true)));
        for wrong in ["", "committed", "nowhere:abort", "committed:explode", "committed@x:abort", "committed:sleep=x"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        assert!(Point::ALL.iter().all(|point| read(&format!("{}:panic", point.as_str())).is_some()));
    }

    #[test]
    fn it_fires_when_its_time_has_come_and_once_unless_told_otherwise() {
        let fired = |text: &str| -> Vec<bool> {
            let trap = Trap::parse(text).expect("written here");
            (0..4).map(|_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| trap.spring())).is_err()).collect()
        };
        assert_eq!(fired("request@2:panic"), [false, true, false, false]);
        assert_eq!(fired("request@3+:panic"), [false, false, true, true]);
    }
}
