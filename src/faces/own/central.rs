//! The central Redis on the settings page: which one, how it is, another one. Its password goes in and never comes out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OwnFace;
use super::answer::{Failure, Host, Said, rfc3339, sentence};
use crate::auth::Deed;
use crate::bus::Bus;
use crate::config::{CentralUrl, Hidden};

#[derive(Deserialize)]
pub(super) struct Choice {
    /// `null`: none.
    url: Option<String>,
    /// Where the URL has none. Left out, the known one stays as long as the address does; so does the sentinels' own.
    password: Option<String>,
}

impl Choice {
    fn url(self, now: Option<&CentralUrl>) -> Result<Option<CentralUrl>, Failure> {
        let Some(url) = self.url.filter(|url| !url.trim().is_empty()) else { return Ok(None) };
        let url = url.trim().parse::<CentralUrl>();
        let url = url.map_err(|why| Failure::bad("bad_address", sentence(&why)))?;
        let known = now.filter(|now| now.without_secrets() == url.without_secrets());
        let password = match (self.password, &url.password) {
            (Some(password), _) => Some(password).filter(|password| !password.is_empty()).map(Hidden::from),
            (None, Some(written)) => Some(written.clone()),
            (None, None) => known.and_then(|now| now.password.clone()),
        };
        let sentinels = url.sentinel_password.clone();
        let sentinel_password = sentinels.or_else(|| known.and_then(|now| now.sentinel_password.clone()));
        Ok(Some(CentralUrl { password, sentinel_password, ..url }))
    }
}

fn shown(face: &OwnFace) -> Value {
    let (url, state) = (face.bus.central(), face.bus.state().borrow().clone());
    let source = match &url {
        Some(_) if face.desk.central_said() => "configuration",
        Some(_) => "settings",
        None => "none",
    };
    json!({ "redis": {
        "url": url.as_ref().map(ToString::to_string),
        "password_set": url.is_some_and(|url| url.password.is_some()),
        "source": source,
        "state": {
            "kind": state.kind,
            "up": state.up,
            "since": rfc3339(state.since_ms),
            "last_error": state.last_error,
            "last_error_code": state.last_error.as_deref().map(Bus::why_code),
            "away_since": state.away_since_ms.map(rfc3339),
            "waiting": face.bus.waiting(),
        },
    } })
}

pub(super) async fn show(State(face): State<OwnFace>, Host(_): Host) -> Response {
    Json(shown(&face)).into_response()
}

pub(super) async fn choose(
    State(face): State<OwnFace>,
    Host(by): Host,
    Said(choice): Said<Choice>,
) -> Result<Response, Failure> {
    if face.desk.central_said() {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "said_at_start",
            "The central Redis was given when the program was started; change it there.",
        ));
    }
    let url = choice.url(face.bus.central().as_ref())?;
    face.desk.choose_central(url.clone()).await.map_err(|error| Failure::fault(&error))?;
    let name = url.map_or_else(|| "none".to_owned(), |url| url.to_string());
    face.auth.audit(&Deed { what: "central_redis_chosen", by: by.person(), to: "office", name: &name });
    Ok(Json(shown(&face)).into_response())
}

/// Tries an address out without choosing it.
pub(super) async fn test(
    State(face): State<OwnFace>,
    Host(_): Host,
    Said(choice): Said<Choice>,
) -> Result<Response, Failure> {
    let url = choice.url(face.bus.central().as_ref())?;
    let url = url.ok_or_else(|| Failure::bad("bad_address", "There is no address to try."))?;
    let why = Bus::try_central(&url).await.err().map(|why| why.0);
    Ok(Json(json!({ "ok": why.is_none(), "why": why, "code": why.as_deref().map(Bus::why_code) }))
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_saved_as_it_is_shown_keeps_both_passwords() {
        let now: CentralUrl = "redis+sentinel://:one@a,b/town?sentinel_password=two".parse().unwrap();
        let said = |url: &str, password: Option<&str>| {
            let (url, password) = (Some(url.to_owned()), password.map(str::to_owned));
            Choice { url, password }.url(Some(&now)).ok().flatten().unwrap().reveal()
        };
        assert_eq!(said(&now.to_string(), None), now.reveal());
        let other = said(&now.to_string(), Some("new"));
        assert!(other.contains(":new@") && other.contains("sentinel_password=two"), "{other}");
        let elsewhere = said("redis+sentinel://c/town", None);
        assert!(!elsewhere.contains("one") && !elsewhere.contains("two"), "{elsewhere}");
    }
}
