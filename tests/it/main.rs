//! The one integration binary.

mod broker;
mod kafka;
