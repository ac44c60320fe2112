//! An office for a test: in this process on a free port, or as the real program on a data folder.

#![allow(dead_code, unused_imports, reason = "each test uses its own part of the harness")]

pub(crate) mod channels;
pub(crate) mod dice;
pub(crate) mod hocus;
pub(crate) mod http;
pub(crate) mod member;
pub(crate) mod node;
mod process;
pub(crate) mod redis;
pub(crate) mod socket;
pub(crate) mod stand;
pub(crate) mod typist;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

pub(crate) use http::{Client, Reply};
pub(crate) use process::OfficeProcess;
use tempfile::TempDir;
use tokio::sync::oneshot;
use townhall::auth::Role;
use townhall::config::Config;
use townhall::server::{Handle, Server};

/// The real program, as it was built for these tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_townhall");

/// An office in this process. It has a runtime and threads of its own, so a test may block. Dropping it stops it.
pub(crate) struct Office {
    address: SocketAddr,
    handle: Handle,
    data: PathBuf,
    _folder: Option<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Office {
    /// An office in a new folder of its own.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut office = Self::start_in(folder.path()).await;
        office._folder = Some(folder);
        office
    }

    /// An office in this folder.
    pub(crate) async fn start_in(data: &Path) -> Self {
        Self::start_with(Config::in_folder(data.to_path_buf(), PROGRAM.into())).await
    }

    /// An office with this configuration.
    pub(crate) async fn start_with(config: Config) -> Self {
        let data = config.data.clone();
        let (ready_tell, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
                let server = Server::open(config, listener).unwrap();
                ready_tell.send((server.address(), server.handle())).ok();
                server.run(async move { stopped.await.unwrap_or(()) }).await.unwrap();
            });
        });
        let (address, handle) = ready.await.expect("the office opens");
        Self { address, handle, data, _folder: None, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// `ws://127.0.0.1:PORT` and this path.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// A client that is nobody yet, with our page's Origin.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A client with the office's own `admin.token`.
    pub(crate) fn admin(&self) -> Client {
        self.client().with_token(&admin_token(&self.data))
    }

    /// A new token with this role.
    pub(crate) async fn mint(&self, role: Role) -> String {
        mint(&self.admin(), role).await.0
    }

    /// A new token with this role, and its id.
    pub(crate) async fn mint_named(&self, role: Role) -> (String, String) {
        mint(&self.admin(), role).await
    }

    /// Stops gracefully.
    pub(crate) async fn stop(mut self) {
        self.stop.take();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What the file `admin.token` holds.
pub(crate) fn admin_token(data: &Path) -> String {
    std::fs::read_to_string(data.join("admin.token")).unwrap().trim().to_owned()
}

/// Mints a token: the token and its id.
pub(crate) async fn mint(admin: &Client, role: Role) -> (String, String) {
    let reply = admin.post("/api/v1/tokens", serde_json::json!({ "name": "Test", "role": role })).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let json = reply.json();
    (json["token"].as_str().unwrap().to_owned(), json["id"].as_str().unwrap().to_owned())
}
