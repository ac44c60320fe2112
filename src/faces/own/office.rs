//! The office: its name, sharing, invitations.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OwnFace;
use super::answer::{Failure, Host, Member, Said, rfc3339};
use crate::auth::{Deed, Invitation, InviteError, Role, person_name};

#[derive(Deserialize)]
pub(super) struct Rename {
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Share {
    on: bool,
}

#[derive(Deserialize)]
pub(super) struct Invite {
    role: Role,
    expires_in_s: Option<u64>,
}

pub(super) async fn show(State(face): State<OwnFace>, Member(_): Member) -> Response {
    Json(face.desk.office()).into_response()
}

pub(super) async fn rename(
    State(face): State<OwnFace>,
    Host(_): Host,
    Said(Rename { name }): Said<Rename>,
) -> Result<Response, Failure> {
    let name = person_name(&name);
    let name = name.ok_or_else(|| Failure::bad("name_missing", "A name of 1 to 64 characters is needed."))?;
    face.desk.rename(name).await.map_err(|error| Failure::fault(&error))?;
    Ok(Json(face.desk.office()).into_response())
}

pub(super) async fn share(
    State(face): State<OwnFace>,
    Host(by): Host,
    Said(Share { on }): Said<Share>,
) -> Response {
    face.desk.share(on).await;
    let what = if on { "sharing_on" } else { "sharing_off" };
    face.auth.audit(&Deed { what, by: by.person(), to: "office", name: by.name() });
    Json(face.desk.office()).into_response()
}

pub(super) async fn invitations(State(face): State<OwnFace>, Host(_): Host) -> Response {
    let open = face.auth.invitation_list();
    let shown: Vec<Value> = open.iter().map(|invitation| invitation_json(&face, invitation)).collect();
    Json(json!({ "invitations": shown })).into_response()
}

pub(super) async fn invite(
    State(face): State<OwnFace>,
    Host(by): Host,
    Said(Invite { role, expires_in_s }): Said<Invite>,
) -> Result<Response, Failure> {
    if expires_in_s == Some(0) {
        return Err(Failure::bad("bad_request", "expires_in_s is a number of at least 1."));
    }
    if role == Role::Service {
        return Err(Failure::bad("bad_request", "Programs do not join with a code: mint a token."));
    }
    let made = face.auth.invite(&by, role, expires_in_s.map(Duration::from_secs));
    let made = made.map_err(|error| match error {
        InviteError::TooMany => {
            Failure::new(StatusCode::CONFLICT, "too_many_invitations", "Close an invitation first.")
        }
        InviteError::Random(error) => Failure::fault(&error),
    })?;
    Ok((StatusCode::CREATED, Json(invitation_json(&face, &made))).into_response())
}

pub(super) async fn close_invitation(
    State(face): State<OwnFace>,
    Host(by): Host,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    if face.auth.close_invitation(&by, &id) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(Failure::not_found("There is no such invitation."))
}

/// The code stands behind `#`: a browser keeps that part to itself, so it is in no log on the way.
fn invitation_json(face: &OwnFace, invitation: &Invitation) -> Value {
    let office = face.desk.office();
    let link = |base: &str| {
        let url = format!("{}/join#{}", base.trim_end_matches('/'), invitation.code);
        let qr = face.desk.picture(&url);
        (url, qr)
    };
    let (url, qr) =
        link(&office.addresses.first().map_or_else(|| face.desk.here_url(), |first| first.url.clone()));
    let links = office.addresses.iter().map(|address| {
        let (url, qr) = link(&address.url);
        json!({ "address": address.url, "url": url, "qr": qr })
    });
    json!({
        "id": invitation.id,
        "code": invitation.code,
        "qr": qr,
        "url": url,
        "links": links.collect::<Vec<_>>(),
        "role": invitation.role,
        "expires_at": rfc3339(invitation.expires_at_ms),
    })
}
