//! A stand-in for Loomio's application: answers as it is told, and notes what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use townhall::config::Config;

use crate::harness::{Office, PROGRAM};

/// What the application was asked: method, path, content type, body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The application.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    says: Arc<Mutex<u16>>,
}

impl App {
    /// Starts; says 200 until it is told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Self { address, asked: Arc::default(), says: Arc::new(Mutex::new(200)) };
        let routes = Router::new().fallback(answer).with_state(app.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        app
    }

    pub(crate) fn say(&self, status: u16) {
        *self.says.lock().unwrap() = status;
    }

    /// What it was asked since the last time.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// An office that asks this application.
    pub(crate) async fn office(&self, change: impl FnOnce(&mut Config)) -> (Office, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
        config.loomio.app_url = Some(format!("http://{}", self.address));
        change(&mut config);
        (Office::start_with(config).await, folder)
    }
}

async fn answer(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
    let body = to_bytes(body, 1_000_000).await.unwrap();
    app.asked.lock().unwrap().push(Asked {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        kind: kind.to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    if parts.uri.path() == "/fine" {
        return StatusCode::OK.into_response();
    }
    let status = StatusCode::from_u16(*app.says.lock().unwrap()).unwrap();
    match status.is_redirection() {
        true => (status, [(header::LOCATION, "/fine")]).into_response(),
        false => status.into_response(),
    }
}
