//! What a page asks for when it opens, and who may write where: Loomio's two HTTP routes, for an office that stands
//! alone.
//!
//! Owns the answers' form (Loomio's Rails app). Does not know who people are: it asks `auth`.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::LoomioFace;
use crate::auth::{ChannelError, Grant, Refused};
use crate::config::limits::BODY_MAX_BYTES;
use crate::faces::{Caller, failure};

/// What begins the key that tells who a channel token is (Loomio's Rails app).
pub(super) const CURRENT_USERS: &str = "/current_users/";

/// What a page needs to know first. It also makes the page's channel token known.
pub(super) async fn site(
    State(face): State<LoomioFace>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let known = caller.grant.filter(Grant::holds);
    let (token, user) = match known {
        Some(grant) => match face.introduce(&grant).await {
            Ok((token, user)) => (token, Some(user)),
            Err(error) => {
                tracing::error!(%error, "a channel token could not be kept");
                let text = "The office's computer could not save that.";
                return failure(StatusCode::SERVICE_UNAVAILABLE, "not_saved", text);
            }
        },
        None => match face.auth.visitor_token() {
            Ok(token) => (token, None),
            Err(error) => {
                let text = error.to_string();
                return failure(StatusCode::SERVICE_UNAVAILABLE, "no_randomness", &text);
            }
        },
    };
    let id = user.as_ref().map(|user| user["id"].clone());
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "release": env!("CARGO_PKG_VERSION"),
        "systemNotice": null,
        "channel_token": token.reveal(),
        "current_user_id": id,
        "users": user.into_iter().collect::<Vec<_>>(),
        "root_url": format!("http://{host}/"),
        "flash": {},
        "pending_identity": null,
        "theme": {
            "channels_url": format!("ws://{host}"),
            "hocuspocus_url": format!("ws://{host}/hocuspocus"),
        },
    });
    Json(body).into_response()
}

impl LoomioFace {
    /// Makes a person's channel token known: the token, and the person as a page shows it.
    async fn introduce(&self, grant: &Grant) -> Result<(crate::auth::Secret, Value), ChannelError> {
        let channel = self.auth.channel(grant)?;
        let key = format!("{CURRENT_USERS}{}", channel.token.reveal());
        self.make_known(&key, &self.user(grant.name(), channel.number)).await?;
        Ok((
            channel.token,
            json!({ "id": channel.number, "name": grant.name(), "group_ids": self.options.groups }),
        ))
    }

    /// What the key of a channel token holds.
    fn user(&self, name: &str, number: u64) -> Vec<u8> {
        json!({ "name": name, "group_ids": self.options.groups, "id": number }).to_string().into_bytes()
    }
}

#[derive(Deserialize)]
struct Question {
    user_secret: String,
    document_name: String,
}

/// Another server of shared texts asks whether somebody may write: 200, or why not.
pub(super) async fn may_write(
    State(face): State<LoomioFace>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let body = to_bytes(request.into_body(), BODY_MAX_BYTES).await.unwrap_or_default();
    let Ok(Question { user_secret, document_name }) = serde_json::from_slice(&body) else {
        return refused(&face, Refused::Malformed);
    };
    match face.auth.may_write(&document_name, &user_secret, caller.local) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(why) => refused(&face, why),
    }
}

fn refused(face: &LoomioFace, why: Refused) -> Response {
    face.metrics.refuse("may_write");
    let (status, code) = match why {
        Refused::Malformed => (StatusCode::BAD_REQUEST, "bad_request"),
        Refused::Credentials => (StatusCode::UNAUTHORIZED, "not_logged_in"),
        Refused::Permission => (StatusCode::FORBIDDEN, "not_allowed"),
    };
    failure(status, code, &why.to_string())
}
