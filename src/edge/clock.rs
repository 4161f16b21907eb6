//! The only calls that read the time or wait for it to pass.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::units::Timestamp;

/// The wall clock, in milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "this is the one room that may read the clock")]
pub fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0));
    Timestamp::from_millis(millis)
}

/// The monotonic clock, for deadlines and rates.
#[expect(clippy::disallowed_methods, reason = "this is the one room that may read the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Waits. For threads that have nothing to receive from; everything else waits on a channel with a deadline.
#[expect(clippy::disallowed_methods, reason = "this is the one room that may wait")]
pub fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
