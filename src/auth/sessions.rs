//! Sessions: who joined with a code, and this computer's own window. Kept on the bus, by SHA-256; losing them costs a
//! new login.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::invitations::Closed;
use super::secret::{Mark, NoRandomness, Secret};
use super::{Auth, Deed, Denied, Grant, HOST, Invitation, InviteError, Kind, Live, Role};
use crate::bus::BusError;
use crate::config::limits::{JOIN_CODE_LIFE, PERSON_NAME_MAX_CHARS, SESSION_IDLE, SESSION_LIFE};
use crate::store::{Table, Write};

/// What begins the id of a person that joined with a code.
pub(super) const PREFIX: &str = "p-";
/// What begins a session's key on the bus.
pub(super) const KEY: &str = "session/";
/// The row of [`Table::Settings`] that holds the host's name.
const HOST_NAME: &[u8] = b"host_name";
/// The host's name until the host says another, where the page has no word for it either.
const HOST_NAME_DEFAULT: &str = "Host";

/// A session on its way to the one who joined.
#[derive(Debug, Clone)]
pub struct Session {
    /// The token: for the cookie and the answer.
    pub token: Secret,
    /// Its grant.
    pub grant: Grant,
}

/// Why nobody joined.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JoinError {
    /// The name is empty or too long.
    #[error("a name of 1 to 64 characters is needed")]
    Name,
    /// The code opens nothing: wrong, expired, closed or never made.
    #[error("the code is not valid")]
    Code,
    /// Too many wrong guesses: the code was not looked at.
    #[error("too many guesses")]
    TooMany(Duration),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The session could not be kept.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// A session as the bus keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) person: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) ends_at_ms: u64,
    pub(super) invitation: Option<String>,
}

/// A name as people may carry it: trimmed, one line, 1 to 64 characters.
#[must_use]
pub fn person_name(typed: &str) -> Option<String> {
    let name: String = typed.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let name = name.trim();
    let fits = !name.is_empty() && name.chars().count() <= PERSON_NAME_MAX_CHARS;
    (fits && !name.chars().any(hides)).then(|| name.to_owned())
}

