//! Publishing on a channel without Redis: the same path as a publication that comes through Redis.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::OwnFace;
use super::answer::{Failure, Publisher, json_body, sentence, understood};
use crate::bus::{Message, PublishError};
use crate::config::limits::{
    BUS_MESSAGE_AROUND_MAX_BYTES, BUS_MESSAGE_MAX_BYTES, BUS_PUBLICATION_ID_MAX_BYTES,
};

#[derive(Deserialize)]
struct Publication {
    channel: String,
    /// Handed on as it was written, key order included.
    message: Box<RawValue>,
    id: Option<String>,
}

/// Answers when whoever has to keep the message has it on disk.
pub(super) async fn publish(
    State(face): State<OwnFace>,
    Publisher(by): Publisher,
    request: Request,
) -> Result<Response, Failure> {
    let body = json_body(request, BUS_MESSAGE_MAX_BYTES + BUS_MESSAGE_AROUND_MAX_BYTES).await?;
    let Publication { channel, message, id } = understood(&body)?;
    an_id(id.as_deref())?;
    let message = Bytes::copy_from_slice(message.get().as_bytes());
    let message = Message::new(&channel, message).map_err(|error| refused(&error))?;
    let published = face.bus.publish(&message, id.as_deref()).await.map_err(|error| refused(&error))?;
    tracing::debug!(by = by.person(), channel, reached = published.reached, "published");
    let answer = json!({ "reached": published.reached, "forwarded": published.forwarded });
    Ok((StatusCode::OK, Json(answer)).into_response())
}

/// Whether this can be a publisher's own name for what it publishes.
pub(super) fn an_id(id: Option<&str>) -> Result<(), Failure> {
    if id.is_none_or(|id| (1..=BUS_PUBLICATION_ID_MAX_BYTES).contains(&id.len())) {
        return Ok(());
    }
    Err(Failure::bad("bad_request", format!("An id has 1 to {BUS_PUBLICATION_ID_MAX_BYTES} bytes.")))
}

pub(super) fn refused(error: &PublishError) -> Failure {
    match error {
        PublishError::Channel => Failure::bad("bad_channel", sentence(error)),
        PublishError::Refused(_) => Failure::bad("message_refused", sentence(error)),
        PublishError::TooLarge => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", sentence(error)),
        PublishError::Failed(_) => Failure::fault(error),
    }
}
