//! The one integration binary.

mod rules;
mod simulate;