/// Control characters and those that turn the writing direction: they let one name look like another.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl Auth {
    /// Opens an invitation.
    ///
    /// # Errors
    /// See [`InviteError`].
    pub fn invite(&self, by: &Grant, role: Role, life: Option<Duration>) -> Result<Invitation, InviteError> {
        let life = life.map_or(JOIN_CODE_LIFE, |life| life.min(JOIN_CODE_LIFE));
        let made = self.invitations().invite(role, life, self.0.clock.now_ms())?;
        self.audit(&Deed { what: "invited", by: by.person(), to: &made.id, name: "" });
        Ok(made)
    }

    /// The open invitations.
    #[must_use]
    pub fn invitation_list(&self) -> Vec<Invitation> {
        self.invitations().list(self.0.clock.now_ms())
    }

    /// Closes an invitation; says whether it was open.
    pub fn close_invitation(&self, by: &Grant, id: &str) -> bool {
        let closed = self.invitations().close(id);
        if closed {
            self.audit(&Deed { what: "invitation_closed", by: by.person(), to: id, name: "" });
        }
        closed
    }

    /// Somebody types a code and a name.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, code: &str, name: &str, from: IpAddr) -> Result<Session, JoinError> {
        let name = person_name(name).ok_or(JoinError::Name)?;
        let found = self.invitations().open(code, from, self.0.clock.now_ms());
        let invitation = found.map_err(|closed| match closed {
            Closed::NotValid => JoinError::Code,
            Closed::TooMany(wait) => JoinError::TooMany(wait),
        })?;
        let session = self.begin(None, &name, invitation.role, Some(invitation.id.clone())).await?;
        let person = session.grant.person();
        self.audit(&Deed { what: "joined", by: person, to: &invitation.id, name: &name });
        Ok(session)
    }

    /// Makes the secret of a one-time link for this computer's window.
    ///
    /// # Errors
    /// When the computer gives no randomness.
    pub fn make_once(&self) -> Result<Secret, NoRandomness> {
        self.invitations().make_once(self.0.clock.now_ms())
    }

    /// The window brings its one-time secret: the host logs in, as `unnamed` where no name
    /// was ever said. Call it only for callers on this computer.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn take_once(&self, secret: &str, unnamed: Option<&str>) -> Result<Session, JoinError> {
        if !self.invitations().take_once(secret, self.0.clock.now_ms()) {
            return Err(JoinError::Code);
        }
        let name = self.host_name().or_else(|| person_name(unnamed?));
        let name = name.as_deref().unwrap_or(HOST_NAME_DEFAULT);
        let session = self.begin(Some(HOST), name, Role::Admin, None).await?;
        self.audit(&Deed { what: "window_opened", by: HOST, to: HOST, name: session.grant.name() });
        Ok(session)
    }

    /// Ends the session behind a token, if it is one.
    pub async fn log_out(&self, token: &str) {
        // It is over here and now; what the disk did not take was noted.
        drop(self.end_sessions(Mark::of(token).into_iter().collect()).await);
    }

    /// On disk before it is answered: a person who was sent out does not come back with a crash.
    ///
    /// # Errors
    /// When the disk did not take it. They are over all the same, as long as the program runs.
    pub(super) async fn end_sessions(&self, marks: Vec<Mark>) -> Result<(), BusError> {
        let mut ended = Ok(());
        for mark in &marks {
            let removed = self.0.bus.delete(&key(mark)).unwrap_or_else(|error| {
                tracing::warn!(%error, "an ended session could not be removed from the bus");
                ended = Err(error);
                true
            });
            // Only what is a session is shut: a minted token in a cookie is not ended by logging out.
            let mut live = self.live();
            if removed || live.is_session(mark) {
                live.revoke(*mark);
            }
            drop(live);
            // Whoever noted its use or a new name in between did not know; from now on they do.
            self.forget_if_ended(mark);
        }
        let bus = self.0.bus.clone();
        let settled = apart(move || bus.settle()).await;
        ended.and(
            settled.inspect_err(|error| tracing::warn!(%error, "the end of a session is not on disk yet")),
        )
    }

    pub(super) async fn begin(
        &self,
        person: Option<&str>,
        name: &str,
        role: Role,
        invitation: Option<String>,
    ) -> Result<Session, JoinError> {
        let token = Secret::token()?;
        let mark = token.mark();
        let now_ms = self.0.clock.now_ms();
        let row = SessionRow {
            person: person.map_or_else(|| format!("{PREFIX}{}", mark.id()), str::to_owned),
            name: name.to_owned(),
            role,
            ends_at_ms: now_ms + SESSION_LIFE.as_millis() as u64,
            invitation,
        };
        self.keep_session(&mark, &row, now_ms)?;
        let bus = self.0.bus.clone();
        apart(move || bus.settle()).await?;
        let live = row.live(now_ms);
        let grant = self.live().insert(mark, live, now_ms).map_err(|Denied| JoinError::Code)?;
        Ok(Session { token, grant })
    }

    fn keep_session(&self, mark: &Mark, row: &SessionRow, now_ms: u64) -> Result<(), BusError> {
        let left_ms = row.ends_at_ms.saturating_sub(now_ms);
        let life = SESSION_IDLE.min(Duration::from_millis(left_ms));
        let value = serde_json::to_vec(row).map_err(|error| BusError(error.to_string()))?;
        self.0.bus.set(&key(mark), &value, Some(life))
    }

    /// Writes a session down again, unless it was ended meanwhile: what was ended does not come back.
    pub(super) fn keep_on(&self, mark: &Mark, row: &SessionRow, now_ms: u64) -> Result<(), BusError> {
        self.keep_session(mark, row, now_ms)?;
        self.forget_if_ended(mark);
        Ok(())
    }

    fn forget_if_ended(&self, mark: &Mark) {
        if self.live().is_revoked(mark)
            && let Err(error) = self.0.bus.delete(&key(mark))
        {
            tracing::warn!(%error, "an ended session could not be removed from the bus");
        }
    }

    pub(super) fn stored_session(&self, mark: &Mark, now_ms: u64) -> Option<Live> {
        match self.0.bus.get(&key(mark)) {
            Ok(row) => serde_json::from_slice::<SessionRow>(&row?).ok().map(|row| row.live(now_ms)),
            Err(error) => {
                tracing::error!(%error, "a session could not be looked up");
                None
            }
        }
    }

    /// Writes down that a session is in use, so that it does not end as idle.
    pub(super) fn touch_session(&self, mark: &Mark, now_ms: u64) {
        let row = self.0.bus.get(&key(mark)).ok().flatten();
        let row = row.and_then(|row| serde_json::from_slice::<SessionRow>(&row).ok());
        if let Some(row) = row
            && let Err(error) = self.keep_on(mark, &row, now_ms)
        {
            tracing::warn!(%error, "the use of a session was not written down");
        }
    }

    /// How colleagues see the host, once the host said so.
    fn host_name(&self) -> Option<String> {
        let stored = self.0.store.get(Table::Settings, HOST_NAME).ok().flatten();
        stored.and_then(|name| String::from_utf8(name.to_vec()).ok())
    }

    pub(super) fn host_name_row(name: &str) -> Write {
        Write::Put { table: Table::Settings, key: HOST_NAME.into(), value: name.to_owned().into() }
    }
}

impl SessionRow {
    fn live(&self, now_ms: u64) -> Live {
        Live {
            grant: Grant::new(self.person.clone(), self.name.clone(), self.role),
            kind: Kind::Session {
                ends_at_ms: self.ends_at_ms,
                touched_ms: now_ms,
                invitation: self.invitation.clone(),
            },
            seen_ms: now_ms,
        }
    }
}

fn key(mark: &Mark) -> String {
    format!("{KEY}{}", mark.hex())
}

/// Waits for the disk where nobody else waits for it.
async fn apart(work: impl FnOnce() -> Result<(), BusError> + Send + 'static) -> Result<(), BusError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BusError(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn what_was_ended_does_not_come_back_with_a_note_of_its_use() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000);
        let store = crate::store::Store::open(&folder.path().join("store"), &clock, &Metrics::new()).unwrap();
        let bus = crate::bus::Bus::open(&folder.path().join("bus"), &clock).unwrap();
        let auth = Auth::open(folder.path(), store, bus, clock).unwrap();
        let session = auth.begin(None, "Anne", Role::Editor, None).await.unwrap();
        let mark = session.token.mark();
        let row = auth.0.bus.get(&key(&mark)).unwrap().unwrap();
        let row: SessionRow = serde_json::from_slice(&row).unwrap();
        auth.end_sessions(vec![mark]).await.unwrap();
        // Somebody had read the row just before.
        auth.keep_on(&mark, &row, 1_000).unwrap();
        assert!(auth.stored_session(&mark, 1_000).is_none());
    }

    #[test]
    fn names_are_trimmed_and_cannot_hide_anything() {
        assert_eq!(person_name("  Zoë  de\tWit ").as_deref(), Some("Zoë  de Wit"));
        assert_eq!(person_name(&"é".repeat(64)).map(|n| n.chars().count()), Some(64));
        for bad in ["", "  ", &"x".repeat(65), "a\u{202e}b", "a\u{0}b", "\u{feff}"] {
            assert_eq!(person_name(bad), None, "{bad:?}");
        }
    }
}
