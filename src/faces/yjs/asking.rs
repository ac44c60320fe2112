//! What the clients of one socket ask rooms for: each question may be answered with a whole document.
//!
//! Owns whose turn it is. One question is under way at a time, and the next one follows when its answer is on the wire:
//! so a socket that nobody reads holds one document, however many it has open. Does not know frames, nor rooms.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::limits::STATE_VECTOR_MAX_BYTES;
use crate::id::PeerId;

/// The state vector of somebody who has nothing.
const NOTHING: Bytes = Bytes::from_static(&[0]);

/// What a peer wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// What is missing beyond this state vector.
    Beyond(Bytes),
    /// What it missed while it was behind.
    Missed,
}

/// The questions of one socket: at most two of each peer wait.
#[derive(Default)]
pub(super) struct Asking {
    under_way: Option<PeerId>,
    waiting: VecDeque<(PeerId, Question)>,
}

impl Asking {
    /// A peer asks. A newer question of the same kind takes the place of one that waits.
    pub(super) fn put(&mut self, peer: PeerId, question: Question) {
        let same = |a: &Question| matches!(a, Question::Missed) == matches!(question, Question::Missed);
        if let Some(place) = self.waiting.iter().position(|(of, asked)| *of == peer && same(asked)) {
            self.waiting.remove(place);
        }
        let question = match question {
            // What is not kept is as if it were not there: its owner gets more than it needs.
            Question::Beyond(have) if self.bytes() + have.len() > STATE_VECTOR_MAX_BYTES => {
                Question::Beyond(NOTHING)
            }
            question => question,
        };
        self.waiting.push_back((peer, question));
    }

    /// Bytes of state vectors that wait.
    fn bytes(&self) -> usize {
        let bytes = |question: &Question| match question {
            Question::Beyond(have) => have.len(),
            Question::Missed => 0,
        };
        self.waiting.iter().map(|(_, question)| bytes(question)).sum()
    }

    /// The next question, when none is under way any more. `is_here`: of a peer that has left no answer comes.
    pub(super) fn next(&mut self, is_here: impl Fn(PeerId) -> bool) -> Option<(PeerId, Question)> {
        if self.waiting.is_empty() || self.under_way.is_some_and(&is_here) {
            return None;
        }
        self.under_way = None;
        while let Some((peer, question)) = self.waiting.pop_front() {
            if is_here(peer) {
                return Some((peer, question));
            }
        }
        None
    }

    /// An answer to this peer will come.
    pub(super) fn begin(&mut self, peer: PeerId) {
        self.under_way = Some(peer);
    }

    /// An answer to this peer came.
    pub(super) fn answered(&mut self, peer: PeerId) {
        if self.under_way == Some(peer) {
            self.under_way = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNE: PeerId = PeerId(1);
    const BOB: PeerId = PeerId(2);

    fn beyond(bytes: usize) -> Question {
        Question::Beyond(vec![1; bytes].into())
    }

    #[test]
    fn one_question_is_under_way_at_a_time_and_none_is_forgotten() {
        let mut asking = Asking::default();
        asking.put(ANNE, beyond(3));
        asking.put(ANNE, Question::Missed);
        asking.put(BOB, beyond(4));
        asking.put(ANNE, beyond(5));
        assert_eq!(asking.next(|_| true), Some((ANNE, Question::Missed)));
        asking.begin(ANNE);
        assert_eq!(asking.next(|_| true), None);
        asking.answered(BOB);
        assert_eq!(asking.next(|_| true), None);
        asking.answered(ANNE);
        assert_eq!(asking.next(|_| true), Some((BOB, beyond(4))));
        asking.begin(BOB);
        assert_eq!(asking.next(|peer| peer == ANNE), Some((ANNE, beyond(5))), "who left is not waited for");
        assert_eq!(asking.next(|_| true), None);
        asking.put(BOB, beyond(1));
        assert_eq!(asking.next(|peer| peer == ANNE), None);
    }

    #[test]
    fn what_waits_is_bounded_and_answered_all_the_same() {
        let mut asking = Asking::default();
        for peer in 0..32 {
            asking.put(PeerId(peer), beyond(STATE_VECTOR_MAX_BYTES / 4));
        }
        assert_eq!(asking.bytes(), STATE_VECTOR_MAX_BYTES + 28);
        let all: Vec<_> = std::iter::from_fn(|| asking.next(|_| true)).collect();
        assert_eq!(all.len(), 32);
        assert_eq!(all.last(), Some(&(PeerId(31), Question::Beyond(NOTHING))));
    }
}
