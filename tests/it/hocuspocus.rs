//! A Hocuspocus provider of any version works with this server as it is: every frame that one sends or waits for.

use std::time::Duration;

use bytes::Bytes;
use townhall::auth::Role;
use townhall::config::limits;
use townhall::wire::hocuspocus::{self, Address, Body};
use townhall::wire::ysync::SyncMessage;

use crate::harness::socket::{Came, Raw, empty_update, nothing, presence, token_body};
use crate::harness::stand::Stand;
use crate::harness::typist::{Typist, state_vector};

/// Long enough for anything that would come, short enough for a test that waits for nothing.
const A_MOMENT: Duration = Duration::from_millis(300);

fn step1(have: Bytes) -> Body {
    Body::Sync(SyncMessage::Step1(have))
}

fn step2(update: Bytes) -> Body {
    Body::Sync(SyncMessage::Step2(update))
}

fn edit(update: Bytes) -> Body {
    Body::Sync(SyncMessage::Update(update))
}

fn denied() -> Body {
    Body::Denied("permission-denied".to_owned())
}

/// A client that is in the document and has synced.
async fn joined(stand: &Stand, address: &str, role: Role) -> Raw {
    let mut client = stand.hocuspocus().await;
    client.log_in(address, &stand.token(role).await).await;
    client.say(address, &step1(nothing())).await;
    client.hear_until(|_, body| matches!(body, Body::Sync(SyncMessage::Step2(_)))).await;
    client
}

#[tokio::test]
async fn the_room_asks_first_and_answers_second_so_that_counters_reach_zero() {
    let stand = Stand::open().await;
    let mut client = stand.hocuspocus().await;
    // As provider 4 opens: token with its version, question, presence, without waiting.
    let token = townhall::wire::hocuspocus::SentToken::new(stand.token(Role::Editor).await);
    client.say("notes", &Body::Token { token, version: Some("4.8.0".to_owned()) }).await;
    client.say("notes", &step1(nothing())).await;
    client.say("notes", &Body::Awareness(presence(7, 1, "{}"))).await;
    assert_eq!(client.hear().await, ("notes".to_owned(), Body::Authenticated { read_only: false }));
    let (_, asked) = client.hear_until(|_, body| !matches!(body, Body::Awareness(_))).await;
    assert!(matches!(asked, Body::Sync(SyncMessage::Step1(_))), "{asked:?}");
    let (_, answered) = client.hear_until(|_, body| !matches!(body, Body::Awareness(_))).await;
    assert!(matches!(answered, Body::Sync(SyncMessage::Step2(_))), "{answered:?}");
    // The provider answers the room's question; the acknowledgement is what it counts down by.
    client.say("notes", &step2(Typist::new(7).types("written while offline"))).await;
    client.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
}

