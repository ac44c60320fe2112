//! A code is worth one office for ten minutes, and guessing one is hopeless.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use townhall::auth::{Auth, Grant, JoinError, NewToken, Role, Session};
use townhall::bus::Bus;
use townhall::clock::{Clock, Stopwatch};
use townhall::store::Store;
use townhall::telemetry::Metrics;

use crate::harness::{Office, Reply};

const LIFE_S: u64 = 600;

/// The office's register of people alone, with a clock in our hand.
struct Register {
    auth: Auth,
    clock: Clock,
    host: Grant,
    _folder: tempfile::TempDir,
}

impl Register {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_800_000_000_000);
        let store = Store::open(folder.path(), &clock, &Metrics::new()).unwrap();
        let bus = Bus::open(&folder.path().join("bus"), &clock).unwrap();
        let auth = Auth::open(folder.path(), store, bus, clock.clone()).unwrap();
        let host = Grant::new("host".into(), "Host".into(), Role::Admin);
        Self { auth, clock, host, _folder: folder }
    }

    fn invite(&self, role: Role) -> String {
        self.auth.invite(&self.host, role, None).unwrap().code
    }
}

fn address(n: u32) -> IpAddr {
    IpAddr::V4((0x0a4d_0000 + n).into())
}

async fn join(office: &Office, code: &str, name: &str) -> Reply {
    office.client().post("/api/v1/join", json!({ "code": code, "name": name })).await
}

#[tokio::test]
async fn a_colleague_joins_with_a_code_and_a_name() {
    let office = Office::start().await;
    let made = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let code = made["code"].as_str().unwrap();
    assert!(made["url"].as_str().unwrap().ends_with(&format!("/join#{code}")), "{made}");
    assert!(
        made["qr"]["size"].as_u64().unwrap() > 20 && made["qr"]["path"].as_str().unwrap().starts_with('M')
    );
    assert_eq!(made["expires_at"].as_str().unwrap().len(), "2026-11-20T12:00:00.123Z".len());

    let reply = join(&office, &code.to_lowercase().replace('-', ""), "  Zoë ").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let joined = reply.json();
    assert_eq!(
        (joined["user"]["name"].as_str(), joined["user"]["role"].as_str()),
        (Some("Zoë"), Some("editor"))
    );
    let with_cookie = office.client().with_cookie(&reply.cookie().unwrap());
    assert_eq!(with_cookie.get("/api/v1/auth/me").await.json()["user"], joined["user"]);
    let token = joined["token"].as_str().unwrap();
    let with_token = office.client().with_token(token);
    assert_eq!(with_token.get("/api/v1/auth/me").await.json()["user"], joined["user"]);

    // A colleague is no host.
    for path in ["/api/v1/invitations", "/api/v1/office/sharing", "/api/v1/tokens"] {
        let reply = with_cookie.post(path, json!({ "role": "admin", "on": true, "name": "X" })).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "not_allowed"), "{path}");
    }
    assert_eq!(with_cookie.post("/api/v1/auth/logout", json!({})).await.status, 204);
    assert_eq!(with_cookie.get("/api/v1/auth/me").await.status, 401);
    assert_eq!(with_token.get("/api/v1/auth/me").await.status, 401);
}

#[tokio::test]
async fn a_closed_invitation_and_a_missing_name_let_nobody_in() {
    let office = Office::start().await;
    let made = office.admin().post("/api/v1/invitations", json!({ "role": "viewer" })).await.json();
    let (code, id) = (made["code"].as_str().unwrap(), made["id"].as_str().unwrap());
    for name in ["", "   ", "\u{202e}", &"x".repeat(65)] {
        let reply = join(&office, code, name).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "name_missing"), "{name:?}");
    }
    assert_eq!(office.admin().delete(&format!("/api/v1/invitations/{id}")).await.status, 204);
    let closed = join(&office, code, "Ada").await;
    let unknown = join(&office, "ZZZZ-ZZZZ", "Ada").await;
    assert_eq!((closed.status, closed.code().as_str()), (403, "code_not_valid"));
    assert_eq!((unknown.status, &unknown.body), (closed.status, &closed.body));
    assert_eq!(closed.headers.len(), unknown.headers.len());
}

#[tokio::test]
async fn guessing_is_slowed_for_whoever_guesses() {
    let office = Office::start().await;
    let made = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
    for _ in 0..5 {
        assert_eq!(join(&office, "ZZZZ-ZZZZ", "G").await.status, 403);
    }
    // Not even the right one is looked at now.
    let reply = join(&office, made["code"].as_str().unwrap(), "G").await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_guesses"));
    let wait_s: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait_s), "{wait_s}");
}

