//! The one integration binary.

mod analyst;
mod broker;
mod docs;
mod engine;
mod fake_http;
mod fake_smtp;
mod kafka;
mod notify;
mod real_data;
mod rules;
mod simulate;
mod tidy;
