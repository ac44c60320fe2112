//! Boards: who may enter, who hears of them, and what a changed rule does.

use super::*;
use crate::config::limits::FORUM_PLACES_MAX;

#[test]
fn boards_open_to_whom_they_are_for() {
    let mut town = town();
    for (seat, board, told, what) in [
        (1, json!(6), "boardJoined", json!({ "boardId": 6 })),
        (2, json!("5"), "boardJoined", json!({ "boardId": 5 })),
        (2, json!(6), "error", json!({ "message": "Access denied: insufficient permissions" })),
        (3, json!(6), "boardJoined", json!({ "boardId": 6 })),
        (4, json!(6), "error", json!({ "message": "Access denied: board not accessible" })),
        (4, json!(77), "error", json!({ "message": "Board not found" })),
        (4, json!(null), "error", json!({ "message": "Invalid board ID" })),
        (4, json!({}), "error", json!({ "message": "Invalid board ID" })),
    ] {
        town.says(seat, "joinBoard", board.clone());
        assert_eq!(town.last(seat, told), what, "{seat} {board}");
        assert!(town.heard(seat).starts_with(told));
    }
    town.comes(6, person("tom", "", &["clerk"], true));
    town.says(6, "joinBoard", json!(5));
    assert_eq!(town.last(6, "error"), json!({ "message": "Access denied: invalid user community" }));
    assert_eq!(town.keys["board_users:6"], "adm ann");
    assert_eq!(town.keys["user_current_board:ann"], "6");
    assert_eq!(town.keys["user_boards:bob"], r#"["5"]"#);
    let session: Value = serde_json::from_str(&town.keys["user_session:ann"]).unwrap();
    assert_eq!((&session["socketId"], &session["communityId"]), (&json!("s1"), &json!("7")));
    town.says(1, "leaveBoard", json!(null));
    town.says(1, "leaveBoard", json!(6));
    assert_eq!(town.keys["board_users:6"], "adm");
    assert!(!town.keys.contains_key("user_current_board:ann"));
}

#[test]
fn nobody_hears_of_a_board_that_is_closed_to_him() {
    let mut town = town();
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 6, "id": 9, "title": "secret" }));
    assert_eq!([1, 2, 3, 4, 5].map(|seat| town.heard(seat)), ["newPost", "", "newPost", "", ""]);
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 5, "id": 8 }));
    assert_eq!(
        [1, 2, 3, 4, 5].map(|seat| town.heard(seat)),
        ["newPost", "newPost", "newPost", "newPost", ""]
    );
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 99, "id": 7 }));
    assert_eq!(
        [1, 2, 3, 4, 5].map(|seat| town.heard(seat)),
        ["", "", "newPost", "", ""],
        "not known is closed"
    );
}

