//! Tokens for programs: administration, on this computer only.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::OwnFace;
use super::answer::{Anybody, Failure, Host, Said, user};
use crate::auth::{MintError, NewToken, RevokeError, Role};

#[derive(Deserialize)]
pub(super) struct Mint {
    name: String,
    role: Role,
    expires_in_s: Option<u64>,
}

pub(super) async fn mint(
    State(face): State<OwnFace>,
    Anybody(caller): Anybody,
    Host(by): Host,
    Said(Mint { name, role, expires_in_s }): Said<Mint>,
) -> Result<Response, Failure> {
    here(caller.local)?;
    let new = NewToken { name, role, life: expires_in_s.map(Duration::from_secs) };
    let minted = face.auth.mint(&by, new).await.map_err(|error| match error {
        MintError::Name => Failure::bad("name_missing", "A name of 1 to 64 characters is needed."),
        MintError::TooMany => Failure::new(StatusCode::CONFLICT, "too_many_tokens", "Revoke a token first."),
        other => Failure::fault(&other),
    })?;
    let body = json!({ "id": minted.id, "token": minted.token.reveal(), "user": user(&minted.grant) });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn revoke(
    State(face): State<OwnFace>,
    Anybody(caller): Anybody,
    Host(by): Host,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    here(caller.local)?;
    face.auth.revoke(&by, &id).await.map_err(|error| match error {
        RevokeError::NotFound => Failure::not_found("There is no such token."),
        other => Failure::fault(&other),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn here(local: bool) -> Result<(), Failure> {
    if local {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "this_computer_only",
        "This works only on the office's own computer.",
    ))
}
