//! Hocuspocus, as its providers 2, 3 and 4 speak it: many documents on one socket, a token for each, and an
//! acknowledgement for every edit.
//!
//! Owns what a frame means for a room, and what a room's word means for a client. Does not know how frames are
//! written, nor the socket. Between client and document only the socket is ever closed from this side: providers
//! that are sent a CLOSE (7) they did not ask for stay connected and lose what is written afterwards.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;

use super::address::{Addresses, Open, State, TooMany};
use super::asking::{Asking, Question};
use super::closing::Closing;
use super::mouth::{self, Mouth};
use super::say::Say;
use super::session::{Dialect, talk};
use super::{YjsFace, keep, notice, schema_of};
use crate::auth::{Asker, Grant};
use crate::config::limits::{
    ADDRESS_MAX_BYTES, DENIALS_PER_SOCKET_MAX, DENIED_KEPT_MAX_BYTES, MESSAGE_MAX_BYTES, ROOM_TOLD_MAX_BYTES,
    UNAUTHENTICATED_MAX_BYTES, UNAUTHENTICATED_MAX_MESSAGES, UNREADABLE_FRAMES_MAX,
};
use crate::faces::Caller;
use crate::faces::line::{Handshake, Voice};
use crate::id::{DocName, PeerId};
use crate::rooms::{Event, Gone, OpenError, Outbox, RoomClosed};
use crate::wire::hocuspocus::{Address, Body, Frame, Packet, decode, encode, encode_head, pong};
use crate::wire::varint::Reader;
use crate::wire::ysync::SyncMessage;

/// Hocuspocus' own default text of a refusal.
const DENIED: &str = "permission-denied";
const NOT_FOUND: &str = "not-found";
const UNREADABLE: &str = "unreadable";
const TOO_MANY: &str = "too-many-documents";
/// The reason that Hocuspocus gives when a client asked to leave.
const LEFT: &str = "provider_initiated";

/// Opens a socket; who somebody is comes later, for each document.
pub(super) async fn open(
    Shared(face): Shared<YjsFace>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let schema = schema_of(&uri);
    handshake.accept(None, MESSAGE_MAX_BYTES, move |line| {
        let (outbox, metrics) = (Outbox::new(&face.metrics), face.metrics.clone());
        let dialect = Hocuspocus::new(face, caller, outbox.clone(), line.voice(), schema);
        talk(line, dialect, outbox, metrics)
    })
}

struct Hocuspocus {
    face: YjsFace,
    caller: Caller,
    asker: Asker,
    outbox: Outbox,
    voice: Voice,
    schema: Option<u32>,
    addresses: Addresses,
    newcomers: Vec<(PeerId, Grant)>,
    asking: Asking,
    admitted: bool,
    ask_for_sign: bool,
    /// Bytes and messages taken before anybody had logged in.
    taken: (usize, usize),
    unreadable: u32,
    denials: u32,
}

impl Dialect for Hocuspocus {
    fn admitted(&self) -> bool {
        self.admitted
    }

    async fn heard(&mut self, frame: Bytes, say: &mut Say) -> Result<(), Closing> {
        if !self.admitted {
            self.taken = (self.taken.0 + frame.len(), self.taken.1 + 1);
            if self.taken.0 > UNAUTHENTICATED_MAX_BYTES || self.taken.1 > UNAUTHENTICATED_MAX_MESSAGES {
                return Err(self.flooded());
            }
        }
        match decode(&frame) {
            Ok(Packet::Ping) => say.message(pong()),
            Ok(Packet::Pong) => {}
            Ok(Packet::Frame(read)) if read.address.as_str().len() <= ADDRESS_MAX_BYTES => {
                self.frame(read, &frame, say).await?;
            }
            Ok(Packet::Frame(_)) => return self.unreadable(),
            Err(_) if Reader::new(&frame).str().is_err() => {
                self.face.metrics.refuse("no_address");
                return Err(Closing::UNAUTHORIZED); // as Hocuspocus closes it
            }
            Err(_) => return self.unreadable(),
        }
        Ok(())
    }

    fn asks_for_sign(&mut self) -> bool {
        std::mem::take(&mut self.ask_for_sign)
    }

