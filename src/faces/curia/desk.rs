//! The one task that owns the forum: what comes in is done in the order in which it came.
//!
//! Owns the way from a decision to the space, the bus and the sockets. Does not decide, and does not wait for the disk:
//! whoever told it something is answered when that is done, and the next one is heard meanwhile.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::forum::offices::Letter;
use super::forum::{Asks, Do, Forum, Pace};
use super::keys::{Keys, partners_in};
use super::news::{Facts, Publication, Refused, Saying};
use super::presence::Seat;
use super::rules::{Rule, id};
use super::said::Heard;
use super::words::Words;
use crate::auth::Claims;
use crate::bus::{BusError, Undelivered};
use crate::clock::Clock;
use crate::config::limits::{FORUM_MAILBOX, FORUM_TICK};
use crate::faces::sio::{Arguments, Peer};
use crate::rooms::space::{self, Except, MemberId, Room, Say, Space, SpaceError};
use crate::telemetry::Metrics;

/// What the forum is told.
pub(super) enum Word {
    /// Somebody came, and is in these rooms.
    Came {
        peer: Peer,
        kind: &'static str,
        claims: Arc<Claims>,
        rooms: Vec<String>,
        done: oneshot::Sender<()>,
    },
    /// A client said something.
    Heard { member: MemberId, words: Words, heard: Heard, done: oneshot::Sender<()> },
    /// Somebody is gone.
    Gone { member: MemberId, done: oneshot::Sender<()> },
    /// Another office tells something.
    Told { letter: Box<Letter>, done: oneshot::Sender<()> },
    /// What other offices said may have been missed.
    Missed,
    /// The forum ends: what waits is said.
    End { done: oneshot::Sender<()> },
    /// A back end says something, under its own name for it; several are one thing said in several rooms.
    Published {
        publications: Vec<Publication>,
        id: Option<String>,
        done: oneshot::Sender<Result<(), Undelivered>>,
    },
}

/// What was begun in its order and is not on disk yet; who begins waits for it, so there is no more than speakers.
type UnderWay = Vec<Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>>;

/// Everything the task needs.
pub(super) struct Desk {
    forum: Forum,
    space: Space,
    keys: Keys,
    clock: Clock,
    metrics: Metrics,
    seats: HashMap<MemberId, Seat>,
    peers: HashMap<Seat, Peer>,
    last: Seat,
}

/// Starts the task; it ends when nobody can tell it anything any more.
pub(super) fn start(
    pace: Pace,
    space: Space,
    keys: Keys,
    clock: Clock,
    metrics: Metrics,
) -> mpsc::Sender<Word> {
    let (words, mailbox) = mpsc::channel(FORUM_MAILBOX);
    let forum = Forum::new(pace);
    let (seats, peers) = (HashMap::new(), HashMap::new());
    let desk = Desk { forum, space, keys, clock, metrics, seats, peers, last: 0 };
    tokio::spawn(desk.run(mailbox));
    words
}

