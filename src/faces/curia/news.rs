//! From a publication of the application to what is said in which rooms.
//!
//! Owns the table of events and the translation between the two vocabularies. The application's own payload is never
//! changed for those who know the event by the name it came under; partner communities get it with four keys more
//! (Curia's `server.ts`). Who may not read a board does not hear of it, whatever room was named.

mod translation;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::rules::{Rule, id};
use super::words::{Target, Words};
use crate::bus::Undelivered;
use crate::config::limits::FORUM_EVENT_NAME_MAX_BYTES;

/// What a back end says.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    pub(super) room: Option<Target>,
    pub(super) event: String,
    pub(super) payload: Box<RawValue>,
    /// The payload, read.
    pub(super) read: Value,
    /// Whoever is in one of these does not hear it.
    pub(super) except: Vec<Target>,
    /// Whether who is away hears it later.
    pub(super) keep: bool,
}

/// Why a publication is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("an event has a name of 1 to {FORUM_EVENT_NAME_MAX_BYTES} bytes")]
    Event,
    #[error("a room is community:<id>, community:<id>:admins, board:<id>, post:<id> or typing:<id>")]
    Room,
    #[error("name a room, or a communityId in the payload")]
    Nowhere,
    #[error("the board of the post is not known: say boardId in the payload")]
    BoardUnknown,
    #[error("nobody could hear it: name a room where this event is said, its community or its board")]
    Nobody,
    #[error("communityId and partners are expected")]
    Partners,
    /// Who may enter, or who the partners are, has to be on disk before anybody is told.
    #[error("what it says could not be kept: {0}")]
    NotKept(String),
}

impl From<Refused> for Undelivered {
    fn from(why: Refused) -> Self {
        match why {
            Refused::NotKept(_) => Self::Failed(why.to_string()),
            why => Self::Refused(why.to_string()),
        }
    }
}

/// What is known beside the publication.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The board it is about.
    pub(super) board: Option<String>,
    /// That board's rule, if it is known.
    pub(super) rule: Option<Rule>,
    /// Partners of the community that allow notifications.
    pub(super) partners: Vec<String>,
}

/// Something said in rooms: each member hears it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) to: Vec<String>,
    pub(super) except: Vec<String>,
    pub(super) event: String,
    pub(super) body: String,
}

/// Where an event goes, beside the room that was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Rule R: the community and its partners.
    Around,
    /// Rule R and the board's room.
    AroundAndBoard,
    /// The named room, if it is a community's, and the payload's community.
    Home,
    /// The board's room only.
    Board,
    /// The administrators only.
    Admins,
}

/// The events of the program that runs today (Curia's `server.ts`); others that name a community go to it and to its
/// partners.
const DEPLOYED: &[(&str, Reach)] = &[
    ("newPost", Reach::Around),
    ("voteUpdate", Reach::Around),
    ("reactionUpdate", Reach::Around),
    ("commentReactionUpdate", Reach::AroundAndBoard),
    ("newComment", Reach::Around),
    ("newBoard", Reach::Around),
    ("postDeleted", Reach::Around),
    ("partnershipInviteReceived", Reach::Admins),
    ("partnershipStatusChanged", Reach::Admins),
    ("partnershipUpdate", Reach::Admins),
    ("boardImported", Reach::Around),
    ("boardImportUndone", Reach::Around),
    ("sharedBoardRemoved", Reach::Around),
    ("newLock", Reach::Home),
    ("lockUpdated", Reach::Home),
    ("lockDeleted", Reach::Home),
    ("lockUsed", Reach::Home),
    ("postLockApplied", Reach::Board),
    ("postLockRemoved", Reach::Board),
    ("boardSettingsChanged", Reach::Home),
];

/// Events that count votes: the newest stands for all of its kind.
pub(super) fn is_vote(event: &str) -> bool {
    matches!(event, "voteUpdate" | "post:voteAdded" | "post:voteRemoved" | "post:voteChanged")
}

impl Publication {
    /// Takes a publication as it came.
    pub(super) fn new(room: Option<&str>, event: &str, payload: Box<RawValue>) -> Result<Self, Refused> {
        if event.is_empty() || event.len() > FORUM_EVENT_NAME_MAX_BYTES {
            return Err(Refused::Event);
        }
        let room = room.map(|room| Target::read(room).ok_or(Refused::Room)).transpose()?;
        let read = serde_json::from_str(payload.get()).unwrap_or(Value::Null);
        Ok(Self { room, event: event.to_owned(), payload, read, except: Vec::new(), keep: true })
    }

