//! Who is writing where, as others are shown it.
//!
//! Owns the difference between what a client says and what was told: a repetition is told again now and then, a change
//! soon after the last one waits and may cancel out, and who says nothing more has stopped.

use std::collections::BTreeMap;

use super::presence::Seat;
use crate::config::limits::{FORUM_TYPING_AGAIN, FORUM_TYPING_DEBOUNCE, FORUM_TYPING_MAX};

/// Where somebody writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) board: String,
    pub(super) post: Option<String>,
    /// `post` or `comment`.
    pub(super) context: &'static str,
    /// Ids as the client wrote them, numbers as numbers.
    pub(super) board_json: String,
    pub(super) post_json: Option<String>,
}

/// What others are to be told of one socket: first that it stopped, then that it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) seat: Seat,
    pub(super) stopped: Option<Spot>,
    pub(super) started: Option<Spot>,
    /// It started before, and goes on.
    pub(super) again: bool,
}

#[derive(Debug, Default)]
struct Hand {
    now: Option<Spot>,
    shown: Option<Spot>,
    said_ms: u64,
    free_ms: u64,
    told_ms: u64,
}

/// Everybody's hands.
#[derive(Debug, Default)]
pub(super) struct Typing(BTreeMap<Seat, Hand>);

impl Typing {
    /// Whether this is only said again.
    pub(super) fn repeats(&self, seat: Seat, spot: &Spot) -> bool {
        self.0.get(&seat).is_some_and(|hand| hand.now.as_ref() == Some(spot))
    }

    /// A client says where it writes, or that it stopped; what is to be told now.
    pub(super) fn says(&mut self, seat: Seat, spot: Option<Spot>, now_ms: u64) -> Option<Change> {
        if spot.is_none() && !self.0.contains_key(&seat) {
            return None;
        }
        let hand = self.0.entry(seat).or_default();
        hand.now = spot;
        hand.said_ms = now_ms;
        hand.change(seat, now_ms).or_else(|| hand.goes_on(seat, now_ms))
    }

    /// What is to be told by now: who stopped without saying so, and changes that waited.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        self.0.retain(|&seat, hand| {
            if now_ms.saturating_sub(hand.said_ms) >= FORUM_TYPING_MAX.as_millis() as u64 {
                hand.now = None;
            }
            changes.extend(hand.change(seat, now_ms));
            hand.now.is_some() || hand.shown.is_some()
        });
        changes
    }

    /// The socket is gone, or may not be there any more: it stopped, at once.
    pub(super) fn gone(&mut self, seat: Seat) -> Option<Change> {
        let stopped = self.0.remove(&seat)?.shown?;
        Some(Change { seat, stopped: Some(stopped), started: None, again: false })
    }

    /// Whether a socket writes on a board, be it shown so or about to be.
    pub(super) fn is_on(&self, seat: Seat, board: &str) -> bool {
        let hand = self.0.get(&seat);
        hand.is_some_and(|hand| {
            [&hand.now, &hand.shown].into_iter().flatten().any(|spot| spot.board == board)
        })
    }

    /// Whether nobody writes.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Hand {
    fn change(&mut self, seat: Seat, now_ms: u64) -> Option<Change> {
        if self.now == self.shown || now_ms < self.free_ms {
            return None;
        }
        self.free_ms = now_ms + FORUM_TYPING_DEBOUNCE.as_millis() as u64;
        self.told_ms = now_ms;
        let stopped = std::mem::replace(&mut self.shown, self.now.clone());
        Some(Change { seat, stopped, started: self.shown.clone(), again: false })
    }

    /// It is said again, and long enough after it was told.
    fn goes_on(&mut self, seat: Seat, now_ms: u64) -> Option<Change> {
        let started = self.shown.clone().filter(|_| self.now == self.shown)?;
        if now_ms.saturating_sub(self.told_ms) < FORUM_TYPING_AGAIN.as_millis() as u64 {
            return None;
        }
        self.told_ms = now_ms;
        Some(Change { seat, stopped: None, started: Some(started), again: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(post: &str) -> Option<Spot> {
        Some(Spot {
            board: "5".into(),
            post: Some(post.into()),
            context: "comment",
            board_json: "5".into(),
            post_json: Some(post.into()),
        })
    }

    /// (stopped where, started where)
    fn told(change: Option<Change>) -> Option<(Option<String>, Option<String>)> {
        let post = |spot: Option<Spot>| spot.and_then(|spot| spot.post);
        change.map(|change| (post(change.stopped), post(change.started)))
    }

    #[test]
    fn a_start_is_told_at_once_and_again_with_the_heartbeat_that_keeps_it_alive() {
        let mut typing = Typing::default();
        assert_eq!(told(typing.says(1, on("9"), 0)), Some((None, Some("9".into()))));
        for second in 1..=5 {
            let again = typing.says(1, on("9"), second * 8_000).unwrap();
            assert!(again.again, "a heartbeat");
            assert_eq!(told(Some(again)), Some((None, Some("9".into()))));
            assert_eq!(
                told(typing.says(1, on("9"), second * 8_000 + 4_900)),
                None,
                "not whenever it is said"
            );
            assert!(typing.due(second * 8_000 + 7_900).is_empty());
        }
        assert!(typing.repeats(1, &on("9").unwrap()) && !typing.repeats(1, &on("8").unwrap()));
        assert_eq!(told(typing.says(1, None, 41_000)), Some((Some("9".into()), None)));
        assert!(typing.due(42_000).is_empty() && typing.is_empty());
    }

    #[test]
    fn who_says_nothing_more_has_stopped() {
        let mut typing = Typing::default();
        typing.says(1, on("9"), 0);
        assert!(typing.due(14_999).is_empty());
        assert_eq!(told(typing.due(15_000).pop()), Some((Some("9".into()), None)));
        typing.says(2, on("9"), 20_000);
        assert_eq!(told(typing.gone(2)), Some((Some("9".into()), None)), "a lost connection stops at once");
        assert!(typing.gone(2).is_none() && typing.is_empty());
    }

    #[test]
    fn quick_changes_wait_and_may_cancel_out() {
        let mut typing = Typing::default();
        typing.says(1, on("9"), 0);
        assert_eq!(told(typing.says(1, None, 100)), None);
        assert_eq!(told(typing.says(1, on("9"), 200)), None);
        assert!(typing.due(600).is_empty(), "as before: nobody is told anything");
        assert_eq!(told(typing.says(1, on("8"), 700)), Some((Some("9".into()), Some("8".into()))));
        assert_eq!(told(typing.says(1, None, 800)), None);
        assert_eq!(told(typing.due(1_200).pop()), Some((Some("8".into()), None)), "the stop is told, later");
        assert_eq!(told(typing.says(3, None, 2_000)), None, "who never wrote does not stop");
        assert!(typing.due(2_000).is_empty() && typing.is_empty());
    }
}