#[tokio::test]
async fn every_edit_has_exactly_one_answer() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    let mut typist = Typist::new(3);
    for _ in 0..40 {
        client.say("notes", &edit(typist.types("ab"))).await;
    }
    client.say("notes", &step2(empty_update())).await;
    for nth in 0..41 {
        let (_, body) = client.hear().await;
        assert_eq!(body, Body::SyncStatus(true), "answer {nth}");
    }
    assert_eq!(client.hear_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn edits_behind_a_gap_are_paid_for_by_the_answer_that_closes_it() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    let mut typist = Typist { client: 3, clock: 5 };
    for _ in 0..3 {
        client.say("notes", &edit(typist.types("!"))).await;
    }
    let (_, asked) = client.hear().await;
    assert!(matches!(asked, Body::Sync(SyncMessage::Step1(_))), "{asked:?}");
    assert_eq!(client.hear_within(A_MOMENT).await, None, "nothing is saved yet, and once is enough to ask");
    client.say("notes", &step2(Typist::new(3).types("hello!!!"))).await;
    for nth in 0..4 {
        assert_eq!(client.hear().await.1, Body::SyncStatus(true), "answer {nth}");
    }
    assert_eq!(client.hear_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn what_comes_before_the_token_waits_for_it() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    client.say("notes", &edit(Typist::new(5).types("early"))).await;
    client.say("notes", &Body::Awareness(presence(5, 1, r#"{"user":1}"#))).await;
    assert_eq!(other.hear_within(A_MOMENT).await, None, "nobody is logged in yet");
    client.log_in("notes", &stand.token(Role::Editor).await).await;
    client.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
    other.hear_until(|_, body| matches!(body, Body::Sync(SyncMessage::Update(_)))).await;
    other.hear_until(|_, body| matches!(body, Body::Awareness(_))).await;
}

#[tokio::test]
async fn provider_2_without_a_token_is_whoever_the_request_says() {
    let stand = Stand::open().await;
    let mut cookie = stand.hocuspocus_as(&stand.token(Role::Editor).await).await;
    cookie.say("notes", &step1(nothing())).await;
    assert_eq!(cookie.hear().await.1, Body::Authenticated { read_only: false });
    assert!(matches!(cookie.hear().await.1, Body::Sync(SyncMessage::Step1(_))));
    assert!(matches!(cookie.hear().await.1, Body::Sync(SyncMessage::Step2(_))));

    let mut nobody = stand.hocuspocus().await;
    nobody.say("notes", &step1(nothing())).await;
    assert_eq!(nobody.hear().await.1, denied());
}

#[tokio::test]
async fn an_empty_token_is_whoever_the_request_says() {
    let stand = Stand::open().await;
    let mut cookie = stand.hocuspocus_as(&stand.token(Role::Viewer).await).await;
    cookie.say("notes", &token_body("")).await;
    // A free document is for editors.
    assert_eq!(cookie.hear().await.1, denied());
    let mut editor = stand.hocuspocus_as(&stand.token(Role::Editor).await).await;
    editor.say("notes", &token_body("")).await;
    assert_eq!(editor.hear().await.1, Body::Authenticated { read_only: false });
}

#[tokio::test]
async fn whoever_was_refused_may_try_again_on_the_same_socket() {
    let stand = Stand::open().await;
    let mut client = stand.hocuspocus().await;
    client.say("notes", &token_body("wrong")).await;
    client.say("notes", &step1(nothing())).await;
    client.say("notes", &edit(Typist::new(9).types("refused"))).await;
    assert_eq!(client.hear().await.1, denied());
    assert_eq!(client.hear_within(A_MOMENT).await, None, "refused once, said once");
    // Providers 3 and 4 only send the token again; their question from before is still to be answered.
    client.say("notes", &token_body(&stand.token(Role::Editor).await)).await;
    assert_eq!(client.hear().await.1, Body::Authenticated { read_only: false });
    let (_, asked) = client.hear().await;
    assert!(matches!(asked, Body::Sync(SyncMessage::Step1(_))), "{asked:?}");
    let (_, answered) = client.hear().await;
    assert_eq!(answered, step2(empty_update()), "what was sent while refused is not in the document");
    // The client still counts what it wrote then: the answer to the room's question brings it, and pays for it.
    client.say("notes", &step2(Typist::new(9).types("refused"))).await;
    for _ in 0..2 {
        assert_eq!(client.hear().await.1, Body::SyncStatus(true));
    }
    // Provider 2 asks again by itself; the old question is not answered beside the new one.
    client.say("minutes", &token_body("wrong")).await;
    client.say("minutes", &step1(nothing())).await;
    assert_eq!(client.hear().await.1, denied());
    client.say("minutes", &token_body(&stand.token(Role::Editor).await)).await;
    client.say("minutes", &step1(nothing())).await;
    assert_eq!(client.hear().await.1, Body::Authenticated { read_only: false });
    assert!(matches!(client.hear().await.1, Body::Sync(SyncMessage::Step1(_))));
    assert!(matches!(client.hear().await.1, Body::Sync(SyncMessage::Step2(_))));
    assert_eq!(client.hear_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn a_reader_is_told_so_and_writes_nothing() {
    let stand = Stand::open().await;
    let record = stand.record().await;
    let mut writer = joined(&stand, &record, Role::Editor).await;
    let mut reader = stand.hocuspocus().await;
    reader.say(&record, &token_body(&stand.token(Role::Viewer).await)).await;
    assert_eq!(reader.hear().await.1, Body::Authenticated { read_only: true });
    reader.say(&record, &step1(nothing())).await;
    let (_, Body::Sync(SyncMessage::Step1(_))) = reader.hear().await else { panic!("no question") };
    let (_, Body::Sync(SyncMessage::Step2(state))) = reader.hear().await else { panic!("no answer") };
    // Nothing new is well received, so that the reader's counter reaches zero too…
    reader.say(&record, &step2(state)).await;
    assert_eq!(reader.hear().await.1, Body::SyncStatus(true));
    // …something new is not, and nobody else hears it.
    reader.say(&record, &edit(Typist::new(11).types("not allowed"))).await;
    assert_eq!(reader.hear().await.1, Body::SyncStatus(false));
    assert_eq!(writer.hear_within(A_MOMENT).await, None);
    // Presence is everybody's.
    reader.say(&record, &Body::Awareness(presence(11, 1, "{}"))).await;
    writer.hear_until(|_, body| matches!(body, Body::Awareness(_))).await;
}

#[tokio::test]
async fn bytes_that_are_no_update_are_refused_and_nobody_hears_them() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    for garbage in [&b"garbage"[..], &[1, 0, 5, 0, 0], &[255; 9], &[]] {
        client.say("notes", &edit(Bytes::from_static(garbage))).await;
        assert_eq!(client.hear().await.1, Body::SyncStatus(false), "{garbage:?}");
    }
    assert_eq!(other.hear_within(A_MOMENT).await, None);
    client.say("notes", &edit(Typist::new(2).types("still here"))).await;
    assert_eq!(client.hear().await.1, Body::SyncStatus(true));
}

#[tokio::test]
async fn leaving_one_document_leaves_the_socket() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.say("notes", &Body::Close(None)).await;
    assert_eq!(client.hear().await.1, Body::Close(Some("provider_initiated".to_owned())));
    other.say("notes", &edit(Typist::new(4).types("a"))).await;
    assert_eq!(client.hear_within(A_MOMENT).await, None, "who left hears nothing");
    client.log_in("notes", &stand.token(Role::Editor).await).await;
    client.log_in("minutes", &stand.token(Role::Editor).await).await;
}

#[tokio::test]
async fn documents_on_one_socket_do_not_mix() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    for address in ["a", "b"] {
        client.log_in(address, &token).await;
        client.say(address, &step1(nothing())).await;
        client
            .hear_until(|at, body| at == address && matches!(body, Body::Sync(SyncMessage::Step2(_))))
            .await;
    }
    let mut other = joined(&stand, "b", Role::Editor).await;
    other.say("b", &edit(Typist::new(4).types("for b"))).await;
    let (address, _) = client.hear_until(|_, body| matches!(body, Body::Sync(SyncMessage::Update(_)))).await;
    assert_eq!(address, "b");
    assert_eq!(client.hear_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn two_sessions_of_one_document_share_a_socket() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    for address in ["notes\0one", "notes\0two"] {
        client.log_in(address, &token).await;
        client.say(address, &step1(nothing())).await;
        for _ in 0..2 {
            assert_eq!(client.hear().await.0, address, "every answer carries the exact address");
        }
    }
    client.say("notes\0one", &edit(Typist::new(4).types("hello"))).await;
    let mut heard = [client.hear().await, client.hear().await];
    heard.sort_by_key(|(address, _)| address.clone());
    assert_eq!(heard[0], ("notes\0one".to_owned(), Body::SyncStatus(true)));
    assert_eq!(heard[1].0, "notes\0two");
    assert!(matches!(heard[1].1, Body::Sync(SyncMessage::Update(_))));
    // A plain name and suffixed ones meet in one room.
    let mut plain = joined(&stand, "notes", Role::Editor).await;
    plain.say("notes", &Body::Awareness(presence(77, 1, "{}"))).await;
    assert_eq!(plain.hear().await.0, "notes");
    let mut heard = [client.hear().await, client.hear().await];
    heard.sort_by_key(|(address, _)| address.clone());
    assert_eq!(heard.map(|(address, _)| address), ["notes\0one".to_owned(), "notes\0two".to_owned()]);
    client.say("notes\0one", &Body::Close(None)).await;
    client.hear_until(|address, body| address == "notes\0one" && matches!(body, Body::Close(_))).await;
    plain.say("notes", &Body::Stateless(Bytes::from_static(b"hi"))).await;
    assert_eq!(client.hear().await.0, "notes\0two");
}

#[tokio::test]
async fn presence_comes_back_to_its_sender_and_goes_with_the_socket() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.say("notes", &Body::Awareness(presence(21, 1, r#"{"name":"Ada"}"#))).await;
    client.hear_until(|_, body| matches!(body, Body::Awareness(_))).await;
    other.hear_until(|_, body| matches!(body, Body::Awareness(_))).await;
    // Whoever comes later hears who is here, at once after being let in.
    let mut late = stand.hocuspocus().await;
    late.log_in("notes", &stand.token(Role::Editor).await).await;
    let (_, Body::Awareness(here)) = late.hear().await else { panic!("no presence") };
    let here = townhall::wire::awareness::decode(&here).unwrap();
    assert_eq!(here.iter().map(|entry| entry.client).collect::<Vec<_>>(), [21]);
    drop(client);
    let gone = other.hear_within(Duration::from_secs(1)).await.expect("gone within a second");
    let Body::Awareness(gone) = gone.1 else { panic!("{gone:?}") };
    let gone = townhall::wire::awareness::decode(&gone).unwrap();
    assert_eq!((gone[0].client, gone[0].state.clone()), (21, None));
}

#[tokio::test]
async fn stateless_messages_reach_the_room_and_nobody_speaks_for_the_server() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    for forged in [&br#"{"townhall":{"store":"full"}}"#[..], br#"{"townhall":{"store":"full"},"x":"\ud800"}"#]
    {
        client.say("notes", &Body::Stateless(Bytes::from_static(forged))).await;
    }
    let honest = Body::Stateless(Bytes::from_static("{\"saved\":\"as règlement\"}".as_bytes()));
    client.say("notes", &honest).await;
    assert_eq!(other.hear().await, ("notes".to_owned(), honest.clone()));
    assert_eq!(client.hear().await, ("notes".to_owned(), honest));
}

#[tokio::test]
async fn a_ping_byte_is_answered_and_never_sent() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.send(Bytes::from_static(&[9])).await;
    assert_eq!(client.frame().await, Bytes::from_static(&[10]));
}

#[tokio::test]
async fn a_second_token_is_checked_like_the_first() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.say("notes", &token_body(&stand.token(Role::Editor).await)).await;
    client.hear_until(|_, body| *body == Body::Authenticated { read_only: false }).await;
    client.say("notes", &edit(Typist::new(8).types("goes on"))).await;
    client.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
    // Denied there, a provider would believe to be in with the next good token, and hear nothing: it comes anew.
    client.say("notes", &token_body("wrong")).await;
    assert_eq!(client.close_code().await, 4205);
}

#[tokio::test]
async fn a_second_token_opens_no_more_than_a_first_one() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    // A free document is for editors.
    client.say("notes", &token_body(&stand.token(Role::Viewer).await)).await;
    assert_eq!(client.close_code().await, 4205);
}

#[tokio::test]
async fn only_what_changed_something_counts_as_a_saved_edit() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    for update in [empty_update(), Typist::new(3).types("a"), Typist::new(3).types("a")] {
        client.say("notes", &step2(update)).await;
        client.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
    }
    assert_eq!(stand.figure("townhall_edits_saved_total").await, 1.0);
}

#[tokio::test]
async fn one_document_too_many_is_denied_and_the_others_go_on() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    for n in 0..limits::DOCUMENTS_PER_SOCKET_MAX {
        client.log_in(&format!("notes-{n}"), &token).await;
    }
    for _ in 0..2 {
        client.say("one more", &token_body(&token)).await;
        client.say("one more", &Body::Awareness(presence(7, 1, "{}"))).await;
        let too_many = Body::Denied("too-many-documents".to_owned());
        assert_eq!(client.hear().await, ("one more".to_owned(), too_many));
    }
    client.say("notes-0", &edit(Typist::new(7).types("goes on"))).await;
    assert_eq!(client.hear().await, ("notes-0".to_owned(), Body::SyncStatus(true)));
    client.say("notes-0", &Body::Close(None)).await;
    client.hear_until(|_, body| matches!(body, Body::Close(_))).await;
    client.log_in("one more", &token).await;
}

#[tokio::test]
async fn a_fresh_token_of_somebody_else_changes_what_one_may_and_not_what_one_hears() {
    let stand = Stand::open().await;
    let record = stand.record().await;
    let mut client = joined(&stand, &record, Role::Editor).await;
    let mut other = joined(&stand, &record, Role::Editor).await;
    client.say(&record, &edit(Typist::new(7).types("under way"))).await;
    let viewer = stand.token(Role::Viewer).await;
    client.say(&record, &token_body(&viewer)).await;
    let (mut saved, mut logged_in) = (false, false);
    while !(saved && logged_in) {
        let (_, body) = client.hear().await;
        saved |= body == Body::SyncStatus(true);
        logged_in |= body == Body::Authenticated { read_only: true };
    }
    let said = Typist::new(8).types("goes on");
    other.say(&record, &edit(said.clone())).await;
    client.hear_until(|_, body| *body == Body::Sync(SyncMessage::Update(said.clone()))).await;
    client.say(&record, &edit(Typist::new(9).types("no more"))).await;
    client.hear_until(|_, body| *body == Body::SyncStatus(false)).await;
    stand.revoke(&viewer).await;
    assert_eq!(client.close_code_within(Duration::from_secs(1)).await, 4401);
}

#[tokio::test]
async fn taking_access_away_closes_the_socket_within_a_second() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    client.log_in("notes", &token).await;
    stand.revoke(&token).await;
    assert_eq!(client.close_code_within(Duration::from_secs(1)).await, 4401);
    let mut client = stand.hocuspocus().await;
    client.say("notes", &token_body(&token)).await;
    assert_eq!(client.hear().await.1, denied());
}

