//! The one integration binary.

mod fake_http;
mod fake_smtp;
mod notify;
mod rules;
mod simulate;
