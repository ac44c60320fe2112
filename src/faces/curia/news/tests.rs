//! Each row of the event tables (Curia's `server.ts`; the design's event categories): which rooms hear it, under
//! which name, and with what.

use super::*;

const OPEN: &str = r#"{"communityId":"7"}"#;
const GATED: &str = r#"{"communityId":"7","allowedRoles":["clerk"],"importedBy":["8"]}"#;

fn sayings(room: Option<&str>, event: &str, payload: &str, rule: Option<&str>) -> Vec<Saying> {
    let payload = RawValue::from_string(payload.to_owned()).unwrap();
    let publication = Publication::new(room, event, payload).unwrap();
    let facts = Facts {
        board: publication.board(),
        rule: rule.and_then(|rule| Rule::read(rule.as_bytes())),
        partners: vec!["8".into(), "9".into()],
    };
    publication.sayings(&facts).unwrap()
}

/// `event room room; event room` of one vocabulary, in order.
fn told(words: Words, sayings: &[Saying]) -> String {
    let mine = |room: &&String| room.starts_with("published/") == (words == Words::Published);
    let lines: Vec<String> = sayings
        .iter()
        .filter(|saying| saying.to.iter().any(|room| mine(&room)))
        .map(|saying| {
            let rooms: Vec<&str> =
                saying.to.iter().map(|room| room.strip_prefix("published/").unwrap_or(room)).collect();
            format!("{} {}", saying.event, rooms.join(" "))
        })
        .collect();
    lines.join("; ")
}

