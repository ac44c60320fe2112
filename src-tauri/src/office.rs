//! The office behind the window: opened before anything is shown, stopped before the program ends.
//!
//! Owns the server's task and the runtime it lives on. Does not know windows.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tauri::AppHandle;
use tauri::async_runtime::{self, JoinHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use townhall::config::limits::STOP_DEADLINE;
use townhall::config::{Config, LogFormat};
use townhall::server::{Handle, OpenError, RunError, Server};
use townhall::store::Store;
use townhall::telemetry::logs;

/// Why the office cannot open, as the clerk is told.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another Townhall has the folder.
    FolderInUse,
    /// Another program has the port.
    PortInUse,
    /// Something else, in the server's words.
    Other(String),
}

/// An open office.
pub(crate) struct Office {
    handle: Handle,
    stop: CancellationToken,
    /// The server before it runs, then its task.
    state: Mutex<State>,
}

enum State {
    Open(Box<Server>),
    Running(JoinHandle<Result<(), RunError>>),
    Stopped,
}

/// Starts the logs, and asks for as many file handles as the system gives: each connection needs one. The program runs
/// without both.
pub(crate) fn prepare(config: &Config) {
    if let Err(error) = logs::start(&config.log, config.log_format == LogFormat::Json) {
        crate::complain(&error.to_string());
    }
    // Windows has no such limit for sockets.
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the number of connections is limited by the system");
    }
}

impl Office {
    /// Opens the folder and the port.
    pub(crate) fn open(config: &Config) -> Result<Self, Trouble> {
        let server = async_runtime::block_on(async {
            let listener = listen(config.listen, config).await?;
            Server::open(config.clone(), listener).map_err(|error| match error {
                OpenError::InUse(_) => Trouble::FolderInUse,
                other => Trouble::Other(other.to_string()),
            })
        })?;
        Ok(Self {
            handle: server.handle(),
            stop: CancellationToken::new(),
            state: Mutex::new(State::Open(Box::new(server))),
        })
    }

    /// Starts to serve; `ended` hears why when the server ends by itself.
    pub(crate) fn run(&self, ended: impl FnOnce(String) + Send + 'static) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Stopped) {
            State::Open(server) => {
                let stop = self.stop.clone();
                *state = State::Running(async_runtime::spawn(async move {
                    let result = server.run(stop.cancelled_owned()).await;
                    if let Err(error) = &result {
                        ended(error.to_string());
                    }
                    result
                }));
            }
            other => *state = other,
        }
    }

    /// A link that lets this window in, once.
    pub(crate) fn window_link(&self) -> String {
        self.handle.window_link()
    }

    /// Says goodbye to everybody and puts everything away; returns when it is done.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(task) = std::mem::replace(&mut *state, State::Stopped) {
            // The server keeps its own deadline; this one is for a server that does not.
            let done = async_runtime::block_on(async { tokio::time::timeout(STOP_DEADLINE * 2, task).await });
            if done.is_err() {
                tracing::error!("the server did not stop in time");
            }
        }
    }
}

/// Takes the port. Where it is taken, the other one is mostly the Townhall that has this folder: the better answer.
async fn listen(address: SocketAddr, config: &Config) -> Result<TcpListener, Trouble> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse if Store::is_in_use(&config.data) => Trouble::FolderInUse,
        ErrorKind::AddrInUse => Trouble::PortInUse,
        _ => Trouble::Other(format!("{address}: {error}")),
    })
}

/// When the computer's session ends, the office ends in order as well.
pub(crate) fn end_with_the_session(app: &AppHandle) {
    let app = app.clone();
    async_runtime::spawn(async move {
        match asked_to_stop().await {
            Ok(()) => app.exit(0),
            Err(error) => tracing::warn!(%error, "the end of the session will not be noticed"),
        }
    });
}

#[cfg(unix)]
async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(windows)]
async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::windows::{ctrl_c, ctrl_shutdown};
    let (mut interrupt, mut shutdown) = (ctrl_c()?, ctrl_shutdown()?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = shutdown.recv() => {}
    }
    Ok(())
}
