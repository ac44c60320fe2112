//! Puts a packet and the binary messages that follow it together.

use bytes::Bytes;

use super::{Packet, PacketError, decode};
use crate::config::limits::SOCKETIO_ATTACHMENTS_MAX_BYTES;

/// What one more message made complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    text: String,
    /// The binary messages, in order.
    pub attachments: Vec<Bytes>,
}

impl Heard {
    /// The packet.
    ///
    /// # Errors
    /// None that the assembly has not found before; see [`PacketError`].
    pub fn packet(&self) -> Result<Packet<'_>, PacketError> {
        decode(&self.text)
    }
}

/// A packet that waits for its binary messages, if there is one.
#[derive(Debug, Default)]
pub struct Assembly(Option<Waiting>);

#[derive(Debug)]
struct Waiting {
    text: String,
    wanted: usize,
    got: Vec<Bytes>,
    bytes: usize,
}

impl Assembly {
    /// Whether a packet waits for binary messages.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a packet's text, already read. It waits when binary messages follow.
    ///
    /// # Errors
    /// When binary messages should have come first.
    pub fn text(&mut self, text: &str, packet: &Packet<'_>) -> Result<Option<Heard>, PacketError> {
        if self.0.is_some() {
            return Err(PacketError::Attachments);
        }
        let text = text.to_owned();
        match packet.body.attachments() {
            0 => Ok(Some(Heard { text, attachments: Vec::new() })),
            wanted => {
                self.0 = Some(Waiting { text, wanted, got: Vec::new(), bytes: 0 });
                Ok(None)
            }
        }
    }

    /// Takes a binary message; with the last one the packet is complete.
    ///
    /// # Errors
    /// When nothing waits for it, or it is too much.
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Heard>, PacketError> {
        let mut waiting = self.0.take().ok_or(PacketError::Attachments)?;
        waiting.bytes += bytes.len();
        if waiting.bytes > SOCKETIO_ATTACHMENTS_MAX_BYTES {
            return Err(PacketError::Attachments);
        }
        waiting.got.push(bytes);
        if waiting.got.len() == waiting.wanted {
            return Ok(Some(Heard { text: waiting.text, attachments: waiting.got }));
        }
        self.0 = Some(waiting);
        Ok(None)
    }
}
