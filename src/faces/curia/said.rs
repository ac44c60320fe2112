//! What clients say, in either vocabulary, read without trusting any of it.

use serde_json::Value;

use super::rules::id;
use super::typing::Spot;
use super::words::Words;

/// An id, and how the client wrote it: numbers are answered as numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) id: String,
    pub(super) json: String,
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// To look at a board. `None`: what it named cannot be one.
    Join(Option<Id>),
    /// To look away.
    Leave(Id),
    /// It writes there; without a board, on the one it looks at.
    Writes { board: Option<Id>, post: Option<Id>, context: &'static str },
    /// It writes nowhere any more.
    WritesNoMore,
    /// To look at a post.
    JoinPost { board: Option<Id>, post: Id },
    /// To look away from it.
    LeavePost { post: Id },
    /// An administrator says that a board's settings are others now.
    Changed(Id),
    /// Nothing that is understood, under a name that is.
    Nothing,
}

/// Reads an event. `None`: neither vocabulary has it.
pub(super) fn read(name: &str, first: Option<&Value>) -> Option<(Words, Heard)> {
    let null = Value::Null;
    let first = first.unwrap_or(&null);
    let of = |key: &str| named(first.get(key));
    // The design gives an id; some clients an object with it.
    let board = || named(Some(first)).or_else(|| of("boardId"));
    let post = || named(Some(first)).or_else(|| of("postId"));
    let (deployed, published) = (Words::Deployed, Words::Published);
    Some(match name {
        "joinBoard" => (deployed, Heard::Join(number(first))),
        "leaveBoard" => (deployed, named(Some(first)).map_or(Heard::Nothing, Heard::Leave)),
        "typing" => (deployed, typing(first)),
        "board:join" => (published, Heard::Join(board())),
        "board:leave" => (published, board().map_or(Heard::Nothing, Heard::Leave)),
        "board:settingsChanged" => (published, board().map_or(Heard::Nothing, Heard::Changed)),
        "post:join" => {
            let join = post().map(|post| Heard::JoinPost { board: of("boardId"), post });
            (published, join.unwrap_or(Heard::Nothing))
        }
        "post:leave" => (published, post().map_or(Heard::Nothing, |post| Heard::LeavePost { post })),
        "typing:start" => {
            let context = if of("postId").is_some() { "comment" } else { "post" };
            (published, Heard::Writes { board: of("boardId"), post: of("postId"), context })
        }
        "typing:stop" => (published, Heard::WritesNoMore),
        "user:online" => (published, Heard::Nothing),
        _ => return None,
    })
}

/// `{boardId, postId?, isTyping, context?}` (Curia's `server.ts`).
fn typing(said: &Value) -> Heard {
    let post = named(said.get("postId"));
    let context = match said.get("context").and_then(Value::as_str) {
        Some("comment") => "comment",
        Some("post") => "post",
        _ if post.is_some() => "comment",
        _ => "post",
    };
    match (said.get("isTyping"), named(said.get("boardId"))) {
        (Some(Value::Bool(true)), Some(board)) => Heard::Writes { board: Some(board), post, context },
        (Some(Value::Bool(false)), _) => Heard::WritesNoMore,
        _ => Heard::Nothing,
    }
}

fn named(value: Option<&Value>) -> Option<Id> {
    Some(Id { id: id(value)?, json: value?.to_string() })
}

/// A number or its text, as the program that runs today wants it.
fn number(value: &Value) -> Option<Id> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    Some(Id { id: number.to_string(), json: number.to_string() })
}

impl Id {
    /// As it is answered.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_else(|_| self.id.clone().into())
    }

    /// Where somebody writes.
    pub(super) fn spot(&self, post: Option<&Self>, context: &'static str) -> Spot {
        Spot {
            board: self.id.clone(),
            post: post.map(|post| post.id.clone()),
            context,
            board_json: self.json.clone(),
            post_json: post.map(|post| post.json.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(name: &str, first: &str) -> Option<(Words, Heard)> {
        let first = serde_json::from_str(first).ok();
        read(name, first.as_ref())
    }

    fn an_id(json: &str) -> Id {
        Id { id: json.trim_matches('"').into(), json: json.into() }
    }

    #[test]
    fn both_vocabularies_are_understood() {
        let (deployed, published) = (Words::Deployed, Words::Published);
        let writes = |board: Option<&str>, post: Option<&str>, context| Heard::Writes {
            board: board.map(an_id),
            post: post.map(an_id),
            context,
        };
        for (name, first, words, wanted) in [
            ("joinBoard", "5", deployed, Heard::Join(Some(an_id("5")))),
            ("joinBoard", "\"5\"", deployed, Heard::Join(Some(an_id("5")))),
            ("leaveBoard", "5", deployed, Heard::Leave(an_id("5"))),
            ("typing", r#"{"boardId":5,"isTyping":true}"#, deployed, writes(Some("5"), None, "post")),
            (
                "typing",
                r#"{"boardId":5,"postId":9,"isTyping":true}"#,
                deployed,
                writes(Some("5"), Some("9"), "comment"),
            ),
            ("typing", r#"{"boardId":5,"isTyping":false}"#, deployed, Heard::WritesNoMore),
            ("board:join", "\"roads\"", published, Heard::Join(Some(an_id("\"roads\"")))),
            ("board:join", r#"{"boardId":5}"#, published, Heard::Join(Some(an_id("5")))),
            ("board:leave", "5", published, Heard::Leave(an_id("5"))),
            ("board:settingsChanged", r#"{"boardId":5}"#, published, Heard::Changed(an_id("5"))),
            ("post:join", "9", published, Heard::JoinPost { board: None, post: an_id("9") }),
            (
                "post:join",
                r#"{"postId":9,"boardId":5}"#,
                published,
                Heard::JoinPost { board: Some(an_id("5")), post: an_id("9") },
            ),
            ("post:leave", "9", published, Heard::LeavePost { post: an_id("9") }),
            ("typing:start", r#"{"postId":"9"}"#, published, writes(None, Some("\"9\""), "comment")),
            ("typing:start", "{}", published, writes(None, None, "post")),
            ("typing:stop", "", published, Heard::WritesNoMore),
        ] {
            assert_eq!(heard(name, first), Some((words, wanted)), "{name} {first}");
        }
        assert_eq!(heard("newPost", "{}"), None, "what back ends say is not a client's to say");
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        for first in ["", "null", "{}", "[]", "true", "-1", "1.5", "\"\"", "{\"boardId\":null}", "[null]"] {
            assert_eq!(heard("joinBoard", first), Some((Words::Deployed, Heard::Join(None))), "{first}");
            assert_eq!(heard("board:join", first), Some((Words::Published, Heard::Join(None))), "{first}");
            for name in
                ["leaveBoard", "typing", "board:leave", "board:settingsChanged", "post:join", "post:leave"]
            {
                let (_, heard) = heard(name, first).unwrap();
                assert_eq!(heard, Heard::Nothing, "{name} {first}");
            }
        }
        let long = format!("\"{}\"", "x".repeat(10_000));
        assert_eq!(heard("board:join", &long), Some((Words::Published, Heard::Join(None))));
        assert_eq!(heard("joinBoard", "\"5; drop\""), Some((Words::Deployed, Heard::Join(None))));
    }
}
