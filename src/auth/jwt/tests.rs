//! What counts as a token, what does not, and that a key never works for another algorithm than its own.

use std::time::Duration;

use super::*;

const SECRET: &str = "a secret of the forum that is long enough";
const NOW_MS: u64 = 1_800_000_000_000;

/// Signed elsewhere, with keys that were thrown away: sub u1, uid d1, cid 7, roles ["clerk"], until 2100.
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MSIsInVpZCI6ImQxIiwiY2lkIjoiNyIsImFkbSI6Z\
    mFsc2UsInJvbGVzIjpbImNsZXJrIl0sIm5hbWUiOiJBbm4iLCJleHAiOjQxMDI0NDQ4MDB9.h1C2tHnHtY1oGlO0pI\
    mbiNGF97JPD_pIgyMqe3IRACmfBsl1pWiyZpTgIj6VjwAHK1WzpNBR38xV01thN4rZT0FPwNjRAHD0GbNMVzeEZikz\
    X120EFjas2U37YwIicrwSGpF8EJCLMA-gv70Z8f-tWQ3aAjLtOS5eKJ7hN4czABxM7oOp94i0Qjm020aoPlAqGhitj\
    xrURdXL7JsApkFTR5eN6jLmG8pIDzkc9phYHLNez5hiVl49q1qqGAIKi76LWjnn_lteEcmd9Vo276hpx6r8H-WkHp_\
    NN5z-BmWJ3McvMszzcbD7ZFY8wJpqQhhY8Zo9KdVQEkuTllw5tq8yA";
const EDDSA: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MSIsInVpZCI6ImQxIiwiY2lkIjoiNyIsImFkbSI6Z\
    mFsc2UsInJvbGVzIjpbImNsZXJrIl0sIm5hbWUiOiJBbm4iLCJleHAiOjQxMDI0NDQ4MDB9.CgZpas79aZuPjcPRrp\
    3pYyrSIWmwqwnjyR0cL83HGbkTq3huOxwsPZuMV2QD3UHpw4SjAQf1XZQgLEKSlQi4CQ";

const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyIK0e+u3V8goMGmorYZJ
71hqV+jiO2J96YOXFKAaz3/kBMcZIgsLwemKE1TdAO9JvqozDKbP/HE+8cOMygoo
ytn+2rKH1G4TQ7lW/6JYOd6X1AFaOiy39C4drrTnJXlrnvgnG/u42zqp7NFBxZXv
xFnseKKWefmklMuihPKJgL5x4o+pBMdDUcY/ELon8KmGyr3HbM564Sq4AeBRrymh
b8Y4c7sCan4zS6ry/pxjXUaoF/CrcWkqH8eFOKaRtsq/FnihgdCDQF/k+aStQ1Ol
Mi25la5qMDjveOjoprqqfEkpVoWFpNcGjKJYzzDvD4YLqxBbPJPF2vAi7Mzsx/td
1wIDAQAB
-----END PUBLIC KEY-----
";
const RSA_PKCS1_PEM: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAyIK0e+u3V8goMGmorYZJ71hqV+jiO2J96YOXFKAaz3/kBMcZIgsL
wemKE1TdAO9JvqozDKbP/HE+8cOMygooytn+2rKH1G4TQ7lW/6JYOd6X1AFaOiy3
9C4drrTnJXlrnvgnG/u42zqp7NFBxZXvxFnseKKWefmklMuihPKJgL5x4o+pBMdD
UcY/ELon8KmGyr3HbM564Sq4AeBRrymhb8Y4c7sCan4zS6ry/pxjXUaoF/CrcWkq
H8eFOKaRtsq/FnihgdCDQF/k+aStQ1OlMi25la5qMDjveOjoprqqfEkpVoWFpNcG
jKJYzzDvD4YLqxBbPJPF2vAi7Mzsx/td1wIDAQAB
-----END RSA PUBLIC KEY-----
";
const ED_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAjoL/Xa4W+TrXfxspafG6jzcXmWnzykflTn6fxliVxX0=
-----END PUBLIC KEY-----
";

