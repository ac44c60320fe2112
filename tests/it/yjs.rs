//! A y-websocket client of any version works with this server as it is.

mod real;

use std::time::Duration;

use bytes::Bytes;
use townhall::auth::Role;
use townhall::wire::ysync::{Message, SyncMessage};

use crate::harness::socket::{Raw, nothing, presence};
use crate::harness::stand::Stand;
use crate::harness::typist::Typist;

const A_MOMENT: Duration = Duration::from_millis(300);

fn step1(have: Bytes) -> Message {
    Message::Sync(SyncMessage::Step1(have))
}

fn edit(update: Bytes) -> Message {
    Message::Sync(SyncMessage::Update(update))
}

async fn open(stand: &Stand, room: &str, token: &str) -> Raw {
    let subprotocol = format!("auth.{token}");
    Raw::connect(&stand.url(&format!("/yjs/{room}")), &[("sec-websocket-protocol", &subprotocol)]).await
}

/// A client that is in the room and has synced.
async fn joined(stand: &Stand, room: &str, role: Role) -> Raw {
    let mut client = open(stand, room, &stand.token(role).await).await;
    assert!(matches!(client.hear_plain().await, Message::Sync(SyncMessage::Step1(_))));
    client.say_plain(&step1(nothing())).await;
    loop {
        if let Message::Sync(SyncMessage::Step2(_)) = client.hear_plain().await {
            return client;
        }
    }
}

