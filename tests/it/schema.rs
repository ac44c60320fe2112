//! Who may write in a record by what its client knows: an editor removes from the shared text what it does not know, so
//! one that does not say that it knows the record schema reads where names are that not every editor knows.

use bytes::Bytes;
use townhall::auth::Role;
use townhall::wire::gate::Known;
use townhall::wire::hocuspocus::Body;
use townhall::wire::ysync::{Message, SyncMessage};

use crate::harness::socket::{Raw, nothing, token_body};
use crate::harness::stand::Stand;
use crate::harness::typist::state_vector;

const KNOWS: &str = "?schema=1";
const SAYS_NOTHING: &str = "";

/// An element of this name in the shared text, made by a client of its own.
fn element(client: u8, name: &str) -> Bytes {
    let mut update = vec![1, 1, client, 0, 7, 1, 7];
    update.extend(b"default");
    update.extend([3, name.len() as u8]);
    update.extend(name.as_bytes());
    update.push(0);
    update.into()
}

/// An editor in a record, and whether it was told that it only reads.
async fn came(stand: &Stand, record: &str, says: &str) -> (Raw, bool) {
    let mut raw = Raw::connect(&stand.url(&format!("/hocuspocus{says}")), &[]).await;
    raw.say(record, &token_body(&stand.token(Role::Editor).await)).await;
    let (_, Body::Authenticated { read_only }) = raw.hear().await else { panic!("not let in") };
    (raw, read_only)
}

/// Writes; whether that was taken.
async fn writes(raw: &mut Raw, record: &str, update: Bytes) -> bool {
    raw.say(record, &Body::Sync(SyncMessage::Update(update))).await;
    let (_, body) = raw.hear_until(|_, body| matches!(body, Body::SyncStatus(_))).await;
    body == Body::SyncStatus(true)
}

/// The same over y-websocket, which has no answer: whether the document has the client's element afterwards.
async fn writes_plain(stand: &Stand, record: &str, says: &str, client: u8) -> bool {
    let token = stand.token(Role::Editor).await;
    let url = stand.url(&format!("/yjs/{record}{says}"));
    let mut raw = Raw::connect(&url, &[("sec-websocket-protocol", &format!("auth.{token}"))]).await;
    raw.say_plain(&Message::Sync(SyncMessage::Update(element(client, "paragraph")))).await;
    raw.say_plain(&Message::Sync(SyncMessage::Step1(nothing()))).await;
    loop {
        if let Message::Sync(SyncMessage::Step2(state)) = raw.hear_plain().await {
            let known = Known::from_parts(std::iter::once(&state[..])).unwrap();
            return state_vector(&known.state_vector()).contains_key(&u64::from(client));
        }
    }
}

#[tokio::test]
async fn who_does_not_know_the_schema_writes_only_where_every_editor_knows_all_names() {
    let folder = tempfile::tempdir().unwrap();
    let stand = Stand::open_in(folder.path()).await;
    let record = stand.record().await;
    let (mut base, read_only) = came(&stand, &record, SAYS_NOTHING).await;
    assert!(!read_only, "an empty text has no names");
    assert!(writes(&mut base, &record, element(10, "paragraph")).await);
    let (mut knows, read_only) = came(&stand, &record, KNOWS).await;
    assert!(!read_only);
    assert!(writes(&mut knows, &record, element(11, "footnote_definition")).await);
    assert!(!writes(&mut base, &record, element(12, "paragraph")).await, "it would remove the footnote");
    assert!(came(&stand, &record, SAYS_NOTHING).await.1, "whoever comes now is told");
    assert!(writes(&mut knows, &record, element(13, "paragraph")).await);
    stand.stop().await;

    let stand = Stand::open_in(folder.path()).await;
    assert!(came(&stand, &record, SAYS_NOTHING).await.1, "also when it is read from disk");
    assert!(came(&stand, &record, "?schema=0").await.1);
    let (mut knows, read_only) = came(&stand, &record, KNOWS).await;
    assert!(!read_only && writes(&mut knows, &record, element(14, "paragraph")).await);
    assert!(!writes_plain(&stand, &record, SAYS_NOTHING, 15).await);
    assert!(writes_plain(&stand, &record, KNOWS, 16).await);
    // Other documents have other names, which are nobody's business here.
    let (mut free, _) = came(&stand, "notes", SAYS_NOTHING).await;
    assert!(writes(&mut free, "notes", element(10, "bulletList")).await);
    assert!(writes(&mut free, "notes", element(11, "paragraph")).await);
    stand.stop().await;
}
