//! Where no forum is: whoever comes with a forum's token is told so, in the words of the program that runs today
//! (Curia's `server.ts`, where the secret is missing).
//!
//! Owns that answer. Asked last: a token may be somebody else's.

use serde_json::Value;

use crate::faces::sio::{Accepted, Dialect, Hello, Later, Peer, Reason, Refused, Said};

/// Lets nobody in.
pub struct Closed;

impl Dialect for Closed {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        let auth: Value = serde_json::from_str(hello.auth).unwrap_or(Value::Null);
        let brings = hello.namespace == "/" && auth.get("token").is_some_and(|token| !token.is_null());
        let answer = brings.then(|| Err(Refused::new("Server configuration error")));
        Box::pin(std::future::ready(answer))
    }

    fn event<'a>(&'a self, _: &'a Peer, _: Said) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn gone<'a>(&'a self, _: &'a Peer, _: Reason) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