#[tokio::test]
async fn the_server_speaks_first_and_answers_a_question_with_one_answer() {
    let stand = Stand::open().await;
    let mut writer = joined(&stand, "notes", Role::Editor).await;
    writer.say_plain(&edit(Typist::new(3).types("hello"))).await;
    writer.say_plain(&Message::Awareness(presence(3, 1, r#"{"name":"Ada"}"#))).await;
    assert!(matches!(writer.hear_plain().await, Message::Awareness(_)), "presence comes back to its sender");

    let mut late = open(&stand, "notes", &stand.token(Role::Editor).await).await;
    let Message::Sync(SyncMessage::Step1(have)) = late.hear_plain().await else { panic!("no question") };
    assert_eq!(have, Bytes::from_static(&[1, 3, 5]), "client 3 has written five letters");
    let Message::Awareness(here) = late.hear_plain().await else { panic!("no presence") };
    assert_eq!(townhall::wire::awareness::decode(&here).unwrap()[0].client, 3);
    late.say_plain(&step1(nothing())).await;
    let Message::Sync(SyncMessage::Step2(state)) = late.hear_plain().await else { panic!("no answer") };
    assert_eq!(state, Typist::new(3).types("hello"));
    writer.say_plain(&edit(Typist { client: 3, clock: 5 }.types("!"))).await;
    assert!(matches!(late.hear_plain().await, Message::Sync(SyncMessage::Update(_))));
}

#[tokio::test]
async fn refusals_open_and_close_with_a_code_that_stops_version_3() {
    let stand = Stand::open().await;
    let editor = stand.token(Role::Editor).await;
    let nobody = Raw::connect(&stand.url("/yjs/notes"), &[]).await;
    let wrong = open(&stand, "notes", "wrong").await;
    let not_there = open(&stand, "record:never-made", &editor).await;
    let no_name = open(&stand, &"x".repeat(256), &editor).await;
    let reader = open(&stand, "notes", &stand.token(Role::Viewer).await).await;
    for (mut client, code) in
        [(nobody, 4401), (wrong, 4401), (not_there, 4403), (no_name, 4403), (reader, 4403)]
    {
        assert_eq!(client.close_code().await, code);
    }
}

#[tokio::test]
async fn a_token_is_brought_as_a_subprotocol_a_header_or_a_parameter() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let subprotocol = open(&stand, "notes", &token).await;
    assert_eq!(subprotocol.subprotocol, Some(format!("auth.{token}")), "a browser needs its echo");
    let bearer = format!("Bearer {token}");
    let header = Raw::connect(&stand.url("/yjs/notes"), &[("authorization", &bearer)]).await;
    let query = Raw::connect(&stand.url(&format!("/yjs/notes?token={token}")), &[]).await;
    for mut client in [subprotocol, header, query] {
        assert!(matches!(client.hear_plain().await, Message::Sync(SyncMessage::Step1(_))));
    }
    // A wrong token is refused even beside a header that is right.
    let both = [("authorization", bearer.as_str()), ("sec-websocket-protocol", "auth.wrong")];
    assert_eq!(Raw::connect(&stand.url("/yjs/notes"), &both).await.close_code().await, 4401);
}

#[tokio::test]
async fn a_room_is_the_rest_of_the_path_as_it_came() {
    let stand = Stand::open().await;
    let mut a = joined(&stand, "projects/2026/notes", Role::Editor).await;
    let mut b = joined(&stand, "projects/2026/notes?version=3", Role::Editor).await;
    let mut other = joined(&stand, "projects/2026", Role::Editor).await;
    a.say_plain(&edit(Typist::new(3).types("hello"))).await;
    assert!(matches!(b.hear_plain().await, Message::Sync(SyncMessage::Update(_))));
    assert_eq!(other.came_within(A_MOMENT).await, None);
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let stand = Stand::open().await;
    let record = stand.record().await;
    let mut writer = joined(&stand, &record, Role::Editor).await;
    let mut reader = joined(&stand, &record, Role::Viewer).await;
    reader.say_plain(&edit(Typist::new(4).types("not allowed"))).await;
    // In this dialect type 2 is the server's refusal; from a client it means nothing.
    reader.send(Bytes::from_static(&[2, 0, 0])).await;
    assert_eq!(writer.came_within(A_MOMENT).await, None);
    writer.say_plain(&edit(Typist::new(5).types("allowed"))).await;
    assert!(matches!(reader.hear_plain().await, Message::Sync(SyncMessage::Update(_))));
}

#[tokio::test]
async fn presence_is_gone_within_a_second_of_a_dropped_socket() {
    let stand = Stand::open().await;
    let mut stays = joined(&stand, "notes", Role::Editor).await;
    let mut goes = joined(&stand, "notes", Role::Editor).await;
    goes.say_plain(&Message::Awareness(presence(8, 1, "{}"))).await;
    assert!(matches!(stays.hear_plain().await, Message::Awareness(_)));
    drop(goes);
    let gone =
        tokio::time::timeout(Duration::from_secs(1), stays.hear_plain()).await.expect("within a second");
    let Message::Awareness(gone) = gone else { panic!("{gone:?}") };
    assert_eq!(townhall::wire::awareness::decode(&gone).unwrap()[0].state, None);
}

#[tokio::test]
async fn taking_access_away_closes_within_a_second() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut client = open(&stand, "notes", &token).await;
    assert!(matches!(client.hear_plain().await, Message::Sync(SyncMessage::Step1(_))));
    stand.revoke(&token).await;
    assert_eq!(client.close_code_within(Duration::from_secs(1)).await, 4401);
}

#[tokio::test]
async fn hostile_frames_change_nothing_and_too_many_close_the_socket() {
    let stand = Stand::open().await;
    let mut other = joined(&stand, "notes", Role::Editor).await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    client.say_plain(&edit(Bytes::from_static(b"garbage"))).await;
    client.send(Bytes::from_static(&[99])).await;
    client.say_plain(&edit(Typist::new(2).types("still here"))).await;
    assert!(matches!(other.hear_plain().await, Message::Sync(SyncMessage::Update(_))));
    for _ in 0..20 {
        client.try_send(Bytes::from_static(&[99])).await;
    }
    assert_eq!(client.close_code().await, 4205);
}

#[tokio::test]
async fn a_stopping_server_asks_its_clients_to_come_back() {
    let stand = Stand::open().await;
    let mut client = joined(&stand, "notes", Role::Editor).await;
    stand.stop().await;
    assert_eq!(client.close_code().await, 1012);
}
