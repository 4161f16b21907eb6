//! What tests put around the daemon: itself as a child process, records to read, receivers that write everything down,
//! and what it left behind. `tests/it` and `tests/torture` share it.

pub(crate) mod broker;
pub(crate) mod copies;
pub(crate) mod daemon;
pub(crate) mod fake_http;
pub(crate) mod fake_smtp;
pub(crate) mod fleet;
pub(crate) mod proxy;
pub(crate) mod real;
pub(crate) mod rules;
pub(crate) mod secrets;
pub(crate) mod shipped;
pub(crate) mod state;
pub(crate) mod workload;
