//! Our own dialect: the REST routes of our page, the page itself, health and figures.
//!
//! Owns translation between HTTP and the core. What only the server knows (addresses, sharing, the office's name)
//! it asks of a [`Desk`].

mod activity;
mod answer;
mod central;
mod channels;
mod desk;
mod emit;
mod office;
mod page;
mod people;
mod records;
mod status;
mod tokens;
mod who;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};

pub use desk::{Address, Desk, DeskError, Later, OfficeState, Picture};

use super::failure;
use crate::auth::Auth;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::records::Records;
use crate::rooms::Rooms;
use crate::rooms::space::Spaces;
use crate::telemetry::Metrics;

/// What the routes need; cheap to clone.
#[derive(Clone)]
pub struct OwnFace {
    /// Who people are.
    pub auth: Auth,
    /// Who is in which document.
    pub rooms: Rooms,
    /// The records.
    pub records: Records,
    /// The figures.
    pub metrics: Metrics,
    /// Where messages are published.
    pub bus: Bus,
    /// The spaces of the channels.
    pub spaces: Spaces,
    /// The time.
    pub clock: Clock,
    /// When the office was opened: since then things are counted.
    pub started_ms: u64,
    /// What only the server knows.
    pub desk: std::sync::Arc<dyn Desk>,
}

/// Every route of our own, grouped by who calls it.
pub fn routes(face: OwnFace) -> Router {
    let operators =
        Router::new().route("/health", get(status::health)).route("/metrics", get(status::metrics));
    let anybody = Router::new()
        .route("/auth/once", post(who::once))
        .route("/auth/logout", post(who::log_out))
        .route("/join", post(who::join));
    let members = Router::new()
        .route("/auth/me", get(who::me).patch(who::rename))
        .route("/office", get(office::show).patch(office::rename))
        .route("/people", get(people::list))
        .route("/records", get(records::list).post(records::create))
        .route("/records/import", post(records::import))
        .route("/records/{id}", get(records::show).patch(records::rename))
        .route("/records/{id}/export", get(records::export))
        .route("/people/{id}", delete(people::remove));
    let hosts = Router::new()
        .route("/office/sharing", post(office::share))
        .route("/invitations", get(office::invitations).post(office::invite))
        .route("/invitations/{id}", delete(office::close_invitation))
        .route("/activity", get(activity::show))
        .route("/settings/redis", get(central::show).put(central::choose))
        .route("/settings/redis/test", post(central::test))
        .route("/tokens", post(tokens::mint))
        .route("/tokens/{id}", delete(tokens::revoke));
    let api = Router::new()
        .merge(anybody)
        .merge(members)
        .route("/channels", post(channels::publish))
        .route("/emit", post(emit::emit))
        .merge(hosts)
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method);
    Router::new().merge(operators).nest("/api/v1", api).fallback(page::page).with_state(face)
}

async fn no_such_route() -> Response {
    failure(StatusCode::NOT_FOUND, "not_found", "There is no such route.")
}

async fn wrong_method() -> Response {
    failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This route does not do that.")
}
