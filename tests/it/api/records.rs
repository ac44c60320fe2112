//! Records over HTTP: made, imported, listed, opened, renamed, exported, and refused in plain words.

use serde_json::json;
use townhall::auth::Role;

use crate::harness::{Client, Office, Reply};

const BYLAW: &str = "---\n# kept as it is\ntitle: Noise restrictions\ntype: bylaw\nstatus: draft\n---\n\n# Noise\n\n\
                     Quiet hours are from *22:00* to 7:00.\n\n| Day | Hour |\n| --- | ---: |\n| Monday | 22 |\n";

async fn import(client: &Client, file_name: &str, bytes: &[u8]) -> Reply {
    let path = format!("/api/v1/records/import?file_name={file_name}");
    client.send("POST", &path, Some("text/markdown"), bytes).await
}

#[tokio::test]
async fn a_record_is_made_listed_opened_and_renamed() {
    let office = Office::start().await;
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let made = editor.post("/api/v1/records", json!({ "title": "Minutes of May", "type": "minutes" })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json()["record"].clone();
    assert_eq!((&made["title"], &made["type"]), (&json!("Minutes of May"), &json!("minutes")));
    assert_eq!(made["people"], 0);
    for time in ["created_at", "updated_at"] {
        let at = made[time].as_str().unwrap();
        assert!(at.starts_with("20") && at.ends_with('Z'), "{at}");
    }
    let path = format!("/api/v1/records/{}", made["id"].as_str().unwrap());
    let opened = editor.get(&path).await.json();
    assert_eq!(opened["record"], made);
    assert!(["current", "behind"].contains(&opened["draft"]["state"].as_str().unwrap()), "{opened}");
    assert_eq!(opened["draft"]["why"], json!(null));
    let renamed = editor.patch(&path, json!({ "title": "Minutes of June" })).await;
    assert_eq!((renamed.status, &renamed.json()["record"]["title"]), (200, &json!("Minutes of June")));
    let listed = editor.get("/api/v1/records").await.json();
    assert_eq!(listed["records"].as_array().unwrap().len(), 1);
    assert_eq!(listed["records"][0]["title"], "Minutes of June");
}

#[tokio::test]
async fn an_imported_file_is_exported_byte_for_byte() {
    let office = Office::start().await;
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let made = import(&editor, "bylaw-noise.md", BYLAW.as_bytes()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let record = made.json()["record"].clone();
    assert_eq!((&record["title"], &record["type"]), (&json!("Noise restrictions"), &json!("bylaw")));
    let export = editor.get(&format!("/api/v1/records/{}/export", record["id"].as_str().unwrap())).await;
    assert_eq!((export.status, export.text().as_str()), (200, BYLAW));
    assert_eq!(export.header("content-type"), Some("text/markdown; charset=utf-8"));
    let disposition = export.header("content-disposition").unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"") && disposition.contains(".md"),
        "{disposition}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_is_refused_in_plain_words() {
    let office = Office::start().await;
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let large = vec![b'a'; 2 * 1024 * 1024 + 1];
    let long = format!("---\n{}---\ntext\n", "a: 1\n".repeat(20_000)).into_bytes();
    for (bytes, status, code) in [
        (&b"\xff\xfe# Noise"[..], 400, "not_utf8"),
        (b"", 400, "empty"),
        (&long, 400, "front_matter"),
        (&large, 413, "too_large"),
    ] {
        let reply = import(&editor, "x.md", bytes).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    }
    let reply = editor.send("POST", "/api/v1/records/import?file_name=x.md", Some("text/html"), b"<p>").await;
    assert_eq!((reply.status, reply.code().as_str()), (415, "markdown_expected"));
    let listed = editor.get("/api/v1/records").await.json();
    assert_eq!(listed, json!({ "records": [] }));
}

#[tokio::test]
async fn viewers_read_records_and_strangers_see_none() {
    let office = Office::start().await;
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let made = import(&editor, "bylaw.md", BYLAW.as_bytes()).await.json();
    let path = format!("/api/v1/records/{}", made["record"]["id"].as_str().unwrap());
    let viewer = office.client().with_token(&office.mint(Role::Viewer).await);
    for read in ["/api/v1/records", &path, &format!("{path}/export")] {
        assert_eq!(viewer.get(read).await.status, 200, "{read}");
        assert_eq!(office.client().get(read).await.code(), "not_logged_in", "{read}");
    }
    for reply in [
        viewer.post("/api/v1/records", json!({ "title": "Mine" })).await,
        viewer.patch(&path, json!({ "title": "Mine" })).await,
        import(&viewer, "mine.md", BYLAW.as_bytes()).await,
    ] {
        assert_eq!((reply.status, reply.code().as_str()), (403, "not_allowed"));
    }
}

#[tokio::test]
async fn no_id_leads_anywhere_but_to_a_record() {
    let office = Office::start().await;
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let before = std::fs::read_dir(office.data()).unwrap().count();
    for id in [
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e",
        "a%00b",
        "a%20b",
        "%C3%A9",
        "a%2Fb",
        &"x".repeat(65),
        "%5C%5C%3F%5CC",
    ] {
        for path in [format!("/api/v1/records/{id}"), format!("/api/v1/records/{id}/export")] {
            let reply = editor.get(&path).await;
            assert_eq!((reply.status, reply.code().as_str()), (400, "bad_id"), "{path}");
        }
    }
    for id in ["CON", "nothing", "record-1", "_"] {
        let reply = editor.get(&format!("/api/v1/records/{id}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{id}");
        let reply = editor.patch(&format!("/api/v1/records/{id}"), json!({ "title": "T" })).await;
        assert_eq!(reply.status, 404, "{id}");
    }
    let title = editor.post("/api/v1/records", json!({ "title": "  " })).await;
    assert_eq!((title.status, title.code().as_str()), (400, "title_missing"));
    assert_eq!(std::fs::read_dir(office.data()).unwrap().count(), before);
}
