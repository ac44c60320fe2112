//! Tokens for programs and for people without a join code: minted, listed, revoked; kept as SHA-256.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::secret::{ID_BYTES, Mark, NoRandomness, Secret, unhex};
use super::sessions::person_name;
use super::{Auth, Deed, Grant, Kind, Live, Role};
use crate::config::limits::{TOKEN_LIFE_MAX, TOKENS_MAX};
use crate::store::{CommitError, ReadError, Table, Write};

/// What begins the id of a person that is a minted token.
pub(super) const PREFIX: &str = "t-";

/// What a token should be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose it is, for people to read.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How long; `None`: until it is revoked.
    pub life: Option<Duration>,
}

/// A token on its way to the one who asked for it: it is shown this once.
#[derive(Debug, Clone)]
pub struct Minted {
    /// Names the token; opens nothing.
    pub id: String,
    /// The token.
    pub token: Secret,
    /// Its grant.
    pub grant: Grant,
}

/// Why a token was not minted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MintError {
    /// The name is empty or too long.
    #[error("a name of 1 to 64 characters is needed")]
    Name,
    /// Too many tokens.
    #[error("too many tokens")]
    TooMany,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The disk could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk did not take it.
    #[error(transparent)]
    NotSaved(#[from] CommitError),
}

/// Why a token was not revoked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RevokeError {
    /// There is none of this id.
    #[error("there is no such token")]
    NotFound,
    /// The disk could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is shut now, but the disk did not take the news: revoke it again before the next start.
    #[error(transparent)]
    NotSaved(#[from] CommitError),
}

/// A token's row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TokenRow {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) made_at_ms: u64,
    pub(super) expires_at_ms: Option<u64>,
}

impl TokenRow {
    fn live(&self, mark: &Mark, now_ms: u64) -> Live {
        let person = format!("{PREFIX}{}", mark.id());
        Live {
            grant: Grant::new(person, self.name.clone(), self.role),
            kind: Kind::Token { expires_at_ms: self.expires_at_ms },
            seen_ms: now_ms,
        }
    }
}

impl Auth {
    /// Mints a token. It is on disk when this returns.
    ///
    /// # Errors
    /// See [`MintError`].
    pub async fn mint(&self, by: &Grant, new: NewToken) -> Result<Minted, MintError> {
        let name = person_name(&new.name).ok_or(MintError::Name)?;
        if self.token_rows().await?.len() >= TOKENS_MAX {
            return Err(MintError::TooMany);
        }
        let token = Secret::token()?;
        let mark = token.mark();
        let now_ms = self.0.clock.now_ms();
        let life_ms = new.life.map(|life| life.min(TOKEN_LIFE_MAX).as_millis() as u64);
        let row = TokenRow {
            name,
            role: new.role,
            made_at_ms: now_ms,
            expires_at_ms: life_ms.map(|life_ms| now_ms + life_ms),
        };
        let put = Write::put_json(Table::Tokens, Bytes::copy_from_slice(mark.key()), &row)?;
        let id = mark.id();
        let deed = Deed { what: "token_minted", by: by.person(), to: &id, name: &row.name };
        self.save([vec![put], self.audit_rows(&deed)].concat()).await?;
        tracing::info!(by = by.person(), token = id, name = row.name, role = ?row.role, "token minted");
        let live = row.live(&mark, now_ms);
        let grant = live.grant.clone();
        // A token whose life is already over is minted all the same: it opens nothing.
        let grant = self.live().insert(mark, live, now_ms).unwrap_or(grant);
        Ok(Minted { id, token, grant })
    }

    /// Revokes a token: its grant has ended, for every connection, when this returns.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke(&self, by: &Grant, id: &str) -> Result<(), RevokeError> {
        let (mark, row) = self.token_of(id).await?.ok_or(RevokeError::NotFound)?;
        self.live().revoke(mark);
        tracing::info!(by = by.person(), token = id, "token revoked");
        let deed = Deed { what: "token_revoked", by: by.person(), to: id, name: &row.name };
        let delete = Write::Delete { table: Table::Tokens, key: Bytes::copy_from_slice(mark.key()) };
        Ok(self.save([vec![delete], self.audit_rows(&deed)].concat()).await?)
    }

    pub(super) fn stored_token(&self, mark: &Mark, now_ms: u64) -> Option<Live> {
        let row = match self.0.store.get(Table::Tokens, mark.key()) {
            Ok(row) => row?,
            Err(error) => {
                tracing::error!(%error, "a token could not be looked up");
                return None;
            }
        };
        let row: TokenRow = serde_json::from_slice(&row).ok()?;
        Some(row.live(mark, now_ms))
    }

    /// Every token's row.
    pub(super) async fn token_rows(&self) -> Result<Vec<(Mark, TokenRow)>, ReadError> {
        self.token_rows_from(Vec::new(), TOKENS_MAX).await
    }

    async fn token_of(&self, id: &str) -> Result<Option<(Mark, TokenRow)>, ReadError> {
        match unhex(id) {
            Some(from) if from.len() == ID_BYTES => {
                let rows = self.token_rows_from(from, 1).await?;
                Ok(rows.into_iter().find(|(mark, _)| mark.id() == id))
            }
            _ => Ok(None),
        }
    }

    async fn token_rows_from(&self, from: Vec<u8>, most: usize) -> Result<Vec<(Mark, TokenRow)>, ReadError> {
        let store = self.0.store.clone();
        let rows = tokio::task::spawn_blocking(move || store.scan(Table::Tokens, &from, most)).await;
        let rows = rows.map_err(|error| ReadError::Disk(error.to_string()))??;
        let read = |(key, value): (Bytes, Bytes)| {
            Some((Mark::from_key(&key)?, serde_json::from_slice(&value).ok()?))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Commits and waits until it is on disk.
    pub(super) async fn save(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        let done = self.0.store.commit(writes)?;
        done.await.map_err(|_| CommitError::Closed)?.map(|_| ())
    }
}
