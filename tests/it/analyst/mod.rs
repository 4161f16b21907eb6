//! What analysts read: the views, their documentation, and the answers they give against numbers counted independently.

mod console;
mod dictionary;
mod questions;
mod spans;
mod views;
mod world;

pub(crate) use world::{db, rows, world};
