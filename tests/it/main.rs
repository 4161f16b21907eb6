//! The one integration binary.

mod analyst;
mod fake_http;
mod fake_smtp;
mod notify;
mod rules;
mod simulate;
