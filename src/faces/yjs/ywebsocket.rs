//! y-websocket 1 to 3: one room on a socket, named by the path, and no acknowledgements.
//!
//! Owns what its messages mean for a room and back. Does not know how they are written, nor the socket. A refusal
//! accepts the connection and closes it with 4401 or 4403: a refused HTTP upgrade reaches a browser as 1006, which
//! clients retry for ever, while version 3 stops at 4400 to 4499.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use bytes::Bytes;

use super::closing::Closing;
use super::mouth::{self, Mouth};
use super::say::Say;
use super::session::{Dialect, talk};
use super::{YjsFace, keep, schema_of};
use crate::auth::Grant;
use crate::config::limits::{MESSAGE_MAX_BYTES, UNREADABLE_FRAMES_MAX};
use crate::faces::Caller;
use crate::faces::line::Handshake;
use crate::id::{DocName, PeerId};
use crate::rooms::{Event, Gone, OpenError, Outbox, Peer};
use crate::telemetry::Metrics;
use crate::wire::ysync::{Message, SyncMessage, decode, encode, encode_head};

/// How a token is brought as a subprotocol, which a browser can set and nobody logs.
const SUBPROTOCOL: &str = "auth.";

/// Opens the room that the path names.
pub(super) async fn open(
    State(face): State<YjsFace>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let subprotocol = handshake.offered(SUBPROTOCOL);
    let schema = schema_of(&uri);
    let asked = enter(&face, &caller, &uri, subprotocol.as_ref());
    handshake.accept(subprotocol, MESSAGE_MAX_BYTES, move |mut line| async move {
        let outbox = Outbox::new(&face.metrics);
        let opened = match asked {
            Ok((doc, grant)) => {
                line.trust();
                caller.authenticated();
                join(&face, &doc, &grant, &outbox, schema).await.map(|peer| (peer, grant))
            }
            Err(closing) => Err(closing),
        };
        match opened {
            Ok((peer, grant)) => {
                let mouth = Mouth { voice: line.voice(), address: None, metrics: face.metrics.clone() };
                outbox.speak_through(peer.id(), Box::new(mouth));
                let dialect = YWebsocket::new(peer, grant, face.metrics.clone());
                talk(line, dialect, outbox, face.metrics).await;
            }
            Err(closing) => {
                face.metrics.refuse("log_in");
                tracing::info!(from = %caller.address, ?closing, "refused to open a document");
                line.close(closing.words()).await;
            }
        }
    })
}

/// Who is asking for what: a token that was brought counts, also against a cookie; otherwise the request's own grant.
fn enter(
    face: &YjsFace,
    caller: &Caller,
    uri: &Uri,
    subprotocol: Option<&HeaderValue>,
) -> Result<(DocName, Grant), Closing> {
    let token = subprotocol
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix(SUBPROTOCOL))
        .or_else(|| uri.query().filter(|_| face.query_tokens).and_then(token_of));
    let grant = match token {
        Some(token) => face.grant(caller, token),
        None => caller.grant.clone(),
    };
    let grant = grant.filter(Grant::holds).ok_or(Closing::UNAUTHORIZED)?;
    // The path as it came: what y-websocket makes of a room's name is the caller's business.
    let room = uri.path().strip_prefix("/yjs/").unwrap_or_default();
    let doc = DocName::parse(room).map_err(|_| Closing::FORBIDDEN)?;
    Ok((doc, grant))
}

/// Tokens need no escapes, so none are undone.
fn token_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

async fn join(
    face: &YjsFace,
    doc: &DocName,
    grant: &Grant,
    outbox: &Outbox,
    schema: Option<u32>,
) -> Result<Peer, Closing> {
    let peer = face.rooms.open_knowing(doc, grant, outbox, schema).await.map_err(|error| match error {
        OpenError::NotFound | OpenError::Forbidden => Closing::FORBIDDEN,
        OpenError::Unreadable => Closing::Code(1011, "unreadable"),
        OpenError::Full => Closing::FULL,
        OpenError::Crowded => Closing::CROWDED,
        OpenError::Stopping => Closing::RESTART,
    })?;
    // The server speaks first: what it has, and who is here. A room that closed meanwhile has said so.
    let _ = peer.ask().await;
    let _ = peer.who().await;
    Ok(peer)
}

