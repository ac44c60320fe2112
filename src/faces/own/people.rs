//! Who has access and who is here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::OwnFace;
use super::answer::{Failure, Host, Member};
use crate::auth::RemoveError;

pub(super) async fn list(State(face): State<OwnFace>, Member(_): Member) -> Result<Response, Failure> {
    let mut documents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for here in face.rooms.here() {
        let theirs = documents.entry(here.person).or_default();
        let name = here.doc.as_str().to_owned();
        if !theirs.contains(&name) {
            theirs.push(name);
        }
    }
    let people = face.auth.people().await.map_err(|error| Failure::fault(&error))?;
    let shown: Vec<Value> = people
        .into_iter()
        .map(|person| {
            let theirs = documents.remove(&person.id).unwrap_or_default();
            json!({
                "id": person.id,
                "name": person.name,
                "role": person.role,
                "online": person.online || !theirs.is_empty(),
                "documents": theirs,
            })
        })
        .collect();
    Ok(Json(json!({ "people": shown })).into_response())
}

pub(super) async fn remove(
    State(face): State<OwnFace>,
    Host(by): Host,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    face.auth.remove_person(&by, &id).await.map_err(|error| match error {
        RemoveError::NotFound => Failure::not_found("There is no such person."),
        RemoveError::Host => {
            Failure::new(StatusCode::CONFLICT, "host_stays", "The host's own access cannot be taken away.")
        }
        RemoveError::Token(_) | RemoveError::Bus(_) => Failure::fault(&error),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