#[tokio::test]
async fn records_that_are_not_there_and_names_that_are_none_are_refused() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = stand.hocuspocus().await;
    for address in ["record:never-made", "record:../x", "", "a\nb", &"x".repeat(256)] {
        client.say(address, &token_body(&token)).await;
        let (at, body) = client.hear().await;
        assert_eq!(at, address);
        assert!(matches!(body, Body::Denied(_)), "{address:?}: {body:?}");
    }
    client.log_in("notes", &token).await;
}

#[tokio::test]
async fn a_reader_who_stops_and_goes_on_has_everything_and_held_nobody_up() {
    let stand = Stand::open().await;
    let mut writer = joined(&stand, "notes", Role::Editor).await;
    let mut reader = Raw::connect_narrow(&stand.url("/hocuspocus")).await;
    reader.log_in("notes", &stand.token(Role::Editor).await).await;
    reader.say("notes", &step1(nothing())).await;
    let (_, Body::Sync(SyncMessage::Step1(_))) = reader.hear().await else { panic!("no question") };
    let (_, Body::Sync(SyncMessage::Step2(state))) = reader.hear().await else { panic!("no answer") };
    // More than what the kernel and the outbox hold together.
    let mut typist = Typist::new(3);
    let words = "w".repeat(50_000);
    for _ in 0..400 {
        writer.say("notes", &edit(typist.types(&words))).await;
        writer.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
    }
    let mut parts = vec![state];
    loop {
        let (_, body) = reader.hear().await;
        if let Body::Sync(SyncMessage::Update(update) | SyncMessage::Step2(update)) = body {
            parts.push(update);
            let known = townhall::wire::gate::Known::from_parts(parts.iter().map(Bytes::as_ref)).unwrap();
            if state_vector(&known.state_vector()).get(&3) == Some(&typist.clock) {
                break;
            }
        }
    }
    assert!(stand.figure("townhall_resyncs_total").await >= 1.0, "the reader should have fallen behind");
}

