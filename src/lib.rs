//! shewhart watches AI agents in production by statistical process control.
//!
//! Two pure machines, [`engine::Engine`] (records in, alert crossings out) and [`engine::route::Router`] (crossings in,
//! notices out), and a ring of I/O rooms, `edge`, that feed them and do what they ask. `ARCHITECTURE.md` is the map.

#![cfg_attr(not(feature = "extension"), forbid(unsafe_code))]

#[cfg(feature = "edge")]
pub mod cli;
#[cfg(feature = "edge")]
pub mod config;
#[cfg(feature = "edge")]
pub mod edge;
pub mod engine;
pub mod replay;
#[cfg(feature = "edge")]
pub mod simulate;
#[cfg(feature = "sql")]
pub mod sql;
