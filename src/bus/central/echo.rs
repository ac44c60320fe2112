//! Our own publications that the server tells us too.
//!
//! Owns which ones are due. Who listens in this office has heard them already: they are dropped when they come back.
//! A publication counts from the moment it is sent, for each pattern that is listened to then. When its echo does not
//! come (the server took it before it listened for us), it is forgotten after a while. Not with the connection: what
//! was sent on a line that is given up may still reach the server, and come back on the next one.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::super::message::{Message, Pattern};
use crate::clock::Stopwatch;
use crate::config::limits::{BUS_ECHO_LIFE, BUS_ECHOES_MAX};

type Key = [u8; 32];

/// The echoes that are due, and what is listened to.
#[derive(Default)]
pub(super) struct Echoes {
    due: HashMap<Key, Vec<Stopwatch>>,
    count: usize,
    pub(super) listening: Vec<Pattern>,
}

impl Echoes {
    /// These are about to be sent.
    pub(super) fn are_due(&mut self, messages: &[Message]) {
        if self.count + messages.len() * self.listening.len() > BUS_ECHOES_MAX {
            self.forget_old();
        }
        for message in messages {
            for pattern in self.listening.iter().filter(|pattern| pattern.takes(&message.channel)) {
                self.due.entry(key(pattern, message)).or_default().push(Stopwatch::start());
                self.count += 1;
            }
        }
    }

    /// Whether this is one of ours; it is due once less then.
    pub(super) fn take(&mut self, pattern: &Pattern, message: &Message) -> bool {
        if self.count == 0 {
            return false;
        }
        let key = key(pattern, message);
        let Some(due) = self.due.get_mut(&key) else { return false };
        let known = due.len();
        due.retain(|sent| sent.elapsed() < BUS_ECHO_LIFE);
        let ours = !due.is_empty();
        if ours {
            due.remove(0);
        }
        self.count -= known - due.len();
        if due.is_empty() {
            self.due.remove(&key);
        }
        ours
    }

    /// The connection is gone, and with it what was listened to there.
    pub(super) fn hung_up(&mut self) {
        self.listening.clear();
    }

    fn forget_old(&mut self) {
        self.due.retain(|_, due| {
            due.retain(|sent| sent.elapsed() < BUS_ECHO_LIFE);
            !due.is_empty()
        });
        self.count = self.due.values().map(Vec::len).sum();
    }
}

fn key(pattern: &Pattern, message: &Message) -> Key {
    let (kind, name) = match pattern {
        Pattern::Channel(name) => (0_u8, name),
        Pattern::Prefix(start) => (1, start),
    };
    let mut hash = Sha256::new();
    hash.update([kind]);
    for part in [name.as_bytes(), message.channel.as_bytes(), &message.body[..]] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publication_is_dropped_once_for_each_pattern_and_no_more() {
        let (one, many, other) =
            (Pattern::channel("a/b"), Pattern::prefix("a/"), Pattern::channel("elsewhere"));
        let message = Message::new("a/b", "x".into()).unwrap();
        let mut echoes =
            Echoes { listening: vec![one.clone(), many.clone(), other.clone()], ..Echoes::default() };
        echoes.are_due(&[message.clone(), message.clone()]);
        for _ in 0..2 {
            assert!(echoes.take(&one, &message) && echoes.take(&many, &message));
        }
        assert!(!echoes.take(&one, &message) && !echoes.take(&many, &message));
        assert_eq!((echoes.count, echoes.due.len()), (0, 0));
        echoes.are_due(std::slice::from_ref(&message));
        echoes.hung_up();
        assert!(echoes.take(&one, &message), "it was still on its way");
        echoes.are_due(std::slice::from_ref(&message));
        assert!(!echoes.take(&one, &message), "nothing is listened to");
    }
}