#[test]
fn every_event_of_today_goes_where_it_may_be_read() {
    let home = "community:7";
    let partners = |event: &str| format!("{event} community:8; {event} community:9; ");
    let gated = "community:7:admins community:7:role:clerk";
    let gated_partner = "community:8:role:clerk community:8:admins";
    for event in ["newPost", "voteUpdate", "reactionUpdate", "newComment", "postDeleted"] {
        let payload = r#"{"communityId":"7","board_id":5,"postId":9,"id":9}"#;
        let open = told(Words::Deployed, &sayings(None, event, payload, Some(OPEN)));
        assert_eq!(open, format!("{}{event} {home}", partners(event)));
        let only = told(Words::Deployed, &sayings(Some("community:7"), event, payload, Some(GATED)));
        assert_eq!(only, format!("{event} {gated_partner}; {event} {gated}"), "the room named opens nothing");
        let unknown = told(Words::Deployed, &sayings(None, event, payload, None));
        assert_eq!(unknown, format!("{event} community:7:admins"));
    }
    let both = r#"{"communityId":"7","board_id":5,"postId":9,"commentId":1}"#;
    let reaction = sayings(None, "commentReactionUpdate", both, Some(OPEN));
    assert_eq!(
        told(Words::Deployed, &reaction),
        format!("{}commentReactionUpdate board:5 {home}", partners("commentReactionUpdate"))
    );
    let last = reaction.iter().rfind(|saying| saying.to.contains(&"board:5".to_owned())).unwrap();
    assert_eq!(last.except, ["community:8", "community:9"], "who got the partners' copy does not get both");
    for event in ["boardImported", "boardImportUndone", "sharedBoardRemoved"] {
        let payload = r#"{"communityId":"7","type":"import"}"#;
        let one = told(Words::Deployed, &sayings(Some("community:7"), event, payload, None));
        assert_eq!(
            one,
            format!("{}{event} {home}", partners(event)),
            "once, although the room is named twice"
        );
    }
    for event in ["partnershipInviteReceived", "partnershipStatusChanged", "partnershipUpdate"] {
        let payload = r#"{"communityId":"7","type":"created"}"#;
        for room in ["community:7:admins", "community:7"] {
            let admins = told(Words::Deployed, &sayings(Some(room), event, payload, None));
            assert_eq!(admins, format!("{event} community:7:admins"), "administrators only, no partners");
        }
    }
    for event in ["newLock", "lockUpdated", "lockDeleted", "lockUsed"] {
        let payload = r#"{"community_id":"7","lockId":1}"#;
        let one = told(Words::Deployed, &sayings(Some("community:7"), event, payload, None));
        assert_eq!(one, format!("{event} {home}"), "no partners");
    }
    for event in ["postLockApplied", "postLockRemoved"] {
        let payload = r#"{"community_id":"7","postId":9}"#;
        let one = told(Words::Deployed, &sayings(Some("board:5"), event, payload, Some(OPEN)));
        assert_eq!(one, format!("{event} board:5"), "the board's room only");
    }
    let new = r#"{"communityId":"7","board":{"id":5,"settings":{}},"author_user_id":"u"}"#;
    assert_eq!(
        told(Words::Deployed, &sayings(None, "newBoard", new, Some(GATED))),
        format!("newBoard {gated_partner}; newBoard {gated}")
    );
    let own = told(
        Words::Deployed,
        &sayings(Some("community:7:admins"), "auditDone", r#"{"communityId":"7"}"#, None),
    );
    assert_eq!(own, "auditDone community:7:admins", "an unknown event for administrators stays with them");
}

#[test]
fn every_event_of_the_design_goes_where_the_design_says() {
    let payload =
        r#"{"boardId":"5","postId":"9","newCount":3,"comment":{"id":1},"author":{},"post":{"id":"9"}}"#;
    for (event, told_published, told_deployed) in [
        ("board:newPost", "board:newPost board:5", "newPost community:7 board:5"),
        (
            "post:voteAdded",
            "post:voteAdded board:5; post:voteChanged board:5",
            "voteUpdate community:7 board:5",
        ),
        (
            "post:voteRemoved",
            "post:voteRemoved board:5; post:voteChanged board:5",
            "voteUpdate community:7 board:5",
        ),
        ("post:voteChanged", "post:voteChanged board:5", "voteUpdate community:7 board:5"),
        ("post:newComment", "post:newComment board:5/post:9", "newComment community:7 board:5"),
        ("post:commentDeleted", "post:commentDeleted board:5/post:9", ""),
        ("typing:start", "typing:start board:5/post:9", ""),
        (
            "board:settingsChanged",
            "board:settingsChanged board:5",
            "boardSettingsChanged community:7 board:5",
        ),
    ] {
        let said = sayings(None, event, payload, Some(OPEN));
        assert_eq!(told(Words::Published, &said), told_published);
        assert_eq!(told(Words::Deployed, &said), told_deployed);
    }
    let deployed = r#"{"communityId":"7","board_id":5,"postId":9,"id":9,"comment":{"board_id":5}}"#;
    for (event, told_published) in [
        ("newPost", "board:newPost board:5"),
        ("voteUpdate", "post:voteChanged board:5"),
        ("newComment", "post:newComment board:5/post:9"),
    ] {
        let said = sayings(None, event, deployed, Some(OPEN));
        assert_eq!(told(Words::Published, &said), told_published, "the same news under the design's name");
    }
    for room in ["board:5", "typing:5", "community:7", "community:7:admins"] {
        let said = sayings(Some(room), "own:event", "[1,2]", None);
        let there = room.replace("typing:5", "board:5/typing");
        assert_eq!(told(Words::Published, &said), format!("own:event {there}"));
    }
}

#[test]
fn what_names_a_board_alone_is_heard_by_its_community_as_far_as_it_may() {
    let unplaced = r#"{"allowedRoles":["clerk"]}"#;
    for event in ["boardSettingsChanged", "postDeleted", "newPost", "reactionUpdate"] {
        for (room, payload) in [(Some("board:5"), r#"{"id":9}"#), (None, r#"{"id":9,"boardId":5}"#)] {
            let heard = |rule| told(Words::Deployed, &sayings(room, event, payload, rule));
            assert_eq!(heard(Some(OPEN)), format!("{event} community:7"));
            assert_eq!(heard(Some(GATED)), format!("{event} community:7:admins community:7:role:clerk"));
            assert_eq!(heard(Some(unplaced)), format!("{event} board:5"), "whose it is nobody says");
        }
    }
}

#[test]
fn payloads_are_handed_on_as_they_were_written() {
    let payload = "{ \"z\":1, \"communityId\" : \"7\",\"a\":[1.0,2e5] }";
    let said = sayings(None, "boardImported", payload, None);
    let home = said.iter().find(|saying| saying.to == ["community:7"]).unwrap();
    assert_eq!(home.body, payload);
    let copy = said.iter().find(|saying| saying.to == ["community:8"]).unwrap();
    assert!(copy.body.starts_with("{ \"z\":1, \"communityId\" : \"7\",\"a\":[1.0,2e5] ,\""), "{}", copy.body);
    let copy: Value = serde_json::from_str(&copy.body).unwrap();
    assert_eq!(copy["isCrossCommunityNotification"], true);
    assert_eq!(copy["sourceCommunityId"], "7");
    assert_eq!(copy["sourceCommunityName"], "Partner Community");
    assert_eq!(copy["crossCommunityNav"], json!({ "communityShortId": null, "pluginId": null }));
}

#[test]
fn what_cannot_be_placed_is_refused_with_its_reason() {
    let publication = |room: Option<&str>, event: &str, payload: &str| {
        let payload = RawValue::from_string(payload.to_owned()).unwrap();
        Publication::new(room, event, payload).and_then(|p| {
            let facts = Facts { board: p.board(), ..Facts::default() };
            p.sayings(&facts).map(|_| ())
        })
    };
    assert_eq!(publication(None, "", "{}"), Err(Refused::Event));
    assert_eq!(publication(None, &"e".repeat(129), "{}"), Err(Refused::Event));
    assert_eq!(publication(Some("user:1"), "e", "{}"), Err(Refused::Room));
    for payload in ["{}", "null", "[]", "7", r#""text""#] {
        assert_eq!(publication(None, "e", payload), Err(Refused::Nowhere), "{payload}");
        assert_eq!(publication(Some("post:9"), "post:newComment", payload), Err(Refused::BoardUnknown));
        assert_eq!(publication(Some("community:7"), "e", payload), Ok(()));
    }
    for (room, event, payload) in [
        (Some("community:7"), "postLockApplied", r#"{"postId":9}"#),
        (Some("board:5"), "partnershipUpdate", "{}"),
        (None, "user:online", r#"{"communityId":"7"}"#),
    ] {
        assert_eq!(publication(room, event, payload), Err(Refused::Nobody), "{event}");
    }
}
