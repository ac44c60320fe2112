//! The Curia forum's dialect: `socket.io-client` 4 with a JSON Web Token.
//!
//! Owns the forum's vocabulary, both of it, and who of a community hears what. Does not know how sockets are carried.

mod closed;
mod desk;
mod emitted;
mod forum;
mod keys;
mod news;
mod pace;
mod presence;
mod rules;
mod said;
mod typing;
mod words;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, mpsc, oneshot};

pub use self::closed::Closed;

use self::desk::{Word, named};
use self::forum::Pace;
use self::forum::offices::Letter;
use self::keys::Keys;
use self::news::Publication;
use self::rules::Rule;
use self::words::Words;
use crate::auth::{Claims, JwtKeys};
use crate::bus::{Beginning, Begun, Bus, Consumer, Message, Missed, Undelivered};
use crate::clock::Clock;
use crate::config::Curia as Config;

use crate::faces::sio::{Accepted, Dialect, Hello, Later, Peer, Reason, Refused, Said};
use crate::faces::{FORUM_CHANNEL, FORUM_PEOPLE_CHANNEL};
use crate::rooms::space::{OldRooms, Room, Since, Space, SpaceError};
use crate::telemetry::Metrics;

/// How the forum's space is opened.
pub type OpenSpace = Box<dyn Fn() -> Later<'static, Result<Space, SpaceError>> + Send + Sync>;

/// What the forum stands on.
pub struct CuriaFace {
    /// Whose tokens count.
    pub keys: JwtKeys,
    /// Permissions and presence, shared with other programs.
    pub bus: Bus,
    /// Opens its space, when the first client or the first publication comes.
    pub space: OpenSpace,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Metrics,
    /// What is configured.
    pub config: Config,
}

/// The forum.
pub struct Curia {
    face: CuriaFace,
    open: OnceCell<Open>,
}

/// The forum at work: opened when the first client or the first publication comes.
struct Open {
    space: Space,
    words: mpsc::Sender<Word>,
}

/// Who a socket is.
struct Guest {
    claims: Arc<Claims>,
    kind: &'static str,
    /// The rooms of its own.
    own: Vec<String>,
    /// Those of its old session that it may still be in.
    old: Vec<String>,
}

impl Curia {
    /// Makes the forum.
    #[must_use]
    pub fn new(face: CuriaFace) -> Self {
        Self { face, open: OnceCell::new() }
    }

    /// Ends the forum: what waits is said, and sessions wait on disk.
    pub async fn stop(&self) {
        self.tell(|done| Word::End { done }).await;
        if let Some(open) = self.open.get() {
            open.space.stop().await;
        }
    }

    async fn open(&self) -> Result<&Open, SpaceError> {
        let CuriaFace { bus, clock, metrics, config, .. } = &self.face;
        let opening = || async {
            let space = (self.face.space)().await?;
            let keys = Keys::new(bus.clone(), metrics.clone());
            let pace = Pace { events: config.events_per_minute, presence: config.presence_per_minute };
            let words = desk::start(pace, space.clone(), keys, clock.clone(), metrics.clone());
            Ok(Open { space, words })
        };
        self.open.get_or_try_init(opening).await
    }

    /// Tells the forum something, and waits until it has been done.
    async fn tell<T>(&self, word: impl FnOnce(oneshot::Sender<T>) -> Word) -> Option<T> {
        self.begin_to_tell(word).await?.await.ok()
    }

    /// Tells the forum something in its turn; what tells that it has been done.
    async fn begin_to_tell<T>(
        &self,
        word: impl FnOnce(oneshot::Sender<T>) -> Word,
    ) -> Option<oneshot::Receiver<T>> {
        let (done, answer) = oneshot::channel();
        self.open.get()?.words.send(word(done)).await.ok()?;
        Some(answer)
    }

    /// What another office tells. While nobody is here it concerns nobody: who comes first asks.
    async fn told(&self, body: &[u8]) -> Result<(), Undelivered> {
        let Some(letter) = Letter::read(body).map(Box::new) else {
            self.face.metrics.refuse("curia_office");
            return Err(Undelivered::Refused("no word of an office".to_owned()));
        };
        if !letter.is_of(self.face.bus.name()) {
            self.tell(|done| Word::Told { letter, done }).await;
        }
        Ok(())
    }

    /// The texts are those of the program that runs today (Curia's `server.ts`).
    async fn admit(&self, token: Option<String>, hello: &Hello<'_>) -> Result<Accepted, Refused> {
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Refused::new("Authentication token required"))?;
        let claims = self.face.keys.claims(&token, &self.face.clock).map_err(|denied| {
            self.face.metrics.refuse(denied.word());
            tracing::debug!(%denied, "a token of the forum was refused");
            Refused::new("Authentication failed")
        })?;
        let open = self.open().await.map_err(|error| {
            tracing::error!(%error, "the forum could not be opened");
            Refused::new("Server configuration error")
        })?;
        let claims = Arc::new(claims);
        let (words, old) = self.old_rooms(open, hello.since, &claims).await;
        let own = words.own(&claims);
        let community = claims.community.as_deref().unwrap_or_default();
        let person = format!("{community}/{}", claims.person);
        let kind = presence::device_kind(hello.request.user_agent.as_deref().unwrap_or_default());
        Ok(Accepted {
            space: open.space.clone(),
            rooms: named(&own),
            person: Some(person.into()),
            known: true,
            recover: true,
            old_rooms: OldRooms::These(named(&old)),
            state: Arc::new(Guest { claims, kind, own, old }),
        })
    }

    /// The vocabulary of an old session, and those of its boards that may still be entered.
    async fn old_rooms(&self, open: &Open, since: Option<&Since>, claims: &Claims) -> (Words, Vec<String>) {
        let Some(since) = since else { return (Words::Deployed, Vec::new()) };
        let Some(session) = open.space.remembered(since).await else { return (Words::Deployed, Vec::new()) };
        let rooms: Vec<String> = session.rooms.iter().map(ToString::to_string).collect();
        let spoke = rooms.iter().any(|room| Words::is_published(room));
        let words = if spoke { Words::Published } else { Words::Deployed };
        let keys = Keys::reader(self.face.bus.clone(), self.face.metrics.clone());
        let boards = rooms.iter().filter_map(|room| Some(Words::board_of(room)?.1));
        let rules = keys.rules(boards).await;
        let may_enter = |room: &String| {
            let Some((spoken, board)) = Words::board_of(room) else { return false };
            spoken == words && Rule::admits(rules.get(&board).and_then(Option::as_ref), claims).is_ok()
        };
        let old = rooms.into_iter().filter(may_enter).collect();
        (words, old)
    }
}

