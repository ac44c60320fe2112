//! Who may enter a board, and who may read what happens there.
//!
//! Owns the rule as the bus keeps it (`board_permissions:{id}`). The same rule answers at the join, at every message
//! to the board and for every receiver. A board whose rule is not known is closed: a lost key opens nothing.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::words::Words;
use crate::auth::Claims;
use crate::config::limits::{FORUM_AUDIENCE_MAX, FORUM_ID_MAX_BYTES};

/// Why somebody may not enter, in the words of the program that runs today (Curia's `server.ts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum No {
    #[error("Invalid board ID")]
    NotAnId,
    #[error("Board not found")]
    Unknown,
    #[error("Access denied: invalid user community")]
    Homeless,
    #[error("Access denied: board not accessible")]
    Elsewhere,
    #[error("Access denied: insufficient permissions")]
    Role,
    /// Ours: the design limits, and does not say what is said then.
    #[error("Too many requests")]
    TooMany,
    /// Ours, for the same reason.
    #[error("Too many boards are open")]
    Full,
}

/// Who may enter a board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// The community it belongs to; unsaid, it is not asked.
    pub(super) community: Option<String>,
    /// Communities that show it too.
    pub(super) imported_by: Vec<String>,
    /// Roles that may enter; with none of them everybody may, unless `public` says no.
    pub(super) roles: Vec<String>,
    /// Whether everybody may.
    pub(super) public: Option<bool>,
    /// Its name, for people to read.
    pub(super) name: Option<String>,
}

/// Whether this can be the id of a board, a post or a community.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= FORUM_ID_MAX_BYTES && !id.chars().any(char::is_control)
}

/// An id as JSON writes it: a text or a whole number.
pub(super) fn id(value: Option<&Value>) -> Option<String> {
    let id = match value? {
        Value::String(id) => id.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return None,
    };
    is_id(&id).then_some(id)
}

impl Rule {
    /// Whether everybody in the board's communities may enter.
    pub(super) fn open(&self) -> bool {
        self.public.unwrap_or(self.roles.is_empty())
    }

    /// Whether this person may enter now.
    pub(super) fn admits(rule: Option<&Self>, who: &Claims) -> Result<(), No> {
        let rule = rule.ok_or(No::Unknown)?;
        let community = who.community.as_ref().ok_or(No::Homeless)?;
        if !rule.shown_in(community) {
            return Err(No::Elsewhere);
        }
        let may = who.admin || rule.open() || who.roles.iter().any(|role| rule.roles.contains(role));
        if may { Ok(()) } else { Err(No::Role) }
    }

    /// Whether a community has the board, as its own or imported.
    pub(super) fn shown_in(&self, community: &String) -> bool {
        self.community.as_ref().is_none_or(|own| own == community) || self.imported_by.contains(community)
    }

    /// The same after a community imported the board, or has it no more.
    pub(super) fn imported(&self, by: &String, has: bool) -> Self {
        let mut rule = self.clone();
        rule.imported_by.retain(|community| community != by);
        if has && rule.imported_by.len() < FORUM_AUDIENCE_MAX {
            rule.imported_by.push(by.clone());
        }
        rule
    }

    /// The rooms of a community where the board's news may be read.
    pub(super) fn audience(rule: Option<&Self>, words: Words, community: &String, home: bool) -> Vec<String> {
        match rule {
            Some(rule) if rule.open() => vec![words.community(community)],
            Some(rule) if home || rule.shown_in(community) => {
                let roles = rule.roles.iter().map(|role| words.role(community, role));
                roles.chain([words.admins(community)]).collect()
            }
            None if home => vec![words.admins(community)],
            _ => Vec::new(),
        }
    }

