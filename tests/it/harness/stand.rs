//! An office as Yjs clients meet it: a record to write in, tokens to come in with, sockets.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use tempfile::TempDir;
use townhall::auth::Role;

use super::Office;
use super::socket::Raw;

/// A running office, and the tokens it gave out.
pub(crate) struct Stand {
    office: Office,
    minted: Mutex<HashMap<String, String>>,
    _folder: Option<TempDir>,
}

impl Stand {
    /// Opens an empty office.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stand = Self::open_in(folder.path()).await;
        Self { _folder: Some(folder), ..stand }
    }

    /// The same, on a folder that is somebody else's to remove.
    pub(crate) async fn open_in(data: &Path) -> Self {
        Self { office: Office::start_in(data).await, minted: Mutex::default(), _folder: None }
    }

    /// A new record; its document's name.
    pub(crate) async fn record(&self) -> String {
        let reply = self.office.admin().post("/api/v1/records", json!({ "title": "Noise" })).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        format!("record:{}", reply.json()["record"]["id"].as_str().unwrap())
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
