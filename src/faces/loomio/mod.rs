//! Loomio's dialect: its channels, its bots, and who may write in its documents.
//!
//! Owns what a message of Loomio's back end means here. Does not know how sockets are spoken, nor what a record says.

mod boot;
mod bots;
mod matrix;
mod plain;

use axum::Router;
use axum::routing::{get, post};

pub use bots::{Bots, CHATBOT};

use crate::auth::Auth;
use crate::bus::Bus;
use crate::config::Loomio;
use crate::telemetry::Metrics;

/// What the dialect needs of the house; cheap to clone.
#[derive(Clone)]
pub struct LoomioFace {
    /// Who people are.
    pub auth: Auth,
    /// Where channel tokens are known.
    pub bus: Bus,
    /// What is counted.
    pub metrics: Metrics,
    /// What the operator says.
    pub options: Loomio,
}

/// The routes that Loomio's pages and servers of shared texts ask.
pub fn routes(face: LoomioFace) -> Router {
    Router::new()
        .route("/api/v1/boot/site", get(boot::site))
        .route(MAY_WRITE, post(boot::may_write))
        .with_state(face)
}

/// Where another server asks who may write. The question itself holds the credentials.
pub const MAY_WRITE: &str = "/api/hocuspocus";
