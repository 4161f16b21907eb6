//! The one integration binary.

mod broker;
mod fake_http;
mod fake_smtp;
mod kafka;
mod notify;
mod rules;
mod simulate;
