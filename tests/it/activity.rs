//! What whoever looks after the office is shown of it: true figures, bounded, and nothing that is secret.

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use townhall::auth::Role;

use crate::harness::channels::Wire;
use crate::harness::hocus::Hocus;
use crate::harness::{Client, Office, admin_token};

async fn activity(office: &Office) -> Value {
    let reply = office.admin().get("/api/v1/activity").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A page's channel token.
async fn channel_token(client: &Client) -> String {
    let site = client.get("/api/v1/boot/site").await.json();
    site["channel_token"].as_str().unwrap().to_owned()
}

/// A connection to the channels, with what the CONNECT packet says and what its answer was.
async fn listens(office: &Office, token: &str, hello: &str) -> (Wire, Value) {
    let url = office.ws(&format!("/socket.io/?EIO=4&transport=websocket&channel_token={token}"));
    let mut wire = Wire(connect_async(url).await.unwrap().0);
    assert!(wire.text().await.starts_with('0'));
    wire.say(&format!("40{hello}")).await;
    let connected = wire.text().await;
    (wire, serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap())
}

#[tokio::test]
async fn a_host_sees_rooms_messages_and_who_came_back_and_nobody_else_does() {
    let office = Office::start().await;
    let editor = office.mint(Role::Editor).await;
    let ada = office.client().with_token(&editor);
    assert_eq!(office.client().get("/api/v1/activity").await.status, 401);
    assert_eq!(ada.get("/api/v1/activity").await.status, 403);
    let before = activity(&office).await;
    assert_eq!(before["channels"], json!({ "rooms": [], "more": 0 }));
    assert_eq!(before["bus"]["kind"], "embedded");
    assert_eq!(before["store"]["state"], "writable");

    let made = ada.post("/api/v1/records", json!({ "title": "Budget", "type": "bylaw" })).await.json();
    let record = made["record"]["id"].as_str().unwrap();
    let doc = format!("record:{record}");
    let (_writer, _) = Hocus::join(office.address().port(), &doc, &editor).await.unwrap();
    let token = channel_token(&ada).await;
    let (_one, _) = listens(&office, &token, "").await;
    let (mut two, hello) = listens(&office, &token, "").await;
    let said = json!({ "channel": "/records", "message": { "room": "group-1", "records": {} } });
    assert_eq!(office.admin().post("/api/v1/channels", said).await.json()["reached"], 1);
    let heard = two.text().await;
    let offset = serde_json::from_str::<Value>(heard.strip_prefix("42").unwrap()).unwrap()[2].clone();
    drop(two);
    let back = json!({ "pid": hello["pid"], "offset": offset }).to_string();
    let (_two, again) = listens(&office, &token, &back).await;
    assert_eq!(again["pid"], hello["pid"], "taken up again");
    let (_three, _) = listens(&office, &token, r#"{"pid":"unknown","offset":"x"}"#).await;
    office.client().with("Host", "evil.example").get("/").await;

    let now = activity(&office).await;
    let document = &now["documents"]["rooms"][0];
    assert_eq!((&document["name"], &document["title"]), (&json!(doc), &json!("Budget")));
    assert_eq!((&document["people"], &document["names"]), (&json!(1), &json!(["Test"])));
    let rooms = now["channels"]["rooms"].as_array().unwrap();
    let group = rooms.iter().find(|room| room["name"] == "group-1").unwrap();
    assert_eq!(group, &json!({ "space": "loomio", "name": "group-1", "people": 1, "connections": 3 }));
    assert_eq!((&now["messages"]["kept"], &now["messages"]["delivered"]), (&json!(1), &json!(2)));
    assert_eq!(now["recoveries"]["taken_up"], 1);
    assert_eq!(now["recoveries"]["not_taken_up"], json!([{ "reason": "unknown", "count": 1 }]));
    assert_eq!(now["recoveries"]["new"], 2);
    assert_eq!(now["refused"], json!({ "reasons": [{ "reason": "host_not_ours", "count": 1 }], "other": 0 }));
    for counter in ["received", "sent"] {
        let (was, is) = (&before["messages"][counter], &now["messages"][counter]);
        assert!(is.as_u64() > was.as_u64(), "{counter}: {was} {is}");
    }
    assert!(now["at_ms"].as_u64() >= before["at_ms"].as_u64());
    for secret in [&token, &editor, &admin_token(office.data())] {
        assert!(!now.to_string().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn many_rooms_are_shown_by_the_fullest_and_the_rest_is_counted() {
    let office = Office::start().await;
    let bus = office.handle().bus().clone();
    let mut here = Vec::new();
    for user in 0..20_u32 {
        let token = format!("token-{user}");
        let value = json!({ "id": user, "name": "Ann", "group_ids": [7] }).to_string();
        bus.put_shared(&format!("/current_users/{token}"), value.as_bytes(), None).await.unwrap();
        here.push(listens(&office, &token, "").await);
    }
    let now = activity(&office).await;
    let rooms = now["channels"]["rooms"].as_array().unwrap();
    let counts: Vec<_> = rooms.iter().map(|room| room["connections"].as_u64().unwrap()).collect();
    assert_eq!(rooms.len() as u64 + now["channels"]["more"].as_u64().unwrap(), 22, "{now}");
    assert!(rooms.len() < 22 && counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    assert_eq!(counts[..2], [20, 20]);
}

#[tokio::test]
async fn a_host_without_a_name_is_called_as_the_page_says_until_there_is_one() {
    let office = Office::start().await;
    let window = async |name: &str| {
        let link = office.handle().window_link();
        let once = link.split("#once=").nth(1).unwrap().to_owned();
        let reply = office.client().post("/api/v1/auth/once", json!({ "once": once, "name": name })).await;
        (reply.json()["user"]["name"].clone(), office.client().with_cookie(&reply.cookie().unwrap()))
    };
    assert_eq!(window("Hôte").await.0, "Hôte");
    let (name, host) = window("\u{202e}").await;
    assert_eq!(name, "Host", "a name that is none is not taken");
    assert_eq!(host.patch("/api/v1/auth/me", json!({ "name": "Ada" })).await.status, 200);
    assert_eq!(window("Hôte").await.0, "Ada");
}
