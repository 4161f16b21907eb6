//! The one integration binary.

mod broker;
mod crash;
mod daemon;
mod fake_http;
mod fake_smtp;
mod faults;
mod kafka;
mod notify;
mod rules;
mod simulate;
mod state;
mod workload;