impl Desk {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Word>) {
        self.take(Word::Missed).await;
        let mut tick = tokio::time::interval(FORUM_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let word = if self.forum.is_quiet() {
                mailbox.recv().await
            } else {
                tokio::select! {
                    word = mailbox.recv() => word,
                    _ = tick.tick() => {
                        let todo = self.forum.tick(self.clock.now_ms());
                        self.act_for(todo, None).await;
                        continue;
                    }
                }
            };
            let Some(word) = word else { return };
            // A word on which it fails is lost alone: everybody else goes on being heard.
            if AssertUnwindSafe(self.take(word)).catch_unwind().await.is_err() {
                tracing::error!("the forum failed on what it was told");
            }
        }
    }

    async fn take(&mut self, word: Word) {
        let now_ms = self.clock.now_ms();
        match word {
            Word::Came { peer, kind, claims, rooms, done } => {
                self.last += 1;
                let seat = self.last;
                self.seats.insert(peer.member(), seat);
                let socket = peer.sid().clone();
                self.peers.insert(seat, peer);
                let boards = self.forum.boards_of(&claims, &rooms, now_ms);
                let rules = self.rules(boards).await;
                let look = |board: &str| rules.get(board).cloned();
                let todo = self.forum.enter(seat, (&socket, kind), &claims, &rooms, &look, now_ms);
                self.act_for(todo, Some(done)).await;
            }
            Word::Heard { member, words, heard, done } => {
                let Some(&seat) = self.seats.get(&member) else { return };
                let Asks { person, kinds, board } = self.forum.asks(seat, &heard, now_ms);
                let counting = join_all(kinds.iter().map(|kind| self.keys.count(&person, kind)));
                let (counts, rules) = join(counting, self.rules(board)).await;
                for (kind, count) in kinds.into_iter().zip(counts) {
                    if let Some(count) = count {
                        self.forum.counted_elsewhere(&person, kind, count, now_ms);
                    }
                }
                let look = |board: &str| rules.get(board).cloned();
                let todo = self.forum.hear(seat, words, heard, &look, now_ms);
                self.act_for(todo, Some(done)).await;
            }
            Word::Gone { member, done } => {
                let Some(seat) = self.seats.remove(&member) else { return };
                self.peers.remove(&seat);
                let todo = self.forum.gone(seat, now_ms);
                self.act_for(todo, Some(done)).await;
            }
            Word::Told { letter, done } => {
                let rules = self.rules(self.forum.boards_told_of(&letter)).await;
                let look = |board: &str| rules.get(board).cloned();
                let todo = self.forum.hear_office(*letter, &look, now_ms);
                self.act_for(todo, Some(done)).await;
            }
            Word::Missed => {
                let todo = self.forum.meet_offices(now_ms);
                self.act_for(todo, None).await;
            }
            Word::End { done } => {
                let todo = self.forum.end();
                self.act_for(todo, Some(done)).await;
            }
            Word::Published { publications, id, done } => {
                match self.publish_all(publications, id, now_ms).await {
                    Ok(under_way) => {
                        end(under_way, |ended| drop(done.send(ended)));
                    }
                    Err(why) => drop(done.send(Err(why))),
                }
            }
        }
    }

    /// The rules of these boards: as the bus says, or, where nobody can tell, as people sit there.
    async fn rules(&self, boards: impl IntoIterator<Item = String>) -> HashMap<String, Rule> {
        let boards: Vec<String> = boards.into_iter().collect();
        let said = self.keys.rules(boards.iter().cloned()).await;
        let rule = |board: String| {
            let rule = said.get(&board).cloned().unwrap_or_else(|| self.forum.last_known(&board));
            Some((board, rule?))
        };
        boards.into_iter().filter_map(rule).collect()
    }

    /// Does it all, in order, for somebody who is told when it is done, on disk too.
    async fn act_for(&mut self, todo: Vec<Do>, done: Option<oneshot::Sender<()>>) {
        let under_way = self.act(todo).await;
        end(under_way, |_| {
            if let Some(done) = done {
                done.send(()).ok();
            }
        });
    }

    /// Says it in every room that was named; who is in several hears it once.
    async fn publish_all(
        &mut self,
        publications: Vec<Publication>,
        name: Option<String>,
        now_ms: u64,
    ) -> Result<UnderWay, Undelivered> {
        let (mut told, many) = (Vec::new(), publications.len() > 1);
        let mut under_way = UnderWay::new();
        for (number, publication) in publications.into_iter().enumerate() {
            let name = name.as_ref().map(|name| if many { format!("{name}#{number}") } else { name.clone() });
            let mut todo = match self.publish(publication, name, now_ms).await {
                // It is for the other rooms.
                Err(Refused::Nobody) if many => continue,
                todo => todo?,
            };
            once(&mut todo, &mut told);
            under_way.extend(self.act(todo).await);
        }
        Ok(under_way)
    }

    async fn publish(
        &mut self,
        publication: Publication,
        name: Option<String>,
        now_ms: u64,
    ) -> Result<Vec<Do>, Refused> {
        if publication.event == "community:partnersChanged" {
            let community = id(publication.read.get("communityId"));
            let partners = publication.read.get("partners").filter(|partners| partners.is_array());
            let (community, partners) = community.zip(partners).ok_or(Refused::Partners)?;
            self.keys.keep_partners(&community, &partners_in(partners)).await.map_err(not_kept)?;
            return Ok(Vec::new());
        }
        let board = self.forum.board_of(&publication);
        let community = publication.community();
        let asking = async {
            match &community {
                Some(community) => self.keys.partners(community).await,
                None => Vec::new(),
            }
        };
        let (rules, partners) = join(self.rules(board.clone()), asking).await;
        let mut rule = rules.into_values().next();
        // What is said of who may enter is kept before anybody hears it.
        if let Some((board, said)) = publication.rule_said(rule.as_ref()) {
            self.keys.keep_rule(&board, &said).await.map_err(not_kept)?;
            rule = Some(said);
        }
        let facts = Facts { board, rule, partners };
        self.forum.publish(publication, facts, name, now_ms)
    }

    /// Begins it all, in order.
    async fn act(&mut self, todo: Vec<Do>) -> UnderWay {
        let mut under_way = UnderWay::new();
        for one in todo {
            match one {
                Do::Enter(seat, rooms) => {
                    if let Some(peer) = self.peers.get(&seat) {
                        let entered = self.space.begin_to_enter(peer.member(), named(&rooms)).await;
                        under_way.push(Box::pin(entered.map(Ok)));
                    }
                }
                Do::Exit(seat, rooms) => {
                    if let Some(peer) = self.peers.get(&seat) {
                        let left = self.space.begin_to_exit(peer.member(), named(&rooms)).await;
                        under_way.push(Box::pin(left.map(Ok)));
                    }
                }
                Do::Tell(seat, event, value) => {
                    if let Some(peer) = self.peers.get(&seat) {
                        peer.emit(event, &Arguments::of(&value));
                    }
                }
                Do::Say { saying, except, keep, id } => {
                    let say = self.say(saying, except, keep, id);
                    // Without a room it would be said to everybody.
                    if !say.to.is_empty() {
                        let begun = self.space.begin_to_say(say).await;
                        under_way.push(Box::pin(said(begun)));
                    }
                }
                Do::Close(seat) => {
                    if let Some(peer) = self.peers.get(&seat) {
                        // What is said from here on it hears when it is back.
                        self.space.leave(peer.member(), true).await;
                        peer.reconnect();
                    }
                }
                Do::Pass(word) => self.keys.tell(word),
                Do::Key(key, change) => self.keys.change(key, change),
                Do::Count(reason) => self.metrics.refuse(reason),
            }
        }
        under_way
    }

    fn say(&self, saying: Saying, except: Option<Seat>, keep: bool, id: Option<String>) -> Say {
        let speaker = except.and_then(|seat| self.peers.get(&seat));
        let rooms = named(&saying.except).into_iter().map(Except::Room);
        Say {
            to: named(&saying.to),
            except: rooms.chain(speaker.map(|peer| Except::Member(peer.member()))).collect(),
            name: saying.event.into(),
            body: Bytes::from(saying.body),
            attachments: Vec::new(),
            keep,
            id,
        }
    }
}

