//! Relaying: what the office publishes follows to the central server, in order, from a durable cursor.
//!
//! Owns when it is sent, and when again. Does not know what the messages are, nor how the server is reached.

use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::config::limits::{CENTRAL_AGAIN_MAX, OUTGOING_BATCH};

/// Sends until `stop`. What is not sent then is sent after the next start.
pub async fn run(bus: Bus, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = relay(&bus) => {}
    }
}

async fn relay(bus: &Bus) {
    // One at a time after a fault, so that a message that is refused holds up and repeats no others.
    let mut most = OUTGOING_BATCH;
    loop {
        bus.can_forward().await;
        match bus.forward(most).await {
            Ok(true) => most = (most * 2).min(OUTGOING_BATCH),
            Ok(false) => {
                most = 1;
                tokio::time::sleep(CENTRAL_AGAIN_MAX).await;
            }
            Err(error) => {
                tracing::error!(%error, "messages wait for the central Redis");
                tokio::time::sleep(CENTRAL_AGAIN_MAX).await;
            }
        }
    }
}
