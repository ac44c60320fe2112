//! Plain WebSockets that hear what they said: for whoever examines the WebSocket layer alone.

use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;

use super::Reason;
use crate::faces::Caller;
use crate::faces::line::{Fault, Handshake, Heard, Line, binary_frame, text_frame};

/// A route that sends every message back, up to so many bytes.
pub fn websocket_echo(path: &str, most: usize) -> Router {
    Router::new().route(path, any(answer)).with_state(most)
}

async fn answer(
    State(most): State<usize>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    match Handshake::of(&mut parts) {
        Some(handshake) => handshake.accept(None, most, async move |line| {
            caller.authenticated();
            send_back(line).await;
        }),
        None => StatusCode::UPGRADE_REQUIRED.into_response(),
    }
}

async fn send_back(mut line: Line) {
    line.trust();
    let fault = loop {
        let frame: Bytes = match line.next().await {
            Ok(Heard::Text(text)) => text_frame(text.as_bytes()).into(),
            Ok(Heard::Binary(bytes)) => binary_frame(&bytes),
            Ok(Heard::Sign) => continue,
            Err(fault) => break fault,
        };
        if let Err(fault) = line.write(&[frame]).await {
            break fault;
        }
    };
    let reason = if fault == Fault::Stuck { Reason::Closed } else { fault.into() };
    line.close(reason.words()).await;
}