#[tokio::test]
async fn long_messages_pass_in_both_directions() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    let mut typist = Typist::new(3);
    for size in [4_070, 4_096, 5_000, 70_000, 900_000] {
        let update = typist.types(&"x".repeat(size));
        let mut other = joined(&stand, "notes", Role::Editor).await;
        client.say("notes", &edit(update.clone())).await;
        client.hear_until(|_, body| *body == Body::SyncStatus(true)).await;
        let (_, heard) = other.hear().await;
        assert!(heard == edit(update), "{size} letters");
    }
    // One that fills an outbox alone comes as an answer.
    let mut other = joined(&stand, "notes", Role::Editor).await;
    client.say("notes", &edit(typist.types(&"x".repeat(3_000_000)))).await;
    let arrived = |body: &Body| matches!(body, Body::Sync(SyncMessage::Step2(u)) if u.len() > 3_000_000);
    other.hear_until(|_, body| arrived(body)).await;
}

// --- hostile clients ---

#[tokio::test]
async fn messages_between_servers_are_an_attack() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let between = [
        Body::BroadcastStateless(Bytes::from_static(b"hello all")),
        Body::SyncReply(SyncMessage::Step1(nothing())),
    ];
    for body in between {
        let mut client = joined(&stand, "notes", Role::Editor).await;
        client.say("notes", &body).await;
        assert_eq!(client.close_code().await, 4403, "{body:?}");
    }
    assert_eq!(other.hear_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn frames_that_cannot_be_read_close_the_socket_only_when_they_keep_coming() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.send(Bytes::from_static(b"\x05notes\x63")).await;
    client.send_text("hello").await;
    client.say("notes", &edit(Typist::new(6).types("still heard"))).await;
    assert_eq!(client.hear().await.1, Body::SyncStatus(true));
    for _ in 0..20 {
        client.try_send(Bytes::from_static(b"\x05notes\x63")).await;
    }
    assert_eq!(client.close_code().await, 4205);
    // Without an address, the reference says "Unauthorized".
    let mut client = stand.hocuspocus().await;
    client.send(Bytes::from_static(b"\xff\xff\xff\xff")).await;
    assert_eq!(client.close_code().await, 4401);
}

