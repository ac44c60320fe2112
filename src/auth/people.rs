//! The people of the office: who has access, under which name, and how it is taken away.

use std::collections::BTreeMap;

use super::secret::Mark;
use super::sessions::{self, SessionRow, person_name};
use super::{ADMIN, Auth, Deed, Grant, HOST, Kind, RevokeError, Role, tokens};
use crate::bus::BusError;
use crate::config::limits::{BUS_KEYS_MAX, ONLINE_FOR};
use crate::store::{CommitError, ReadError};

/// Somebody who has access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's id.
    pub id: String,
    /// The person's name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Whether the person asked for anything lately.
    pub online: bool,
}

/// Why a person was not removed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoveError {
    /// There is no such person.
    #[error("there is no such person")]
    NotFound,
    /// The host and the office's own token stay.
    #[error("the host cannot be removed")]
    Host,
    /// The person is out, but the disk did not take the news.
    #[error(transparent)]
    Token(#[from] RevokeError),
    /// The person is out here and now, but a start may find a session of theirs.
    #[error("the person is out, but the disk did not take it: {0}")]
    Bus(#[from] BusError),
}

/// Why a person got no new name.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RenameError {
    /// The name is empty or too long.
    #[error("a name of 1 to 64 characters is needed")]
    Name,
    /// Tokens keep the name they were minted with.
    #[error("a token keeps its name")]
    Token,
    /// The disk did not take it.
    #[error(transparent)]
    NotSaved(#[from] CommitError),
}

impl Auth {
    /// Everybody who has access, sorted by id.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn people(&self) -> Result<Vec<Person>, ReadError> {
        let mut people = BTreeMap::new();
        for (_, row) in self.session_rows().await.0 {
            let person = Person { id: row.person.clone(), name: row.name, role: row.role, online: false };
            people.insert(row.person, person);
        }
        let now_ms = self.0.clock.now_ms();
        for (mark, row) in self.token_rows().await? {
            if row.expires_at_ms.is_none_or(|at| at > now_ms) {
                let id = format!("{}{}", tokens::PREFIX, mark.id());
                people.insert(id.clone(), Person { id, name: row.name, role: row.role, online: false });
            }
        }
        let since_ms = now_ms.saturating_sub(ONLINE_FOR.as_millis() as u64);
        for (_, live) in self.live().iter() {
            if let Some(person) = people.get_mut(live.grant.person()) {
                person.online |= live.seen_ms >= since_ms;
            }
        }
        Ok(people.into_values().collect())
    }

    /// Takes a person's access away: every grant has ended when this returns, and the invitations the person came by
    /// are closed, so that the same code does not open again.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub async fn remove_person(&self, by: &Grant, id: &str) -> Result<(), RemoveError> {
        if id == HOST || id == ADMIN {
            return Err(RemoveError::Host);
        }
        if let Some(token) = id.strip_prefix(tokens::PREFIX) {
            return match self.revoke(by, token).await {
                Err(RevokeError::NotFound) => Err(RemoveError::NotFound),
                other => Ok(other?),
            };
        }
        let mut name = None;
        let (all, listed) = self.session_rows().await;
        let theirs: Vec<_> = all.into_iter().filter(|(_, row)| row.person == id).collect();
        let ended = self.end_sessions(theirs.iter().map(|(mark, _)| *mark).collect()).await;
        for (_, row) in theirs {
            if let Some(invitation) = &row.invitation {
                self.close_invitation(by, invitation);
            }
            name = Some(row.name);
        }
        let name = self.end_live(id).or(name).ok_or(RemoveError::NotFound)?;
        self.audit(&Deed { what: "person_removed", by: by.person(), to: id, name: &name });
        Ok(listed.and(ended)?)
    }

    /// Ends what is in use although the bus no longer knows it.
    fn end_live(&self, person: &str) -> Option<String> {
        let mut live = self.live();
        let theirs = live.iter().filter(|(_, live)| live.grant.person() == person);
        let theirs: Vec<_> = theirs.map(|(mark, live)| (*mark, live.grant.name().to_owned())).collect();
        for (mark, _) in &theirs {
            live.revoke(*mark);
        }
        theirs.into_iter().next().map(|(_, name)| name)
    }

    /// A person says how others see them. Open connections keep the old name until they come back.
    ///
    /// # Errors
    /// See [`RenameError`].
    pub async fn rename(&self, grant: &Grant, name: &str) -> Result<Grant, RenameError> {
        let name = person_name(name).ok_or(RenameError::Name)?;
        let person = grant.person();
        let sessions: Vec<_> =
            self.session_rows().await.0.into_iter().filter(|(_, row)| row.person == person).collect();
        if sessions.is_empty() {
            return Err(RenameError::Token);
        }
        if person == HOST {
            self.save(vec![Self::host_name_row(&name)]).await?;
        }
        let now_ms = self.0.clock.now_ms();
        for (mark, row) in sessions {
            if let Err(error) = self.keep_on(&mark, &SessionRow { name: name.clone(), ..row }, now_ms) {
                tracing::warn!(%error, "a new name was not kept on the bus");
            }
        }
        self.live().rename(person, &name);
        Ok(grant.renamed(&name))
    }

    /// Every session the bus knows, and those in use that it does not; and whether the bus could tell.
    async fn session_rows(&self) -> (Vec<(Mark, SessionRow)>, Result<(), BusError>) {
        let bus = self.0.bus.clone();
        let scan = tokio::task::spawn_blocking(move || bus.scan(sessions::KEY, BUS_KEYS_MAX)).await;
        let scan = scan.unwrap_or_else(|error| Err(BusError(error.to_string())));
        let scan = scan.inspect_err(|error| tracing::error!(%error, "sessions could not be listed"));
        let (found, listed) = scan.map_or_else(|error| (Vec::new(), Err(error)), |found| (found, Ok(())));
        let mut rows: BTreeMap<String, (Mark, SessionRow)> = BTreeMap::new();
        for (key, value) in found {
            let hex = key.strip_prefix(sessions::KEY).unwrap_or_default().to_owned();
            let mark = super::secret::unhex(&hex).and_then(|bytes| Mark::from_key(&bytes));
            if let (Some(mark), Ok(row)) = (mark, serde_json::from_slice(&value)) {
                rows.insert(hex, (mark, row));
            }
        }
        for (mark, live) in self.live().iter() {
            if let Kind::Session { ends_at_ms, invitation, .. } = &live.kind {
                rows.entry(mark.hex()).or_insert_with(|| {
                    let row = SessionRow {
                        person: live.grant.person().to_owned(),
                        name: live.grant.name().to_owned(),
                        role: live.grant.role(),
                        ends_at_ms: *ends_at_ms,
                        invitation: invitation.clone(),
                    };
                    (*mark, row)
                });
            }
        }
        (rows.into_values().collect(), listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::limits::TOKENS_MAX;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn who_is_removed_is_out_however_many_have_joined() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000);
        let store = crate::store::Store::open(&folder.path().join("store"), &clock, &Metrics::new()).unwrap();
        let bus = crate::bus::Bus::open(&folder.path().join("bus"), &clock).unwrap();
        let open = || Auth::open(folder.path(), store.clone(), bus.clone(), clock.clone()).unwrap();
        let office = open();
        let anne = office.begin(None, "Anne", Role::Editor, None).await.unwrap();
        let row = bus.get(&format!("{}{}", sessions::KEY, anne.token.mark().hex())).unwrap().unwrap();
        let row: SessionRow = serde_json::from_slice(&row).unwrap();
        for number in 0..=TOKENS_MAX {
            let mark = Mark::from_key(&[&[0; 24][..], &(number as u64).to_be_bytes()].concat()).unwrap();
            let person = format!("p-{number}");
            office.keep_on(&mark, &SessionRow { person, ..row.clone() }, 1_000).unwrap();
        }
        // After a restart nobody's session is in use yet.
        let office = open();
        let host = Grant::new(HOST.into(), "Host".into(), Role::Admin);
        office.remove_person(&host, anne.grant.person()).await.unwrap();
        assert!(office.stored_session(&anne.token.mark(), 1_000).is_none());
    }

    #[tokio::test]
    async fn who_is_removed_while_the_disk_takes_nothing_is_out_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_000);
        let store = crate::store::Store::open(&folder.path().join("store"), &clock, &Metrics::new()).unwrap();
        let bus = crate::bus::Bus::open(&folder.path().join("bus"), &clock).unwrap();
        let office = Auth::open(folder.path(), store, bus.clone(), clock).unwrap();
        let anne = office.begin(None, "Anne", Role::Editor, None).await.unwrap();
        let host = Grant::new(HOST.into(), "Host".into(), Role::Admin);
        bus.close();
        let removed = office.remove_person(&host, anne.grant.person()).await;
        assert!(matches!(removed, Err(RemoveError::Bus(_))), "{removed:?}");
        assert!(!anne.grant.holds());
    }
}