impl Dialect for Curia {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        Box::pin(async move {
            let auth: Value = serde_json::from_str(hello.auth).unwrap_or(Value::Null);
            // Our own tokens are somebody else's business, and so is Loomio's.
            let bearer = hello.request.bearer.as_deref().filter(|_| hello.request.grant.is_none());
            let bearer = bearer.filter(|_| hello.request.query("channel_token").is_none());
            // Loomio's clients always bring theirs, if only an unknown one; who brings nothing comes to the forum.
            let others = hello.request.grant.is_some() || hello.request.query("channel_token").is_some();
            let brings = auth.get("token").is_some() || bearer.is_some();
            if hello.namespace != "/" || (!brings && others) {
                return None;
            }
            let said = auth.get("token").and_then(Value::as_str).filter(|token| !token.is_empty());
            let token = said.or(bearer).map(str::to_owned);
            Some(self.admit(token, &hello).await)
        })
    }

    fn joined<'a>(&'a self, peer: &'a Peer, recovered: bool, _: Vec<Room>) -> Later<'a, ()> {
        Box::pin(async move {
            let Some(guest) = peer.state::<Guest>() else { return };
            let mut rooms = guest.own.clone();
            if recovered {
                rooms.extend(guest.old.iter().cloned());
            }
            let (peer, kind, claims) = (peer.clone(), guest.kind, guest.claims.clone());
            self.tell(|done| Word::Came { peer, kind, claims, rooms, done }).await;
        })
    }

    fn event<'a>(&'a self, peer: &'a Peer, said: Said) -> Later<'a, ()> {
        Box::pin(async move {
            let first: Option<Value> = said.arguments.first();
            let Some((words, heard)) = said::read(&said.name, first.as_ref()) else {
                return self.face.metrics.refuse("curia_unknown_event");
            };
            let member = peer.member();
            self.tell(|done| Word::Heard { member, words, heard, done }).await;
        })
    }

    fn gone<'a>(&'a self, peer: &'a Peer, _: Reason) -> Later<'a, ()> {
        Box::pin(async move {
            let member = peer.member();
            self.tell(|done| Word::Gone { member, done }).await;
        })
    }
}

/// What a back end publishes.
#[derive(Deserialize)]
struct Emit {
    room: Option<String>,
    event: String,
    payload: Box<RawValue>,
}

fn publication(body: &[u8]) -> Result<Publication, String> {
    let emit: Emit = serde_json::from_slice(body)
        .map_err(|_| "{\"room\",\"event\",\"payload\"} is expected".to_owned())?;
    Publication::new(emit.room.as_deref(), &emit.event, emit.payload).map_err(|why| why.to_string())
}

impl Curia {
    /// Takes a publication in its turn.
    async fn begin_to_publish(&self, message: &Message, id: Option<&str>) -> Result<Begun, Undelivered> {
        if &*message.channel == FORUM_PEOPLE_CHANNEL {
            return self.told(&message.body).await.map(|()| Begun::done(Ok(())));
        }
        let publications = match &*message.channel {
            FORUM_CHANNEL => publication(&message.body).map(|one| vec![one]),
            channel => emitted::publications(channel, &message.body),
        };
        let publications = publications.map_err(|why| {
            self.face.metrics.refuse("curia_publication");
            Undelivered::Refused(why)
        })?;
        if publications.is_empty() {
            return Ok(Begun::done(Ok(())));
        }
        self.open().await.map_err(|error| Undelivered::Failed(error.to_string()))?;
        let id = id.map(str::to_owned);
        let answer = self.begin_to_tell(|done| Word::Published { publications, id, done }).await;
        let ended = || Undelivered::Failed("the forum has ended".to_owned());
        let answer = answer.ok_or_else(ended)?;
        Ok(Begun::until(async move { answer.await.unwrap_or_else(|_| Err(ended())) }))
    }
}

impl Consumer for Curia {
    fn begin<'a>(&'a self, message: &'a Message, id: Option<&'a str>) -> Beginning<'a> {
        Box::pin(async move {
            self.begin_to_publish(message, id).await.unwrap_or_else(|why| Begun::done(Err(why)))
        })
    }

    /// What other offices told meanwhile is asked for.
    fn missed(&self, missed: Missed) {
        tracing::warn!(?missed, "what was said to the forum elsewhere was missed");
        if let Some(open) = self.open.get() {
            // A full mailbox: they tell of their people again anyway.
            let _ = open.words.try_send(Word::Missed);
        }
    }
}