    /// Reads what the bus keeps: an object, or the fields of the design's hash, whose values are texts.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let kept: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        Self::of(&kept)
    }

    /// Reads the fields; one that is not understood makes the rule one that admits administrators only. `None`: whose
    /// board it is is said and not understood, so it is nobody's.
    pub(super) fn of(fields: &Map<String, Value>) -> Option<Self> {
        let mut said = ["communityId", "community_id"].into_iter().filter_map(|key| fields.get(key));
        let community = match said.find(|said| !said.is_null()) {
            Some(said) => Some(id(Some(said))?),
            None => None,
        };
        let roles = list(fields.get("allowedRoles"));
        let public = match fields.get("isPublic") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(public)) => Some(*public),
            Some(Value::String(text)) => Some(text == "true" || text == "1"),
            Some(_) => Some(false),
        };
        let understood = roles.is_some();
        Some(Self {
            community,
            imported_by: list(fields.get("importedBy")).unwrap_or_default(),
            roles: roles.unwrap_or_default(),
            public: if understood { public } else { Some(false) },
            name: fields.get("name").and_then(Value::as_str).filter(|name| is_id(name)).map(str::to_owned),
        })
    }

    /// As the bus keeps it: the design's two fields, and ours beside them.
    pub(super) fn fields(&self) -> Value {
        let mut fields = json!({ "allowedRoles": self.roles, "isPublic": self.open() });
        let ours = [
            ("communityId", self.community.clone().map(Value::from)),
            ("importedBy", (!self.imported_by.is_empty()).then(|| json!(self.imported_by))),
            ("name", self.name.clone().map(Value::from)),
        ];
        for (key, value) in ours {
            if let Some(value) = value {
                fields[key] = value;
            }
        }
        fields
    }

    /// The same as the design's hash: a text for each field.
    pub(super) fn hash(&self) -> Vec<(String, Bytes)> {
        let mut fields = self.fields();
        fields["importedBy"] = json!(self.imported_by);
        let Value::Object(fields) = fields else { return Vec::new() };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        fields.into_iter().map(|(name, value)| (name, text(value).into())).collect()
    }

    /// The board and its rule in news of a changed or a new board: `{boardId, settings}`, or `{board}` with its row.
    /// What the news does not say stays as it was.
    pub(super) fn in_news(payload: &Value, before: Option<&Self>) -> Option<(String, Self)> {
        let row = payload.get("board").unwrap_or(payload);
        let board = id(row.get("boardId").or_else(|| row.get("board_id")).or_else(|| row.get("id")))?;
        let mut fields = match before.map(Self::fields) {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        // Settings come as an object or as its text; roles stand in it, or in its `permissions`.
        let settings = match row.get("settings") {
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            settings => settings.cloned(),
        };
        let inner = settings.as_ref().and_then(|settings| settings.get("permissions")).cloned();
        let parts = [payload.get("board").and(Some(payload)), Some(row), settings.as_ref(), inner.as_ref()];
        let says = |key: &str| parts.iter().flatten().any(|part| part.get(key).is_some());
        if before.is_none() && payload.get("board").is_none() && !says("allowedRoles") && !says("isPublic") {
            return None; // a board that nobody knows is not opened by saying nothing of who may enter
        }
        if says("allowedRoles") {
            // Who may enter is said anew; only settings that say it can open a board.
            fields.remove("isPublic");
        }
        for part in parts {
            let Some(Value::Object(part)) = part else { continue };
            for key in ["allowedRoles", "isPublic", "communityId", "community_id", "importedBy", "name"] {
                if let Some(value) = part.get(key) {
                    fields.insert(key.to_owned(), value.clone());
                }
            }
        }
        Some((board, Self::of(&fields)?))
    }
}

