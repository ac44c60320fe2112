//! Saying something to the forum's people: for its back ends.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::OwnFace;
use super::answer::{Failure, Publisher, json_body, understood};
use super::channels::{an_id, refused};
use crate::bus::{Message, PublishError};
use crate::config::limits::{BUS_MESSAGE_AROUND_MAX_BYTES, BUS_MESSAGE_MAX_BYTES};
use crate::faces::FORUM_CHANNEL;

#[derive(Deserialize, Serialize)]
struct Emit {
    room: Option<String>,
    event: String,
    /// Handed on as it was written, key order included.
    payload: Box<RawValue>,
    #[serde(skip_serializing)]
    id: Option<String>,
}

/// Answers when what has to be kept is on disk. Votes that wait for newer ones follow within a moment.
pub(super) async fn emit(
    State(face): State<OwnFace>,
    Publisher(by): Publisher,
    request: Request,
) -> Result<Response, Failure> {
    let body = json_body(request, BUS_MESSAGE_MAX_BYTES + BUS_MESSAGE_AROUND_MAX_BYTES).await?;
    let emit: Emit = understood(&body)?;
    an_id(emit.id.as_deref())?;
    let body = serde_json::to_vec(&emit).map_err(|error| Failure::bad("bad_request", error.to_string()))?;
    let message = Message::new(FORUM_CHANNEL, Bytes::from(body)).map_err(|error| refused(&error))?;
    let published = face.bus.publish(&message, emit.id.as_deref()).await;
    let published = published.map_err(|error: PublishError| refused(&error))?;
    tracing::debug!(by = by.person(), event = emit.event, "said to the forum");
    if published.reached == 0 && !published.forwarded {
        return Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "forum_off",
            "The forum is off: no key for its tokens is configured.",
        ));
    }
    Ok((StatusCode::OK, Json(json!({ "forwarded": published.forwarded }))).into_response())
}
