//! Coming in, going out, and who one is.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::OwnFace;
use super::answer::{Anybody, Failure, Known, Member, Said, user};
use crate::auth::{JoinError, RenameError, Session};
use crate::config::limits::SESSION_LIFE;
use crate::faces::door::{SESSION_COOKIE, session_token};

#[derive(Deserialize)]
pub(super) struct Once {
    once: String,
    /// What a host without a name is called in the page's language.
    name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Join {
    code: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Rename {
    name: String,
}

pub(super) async fn me(Known(grant): Known) -> Response {
    Json(json!({ "user": user(&grant) })).into_response()
}

pub(super) async fn rename(
    State(face): State<OwnFace>,
    Member(grant): Member,
    Said(Rename { name }): Said<Rename>,
) -> Result<Response, Failure> {
    let grant = face.auth.rename(&grant, &name).await.map_err(|error| match error {
        RenameError::Name => Failure::bad("name_missing", "A name of 1 to 64 characters is needed."),
        RenameError::Token => {
            Failure::new(StatusCode::CONFLICT, "token_keeps_name", "A token keeps the name it was made with.")
        }
        RenameError::NotSaved(error) => Failure::fault(&error),
    })?;
    Ok(Json(json!({ "user": user(&grant) })).into_response())
}

/// The window on this computer logs in with the secret it was opened with.
pub(super) async fn once(
    State(face): State<OwnFace>,
    Anybody(caller): Anybody,
    Said(Once { once, name }): Said<Once>,
) -> Result<Response, Failure> {
    if !caller.local {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "this_computer_only",
            "This works only on the office's own computer.",
        ));
    }
    let session = face.auth.take_once(&once, name.as_deref()).await.map_err(refused)?;
    caller.authenticated();
    tracing::info!(address = %caller.address, "the window logged in");
    Ok(with_cookie(Json(json!({ "user": user(&session.grant) })), &session))
}

/// A colleague joins with a code and a name.
pub(super) async fn join(
    State(face): State<OwnFace>,
    Anybody(caller): Anybody,
    Said(Join { code, name }): Said<Join>,
) -> Result<Response, Failure> {
    let session = face.auth.join(&code, &name, caller.address).await.map_err(|error| {
        let reason = match error {
            JoinError::TooMany(_) => "join_too_many_guesses",
            JoinError::Code => "join_code",
            _ => "join_other",
        };
        face.metrics.refuse(reason);
        tracing::info!(address = %caller.address, reason, "nobody joined");
        refused(error)
    })?;
    caller.authenticated();
    let person = session.grant.person();
    tracing::info!(address = %caller.address, person, name = session.grant.name(), "joined");
    let body = json!({ "token": session.token.reveal(), "user": user(&session.grant) });
    Ok(with_cookie(Json(body), &session))
}

pub(super) async fn log_out(State(face): State<OwnFace>, headers: HeaderMap) -> Response {
    if let Some(token) = session_token(&headers) {
        face.auth.log_out(token).await;
    }
    let gone = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response()
}

fn refused(error: JoinError) -> Failure {
    match error {
        JoinError::Name => Failure::bad("name_missing", "A name of 1 to 64 characters is needed."),
        JoinError::Code => Failure::new(
            StatusCode::FORBIDDEN,
            "code_not_valid",
            "This code is not valid. Ask for a new one: codes work for ten minutes.",
        ),
        JoinError::TooMany(wait) => Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_guesses",
            "Too many wrong codes. Wait a minute and try again.",
        )
        .retry_after(wait),
        JoinError::Random(error) => Failure::fault(&error),
        JoinError::Bus(error) => Failure::fault(&error),
    }
}

/// The session's cookie: not for scripts, not for other sites; without `Secure`, since an office network has no
/// certificates.
fn with_cookie(body: impl IntoResponse, session: &Session) -> Response {
    let mut response = body.into_response();
    let life_s = SESSION_LIFE.as_secs();
    let token = session.token.reveal();
    let cookie = format!("{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}");
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
