//! Which central Redis the office has: said at the start, or chosen on the settings page and kept.
//!
//! Owns the setting's row. What was said at the start beats it, and cannot be changed by a page.

use super::OpenError;
use crate::config::CentralUrl;
use crate::store::{Store, Table, Write};

/// The row of [`Table::Settings`]. It holds the password, since the office has to log in with it by itself.
const KEY: &[u8] = b"central_redis";

/// Where the central server's address is from.
#[derive(Debug, Clone)]
pub(super) enum Central {
    /// Said at the start.
    Said(CentralUrl),
    /// Chosen on the settings page, or nowhere.
    Chosen(Option<CentralUrl>),
}

impl Central {
    /// What holds.
    pub(super) fn read(store: &Store, said: Option<CentralUrl>) -> Result<Self, OpenError> {
        if let Some(url) = said {
            return Ok(Self::Said(url));
        }
        let row = store.get(Table::Settings, KEY).map_err(|error| OpenError::Settings(error.to_string()))?;
        let chosen = row.and_then(|row| std::str::from_utf8(&row).ok().map(str::parse));
        Ok(Self::Chosen(match chosen {
            Some(Ok(url)) => Some(url),
            Some(Err(why)) => {
                tracing::error!(%why, "the central Redis that was chosen is not understood; choose it again");
                None
            }
            None => None,
        }))
    }

    /// The address.
    pub(super) fn url(&self) -> Option<CentralUrl> {
        match self {
            Self::Said(url) => Some(url.clone()),
            Self::Chosen(url) => url.clone(),
        }
    }

    /// How a choice is kept.
    pub(super) fn keep(url: Option<&CentralUrl>) -> Write {
        match url {
            Some(url) => Write::Put { table: Table::Settings, key: KEY.into(), value: url.reveal().into() },
            None => Write::Delete { table: Table::Settings, key: KEY.into() },
        }
    }
}