    /// Everything that came along with a second token is here: whoever only sent that token waits for an answer to
    /// the question from before. Provider 2 asks again by itself, and would count a second answer.
    async fn heard_sign(&mut self) {
        for open in self.addresses.open() {
            if let Some(have) = open.asked_before.take() {
                self.asking.put(open.peer.id(), Question::Beyond(have));
            }
        }
    }

    fn heard_text(&mut self) -> Result<(), Closing> {
        self.unreadable()
    }

    fn told(&mut self, peer: PeerId, event: Event, say: &mut Say) -> Result<(), Closing> {
        // A peer that has left may still be spoken to.
        let Some((address, _)) = self.addresses.of(peer) else { return Ok(()) };
        match event {
            Event::Synced { update, have } => {
                // The room's own question first: its answer is what brings a provider's counter to zero.
                say.message(encode(address, &Body::Sync(SyncMessage::Step1(have))));
                if let Some(update) = update {
                    say.message_with(encode_head(address, &update), update);
                    self.asking.answered(peer);
                }
            }
            Event::Edited(edited) => say.frame(mouth::edited(Some(address), &edited)),
            Event::Present(present) => say.frame(mouth::present(Some(address), &present)),
            Event::Saved { edits } => say.messages_alike(edits, &encode(address, &Body::SyncStatus(true))),
            Event::Refused { edits, .. } => {
                say.messages_alike(edits, &encode(address, &Body::SyncStatus(false)));
            }
            Event::Told(text) => say.message(encode(address, &Body::Stateless(text))),
            Event::Stored(state) => {
                let text = notice::stored(state);
                say.message(encode(address, &Body::Stateless(text)));
            }
            Event::Lagged => self.asking.put(peer, Question::Missed),
            Event::Gone(Gone::Stopping) => return Err(Closing::RESTART),
            Event::Gone(Gone::Fault) => return Err(Closing::RESET),
        }
        Ok(())
    }

    async fn drained(&mut self) {
        while let Some((peer, question)) = self.asking.next(|peer| self.addresses.has(peer)) {
            let Some((_, open)) = self.addresses.of(peer) else { continue };
            let comes = match question {
                Question::Beyond(have) => open.peer.sync(have).await,
                Question::Missed => open.peer.resync().await,
            };
            if comes == Ok(true) {
                self.asking.begin(peer);
            }
            expect_goodbye(comes.map(drop));
        }
    }

    fn sign_of_life(&self) -> Option<Bytes> {
        let address = self.addresses.any_open()?;
        Some(encode(address, &Body::Awareness(Bytes::from_static(&[0]))))
    }

    fn newcomers(&mut self) -> Vec<(PeerId, Grant)> {
        std::mem::take(&mut self.newcomers)
    }

    fn has(&self, peer: PeerId) -> bool {
        self.addresses.has(peer)
    }
}

impl Hocuspocus {
    fn new(face: YjsFace, caller: Caller, outbox: Outbox, voice: Voice, schema: Option<u32>) -> Self {
        Self {
            asker: Asker::new(face.auth.clone(), caller.local),
            face,
            caller,
            outbox,
            voice,
            schema,
            addresses: Addresses::default(),
            newcomers: Vec::new(),
            asking: Asking::default(),
            admitted: false,
            ask_for_sign: false,
            taken: (0, 0),
            unreadable: 0,
            denials: 0,
        }
    }

