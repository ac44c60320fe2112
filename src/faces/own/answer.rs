//! What our routes take and give: bodies, who may ask, errors, times.

use std::num::NonZeroU8;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

use crate::auth::{Grant, Role};
use crate::config::limits::BODY_MAX_BYTES;
use crate::faces::{Caller, failure};

/// A refusal or a fault, as a page can show it: a code to branch on, a sentence to read.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_s: Option<u64>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_s: None }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The disk or the bus did not do it; what happened stands in the log.
    pub(super) fn fault(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request could not be served");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_saved", "The office's computer could not save that.")
    }

    pub(super) fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after_s = Some(wait.as_secs() + 1);
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = failure(self.status, self.code, &self.message);
        if let Some(wait_s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}

/// Somebody with a credential, whatever it opens.
pub(super) struct Known(pub(super) Grant);

/// Somebody who may read.
pub(super) struct Member(pub(super) Grant);

/// A program, or an administrator, that may publish on the office's channels.
pub(super) struct Publisher(pub(super) Grant);

/// Somebody who may invite and share.
pub(super) struct Host(pub(super) Grant);

/// The caller, known or not.
pub(super) struct Anybody(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Anybody {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.map(Self).ok_or_else(|| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "caller_unknown", "The connection is not known.")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Anybody(caller) = Anybody::from_request_parts(parts, state).await?;
        caller
            .grant
            .filter(Grant::holds)
            .map(Self)
            .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "not_logged_in", "Join with a code first."))
    }
}

async fn known_that<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    may: impl Fn(&Grant) -> bool,
) -> Result<Grant, Failure> {
    let Known(grant) = Known::from_request_parts(parts, state).await?;
    if may(&grant) {
        return Ok(grant);
    }
    Err(Failure::new(StatusCode::FORBIDDEN, "not_allowed", "Your access does not include that."))
}

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        known_that(parts, state, Grant::may_read).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Publisher {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        known_that(parts, state, Grant::may_publish).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Host {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        known_that(parts, state, |grant| grant.role() >= Role::Admin).await.map(Self)
    }
}

/// A JSON body. The type has to be said: a page of another origin cannot say it without asking first.
pub(super) struct Said<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let body = json_body(request, BODY_MAX_BYTES).await?;
        understood(&body).map(Self)
    }
}

/// Reads a JSON body.
pub(super) fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad("bad_request", format!("The body is not understood: {error}")))
}

/// A JSON body as it came, up to a bound. The type has to be said here too.
pub(super) async fn json_body(request: Request, most: usize) -> Result<Bytes, Failure> {
    if is_type(request.headers(), "application/json") {
        return body(request, most).await;
    }
    Err(Failure::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "json_expected",
        "Send the body as application/json.",
    ))
}

/// The whole body, up to a bound.
pub(super) async fn body(request: Request, most: usize) -> Result<Bytes, Failure> {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let too_large = || {
        let message = format!("More than {most} bytes are not taken here.");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    };
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    to_bytes(request.into_body(), most).await.map_err(|_| too_large())
}

/// Whether the body is of this type, whatever parameters follow.
pub(super) fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    said.and_then(|said| said.split(';').next()).is_some_and(|said| said.trim().eq_ignore_ascii_case(wanted))
}

/// Milliseconds always have three digits, so that times can be compared as texts.
const RFC3339: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZeroU8::new(3) }).encode();

/// A moment as RFC 3339 in UTC.
pub(super) fn rfc3339(at_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&Iso8601::<RFC3339>).ok()).unwrap_or_default()
}

/// A grant as the page shows it.
pub(super) fn user(grant: &Grant) -> serde_json::Value {
    serde_json::json!({ "id": grant.person(), "name": grant.name(), "role": grant.role() })
}

/// An error's words as a sentence.
pub(super) fn sentence(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}{}", letters.as_str(), if text.ends_with('.') { "" } else { "." })
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_have_one_form_and_can_be_compared_as_texts() {
        for (at_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_166_781_120, "2026-11-20T09:26:21.120Z"),
            (1_795_166_781_009, "2026-11-20T09:26:21.009Z"),
        ] {
            assert_eq!(rfc3339(at_ms), text);
        }
    }
}