#[tokio::test]
async fn a_hundred_thousand_guesses_reach_the_comparison_sixty_times_a_minute() {
    let register = Register::open();
    register.invite(Role::Editor);
    let (mut compared, mut minutes) = (0_u32, 0_u32);
    for guess in 0..100_000_u32 {
        if guess % 1_000 == 999 {
            register.clock.advance(Duration::from_secs(6));
            minutes += u32::from(guess % 10_000 == 9_999);
        }
        let code = format!("{:08}", guess % 10_000_000).replace('0', "Z").replace('1', "Y");
        match register.auth.join(&code, "G", address(guess % 256)).await {
            Err(JoinError::Code) => compared += 1,
            Err(JoinError::TooMany(wait)) => assert!(wait <= Duration::from_secs(60)),
            other => panic!("{other:?}"),
        }
    }
    assert!(compared <= 60 * (minutes + 1), "{compared} in {minutes} minutes");
    assert!(compared >= 60, "{compared}");
}

#[tokio::test]
async fn a_code_lives_ten_minutes() {
    let register = Register::open();
    let code = register.invite(Role::Editor);
    register.clock.advance(Duration::from_secs(LIFE_S - 1));
    assert!(register.auth.join(&code, "Ada", address(1)).await.is_ok());
    register.clock.advance(Duration::from_secs(1));
    assert!(matches!(register.auth.join(&code, "Bea", address(2)).await, Err(JoinError::Code)));
}

#[tokio::test]
async fn a_whole_office_joins_at_once() {
    let register = Register::open();
    let code = register.invite(Role::Editor);
    let mut people = HashSet::new();
    for n in 0..1_000 {
        let joined = register.auth.join(&code, &format!("P{n}"), address(1)).await.unwrap();
        people.insert(joined.grant.person().to_owned());
    }
    assert_eq!(people.len(), 1_000);
}

#[tokio::test]
async fn wrong_expired_and_unknown_codes_take_the_same_time() {
    let register = Register::open();
    let expired = register.invite(Role::Editor);
    register.clock.advance(Duration::from_secs(LIFE_S + 1));
    let open = register.invite(Role::Editor);
    let near = format!("{}{}", &open[..8], if open.ends_with('Z') { 'Y' } else { 'Z' });
    let (mut times, mut from) = ([Vec::new(), Vec::new(), Vec::new()], 0);
    for round in 0..6_000_usize {
        // Sixty guesses a minute, each from another address.
        if round % 20 == 0 {
            register.clock.advance(Duration::from_secs(61));
        }
        for (times, code) in times.iter_mut().zip([near.as_str(), &expired, "ZZZZZZZZ"]) {
            from += 1;
            let watch = Stopwatch::start();
            let answer = register.auth.join(code, "G", address(from)).await;
            times.push(watch.elapsed().as_nanos() as u64);
            assert!(matches!(answer, Err(JoinError::Code)), "{answer:?}");
        }
    }
    let medians: Vec<u64> = times.iter_mut().map(|times| *times.select_nth_unstable(3_000).1).collect();
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    // Over a network nothing below a microsecond can be told apart.
    assert!(most - least <= 1_000 + least / 5, "{medians:?} ns");
}

#[tokio::test]
async fn sessions_end_when_idle_and_in_any_case_after_a_week() {
    let register = Register::open();
    let code = register.invite(Role::Editor);
    let Session { token, grant } = register.auth.join(&code, "Ada", address(1)).await.unwrap();
    let token = token.reveal();
    let hour = Duration::from_secs(3_600);
    // In use every eleven hours, it lives on, but no longer than a week.
    let mut hours = 0;
    while register.auth.grant(token).is_ok() {
        register.clock.advance(11 * hour);
        register.auth.end_expired();
        hours += 11;
        assert!(hours <= 8 * 24);
    }
    assert!(hours > 6 * 24, "{hours}");
    assert!(!grant.holds());

    let code = register.invite(Role::Editor);
    let Session { token, grant } = register.auth.join(&code, "Bea", address(1)).await.unwrap();
    // An open socket holds the grant: that is use, however quiet it is.
    for _ in 0..30 {
        register.clock.advance(hour);
        register.auth.end_expired();
        assert!(grant.holds());
    }
    drop(grant);
    register.clock.advance(12 * hour);
    register.auth.end_expired();
    assert!(register.auth.grant(token.reveal()).is_err());
}

#[tokio::test]
async fn an_expired_token_ends_every_clone_of_its_grant() {
    let register = Register::open();
    let new = NewToken { name: "Key".into(), role: Role::Editor, life: Some(Duration::from_secs(30)) };
    let minted = register.auth.mint(&register.host, new).await.unwrap();
    let grant = register.auth.grant(minted.token.reveal()).unwrap();
    assert!(grant.may_write());
    register.clock.advance(Duration::from_secs(30));
    assert!(register.auth.grant(minted.token.reveal()).is_err());
    register.auth.end_expired();
    assert!(!grant.may_write() && !minted.grant.holds());
}