struct YWebsocket {
    peer: Peer,
    newcomer: Option<Grant>,
    metrics: Metrics,
    lagged: bool,
    greeted: bool,
    answered: bool,
    unreadable: u32,
}

impl YWebsocket {
    fn new(peer: Peer, grant: Grant, metrics: Metrics) -> Self {
        Self {
            peer,
            newcomer: Some(grant),
            metrics,
            lagged: false,
            greeted: false,
            answered: false,
            unreadable: 0,
        }
    }

    fn unreadable(&mut self) -> Result<(), Closing> {
        self.metrics.refuse("frame");
        self.unreadable += 1;
        if self.unreadable > UNREADABLE_FRAMES_MAX { Err(Closing::RESET) } else { Ok(()) }
    }
}

impl Dialect for YWebsocket {
    fn admitted(&self) -> bool {
        true
    }

    async fn heard(&mut self, frame: Bytes, _say: &mut Say) -> Result<(), Closing> {
        let handed = match decode(&frame) {
            Ok(Message::Sync(SyncMessage::Step1(have))) => self.peer.sync(keep(have)).await.map(drop),
            Ok(Message::Sync(SyncMessage::Step2(update))) => self.peer.answer(keep(update)).await,
            Ok(Message::Sync(SyncMessage::Update(update))) => self.peer.edit(keep(update)).await,
            Ok(Message::Awareness(update)) => self.peer.presence(keep(update)).await,
            Ok(Message::QueryAwareness) => self.peer.who().await,
            Ok(Message::Denied(_)) | Err(_) => return self.unreadable(),
        };
        // A room that is closed has said so in the outbox, with the reason that decides how the socket ends.
        let _ = handed;
        Ok(())
    }

    fn heard_text(&mut self) -> Result<(), Closing> {
        self.unreadable()
    }

    fn told(&mut self, peer: PeerId, event: Event, say: &mut Say) -> Result<(), Closing> {
        if peer != self.peer.id() {
            return Ok(());
        }
        match event {
            Event::Synced { update, have } => {
                // The first question opens the talk; the first answer follows it alone.
                let opening = !std::mem::replace(&mut self.greeted, true);
                if opening || update.is_none() || self.answered {
                    say.message(encode(&Message::Sync(SyncMessage::Step1(have))));
                }
                if let Some(update) = update {
                    self.answered = true;
                    say.message_with(encode_head(&update), update);
                }
            }
            Event::Edited(edited) => say.frame(mouth::edited(None, &edited)),
            Event::Present(present) => say.frame(mouth::present(None, &present)),
            // There is no word for these in this dialect.
            Event::Saved { .. } | Event::Refused { .. } | Event::Told(_) | Event::Stored(_) => {}
            Event::Lagged => self.lagged = true,
            Event::Gone(Gone::Stopping | Gone::Fault) => return Err(Closing::RESTART),
        }
        Ok(())
    }

    async fn drained(&mut self) {
        if std::mem::take(&mut self.lagged) {
            let _ = self.peer.resync().await;
        }
    }

    fn sign_of_life(&self) -> Option<Bytes> {
        Some(encode(&Message::Awareness(Bytes::from_static(&[0]))))
    }

    fn newcomers(&mut self) -> Vec<(PeerId, Grant)> {
        self.newcomer.take().map(|grant| (self.peer.id(), grant)).into_iter().collect()
    }

    fn has(&self, peer: PeerId) -> bool {
        self.peer.id() == peer
    }

    /// Version 3.1 never comes back after 4400 to 4499, and a slow line is no reason for that.
    fn closing(closing: Closing) -> Closing {
        if closing == Closing::TIMEOUT { Closing::FULL } else { closing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_one_of_the_parameters() {
        assert_eq!(token_of("a=b&token=xyz&c"), Some("xyz"));
        assert_eq!(token_of("notoken=xyz"), None);
    }
}
