//! Everything that can fail or wait: Kafka, SQLite, mail, HTTP, signals, the clock.

pub mod clock;
pub mod kafka;
pub mod mock;
pub mod notify;
