//! What the window and the tray may do with a running office.

use std::net::SocketAddr;
use std::sync::Arc;

use super::desk::FrontDesk;
use crate::auth::Auth;
use crate::bus::Bus;
use crate::faces::own::{Desk, OfficeState};

/// A handle on a running office; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    auth: Auth,
    bus: Bus,
    desk: Arc<FrontDesk>,
}

impl Handle {
    pub(super) fn new(auth: Auth, bus: Bus, desk: Arc<FrontDesk>) -> Self {
        Self { auth, bus, desk }
    }

    /// Where this computer reaches the office.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.desk.address()
    }

    /// The office's URL on this computer, without any secret.
    #[must_use]
    pub fn url(&self) -> String {
        self.desk.here_url()
    }

    /// A new link that logs this computer's window in, once. Its secret stands behind `#`, so it is never sent in a
    /// request line.
    #[must_use]
    pub fn window_link(&self) -> String {
        match self.auth.make_once() {
            Ok(secret) => format!("{}#once={}", self.url(), secret.reveal()),
            Err(error) => {
                tracing::error!(%error, "no one-time link could be made");
                self.url()
            }
        }
    }

    /// The bus, for a back end in the same process.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The office as its page shows it: name, sharing, addresses.
    #[must_use]
    pub fn office(&self) -> OfficeState {
        self.desk.office()
    }

    /// Lets other computers in, or shuts them out.
    pub async fn share(&self, on: bool) {
        self.desk.share(on).await;
    }
}
