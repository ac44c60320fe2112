//! One folder per dialect, translation only: between a socket and a handle of the core. Faces do not know each other.

pub mod yjs;

use std::net::IpAddr;

use crate::auth::Grant;

/// Who is calling, as the door found out before any face saw the request; a request extension.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The real address of the other end.
    pub address: IpAddr,
    /// The grant behind the request's cookie or bearer header, if it brought a valid one.
    pub grant: Option<Grant>,
}

impl Caller {
    /// Tells the door that this connection's person is known now: it stops counting as a stranger's.
    pub fn authenticated(&self) {}
}
