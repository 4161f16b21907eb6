//! The one integration binary.

mod analyst;
mod around;
mod broker;
mod burn;
mod chart;
mod crash;
mod daemon;
mod design;
mod docs;
mod engine;
mod fake_http;
mod fake_smtp;
mod faults;
mod gate;
mod kafka;
mod notify;
mod operator;
mod pictures;
mod profile;
mod real_data;
mod reload;
mod rules;
mod simulate;
mod state;
mod tidy;
mod workload;
