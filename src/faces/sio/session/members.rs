//! Who is in a session, and what that makes of its connection for the door.
//!
//! Does not know how anybody comes in, nor what is said.

use super::Session;
use crate::faces::Caller;
use crate::rooms::space::MemberId;

impl Session {
    /// A member is about to come in: what is said to it meanwhile is held. `known`: its credentials say who it is.
    pub(in crate::faces::sio) fn joining(&self, known: bool) {
        self.out().joining(known);
    }

    /// It does not come in.
    pub(in crate::faces::sio) fn not_joined(&self) {
        self.out().not_joined();
    }

    /// A member is out: what waits for it is let go.
    pub(in crate::faces::sio) fn went_out(&self, member: MemberId) {
        self.change(|out| out.went_out(member));
        self.hungry.notify_one();
    }

    /// Whether it is somebody's: credentials said who that is.
    pub(in crate::faces::sio) fn is_known(&self) -> bool {
        self.out().known
    }

    /// Tells the door who uses this connection, as far as that is known; whether somebody came in.
    pub(in crate::faces::sio) fn introduce(&self, caller: &Caller) -> bool {
        let (trusted, known) = {
            let out = self.out();
            (out.trusted, out.known)
        };
        match (trusted, known) {
            (true, true) => caller.authenticated(),
            (true, false) => caller.let_in(),
            (false, _) => {}
        }
        trusted
    }

    /// Whether somebody came in, so that it is no stranger's session.
    pub(in crate::faces::sio) fn is_trusted(&self) -> bool {
        self.out().trusted
    }
}