fn pack(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn sign_with(secret: &[u8], header: &str, claims: &str) -> String {
    let text = format!("{}.{}", pack(header), pack(claims));
    let mark = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mark))
}

fn token(claims: &str) -> String {
    sign_with(SECRET.as_bytes(), r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn keys(secret: Option<&str>, pem: Option<&str>) -> JwtKeys {
    let file = pem.map(file);
    JwtKeys::open(secret, file.as_ref().map(|file| file.path())).unwrap().unwrap()
}

fn now() -> Clock {
    Clock::manual(NOW_MS)
}

#[test]
fn a_token_says_who_its_bearer_is() {
    let claims = keys(Some(SECRET), None).claims(
        &token(
            r#"{"sub":"u1","uid":"d1","cid":7,"adm":true,"roles":["clerk","mayor"],"name":"Ann","picture":"p.png",
            "communityShortId":"town","pluginId":"forum","previousVisit":null,"iat":1,"exp":1800000060}"#,
        ),
        &now(),
    );
    let claims = claims.unwrap();
    assert_eq!((claims.person.as_str(), claims.device.as_deref()), ("u1", Some("d1")));
    assert_eq!(claims.community.as_deref(), Some("7"), "a number is as good as a text");
    assert!(claims.admin);
    assert_eq!(claims.roles, ["clerk", "mayor"]);
    assert_eq!(claims.expires_at_ms, NOW_MS + 60_000);
}

#[test]
fn public_keys_of_both_kinds_are_read_and_used() {
    for (pem, token) in [(RSA_PEM, RS256), (RSA_PKCS1_PEM, RS256), (ED_PEM, EDDSA)] {
        let claims = keys(None, Some(pem)).claims(token, &now()).unwrap();
        assert_eq!((claims.person.as_str(), claims.roles.as_slice()), ("u1", &["clerk".to_owned()][..]));
    }
    let both = keys(Some(SECRET), Some(ED_PEM));
    assert!(both.claims(EDDSA, &now()).is_ok());
    assert!(both.claims(&token(r#"{"sub":"u","exp":1900000000}"#), &now()).is_ok());
    for broken in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "hello"] {
        let file = file(broken);
        assert!(matches!(JwtKeys::open(None, Some(file.path())), Err(KeyError::NotAKey(_))), "{broken}");
    }
    assert!(matches!(JwtKeys::open(None, Some(Path::new("/no/such"))), Err(KeyError::Unreadable(..))));
}

#[test]
fn without_a_key_nobody_is_asked_for_a_token() {
    assert!(JwtKeys::open(None, None).unwrap().is_none());
    assert!(JwtKeys::open(Some(""), None).unwrap().is_none());
}

#[test]
fn a_key_works_for_its_own_algorithm_only() {
    let claims = r#"{"sub":"u1","adm":true,"exp":1900000000}"#;
    let hs = keys(Some(SECRET), None);
    for algorithm in ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "EdDSA", "ES256"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let signed = sign_with(SECRET.as_bytes(), &header, claims);
        assert_eq!(hs.claims(&signed, &now()), Err(JwtDenied::Algorithm), "{algorithm}");
        let bare = format!("{}.{}.", pack(&header), pack(claims));
        assert_eq!(hs.claims(&bare, &now()), Err(JwtDenied::Algorithm), "{algorithm}");
    }
    // The public key, which everybody has, as the secret of a token.
    let header = r#"{"alg":"HS256"}"#;
    for pem in [RSA_PEM, RSA_PKCS1_PEM, ED_PEM] {
        let forged = sign_with(pem.as_bytes(), header, claims);
        assert_eq!(keys(None, Some(pem)).claims(&forged, &now()), Err(JwtDenied::Algorithm));
        assert_eq!(keys(Some(SECRET), Some(pem)).claims(&forged, &now()), Err(JwtDenied::Signature));
    }
    let crit = sign_with(SECRET.as_bytes(), r#"{"alg":"HS256","crit":["x"]}"#, claims);
    assert_eq!(hs.claims(&crit, &now()), Err(JwtDenied::Algorithm));
}

#[test]
fn what_is_wrong_is_refused_for_what_is_wrong() {
    let good = r#"{"sub":"u1","exp":1800000060}"#;
    let other = sign_with(b"another secret", r#"{"alg":"HS256"}"#, good);
    let signed = token(good);
    let cut = &signed[..signed.len() - 4];
    let (head, _) = signed.split_once('.').unwrap();
    let swapped =
        format!("{head}.{}.{}", pack(r#"{"sub":"u2","exp":1800000060}"#), signed.rsplit('.').next().unwrap());
    let long = format!("{}.a.b", "a".repeat(JWT_MAX_BYTES));
    for (token, why) in [
        (other, JwtDenied::Signature),
        (cut.to_owned(), JwtDenied::Signature),
        (swapped, JwtDenied::Signature),
        (String::new(), JwtDenied::Malformed),
        ("a.b".to_owned(), JwtDenied::Malformed),
        ("..".to_owned(), JwtDenied::Malformed),
        ("null".to_owned(), JwtDenied::Malformed),
        (format!("{signed}="), JwtDenied::Malformed),
        (long, JwtDenied::Malformed),
        (token("null"), JwtDenied::Malformed),
        (token("[]"), JwtDenied::Malformed),
        (token("{}"), JwtDenied::Time),
        (token(r#"{"sub":"u1"}"#), JwtDenied::Time),
        (token(r#"{"sub":"u1","exp":1800000000}"#), JwtDenied::Time),
        (token(r#"{"sub":"u1","exp":1800000060,"nbf":1800000001}"#), JwtDenied::Time),
        (token(r#"{"sub":"u1","exp":"1900000000"}"#), JwtDenied::Claims),
        (token(r#"{"sub":"u1","exp":-1}"#), JwtDenied::Claims),
        (token(r#"{"exp":1800000060}"#), JwtDenied::Claims),
        (token(r#"{"sub":null,"exp":1800000060}"#), JwtDenied::Claims),
        (token(r#"{"sub":{},"exp":1800000060}"#), JwtDenied::Claims),
        (token(r#"{"sub":"a\u0000b","exp":1800000060}"#), JwtDenied::Claims),
        (token(r#"{"sub":"u1","roles":"admin","exp":1800000060}"#), JwtDenied::Claims),
        (token(r#"{"sub":"u1","roles":[[]],"exp":1800000060}"#), JwtDenied::Claims),
    ] {
        assert_eq!(keys(Some(SECRET), None).claims(&token, &now()), Err(why), "{token}");
    }
}

#[test]
fn only_a_true_true_makes_an_admin() {
    for (adm, admin) in [("true", true), ("false", false), ("1", false), ("\"true\"", false), ("null", false)]
    {
        let token = token(&format!(r#"{{"sub":"u1","adm":{adm},"exp":1800000060}}"#));
        assert_eq!(keys(Some(SECRET), None).claims(&token, &now()).unwrap().admin, admin, "{adm}");
    }
}

#[test]
fn a_token_ends_with_its_time() {
    let (clock, keys) = (now(), keys(Some(SECRET), None));
    let token = token(r#"{"sub":"u1","exp":1800000060}"#);
    clock.advance(Duration::from_millis(59_999));
    assert!(keys.claims(&token, &clock).is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(keys.claims(&token, &clock), Err(JwtDenied::Time));
}

#[test]
fn keys_do_not_show_themselves() {
    let shown = format!("{:?}", keys(Some(SECRET), Some(ED_PEM)));
    assert_eq!(shown, r#"["HS256", "EdDSA"]"#);
}