    fn inner(&self, keys: &[&str]) -> Option<String> {
        let objects = [Some(&self.read), self.read.get("comment"), self.read.get("post")];
        objects.into_iter().flatten().find_map(|object| keys.iter().find_map(|key| id(object.get(*key))))
    }

    /// The community it is about.
    pub(super) fn community(&self) -> Option<String> {
        let said = id(self.read.get("communityId")).or_else(|| id(self.read.get("community_id")));
        said.or_else(|| match &self.room {
            Some(Target::Community(community) | Target::Admins(community)) => Some(community.clone()),
            _ => None,
        })
    }

    /// The board it names.
    pub(super) fn board(&self) -> Option<String> {
        if let Some(Target::Board(board) | Target::Typing(board)) = &self.room {
            return Some(board.clone());
        }
        let row = self.read.get("board").and_then(|board| id(board.get("id")));
        let named = self.inner(&["board_id", "boardId", "sourceBoardId"]).or(row);
        // The row of an import has an id of its own.
        named.or_else(|| id(self.read.get("importedBoard")?.get("source_board_id")))
    }

    /// The rule that a board has because of it, if it says one. `before`: the rule it had.
    pub(super) fn rule_said(&self, before: Option<&Rule>) -> Option<(String, Rule)> {
        let imported = match self.event.as_str() {
            "board:settingsChanged" | "boardSettingsChanged" | "newBoard" => {
                return Rule::in_news(&self.read, before);
            }
            "boardImported" => true,
            "boardImportUndone" | "sharedBoardRemoved" => false,
            _ => return None,
        };
        let by = id(self.read.get("communityId"))?;
        Some((self.board()?, before?.imported(&by, imported)))
    }

    /// The post it names.
    pub(super) fn post(&self) -> Option<String> {
        if let Some(Target::Post(post)) = &self.room {
            return Some(post.clone());
        }
        let said = self.inner(&["postId", "post_id"]);
        said.or_else(|| match self.event.as_str() {
            "newPost" => id(self.read.get("id")),
            "board:newPost" => id(self.read.get("post").and_then(|post| post.get("id"))),
            _ => None,
        })
    }

    /// Everything that is said because of it.
    pub(super) fn sayings(&self, facts: &Facts) -> Result<Vec<Saying>, Refused> {
        let target_post = matches!(self.room, Some(Target::Post(_)));
        let about_post = target_post || self.event.starts_with("post:");
        if about_post && facts.board.is_none() {
            return Err(Refused::BoardUnknown);
        }
        let mut all = Vec::new();
        match self.deployed() {
            Some((event, None)) => all.extend(self.around(Words::Deployed, event, facts)),
            Some((event, Some(payload))) => {
                let to = self.translated_rooms(facts);
                all.push(Saying::new(to, event, payload.to_string()));
            }
            None => {}
        }
        let published = self.published();
        if published.is_empty() {
            all.extend(self.around(Words::Published, &self.event, facts));
        }
        for (event, payload) in published {
            let to = self.published_rooms(event, facts);
            let body = payload.map_or_else(|| self.payload.get().to_owned(), |payload| payload.to_string());
            all.push(Saying::new(to, event, body));
        }
        if self.room.is_none() && self.community().is_none() && facts.board.is_none() {
            return Err(Refused::Nowhere);
        }
        all.retain(|saying| !saying.to.is_empty());
        if all.is_empty() {
            return Err(Refused::Nobody);
        }
        for saying in &mut all {
            saying.except.extend(self.except.iter().flat_map(|room| self.left_out(room, facts)));
        }
        Ok(all)
    }

    /// The rooms of somebody who is left out.
    fn left_out(&self, room: &Target, facts: &Facts) -> Vec<String> {
        let both = [Words::Deployed, Words::Published];
        let rooms = both.into_iter().filter_map(|words| {
            Some(match room {
                Target::Community(community) => words.community(community),
                Target::Admins(community) => words.admins(community),
                Target::Board(board) => words.board(board),
                Target::Typing(board) => words.typing(board),
                Target::Post(post) => words.post(facts.board.as_ref()?, post),
            })
        });
        rooms.collect()
    }

