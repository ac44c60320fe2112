//! The documents on one Hocuspocus socket, by the exact address that the client uses for each.
//!
//! Owns what is known about an address, and what waits until somebody has logged in there. Does not know frames.

use bytes::Bytes;

use crate::auth::Grant;
use crate::config::limits::{
    DOCUMENTS_PER_SOCKET_MAX, UNAUTHENTICATED_MAX_BYTES, UNAUTHENTICATED_MAX_MESSAGES,
};
use crate::id::PeerId;
use crate::rooms::Peer;
use crate::wire::hocuspocus::Address;

/// A person in a document, at one address.
pub(super) struct Open {
    /// The person's place in the room.
    pub(super) peer: Peer,
    /// What it was opened with.
    pub(super) grant: Grant,
    /// A state vector from before a refusal: it is answered, unless the client asks anew.
    pub(super) asked_before: Option<Bytes>,
}

/// What is known about an address.
pub(super) enum State {
    /// Nobody has logged in yet: frames as they came, in order.
    Waiting(Vec<Bytes>),
    /// Somebody was refused. Providers 3 and 4 stay attached and may try again with another token, saying nothing
    /// else again: what they asked meanwhile is kept, newest only.
    Denied {
        /// The state vector of its last sync step 1.
        asked: Option<Bytes>,
        /// Its presence.
        presence: Option<Bytes>,
        /// Edits that were not even looked at; the client still counts them.
        missed: u32,
    },
    /// In the document.
    Open(Open),
}

/// One address and what is known about it.
pub(super) struct Slot {
    /// As the client wrote it; answers carry the same.
    pub(super) address: Address,
    /// What is known.
    pub(super) state: State,
}

/// All addresses of a socket. There are few: one in most browsers.
#[derive(Default)]
pub(super) struct Addresses(Vec<Slot>);

/// More waits, or more documents are asked for, than a socket may have.
pub(super) struct TooMany;

impl Addresses {
    /// What is known about an address.
    pub(super) fn get(&mut self, address: &Address) -> Option<&mut State> {
        self.0.iter_mut().find(|slot| slot.address == *address).map(|slot| &mut slot.state)
    }

    /// The address at which a peer is.
    pub(super) fn of(&mut self, peer: PeerId) -> Option<(&Address, &mut Open)> {
        self.0.iter_mut().find_map(|slot| match &mut slot.state {
            State::Open(open) if open.peer.id() == peer => Some((&slot.address, open)),
            _ => None,
        })
    }

    /// Everybody who is in a document.
    pub(super) fn open(&mut self) -> impl Iterator<Item = &mut Open> {
        self.0.iter_mut().filter_map(|slot| match &mut slot.state {
            State::Open(open) => Some(open),
            State::Waiting(_) | State::Denied { .. } => None,
        })
    }

    /// Whether a peer is at one of the addresses.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.0.iter().any(|slot| matches!(&slot.state, State::Open(open) if open.peer.id() == peer))
    }

    /// Any address with somebody in its document.
    pub(super) fn any_open(&self) -> Option<&Address> {
        self.0.iter().find(|slot| matches!(slot.state, State::Open(_))).map(|slot| &slot.address)
    }

    /// Whether this one would be more than a socket may have.
    pub(super) fn are_all_taken_beside(&self, address: &Address) -> bool {
        self.0.len() >= DOCUMENTS_PER_SOCKET_MAX && self.0.iter().all(|slot| slot.address != *address)
    }

    /// Puts what is known now, and takes what was known.
    pub(super) fn put(&mut self, address: &Address, state: State) -> Result<Option<State>, TooMany> {
        if let Some(known) = self.get(address) {
            return Ok(Some(std::mem::replace(known, state)));
        }
        if self.0.len() >= DOCUMENTS_PER_SOCKET_MAX {
            return Err(TooMany);
        }
        // A copy: the address of a frame shares the read buffer, and this one stays.
        self.0.reserve_exact(1); // mostly this is all of them
        self.0.push(Slot { address: Address::new(address.as_str()), state });
        Ok(None)
    }

    /// Forgets an address; a peer there leaves its room.
    pub(super) fn forget(&mut self, address: &Address) -> Option<State> {
        let at = self.0.iter().position(|slot| slot.address == *address)?;
        Some(self.0.swap_remove(at).state)
    }

    /// Keeps a frame until somebody has logged in at its address.
    pub(super) fn wait(&mut self, address: &Address, frame: &Bytes) -> Result<(), TooMany> {
        let (messages, bytes) = self.waiting();
        if messages >= UNAUTHENTICATED_MAX_MESSAGES || bytes + frame.len() > UNAUTHENTICATED_MAX_BYTES {
            return Err(TooMany);
        }
        let frame = Bytes::copy_from_slice(frame);
        match self.get(address) {
            Some(State::Waiting(frames)) => frames.push(frame),
            Some(_) => {}
            None => {
                self.put(address, State::Waiting(vec![frame]))?;
            }
        }
        Ok(())
    }

    fn waiting(&self) -> (usize, usize) {
        self.0.iter().fold((0, 0), |(messages, bytes), slot| match &slot.state {
            State::Waiting(frames) => {
                (messages + frames.len(), bytes + frames.iter().map(Bytes::len).sum::<usize>())
            }
            _ => (messages, bytes),
        })
    }
}
