//! What a socket says next: whole frames, in order.

use bytes::Bytes;

use crate::config::limits::{OUTBOX_TAKE_MAX_BYTES, SOCKET_COPIED_MAX_BYTES};
use crate::faces::line::{binary_frame, binary_head};

/// Messages to be said now, in order.
#[derive(Default)]
pub(super) struct Say {
    pieces: Vec<Bytes>,
    bytes: usize,
    messages: u64,
}

impl Say {
    /// A message.
    pub(super) fn message(&mut self, message: Bytes) {
        if message.len() <= SOCKET_COPIED_MAX_BYTES {
            return self.frame(binary_frame(&message));
        }
        self.put(binary_head(message.len()));
        self.put(message);
        self.messages += 1;
    }

    /// The same message so many times: one answer for each edit, since providers count them.
    pub(super) fn messages_alike(&mut self, times: u32, message: &[u8]) {
        let frame = binary_frame(message);
        (0..times).for_each(|_| self.frame(frame.clone()));
    }

    /// A message in two parts, of which others may share the second: it is not copied when it is long.
    pub(super) fn message_with(&mut self, head: Bytes, body: Bytes) {
        let len = head.len() + body.len();
        if len <= SOCKET_COPIED_MAX_BYTES {
            return self.frame(binary_frame(&[head, body].concat()));
        }
        self.put([binary_head(len), head].concat().into());
        self.put(body);
        self.messages += 1;
    }

    /// A message that is framed already, as `binary_frame` does: others are told the same.
    pub(super) fn frame(&mut self, frame: Bytes) {
        self.put(frame);
        self.messages += 1;
    }

    fn put(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push(piece);
    }

    /// The bytes on the wire.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// How many messages that is.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether it should go out before there is more of it.
    pub(super) fn is_large(&self) -> bool {
        self.bytes >= OUTBOX_TAKE_MAX_BYTES
    }
}
