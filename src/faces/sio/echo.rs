//! Plain WebSockets that hear what they said: for whoever examines the WebSocket layer alone.

use axum::Extension;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;

use super::Reason;
use super::socket::{Handshake, Heard, Socket, put_binary_frame, text_frame};
use crate::faces::Caller;

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
        Some(handshake) => handshake.accept(most, async move |socket| {
            caller.authenticated();
            send_back(socket).await;
        }),
        None => StatusCode::UPGRADE_REQUIRED.into_response(),
    }
}

async fn send_back(mut socket: Socket) {
    socket.trust();
    let reason = loop {
        let frame: Bytes = match socket.next().await {
            Ok(Heard::Text(text)) => text_frame(text.as_bytes()).into(),
            Ok(Heard::Binary(bytes)) => {
                let mut frame = Vec::new();
                put_binary_frame(&mut frame, &bytes);
                frame.into()
            }
            Err(reason) => break reason,
        };
        if let Err(reason) = socket.write(&[frame]).await {
            break reason;
        }
    };
    socket.close(if reason == Reason::Slow { Reason::Closed } else { reason }).await;
}