    /// Rule R and its exceptions, in the rooms of one vocabulary.
    fn around(&self, words: Words, event: &str, facts: &Facts) -> Vec<Saying> {
        let known = DEPLOYED.iter().find(|(name, _)| *name == event).map(|(_, reach)| *reach);
        let reach = known.unwrap_or(Reach::Around);
        // One of today's that names a board alone is its community's.
        let own = facts.rule.as_ref().and_then(|rule| rule.community.clone()).filter(|_| known.is_some());
        let community = self.community().or(own);
        let mut home = Vec::new();
        if let Some(community) = &community {
            home = match (reach, &facts.board) {
                (Reach::Board, _) => Vec::new(),
                (Reach::Admins, _) => vec![words.admins(community)],
                // Said to the administrators only, by name: they alone hear it.
                (_, _) if known.is_none() && self.room == Some(Target::Admins(community.clone())) => {
                    vec![words.admins(community)]
                }
                (_, Some(_)) => Rule::audience(facts.rule.as_ref(), words, community, true),
                (_, None) => vec![words.community(community)],
            };
        }
        home.extend(self.named_room(words, reach, known.is_some(), facts));
        if home.is_empty() && known.is_some() && reach != Reach::Admins {
            home.extend(facts.board.as_ref().map(|board| words.board(board)));
        }
        home.sort_unstable();
        home.dedup();
        let mut all = Vec::new();
        let around = matches!(reach, Reach::Around | Reach::AroundAndBoard)
            && self.read.get("communityId").is_some()
            && !matches!(self.room, Some(Target::Admins(_)));
        if around && let Some(copy) = self.partner_copy() {
            for partner in facts.partners.iter().filter(|partner| Some(*partner) != community.as_ref()) {
                let to = match facts.board {
                    Some(_) => Rule::audience(facts.rule.as_ref(), words, partner, false),
                    None => vec![words.community(partner)],
                };
                all.push(Saying::new(to, event, copy.clone()));
            }
        }
        // Who got the partners' copy does not get the other one too.
        let except = all.iter().flat_map(|saying| saying.to.clone()).collect();
        all.push(Saying { except, ..Saying::new(home, event, self.payload.get().to_owned()) });
        all
    }

    /// The rule's own room, and the one the publisher named.
    fn named_room(&self, words: Words, reach: Reach, known: bool, facts: &Facts) -> Vec<String> {
        let mut rooms = Vec::new();
        if let (Reach::AroundAndBoard | Reach::Board, Some(board)) = (reach, &facts.board) {
            rooms.push(words.board(board));
        }
        match &self.room {
            Some(Target::Admins(community)) => rooms.push(words.admins(community)),
            Some(Target::Community(community)) if reach == Reach::Admins => {
                rooms.push(words.admins(community));
            }
            Some(Target::Community(community)) => match facts.board {
                Some(_) => rooms.extend(Rule::audience(facts.rule.as_ref(), words, community, true)),
                None => rooms.push(words.community(community)),
            },
            Some(Target::Board(board)) if !known => rooms.push(words.board(board)),
            Some(Target::Typing(board)) => rooms.push(words.typing(board)),
            Some(Target::Post(post)) => {
                rooms.extend(facts.board.as_ref().map(|board| words.post(board, post)));
            }
            Some(Target::Board(_)) | None => {}
        }
        if reach == Reach::Board {
            rooms.retain(|room| Words::board_of(room).is_some());
        }
        rooms
    }

    /// The payload for partners: what it is, and where it comes from (Curia's `server.ts`).
    fn partner_copy(&self) -> Option<String> {
        let text = self.payload.get().trim_end().strip_suffix('}')?;
        let more = json!({
            "isCrossCommunityNotification": true,
            "sourceCommunityId": self.read.get("communityId")?,
            "sourceCommunityName": "Partner Community",
            "crossCommunityNav": {
                "communityShortId": self.read.get("communityShortId").unwrap_or(&Value::Null),
                "pluginId": self.read.get("pluginId").unwrap_or(&Value::Null),
            },
        })
        .to_string();
        let comma = if text.trim_end().ends_with('{') { "" } else { "," };
        Some(format!("{text}{comma}{}", &more[1..]))
    }
}

impl Saying {
    pub(super) fn new(to: Vec<String>, event: &str, body: String) -> Self {
        Self { to, except: Vec::new(), event: event.to_owned(), body }
    }
}

#[cfg(test)]
mod tests;
