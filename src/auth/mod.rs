//! Credentials become grants; join codes; tokens.
//!
//! Owns who a person is and what the person may do. Does not know HTTP or rooms: faces bring credentials, rooms ask
//! the [`Grant`].

mod admin;
mod app;
mod audit;
mod channel;
mod collab;
mod grant;
mod guesses;
mod invitations;
mod jwt;
mod live;
mod people;
mod secret;
mod sessions;
mod tokens;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

pub use admin::AdminFileError;
pub use app::App;
pub use audit::Deed;
pub use channel::{Channel, ChannelError, ChannelHolder};
pub use collab::{Asker, Refused};
pub use grant::{Grant, Role};
pub use invitations::{Invitation, InviteError};
pub use jwt::{Claims, JwtDenied, JwtKeys, KeyError};
pub use people::{Person, RemoveError, RenameError};
pub use secret::{NoRandomness, Secret};
pub use sessions::{JoinError, Session, person_name};
pub use tokens::{MintError, Minted, NewToken, RevokeError};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::config::limits::EXPIRY_INTERVAL;
use crate::lock::held;
use crate::store::Store;
use invitations::Invitations;
use live::{Kind, Live, LiveGrants};
use secret::Mark;

/// The person at the office's own computer.
pub const HOST: &str = "host";
/// Whoever holds the office's own `admin.token`.
pub const ADMIN: &str = "admin";

/// Why a credential opened nothing. One answer for unknown, expired and revoked, so that nobody learns which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid credential")]
pub struct Denied;

/// Turns credentials into grants; cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Office>);

struct Office {
    store: Store,
    bus: Bus,
    clock: Clock,
    admin: (Mark, Grant),
    live: Mutex<LiveGrants>,
    invitations: Mutex<Invitations>,
    /// Who decides about Loomio's documents, when it is not this office.
    app: OnceLock<App>,
    /// Whether strangers may draft.
    visitors: AtomicBool,
    deeds: audit::Deeds,
}

impl Auth {
    /// Opens the office's register of people; makes `admin.token` in the folder at the first start.
    ///
    /// # Errors
    /// When `admin.token` can be neither read nor made.
    pub fn open(dir: &Path, store: Store, bus: Bus, clock: Clock) -> Result<Self, AdminFileError> {
        let token = admin::read_or_make(dir)?;
        let grant = Grant::new(ADMIN.to_owned(), "Administrator".to_owned(), Role::Admin);
        let deeds = audit::Deeds::open(&store);
        Ok(Self(Arc::new(Office {
            store,
            bus,
            clock,
            admin: (token.mark(), grant),
            live: Mutex::default(),
            invitations: Mutex::default(),
            app: OnceLock::new(),
            visitors: AtomicBool::new(false),
            deeds,
        })))
    }

    /// The grant behind a token: a minted one or a session's. The office's own `admin.token` opens nothing here; see
    /// [`Auth::grant_here`].
    ///
    /// # Errors
    /// [`Denied`] when it opens nothing.
    pub fn grant(&self, token: &str) -> Result<Grant, Denied> {
        self.grant_of(Mark::of(token).ok_or(Denied)?)
    }

    fn grant_of(&self, mark: Mark) -> Result<Grant, Denied> {
        let now_ms = self.0.clock.now_ms();
        let known = self.live().get(&mark, now_ms);
        if let Some(known) = known {
            return known.map(|(grant, touch)| {
                if touch {
                    self.touch_session(&mark, now_ms);
                }
                grant
            });
        }
        let found = self.stored_token(&mark, now_ms).or_else(|| self.stored_session(&mark, now_ms));
        let live = found.ok_or(Denied)?;
        self.live().insert(mark, live, now_ms)
    }

    /// The same for somebody on this very computer, where `admin.token` counts too.
    ///
    /// # Errors
    /// [`Denied`] when it opens nothing.
    pub fn grant_here(&self, token: &str) -> Result<Grant, Denied> {
        let mark = Mark::of(token).ok_or(Denied)?;
        let (admin, grant) = &self.0.admin;
        if admin.same(&mark) { Ok(grant.clone()) } else { self.grant(token) }
    }

    /// Ends grants whose time is over, for ever: their sockets close within [`EXPIRY_INTERVAL`] of the moment. Asks the
    /// application again, where it decides.
    pub async fn keep_time(&self) {
        let expiry = async {
            loop {
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                self.end_expired();
            }
        };
        let asking = async {
            match self.0.app.get() {
                Some(app) => app.keep_asking().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(expiry, asking);
    }

    /// Notes which grants are in use, and ends those whose time is over.
    pub fn end_expired(&self) {
        let now_ms = self.0.clock.now_ms();
        let in_use = self.live().note_sockets(now_ms);
        for mark in in_use {
            self.touch_session(&mark, now_ms);
        }
        let expired = self.live().take_expired(now_ms);
        for grant in expired {
            tracing::info!(person = grant.person(), "access expired");
            grant.end();
        }
    }

    fn live(&self) -> MutexGuard<'_, LiveGrants> {
        // A poisoned map still maps: every change of it is a single call.
        held(&self.0.live)
    }

    fn invitations(&self) -> MutexGuard<'_, Invitations> {
        held(&self.0.invitations)
    }
}
