//! Where log lines go and what they may carry.
//!
//! Only events of this program are written: the libraries below it may speak of headers and addresses with
//! their queries, and those can hold credentials.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("the log filter {0:?} is not understood: expected for example info or townhall=debug")]
    Filter(String),
}

/// Starts logging to stderr for the whole process. A second call changes nothing.
///
/// # Errors
/// When the filter is not understood.
pub fn start(filter: &str, json: bool) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|_| LogError::Filter(filter.to_owned()))?;
    let ours = tracing_subscriber::filter::filter_fn(|meta| meta.target().starts_with("townhall"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if json {
        let layer = lines.json().flatten_event(true).with_filter(ours.and(filter));
        tracing_subscriber::registry().with(layer).try_init()
    } else {
        let layer = lines.with_ansi(std::io::stderr().is_terminal()).with_filter(ours.and(filter));
        tracing_subscriber::registry().with(layer).try_init()
    };
    // Somebody (a test, an embedding program) already listens: their choice holds.
    drop(started);
    Ok(())
}