#[tokio::test]
async fn strangers_are_bounded_in_bytes_messages_and_documents() {
    let stand = Stand::open().await;
    let mut bytes = stand.hocuspocus().await;
    for n in 0..40u8 {
        let body = edit(Typist::new(u64::from(n) + 1).types(&"x".repeat(2_000)));
        bytes.try_send(hocuspocus::encode(&Address::new("notes"), &body)).await;
    }
    assert_eq!(bytes.close_code().await, 4205);

    let mut messages = stand.hocuspocus().await;
    for _ in 0..80 {
        messages.try_send(Bytes::from_static(b"\x05notes\x03")).await;
    }
    assert_eq!(messages.close_code().await, 4205);

    let mut documents = stand.hocuspocus().await;
    for n in 0..40u8 {
        documents.try_send(Bytes::copy_from_slice(&[1, b'!' + n, 3])).await;
    }
    assert_eq!(documents.close_code().await, 4205);

    // One message that says it is huge is cut off before it is read.
    let mut huge = stand.hocuspocus().await;
    huge.try_send(vec![b'x'; 4 << 20]).await;
    assert_eq!(huge.close_code().await, 4205);
}

#[tokio::test]
async fn a_stranger_has_ten_seconds_whatever_it_says() {
    let stand = Stand::open().await;
    let mut client = stand.hocuspocus().await;
    let began = townhall::clock::Stopwatch::start();
    let code = loop {
        client.try_send(Bytes::from_static(&[10])).await;
        if let Some(Came::Closed(code, _)) = client.came_within(Duration::from_millis(400)).await {
            break code;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "traffic keeps a stranger's socket open");
    };
    assert_eq!(code, 4408);
    assert!(began.elapsed() > Duration::from_secs(8), "closed too early");
}