/// A list of ids, also as the text of one; `None` when it is something else or too long.
fn list(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) if items.len() <= FORUM_AUDIENCE_MAX => {
            items.iter().map(|item| id(Some(item))).collect()
        }
        Some(Value::String(text)) if text.is_empty() => Some(Vec::new()),
        Some(Value::String(text)) => {
            let items: Value = serde_json::from_str(text).ok()?;
            items.is_array().then(|| list(Some(&items)))?
        }
        Some(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::limits::JWT_ID_MAX_BYTES;

    /// A person of a community.
    pub(in super::super) fn person(name: &str, community: &str, roles: &[&str], admin: bool) -> Claims {
        Claims {
            person: name.to_owned(),
            device: Some(format!("{name}-device")),
            community: (!community.is_empty()).then(|| community.to_owned()),
            admin,
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            name: Some(name.to_uppercase()),
            picture: None,
            community_short_id: None,
            plugin_id: None,
            expires_at_ms: u64::MAX,
        }
    }

    fn rule(text: &str) -> Option<Rule> {
        Rule::read(text.as_bytes())
    }

    #[test]
    fn who_may_enter_a_board() {
        let gated =
            rule(r#"{"allowedRoles":"[\"clerk\"]","isPublic":"false","communityId":"7","importedBy":["8"]}"#);
        let open = rule(r#"{"communityId":7}"#);
        let bare = rule(r#"{"allowedRoles":["clerk"]}"#);
        let shut = rule(r#"{"isPublic":"false","communityId":"7"}"#);
        let odd = rule(r#"{"allowedRoles":"clerk","communityId":"7"}"#);
        let no = |no: No| Err(no);
        for (board, roles, community, admin, answer) in [
            (&gated, &["clerk"][..], "7", false, Ok(())),
            (&gated, &["cook", "clerk"], "7", false, Ok(())),
            (&gated, &["cook"], "7", false, no(No::Role)),
            (&gated, &[], "7", false, no(No::Role)),
            (&gated, &[], "7", true, Ok(())),
            (&gated, &["clerk"], "8", false, Ok(())),
            (&gated, &[], "8", true, Ok(())),
            (&gated, &["clerk"], "9", false, no(No::Elsewhere)),
            (&gated, &["clerk"], "9", true, no(No::Elsewhere)),
            (&gated, &["clerk"], "", true, no(No::Homeless)),
            (&open, &[], "7", false, Ok(())),
            (&open, &[], "9", false, no(No::Elsewhere)),
            (&bare, &["clerk"], "9", false, Ok(())),
            (&bare, &[], "7", false, no(No::Role)),
            (&shut, &["clerk"], "7", false, no(No::Role)),
            (&shut, &[], "7", true, Ok(())),
            (&odd, &["clerk"], "7", false, no(No::Role)),
            (&None, &["clerk"], "7", true, no(No::Unknown)),
        ] {
            let who = person("ann", community, roles, admin);
            assert_eq!(Rule::admits(board.as_ref(), &who), answer, "{board:?} {who:?}");
        }
    }

    #[test]
    fn who_may_read_of_a_board() {
        let words = Words::Deployed;
        let gated = rule(r#"{"allowedRoles":["clerk"],"communityId":"7","importedBy":["8"]}"#);
        let open = rule(r#"{"communityId":"7"}"#);
        let mine = |rule: &Option<Rule>, community: &str, home| {
            Rule::audience(rule.as_ref(), words, &community.to_owned(), home)
        };
        let (role, admins) = (|c: &str| words.role(c, "clerk"), |c: &str| words.admins(c));
        assert_eq!(mine(&open, "7", true), [words.community("7")]);
        assert_eq!(mine(&open, "9", false), [words.community("9")], "partners hear of open boards");
        assert_eq!(mine(&gated, "7", true), [role("7"), admins("7")]);
        assert_eq!(mine(&gated, "8", false), [role("8"), admins("8")], "it is imported there");
        assert!(mine(&gated, "9", false).is_empty());
        assert_eq!(mine(&None, "7", true), [admins("7")], "what is not known is closed");
        assert!(mine(&None, "9", false).is_empty());
    }

    #[test]
    fn rules_are_kept_and_read_back() {
        for text in [
            r#"{"allowedRoles":["a"],"communityId":"7","importedBy":["8"],"name":"Roads"}"#,
            r#"{"isPublic":true}"#,
            r#"{"isPublic":false}"#,
        ] {
            let first = rule(text).unwrap();
            let again = Rule::read(first.fields().to_string().as_bytes()).unwrap();
            assert_eq!((again.open(), &again.roles, &again.name), (first.open(), &first.roles, &first.name));
            assert_eq!((again.community, again.imported_by), (first.community, first.imported_by));
        }
        for bad in ["", "null", "[]", "7", "not json"] {
            assert!(rule(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_board_whose_community_is_not_understood_is_closed_to_every_community() {
        let long = format!("\"{}\"", "x".repeat(JWT_ID_MAX_BYTES + 1));
        for odd in ["{}", "[]", "\"\"", "true", "-7", long.as_str()] {
            for key in ["communityId", "community_id"] {
                assert!(rule(&format!(r#"{{"{key}":{odd}}}"#)).is_none(), "{odd}");
            }
        }
        let longest = "x".repeat(JWT_ID_MAX_BYTES);
        let own = rule(&format!(r#"{{"communityId":null,"community_id":"{longest}"}}"#)).unwrap();
        assert_eq!(Rule::admits(Some(&own), &person("ann", &longest, &[], false)), Ok(()));
        assert_eq!(Rule::admits(Some(&own), &person("ann", "7", &[], true)), Err(No::Elsewhere));
        let unsaid = rule(r#"{"communityId":null}"#).unwrap();
        assert_eq!(unsaid.community, None, "not said is not asked");
        let news = serde_json::from_str(r#"{"boardId":5,"communityId":{},"allowedRoles":[]}"#).unwrap();
        assert!(Rule::in_news(&news, Some(&own)).is_none(), "such news changes nothing");
    }

    #[test]
    fn news_of_settings_change_what_they_say_and_nothing_else() {
        let before =
            rule(r#"{"allowedRoles":["clerk"],"communityId":"7","importedBy":["8"],"name":"Roads"}"#);
        let news = |text: &str| Rule::in_news(&serde_json::from_str(text).unwrap(), before.as_ref());
        let (board, opened) =
            news(r#"{"boardId":5,"settings":{"permissions":{"allowedRoles":[]}}}"#).unwrap();
        assert_eq!((board.as_str(), opened.open()), ("5", true));
        assert_eq!((opened.community.as_deref(), opened.name.as_deref()), (Some("7"), Some("Roads")));
        let (_, moved) = news(r#"{"boardId":"5","settings":{"allowedRoles":["mayor"]}}"#).unwrap();
        assert_eq!((moved.open(), &moved.roles[..]), (false, &["mayor".to_owned()][..]));
        let (_, named) = news(r#"{"boardId":5,"name":"Bridges"}"#).unwrap();
        assert_eq!((named.open(), named.name.as_deref()), (false, Some("Bridges")), "nothing said of roles");
        let (_, kept) = news(r#"{"boardId":5,"settings":{"colour":"red"}}"#).unwrap();
        assert!(!kept.open(), "settings that say nothing of roles open nothing");
        let unknown = serde_json::from_str(r#"{"boardId":5,"communityId":"7"}"#).unwrap();
        assert!(Rule::in_news(&unknown, None).is_none(), "nor does news of a board that nobody knows");
        let row = r#"{"communityId":"7","board":{"id":6,"settings":"{\"permissions\":{\"allowedRoles\":[\"a\"]}}"}}"#;
        let (board, new) = Rule::in_news(&serde_json::from_str(row).unwrap(), None).unwrap();
        assert_eq!((board.as_str(), new.open(), new.community.as_deref()), ("6", false, Some("7")));
        assert!(news(r#"{"settings":{}}"#).is_none() && news("null").is_none());
    }
}
