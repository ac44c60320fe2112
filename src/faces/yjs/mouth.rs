//! What everybody in a room hears, framed once for each dialect, and said from the room itself to whoever takes it at
//! once.
//!
//! Owns these frames. Does not know what else a socket says, nor in which turn.

use bytes::Bytes;

use super::{YJS_HOCUSPOCUS, YJS_PLAIN};
use crate::config::limits::OUTBOX_TAKE_MAX_BYTES;
use crate::faces::line::{Voice, binary_frame};
use crate::rooms::{self, Edited, Frames, Present};
use crate::telemetry::Metrics;
use crate::wire::hocuspocus::{self, Address, Body};
use crate::wire::ysync::{self, Message, SyncMessage};

/// The way to one peer's client.
pub(super) struct Mouth {
    /// Of the socket.
    pub(super) voice: Voice,
    /// Where Hocuspocus' client is in the document; y-websocket has none.
    pub(super) address: Option<Address>,
    /// Counts what is said.
    pub(super) metrics: Metrics,
}

impl Mouth {
    fn say(&self, frame: &Bytes) -> bool {
        // What is longer than a socket takes at once waits under the outbox' bound.
        let said = frame.len() <= OUTBOX_TAKE_MAX_BYTES && self.voice.say(frame);
        if said {
            self.metrics.messages_out.inc();
        }
        said
    }
}

impl rooms::Mouth for Mouth {
    fn edited(&self, edited: &Edited) -> bool {
        self.say(&self::edited(self.address.as_ref(), edited))
    }

    fn present(&self, present: &Present) -> bool {
        self.say(&self::present(self.address.as_ref(), present))
    }
}

/// Somebody's edit as a frame.
pub(super) fn edited(address: Option<&Address>, edited: &Edited) -> Bytes {
    let message = SyncMessage::Update(edited.update.clone());
    framed(address, &edited.frames, |address| match address {
        Some(address) => hocuspocus::encode(address, &Body::Sync(message)),
        None => ysync::encode(&Message::Sync(message)),
    })
}

/// Presence as a frame.
pub(super) fn present(address: Option<&Address>, present: &Present) -> Bytes {
    let update = present.update.clone();
    framed(address, &present.frames, |address| match address {
        Some(address) => hocuspocus::encode(address, &Body::Awareness(update)),
        None => ysync::encode(&Message::Awareness(update)),
    })
}

/// A frame that all of its dialect share. Plain addresses of a room are all the same; one with a session is its own.
fn framed(
    address: Option<&Address>,
    frames: &Frames,
    message: impl FnOnce(Option<&Address>) -> Bytes,
) -> Bytes {
    let frame = || binary_frame(&message(address));
    match address {
        None => frames.get(YJS_PLAIN, frame),
        Some(address) if address.session().is_none() => frames.get(YJS_HOCUSPOCUS, frame),
        Some(_) => frame(),
    }
}