#[tokio::test]
async fn a_line_that_went_dead_without_a_word_is_given_up_within_a_minute() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut dead = joined(&stand, "notes", Role::Editor).await;
    dead.say("notes", &Body::Awareness(presence(21, 1, "{}"))).await;
    other.hear_until(|_, body| matches!(body, Body::Awareness(update) if update.len() > 1)).await;
    // Nobody reads `dead` any more, so nobody answers its pings. `other` says nothing either, but answers.
    let began = townhall::clock::Stopwatch::start();
    loop {
        let heard = other.hear_within(Duration::from_secs(60)).await.expect("given up within a minute");
        if let Body::Awareness(update) = heard.1
            && let [gone] = &townhall::wire::awareness::decode(&update).unwrap()[..]
        {
            assert_eq!((gone.client, &gone.state), (21, &None));
            break;
        }
    }
    assert!(began.elapsed() > Duration::from_secs(30), "given up too early");
    drop(dead);
}

/// Elsewhere the system forgets what came on a line that was broken like this.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_line_broke_is_taken() {
    const LETTERS: u64 = 600;
    let stand = Stand::open().await;
    let leaver = joined(&stand, "notes", Role::Editor).await;
    let mut typist = Typist::new(31);
    let address = Address::new("notes");
    // Long before it has read the last one, the server has answers to give, and finds nobody there.
    let said = (0..LETTERS).flat_map(|_| [step1(nothing()), edit(typist.types("a"))]);
    leaver.send_and_break(said.map(|body| hocuspocus::encode(&address, &body))).await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let saved = async {
        loop {
            other.say("notes", &step1(nothing())).await;
            let (_, asked) =
                other.hear_until(|_, body| matches!(body, Body::Sync(SyncMessage::Step1(_)))).await;
            let Body::Sync(SyncMessage::Step1(have)) = asked else { continue };
            if state_vector(&have).get(&31) == Some(&LETTERS) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), saved).await.expect("every letter arrives");
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_too_big() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    let too_big = townhall::config::limits::MESSAGE_MAX_BYTES + 1;
    client.try_send(vec![0; too_big]).await;
    assert_eq!(client.close_code().await, 1009);
}