    async fn frame(&mut self, read: Frame, frame: &Bytes, say: &mut Say) -> Result<(), Closing> {
        let Frame { address, body } = read;
        if matches!(body, Body::BroadcastStateless(_) | Body::SyncReply(_)) {
            self.face.metrics.refuse("servers_only");
            return Err(Closing::FORBIDDEN);
        }
        if self.admitted && self.addresses.are_all_taken_beside(&address) {
            self.deny_further(&address, &body, say);
            return Ok(());
        }
        match (self.addresses.get(&address), body) {
            (_, Body::Token { token, .. }) => {
                Box::pin(self.log_in(&address, token.reveal(), say)).await?;
            }
            (_, Body::AskToken) => Box::pin(self.log_in(&address, "", say)).await?,
            (Some(State::Open(open)), Body::Close(_)) => {
                tracing::debug!(person = open.grant.person(), "left a document");
                self.addresses.forget(&address);
                say.message(encode(&address, &Body::Close(Some(LEFT.to_owned()))));
            }
            (_, Body::Close(_)) => {
                self.addresses.forget(&address);
            }
            (Some(State::Open(open)), body) => {
                return match hand_in(open, body, &mut self.asking).await {
                    Ok(()) => Ok(()),
                    Err(NotForRooms) => self.unreadable(),
                };
            }
            (Some(State::Denied { asked, presence, missed }), body) => match body {
                Body::Sync(SyncMessage::Step1(have)) => *asked = small(have),
                Body::Sync(_) => *missed = missed.saturating_add(1),
                Body::Awareness(update) => *presence = small(update),
                _ => {}
            },
            (_, body) => {
                self.addresses.wait(&address, frame).map_err(|TooMany| self.flooded())?;
                // Provider 2 sends no token when it has none: its first question counts as an empty one.
                if matches!(body, Body::Sync(SyncMessage::Step1(_))) {
                    Box::pin(self.log_in(&address, "", say)).await?;
                }
            }
        }
        Ok(())
    }

    /// A token came, or its place is empty: then whoever the request's cookie or header named is asking.
    async fn log_in(&mut self, address: &Address, token: &str, say: &mut Say) -> Result<(), Closing> {
        let Ok(doc) = DocName::parse(address.document()) else {
            return self.deny(address, DENIED, say);
        };
        let granted = self.asker.grant_for(&doc, token, self.caller.grant.as_ref()).await.ok();
        let Some(grant) = granted.filter(|grant| self.face.rooms.may_open(&doc, grant)) else {
            return self.deny(address, DENIED, say);
        };
        if self.renewed(address, &grant, say).await {
            return Ok(());
        }
        let peer = match self.face.rooms.open_knowing(&doc, &grant, &self.outbox, self.schema).await {
            Ok(peer) => peer,
            Err(OpenError::NotFound) => return self.deny(address, NOT_FOUND, say),
            Err(OpenError::Forbidden) => return self.deny(address, DENIED, say),
            Err(OpenError::Unreadable) => return self.deny(address, UNREADABLE, say),
            Err(OpenError::Full) => return Err(Closing::FULL),
            Err(OpenError::Crowded) => return Err(Closing::CROWDED),
            Err(OpenError::Stopping) => return Err(Closing::RESTART),
        };
        if !self.admitted {
            self.admitted = true;
            self.caller.authenticated();
        }
        // A copy: the address of a frame shares the read buffer.
        let at = Some(Address::new(address.as_str()));
        let mouth = Mouth { voice: self.voice.clone(), address: at, metrics: self.face.metrics.clone() };
        self.outbox.speak_through(peer.id(), Box::new(mouth));
        self.newcomers.push((peer.id(), grant.clone()));
        say.message(encode(address, &Body::Authenticated { read_only: !peer.may_write() }));
        expect_goodbye(peer.who().await);
        let open = Open { peer, grant, asked_before: None };
        let before = self.addresses.put(address, State::Open(open)).map_err(|TooMany| self.flooded())?;
        match before {
            Some(State::Waiting(frames)) => self.replay(address, frames).await,
            Some(State::Denied { asked, presence, missed }) => {
                let Some(State::Open(open)) = self.addresses.get(address) else { return Ok(()) };
                open.asked_before = asked;
                self.ask_for_sign = open.asked_before.is_some();
                expect_goodbye(open.peer.owe(missed).await);
                if let Some(presence) = presence {
                    expect_goodbye(open.peer.presence(presence).await);
                }
                Ok(())
            }
            // The room before has ended, and its goodbye closes the socket.
            Some(State::Open(_)) | None => Ok(()),
        }
    }

