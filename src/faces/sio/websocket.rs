//! A session on a WebSocket: what is written, what is read, and moving over from polling.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::Reason;
use super::session::Session;
use super::socket::{Heard, Socket, text_frame};
use crate::config::limits::ENGINE_UPGRADE_DEADLINE;
use crate::faces::Caller;
use crate::wire::engineio::{Packet, decode};

/// While a client reads nothing, what it says is looked at again this late.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// What a message of the client leads to, while it goes on.
type Handling = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;

/// Carries a session from its beginning.
pub(super) async fn open(session: Arc<Session>, mut socket: Socket, caller: Caller) {
    let reason = carry(&session, &mut socket, &caller).await;
    session.close(reason);
    socket.close(session.over().unwrap_or(reason)).await;
}

/// Shows that the WebSocket works, and takes a polling session over.
pub(super) async fn upgrade(session: Arc<Session>, mut socket: Socket, caller: Caller) {
    let mut began = false;
    let probed = timeout(ENGINE_UPGRADE_DEADLINE, probe(&session, &mut socket, &mut began)).await;
    if matches!(probed, Ok(Ok(()))) && session.upgrade() {
        return open(session, socket, caller).await;
    }
    // Another WebSocket's probe goes on.
    if began {
        session.end_probe();
    }
    socket.close(Reason::Closed).await;
}

async fn probe(session: &Session, socket: &mut Socket, began: &mut bool) -> Result<(), Reason> {
    let next = async |socket: &mut Socket, wanted: Packet<'static>| {
        tokio::select! {
            heard = socket.next() => match heard? {
                Heard::Text(text) if decode(text.as_str()) == Ok(wanted) => Ok(()),
                Heard::Text(_) | Heard::Binary(_) => Err(Reason::Malformed),
            },
            () = session.ended() => Err(Reason::Closed),
        }
    };
    next(socket, Packet::Ping("probe")).await?;
    *began = session.begin_probe();
    if !*began {
        return Err(Reason::Closed);
    }
    socket.write(&[Bytes::from(text_frame(b"3probe"))]).await?;
    next(socket, Packet::Upgrade).await
}

/// Carries a session until it is over; why.
async fn carry(session: &Arc<Session>, socket: &mut Socket, caller: &Caller) -> Reason {
    let mut handling: Option<Handling> = None;
    let mut known = false;
    loop {
        if !known && session.is_trusted() {
            known = true;
            caller.authenticated();
            socket.trust();
        }
        match session.take_now() {
            Ok(frames) if frames.is_empty() => {}
            Ok(frames) => {
                let written = tokio::select! {
                    written = socket.write(&frames) => written,
                    () = session.ended() => return Reason::Closed,
                };
                if let Err(reason) = written {
                    return reason;
                }
            }
            Err(reason) => return reason,
        }
        let full = session.is_full();
        let reads = handling.is_none() && !full;
        tokio::select! {
            heard = socket.next(), if reads => match heard {
                Ok(heard) => handling = Some(handle(session.clone(), heard)),
                Err(reason) => return reason,
            },
            done = finished(&mut handling), if handling.is_some() => {
                handling = None;
                if let Err(reason) = done {
                    return reason;
                }
            }
            () = session.wait() => {}
            () = tokio::time::sleep(FULL_PAUSE), if full => {}
            () = session.ended() => return session.over().unwrap_or(Reason::Closed),
        }
    }
}

fn handle(session: Arc<Session>, heard: Heard) -> Handling {
    Box::pin(async move {
        match heard {
            Heard::Text(text) => session.hear(decode(text.as_str())).await,
            Heard::Binary(bytes) => session.hear(Ok(Packet::Binary(bytes))).await,
        }
    })
}

async fn finished(handling: &mut Option<Handling>) -> Result<(), Reason> {
    match handling {
        Some(handling) => handling.await,
        None => std::future::pending().await,
    }
}
