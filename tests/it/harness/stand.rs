//! An office as Yjs clients meet it: a record to write in, tokens to come in with, sockets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use townhall::auth::Role;
use townhall::clock::Clock;
use townhall::id::{DocName, RecordId};
use townhall::store::{Store, Write};
use townhall::telemetry::Metrics;

use super::Office;
use super::socket::Raw;
use super::typist::Typist;

/// A running office, and the tokens it gave out.
pub(crate) struct Stand {
    office: Office,
    minted: Mutex<HashMap<String, String>>,
    _folder: Option<TempDir>,
}

impl Stand {
    /// Opens an office with one record in it.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stand = Self::open_in(folder.path()).await;
        Self { _folder: Some(folder), ..stand }
    }

    /// The same, on a folder that is somebody else's to remove.
    pub(crate) async fn open_in(data: &Path) -> Self {
        seed(data).await;
        Self { office: Office::start_in(data).await, minted: Mutex::default(), _folder: None }
    }

    /// The document of the record that is there.
    pub(crate) fn record(&self) -> String {
        record().as_str().to_owned()
    }

    /// A new token.
    pub(crate) async fn token(&self, role: Role) -> String {
        let (token, id) = self.office.mint_named(role).await;
        self.minted.lock().unwrap().insert(token.clone(), id);
        token
    }

    /// Takes a token's rights away.
    pub(crate) async fn revoke(&self, token: &str) {
        let id = self.minted.lock().unwrap().remove(token).unwrap();
        let reply = self.office.admin().delete(&format!("/api/v1/tokens/{id}")).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// A Hocuspocus socket of nobody.
    pub(crate) async fn hocuspocus(&self) -> Raw {
        Raw::connect(&self.url("/hocuspocus"), &[]).await
    }

    /// A Hocuspocus socket of somebody whose request says who it is.
    pub(crate) async fn hocuspocus_as(&self, token: &str) -> Raw {
        Raw::connect(&self.url("/hocuspocus"), &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// The address of a route.
    pub(crate) fn url(&self, path: &str) -> String {
        self.office.ws(path)
    }

    /// A figure of `/metrics`.
    pub(crate) async fn figure(&self, name: &str) -> f64 {
        let text = self.office.admin().get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Stops gracefully.
    pub(crate) async fn stop(self) {
        self.office.stop().await;
    }
}

fn record() -> DocName {
    DocName::of_record(&RecordId::parse("bylaw-1").unwrap())
}

/// A record is there from its first update on.
async fn seed(data: &Path) {
    let store = Store::open(data, &Clock::real(), &Metrics::new()).unwrap();
    let write = Write::Append { doc: record(), update: Typist::new(1).types("seed") };
    store.commit(vec![write]).unwrap().await.unwrap().unwrap();
    store.close();
}
