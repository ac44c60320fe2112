//! The two vocabularies of the forum, and the rooms of each.
//!
//! A room exists once in each vocabulary, so that a message is framed once for everybody who speaks alike. Below a
//! community there is one room for each role and one for its administrators: what only some may read is said to them.

use crate::auth::Claims;

/// Which names a client knows events by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Words {
    /// What the program that runs today says: `joinBoard`, `newPost` (Curia's `server.ts`). Its pages listen
    /// for long before they say anything, so a client speaks this until it says otherwise.
    Deployed,
    /// What its published design says: `board:join`, `board:newPost`.
    Published,
}

/// Rooms of a community begin so; the vocabularies must not meet.
const COMMUNITY: &str = "community:";
const BOARD: &str = "board:";

impl Words {
    fn room(self, name: String) -> String {
        match self {
            Self::Deployed => name,
            Self::Published => format!("published/{name}"),
        }
    }

    /// Everybody in a community.
    pub(super) fn community(self, community: &str) -> String {
        self.room(format!("{COMMUNITY}{}", plain(community)))
    }

    /// Who has a role there.
    pub(super) fn role(self, community: &str, role: &str) -> String {
        self.room(format!("{COMMUNITY}{}:role:{}", plain(community), plain(role)))
    }

    /// Its administrators.
    pub(super) fn admins(self, community: &str) -> String {
        self.room(format!("{COMMUNITY}{}:admins", plain(community)))
    }

    /// Who looks at a board.
    pub(super) fn board(self, board: &str) -> String {
        self.room(format!("{BOARD}{}", plain(board)))
    }

    /// Who looks at a post. The board is in the name: who claims a post for another board hears nothing of it.
    pub(super) fn post(self, board: &str, post: &str) -> String {
        self.room(format!("{BOARD}{}/post:{}", plain(board), plain(post)))
    }

    /// Who hears that somebody writes on a board.
    pub(super) fn typing(self, board: &str) -> String {
        self.room(format!("{BOARD}{}/typing", plain(board)))
    }

    /// The rooms that a token opens by itself.
    pub(super) fn own(self, claims: &Claims) -> Vec<String> {
        let Some(community) = &claims.community else { return Vec::new() };
        let roles = claims.roles.iter().map(|role| self.role(community, role));
        let admins = claims.admin.then(|| self.admins(community));
        std::iter::once(self.community(community)).chain(roles).chain(admins).collect()
    }

    /// Whether a room is of the published vocabulary.
    pub(super) fn is_published(room: &str) -> bool {
        room.starts_with("published/")
    }

    /// The vocabulary and the board of a room below a board.
    pub(super) fn board_of(room: &str) -> Option<(Self, String)> {
        let (words, name) = match room.strip_prefix("published/") {
            Some(name) => (Self::Published, name),
            None => (Self::Deployed, room),
        };
        let board = name.strip_prefix(BOARD)?;
        Some((words, unplain(board.split_once('/').map_or(board, |(board, _)| board))))
    }

    /// The post of a post's room.
    pub(super) fn post_of(room: &str) -> Option<String> {
        Self::board_of(room)?;
        room.split_once("/post:").map(|(_, post)| unplain(post))
    }
}

/// An id without the signs that rooms are divided by.
fn plain(id: &str) -> String {
    id.replace('%', "%25").replace(':', "%3A").replace('/', "%2F")
}

fn unplain(id: &str) -> String {
    id.replace("%2F", "/").replace("%3A", ":").replace("%25", "%")
}

/// A room as a publisher names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Community(String),
    Admins(String),
    Board(String),
    Post(String),
    Typing(String),
}

impl Target {
    /// Reads a name; `None` for one that the forum does not have.
    pub(super) fn read(room: &str) -> Option<Self> {
        let (kind, id) = room.split_once(':')?;
        let target = match kind {
            "community" => match id.strip_suffix(":admins") {
                Some(community) => Self::Admins(community.to_owned()),
                None => Self::Community(id.to_owned()),
            },
            "board" => Self::Board(id.to_owned()),
            "post" => Self::Post(id.to_owned()),
            "typing" => Self::Typing(id.to_owned()),
            _ => return None,
        };
        let (Self::Community(id) | Self::Admins(id) | Self::Board(id) | Self::Post(id) | Self::Typing(id)) =
            &target;
        super::rules::is_id(id).then_some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_names_himself_into_the_room_of_others() {
        let words = Words::Deployed;
        assert_ne!(words.community("7:admins"), words.admins("7"));
        assert_ne!(words.community("7:role:clerk"), words.role("7", "clerk"));
        assert_ne!(words.role("7", "x%3Ay"), words.role("7", "x:y"));
        assert_ne!(words.community("published/7"), Words::Published.community("7"));
        assert_ne!(words.board("5/typing"), words.typing("5"));
        assert_ne!(words.board("5/post:1"), words.post("5", "1"));
    }

    #[test]
    fn a_rooms_board_is_read_back() {
        for board in ["5", "a%2Fb", "a/b:c%"] {
            for words in [Words::Deployed, Words::Published] {
                for room in [words.board(board), words.post(board, "9"), words.typing(board)] {
                    assert_eq!(Words::board_of(&room), Some((words, board.to_owned())), "{room}");
                }
                assert_eq!(Words::board_of(&words.community(board)), None);
            }
        }
    }

    #[test]
    fn publishers_name_rooms_as_the_design_does() {
        let id = |id: &str| id.to_owned();
        for (room, target) in [
            ("community:7", Some(Target::Community(id("7")))),
            ("community:7:admins", Some(Target::Admins(id("7")))),
            ("board:5", Some(Target::Board(id("5")))),
            ("post:9", Some(Target::Post(id("9")))),
            ("typing:5", Some(Target::Typing(id("5")))),
            ("user:1", None),
            ("board:", None),
            ("board", None),
            ("", None),
        ] {
            assert_eq!(Target::read(room), target, "{room}");
        }
    }
}