#[test]
fn a_socket_in_two_rooms_hears_once() {
    let mut town = town();
    town.rule("5", r#"{"communityId":"7","importedBy":["8"]}"#);
    town.says(1, "joinBoard", json!(5));
    town.says(4, "joinBoard", json!(5));
    town.later(1_000);
    town.quiet();
    town.publishes("commentReactionUpdate", json!({ "communityId": "7", "board_id": 5, "commentId": 1 }));
    assert_eq!(town.last(4, "commentReactionUpdate")["isCrossCommunityNotification"], true);
    assert_eq!([1, 2, 3, 4].map(|seat| town.heard(seat)), ["commentReactionUpdate"; 4]);
}

#[test]
fn changed_settings_move_people_at_once() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    town.says(2, "joinBoard", json!(6));
    town.says(1, "typing", json!({ "boardId": 6, "isTyping": true }));
    town.quiet();
    town.rule("6", r#"{"communityId":"7","allowedRoles":["mayor"]}"#);
    town.publishes("board:settingsChanged", json!({ "boardId": 6, "settings": {} }));
    assert_eq!(town.heard(1), "error", "out, told why, and it does not hear the news of the board");
    assert_eq!(town.heard(3), "boardSettingsChanged");
    town.publishes("commentReactionUpdate", json!({ "communityId": "7", "board_id": 6 }));
    assert_eq!((town.heard(1), town.heard(2)), (String::new(), String::new()));
    town.rule("6", r#"{"communityId":"7"}"#);
    town.publishes("board:settingsChanged", json!({ "boardId": 6 }));
    for seat in [1, 2] {
        assert!(town.heard(seat).starts_with("boardJoined"), "both asked for it, and both are in");
    }
    town.rule("6", r#"{"communityId":"7","allowedRoles":["clerk"]}"#);
    town.says(3, "board:settingsChanged", json!({ "boardId": 6 }));
    assert!(town.heard(2).contains("error"), "an administrator's word makes the rule count");
    let before = town.heard(1);
    town.says(2, "board:settingsChanged", json!({ "boardId": 6 }));
    assert!(town.heard(2).contains("error") && !before.contains("error"));
}

#[test]
fn every_board_that_opens_again_is_entered_again() {
    let mut town = town();
    let (closed, open) = (r#"{"communityId":"7","allowedRoles":["mayor"]}"#, r#"{"communityId":"7"}"#);
    let boards = ["20", "21", "22"];
    for board in boards {
        town.rule(board, closed);
    }
    town.says(1, "joinBoard", json!(20));
    town.says(1, "joinBoard", json!(21));
    town.says(1, "joinBoard", json!(6));
    town.says(1, "joinBoard", json!(22));
    town.says(1, "leaveBoard", json!(22));
    town.quiet();
    for board in boards {
        town.rule(board, open);
        town.publishes("board:settingsChanged", json!({ "boardId": board }));
    }
    assert!(town.rooms[&1].contains("board:20") && town.rooms[&1].contains("board:21"));
    assert!(!town.rooms[&1].contains("board:22"), "it does not want to be there any more");
    assert_eq!(town.keys["user_current_board:ann"], "6", "it had gone elsewhere meanwhile");
    for board in ["20", "21", "6"] {
        town.rule(board, closed);
        town.publishes("board:settingsChanged", json!({ "boardId": board }));
    }
    assert!(!town.keys.contains_key("user_current_board:ann"));
    for board in ["20", "21", "6"] {
        town.rule(board, open);
        town.publishes("board:settingsChanged", json!({ "boardId": board }));
    }
    assert_eq!(town.keys["user_boards:ann"].matches(',').count(), 2);
}

#[test]
fn a_rule_that_changed_without_a_word_counts_before_the_next_message() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    town.later(1_000);
    town.quiet();
    town.rule("6", r#"{"communityId":"7","allowedRoles":["mayor"]}"#);
    town.publishes("postLockApplied", json!({ "boardId": 6, "postId": 9 }));
    assert_eq!(town.heard(1), "error");
}

#[test]
fn who_speaks_as_the_design_does_hears_it_so() {
    let mut town = town();
    town.says(1, "board:join", json!(6));
    assert_eq!(town.heard(1), "board:joined");
    town.says(3, "board:join", json!({ "boardId": "6" }));
    assert_eq!((town.heard(1), town.heard(3)), ("user:joinedBoard".into(), "board:joined".into()));
    town.says(2, "board:join", json!(6));
    assert_eq!(town.last(2, "error"), json!({ "message": "Access denied to board" }));
    town.quiet();
    let comment = json!({ "id": 1, "board_id": 6, "post_id": 9, "author_user_id": "x" });
    for (event, payload, published) in [
        ("newPost", json!({ "communityId": "7", "board_id": 6, "id": 9 }), "board:newPost"),
        (
            "voteUpdate",
            json!({ "communityId": "7", "board_id": 6, "postId": 9, "newCount": 1 }),
            "post:voteChanged",
        ),
        ("newComment", json!({ "communityId": "7", "board_id": 6, "postId": 9, "comment": comment }), ""),
        (
            "post:voteAdded",
            json!({ "boardId": 6, "postId": 10, "newCount": 2 }),
            "post:voteAdded post:voteChanged",
        ),
        ("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }), ""),
    ] {
        town.publishes(event, payload);
        assert_eq!(town.heard(1), published, "{event}");
        assert_eq!(town.heard(2), "", "{event}");
    }
    town.says(1, "post:join", json!(9));
    town.says(1, "post:join", json!({ "postId": 9, "boardId": 5 }));
    town.quiet();
    town.publishes("post:newComment", json!({ "postId": 9, "comment": comment, "author": {} }));
    town.publishes("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }));
    assert_eq!(town.heard(1), "post:newComment post:commentDeleted", "the board of a post is known by now");
    assert_eq!(town.heard(3), "", "the board is not the post");
    town.says(3, "post:join", json!({ "postId": 9, "boardId": 5 }));
    town.quiet();
    town.publishes("post:newComment", json!({ "postId": 9, "comment": comment, "author": {} }));
    assert_eq!(town.heard(3), "", "a post claimed for another board is silent");
    town.says(1, "post:leave", json!(9));
    town.publishes("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }));
    assert_eq!(town.heard(1), "post:newComment");
}

/// The payloads are those of Curia's routes.
#[test]
fn who_imports_a_board_may_enter_it_until_that_is_undone_and_nobody_else_hears_its_name() {
    let row = json!({
        "id": 31, "source_board_id": 6, "source_community_id": "7", "importing_community_id": "8",
        "board_name": "Secret", "board_settings": {}, "is_active": true
    });
    let imported = json!({
        "type": "import", "importedBoard": row, "actor_name": "eve", "communityId": "8"
    });
    let undone = json!({
        "type": "undo_import", "importedBoardId": 31, "sourceBoardId": 6, "boardName": "Secret",
        "sourceCommunityId": "7", "sourceCommunityName": "Seven", "actor_name": "eve", "communityId": "8"
    });
    let unshared = json!({
        "type": "unshared", "sharedBoardId": 4, "boardId": 6, "boardName": "Secret",
        "sourceCommunityId": "7", "actor_name": "adm", "communityId": "8"
    });
    for (event, payload) in [("boardImportUndone", undone), ("sharedBoardRemoved", unshared)] {
        let mut town = town();
        town.comes(6, person("pat", "8", &[], false));
        town.quiet();
        town.publishes("boardImported", imported.clone());
        assert_eq!([2, 4, 5, 6].map(|seat| town.heard(seat)), ["", "boardImported", "", ""]);
        town.says(4, "joinBoard", json!(6));
        assert!(town.heard(4).starts_with("boardJoined"));
        town.later(1_000);
        town.quiet();
        town.publishes(event, payload);
        assert!(!town.rooms[&4].contains("board:6"), "out at once");
        assert_eq!(town.last(4, "error"), json!({ "message": "Access denied: board not accessible" }));
        assert_eq!(town.heard(4), format!("error {event}"));
        assert_eq!([2, 5, 6].map(|seat| town.heard(seat)), ["", "", ""], "{event}");
        town.says(4, "joinBoard", json!(6));
        assert!(town.heard(4).starts_with("error"));
    }
}

#[test]
fn rules_are_known_as_long_as_somebody_is_there_or_wants_to_be() {
    let mut town = Town::with(Pace { events: 1_000, presence: 30 });
    town.comes(1, person("ann", "7", &[], false));
    for board in 100..200 {
        for _ in 0..2 {
            town.says(1, "joinBoard", json!(board));
        }
    }
    town.says(1, "joinBoard", json!(5));
    assert_eq!(town.forum.rules.len(), FORUM_PLACES_MAX + 1, "those it waits for, and where it is");
    town.says(1, "leaveBoard", json!(5));
    assert_eq!(town.forum.rules.len(), FORUM_PLACES_MAX);
    town.goes(1);
    assert!(town.forum.rules.is_empty());
}