fn not_kept(error: BusError) -> Refused {
    Refused::NotKept(error.0)
}

/// Waits until it is said, and notes why it could not be.
async fn said(
    begun: Result<impl Future<Output = Result<space::Said, SpaceError>>, SpaceError>,
) -> Result<(), Undelivered> {
    let said = match begun {
        Ok(said) => said.await,
        Err(error) => Err(error),
    };
    said.map(drop).map_err(|error| {
        tracing::warn!(%error, "the forum could not say something");
        let why = error.to_string();
        if error.is_final() { Undelivered::Refused(why) } else { Undelivered::Failed(why) }
    })
}

/// Waits elsewhere until all of it is done, or the first part of it failed, and says so.
fn end(under_way: UnderWay, done: impl FnOnce(Result<(), Undelivered>) + Send + 'static) {
    if under_way.is_empty() {
        return done(Ok(()));
    }
    tokio::spawn(async move {
        let mut ended = Ok(());
        for one in under_way {
            ended = ended.and(one.await);
        }
        done(ended);
    });
}

/// Leaves out whoever was told the same before; and notes who is told now.
fn once(todo: &mut [Do], told: &mut Vec<(String, Vec<String>)>) {
    let before = told.len();
    for one in todo {
        let Do::Say { saying, .. } = one else { continue };
        let (earlier, _) = told.split_at(before);
        let same = earlier.iter().filter(|(event, _)| *event == saying.event);
        saying.except.extend(same.flat_map(|(_, rooms)| rooms.iter().cloned()));
        told.push((saying.event.clone(), saying.to.clone()));
    }
}

/// Rooms by their names; one whose name is too long is nobody's.
pub(super) fn named(rooms: &[String]) -> Vec<Room> {
    rooms.iter().filter_map(|room| Room::new(room).ok()).collect()
}
