//! One publication in the words of both vocabularies: which event says the same, with what, and where.
//!
//! Owns the table of equal meanings. Does not decide who of a community may hear it.

use serde_json::{Value, json};

use super::super::rules::{Rule, id};
use super::super::words::Words;
use super::{Facts, Publication, Reach};

impl Publication {
    /// The event's name for those who speak as today, and its payload if that changes. `None`: they have no such event.
    pub(super) fn deployed(&self) -> Option<(&str, Option<Value>)> {
        let read = &self.read;
        let with = |payload: Value| {
            let mut payload = payload;
            let known = [("communityId", self.community()), ("board_id", self.board())];
            for (key, value) in known {
                if let (Value::Object(fields), Some(value)) = (&mut payload, value)
                    && !fields.contains_key(key)
                {
                    fields.insert(key.to_owned(), value.into());
                }
            }
            Some(payload)
        };
        match self.event.as_str() {
            "board:newPost" => {
                let mut post = read.get("post").unwrap_or(read).clone();
                let author = read.get("author");
                let said = |key: &str| author.and_then(|author| author.get(key)).cloned();
                if let Value::Object(fields) = &mut post {
                    for (ours, theirs) in [
                        ("author_user_id", "id"),
                        ("author_name", "name"),
                        ("author_profile_picture_url", "picture"),
                    ] {
                        if let Some(value) = said(theirs) {
                            fields.entry(ours).or_insert(value);
                        }
                    }
                }
                Some(("newPost", with(post)))
            }
            "post:voteAdded" | "post:voteRemoved" | "post:voteChanged" => {
                Some(("voteUpdate", with(read.clone())))
            }
            "post:newComment" => {
                let mut payload = read.clone();
                if let (Value::Object(fields), Some(post)) = (&mut payload, self.post()) {
                    fields.entry("postId").or_insert_with(|| post.into());
                }
                Some(("newComment", with(payload)))
            }
            "board:settingsChanged" => Some(("boardSettingsChanged", Some(read.clone()))),
            event if event.starts_with("board:") || event.starts_with("post:") => None,
            event if event.starts_with("typing:") || event.starts_with("user:") => None,
            event => Some((event, None)),
        }
    }

    /// Where a translated event is heard by those who speak as today.
    pub(super) fn translated_rooms(&self, facts: &Facts) -> Vec<String> {
        let (words, board) = (Words::Deployed, facts.board.as_ref());
        let home = facts.rule.as_ref().and_then(|rule| rule.community.clone()).or_else(|| self.community());
        let mut rooms = match home {
            Some(home) => Rule::audience(facts.rule.as_ref(), words, &home, true),
            None => Vec::new(),
        };
        rooms.extend(board.map(|board| words.board(board)));
        rooms
    }

    /// The events of the published design that say the same; empty: it has none, and the event keeps its name.
    pub(super) fn published(&self) -> Vec<(&str, Option<Value>)> {
        let read = &self.read;
        let votes = || json!({ "postId": self.read.get("postId"), "newCount": self.read.get("newCount") });
        let author = |of: &Value| {
            json!({
                "id": of.get("author_user_id"),
                "name": of.get("author_name"),
                "picture": of.get("author_profile_picture_url"),
            })
        };
        match self.event.as_str() {
            "newPost" => vec![("board:newPost", Some(json!({ "post": read, "author": author(read) })))],
            "voteUpdate" => vec![("post:voteChanged", Some(votes()))],
            // The design's own client listens to this one.
            "post:voteAdded" | "post:voteRemoved" => {
                vec![(self.event.as_str(), None), ("post:voteChanged", Some(votes()))]
            }
            "newComment" => {
                let comment = read.get("comment").unwrap_or(&Value::Null);
                let payload = json!({ "comment": comment, "author": author(comment) });
                vec![("post:newComment", Some(payload))]
            }
            "boardSettingsChanged" => vec![("board:settingsChanged", None)],
            "userTyping" => Vec::new(),
            event if ["board:", "post:", "typing:", "user:"].iter().any(|kind| event.starts_with(kind)) => {
                vec![(event, None)]
            }
            _ => Vec::new(),
        }
    }

    /// Where the published design says such an event.
    pub(super) fn published_rooms(&self, event: &str, facts: &Facts) -> Vec<String> {
        let words = Words::Published;
        let post = || self.post().or_else(|| id(self.read.get("postId")));
        match (event, &facts.board) {
            ("post:newComment" | "post:commentDeleted" | "typing:start" | "typing:stop", Some(board)) => {
                post().map_or_else(|| vec![words.typing(board)], |post| vec![words.post(board, &post)])
            }
            (_, Some(board)) if event.starts_with("board:") || event.starts_with("post:") => {
                vec![words.board(board)]
            }
            _ => self.named_room(words, Reach::Around, false, facts),
        }
    }
}
