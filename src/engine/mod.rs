//! The pure engine: no clock, file, socket, thread, lock or randomness.

pub mod alert;
pub mod detect;
pub mod route;
pub mod rule;
pub mod units;
