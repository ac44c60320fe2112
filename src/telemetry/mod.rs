//! Logs without secrets, and metrics.
//!
//! Owns how the process speaks to its operator. Knows nothing of rooms or faces.

pub mod logs;
pub mod metrics;
mod tally;

pub use metrics::{Metrics, Reason};
pub use tally::Tally;
