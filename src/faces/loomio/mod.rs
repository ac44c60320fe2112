//! Loomio's dialect: its channels, its bots, and who may write in its documents.
//!
//! Owns what a message of Loomio's back end means here. Does not know how sockets are spoken, nor what a record says.

mod bots;
mod matrix;
mod plain;

pub use bots::{Bots, CHATBOT};
