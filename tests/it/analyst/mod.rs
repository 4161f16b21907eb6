//! What analysts read: the views, their documentation, and the answers they give against numbers counted independently.

mod clients;
mod console;
mod dictionary;
mod harder;
mod questions;
mod spans;
mod views;
mod world;

pub(crate) use world::{db, rows, world};