    /// A new token for a document that is open. Providers do not ask for the document again, and count what they wait
    /// for: so the peer stays.
    async fn renewed(&mut self, address: &Address, grant: &Grant, say: &mut Say) -> bool {
        let Some(State::Open(open)) = self.addresses.get(address) else { return false };
        if open.peer.regrant(grant.clone()).await.is_err() {
            return false;
        }
        let another = open.grant.person() != grant.person();
        open.grant = grant.clone();
        self.newcomers.push((open.peer.id(), grant.clone()));
        say.message(encode(address, &Body::Authenticated { read_only: !open.peer.may_write() }));
        if another {
            // The client says again who is there.
            say.message(encode(address, &Body::QueryAwareness));
        }
        true
    }

    /// Hands in what came before the log-in.
    async fn replay(&mut self, address: &Address, frames: Vec<Bytes>) -> Result<(), Closing> {
        for frame in frames {
            let Ok(Packet::Frame(Frame { body, .. })) = decode(&frame) else { continue };
            let Some(State::Open(open)) = self.addresses.get(address) else { return Ok(()) };
            if hand_in(open, body, &mut self.asking).await.is_err() {
                self.unreadable()?;
            }
        }
        Ok(())
    }

    /// Says no. The socket stays, and the same address may be tried again. Where the document is open, providers would
    /// take the next yes for a renewal, and not ask again for what they missed: there they come anew.
    fn deny(&mut self, address: &Address, why: &str, say: &mut Say) -> Result<(), Closing> {
        self.face.metrics.refuse("log_in");
        tracing::info!(from = %self.caller.address, why, "refused to open a document");
        self.denials += 1;
        if self.denials > DENIALS_PER_SOCKET_MAX {
            return Err(Closing::UNAUTHORIZED);
        }
        if matches!(self.addresses.get(address), Some(State::Open(_))) {
            return Err(Closing::RESET);
        }
        say.message(encode(address, &Body::Denied(why.to_owned())));
        let denied = State::Denied { asked: None, presence: None, missed: 0 };
        self.addresses.put(address, denied).map(drop).map_err(|TooMany| self.flooded())
    }

    /// Says no to one document more than a socket may have; the others go on.
    fn deny_further(&self, address: &Address, body: &Body, say: &mut Say) {
        if matches!(body, Body::Token { .. } | Body::AskToken | Body::Sync(SyncMessage::Step1(_))) {
            self.face.metrics.refuse("too_many_documents");
            say.message(encode(address, &Body::Denied(TOO_MANY.to_owned())));
        }
    }

    fn flooded(&self) -> Closing {
        self.face.metrics.refuse("before_log_in");
        Closing::RESET
    }

    /// Counts a frame that means nothing; one may be an accident, many are not.
    fn unreadable(&mut self) -> Result<(), Closing> {
        self.face.metrics.refuse("frame");
        self.unreadable += 1;
        if self.unreadable > UNREADABLE_FRAMES_MAX { Err(Closing::RESET) } else { Ok(()) }
    }
}

/// The frame is none that a client sends about a document.
struct NotForRooms;

/// Gives a client's word to its room.
async fn hand_in(open: &mut Open, body: Body, asking: &mut Asking) -> Result<(), NotForRooms> {
    let peer = &open.peer;
    let handed = match body {
        Body::Sync(SyncMessage::Step1(have)) => {
            open.asked_before = None;
            asking.put(peer.id(), Question::Beyond(keep(have)));
            Ok(())
        }
        Body::Sync(SyncMessage::Step2(update)) => peer.answer(keep(update)).await,
        Body::Sync(SyncMessage::Update(update)) => peer.edit(keep(update)).await,
        Body::Awareness(update) => peer.presence(keep(update)).await,
        Body::QueryAwareness => peer.who().await,
        Body::Stateless(text) if text.len() > ROOM_TOLD_MAX_BYTES || notice::is_ours(&text) => {
            return Err(NotForRooms);
        }
        Body::Stateless(text) => peer.tell(keep(text)).await,
        _ => return Err(NotForRooms),
    };
    expect_goodbye(handed);
    Ok(())
}

/// A room that is closed has said so in the outbox, with the reason that decides how the socket ends.
fn expect_goodbye(_handed: Result<(), RoomClosed>) {}

/// What may be kept for somebody who is not let in.
fn small(bytes: Bytes) -> Option<Bytes> {
    Some(bytes).filter(|bytes| bytes.len() <= DENIED_KEPT_MAX_BYTES).map(keep)
}
