//! The one integration binary.

mod analyst;
mod around;
mod broker;
mod browser;
mod burn;
mod chart;
mod console;
mod crash;
mod damage;
mod delivery;
mod deploy;
mod design;
mod disk;
mod docs;
mod engine;
mod faults;
mod gate;
mod hostile;
mod http;
mod kafka;
mod label_queue;
mod notify;
mod operator;
mod pictures;
mod poison;
mod profile;
mod real;
mod real_data;
mod real_estimates;
mod real_lies;
mod real_rollups;
mod receivers;
mod reload;
mod report;
mod rules;
mod simulate;
mod sql;
mod standing;
mod stuck;
mod threshold;
mod tidy;
mod upgrade;
mod verdicts;
mod volume;
mod walkthrough;
#[expect(dead_code, reason = "shared with tests/torture, which uses the rest")]
#[path = "../world/mod.rs"]
mod world;

use world::{daemon, fake_http, fake_smtp, state, workload};
