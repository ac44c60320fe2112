//! The headless program `townhall`.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use townhall::config::{self, Config, Flags, LogFormat};
use townhall::server::{self, OpenError, Server};
use townhall::store::Store;
use townhall::telemetry::logs;

/// Anything else that went wrong.
const FAILED: u8 = 1;
/// The configuration cannot be used.
const BAD_CONFIG: u8 = 2;
/// Another Townhall uses the folder.
const FOLDER_IN_USE: u8 = 3;

/// A collaboration server for municipal offices.
#[derive(Debug, Parser)]
#[command(name = "townhall", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an office
    Serve(Box<Flags>),
    /// Turn documents into text for the server; the server starts it by itself
    #[command(hide = true)]
    Scribe,
}

/// One plain line for people, and the code for programs.
struct Failed(u8, String);

impl Failed {
    fn new(code: u8, why: &impl Display) -> Self {
        Self(code, why.to_string())
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(flags) => serve(&flags),
        Command::Scribe => townhall::scribe::child().map_err(|error| Failed::new(FAILED, &error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(code, why)) => {
            // Nobody to tell is no reason to fail differently.
            drop(writeln!(std::io::stderr(), "townhall: {why}"));
            ExitCode::from(code)
        }
    }
}

fn serve(flags: &Flags) -> Result<(), Failed> {
    let config = config::resolve(flags).map_err(|error| Failed::new(BAD_CONFIG, &error))?;
    let json = config.log_format == LogFormat::Json;
    logs::start(&config.log, json).map_err(|error| Failed::new(BAD_CONFIG, &error))?;
    more_file_handles();
    let runtime = server::runtime().map_err(|error| Failed::new(FAILED, &error))?;
    let ended = runtime.block_on(office(config));
    // What still blocks has nothing to lose, and nobody waits for it.
    runtime.shutdown_background();
    ended
}

async fn office(config: Config) -> Result<(), Failed> {
    let listener = match tokio::net::TcpListener::bind(config.listen).await {
        Ok(listener) => listener,
        Err(error) => return Err(not_bound(&config, &error)),
    };
    let server = Server::open(config, listener).map_err(|error| match error {
        OpenError::InUse(_) => Failed::new(FOLDER_IN_USE, &error),
        other => Failed::new(FAILED, &other),
    })?;
    let stop = stop_signal().map_err(|error| Failed::new(FAILED, &error))?;
    let mut out = std::io::stdout();
    let said = writeln!(out, "Townhall is ready: {}", server.handle().url())
        .and_then(|()| writeln!(out, "On this computer, open once: {}", server.window_link()))
        .and_then(|()| out.flush());
    if let Err(error) = said {
        tracing::debug!(%error, "nobody reads what is printed");
    }
    server.run(stop).await.map_err(|error| Failed::new(FAILED, &error))
}

/// The port is taken: mostly by the Townhall that already has this folder, and that is the better answer.
fn not_bound(config: &Config, error: &std::io::Error) -> Failed {
    if error.kind() == std::io::ErrorKind::AddrInUse && Store::is_in_use(&config.data) {
        return Failed::new(FOLDER_IN_USE, &OpenError::InUse(config.data.clone()));
    }
    Failed(FAILED, format!("{} cannot be listened on: {error}", config.listen))
}

/// As many file handles as the system gives: each connection needs one.
fn more_file_handles() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the number of connections is limited by the system");
    }
    // Windows has no such limit for sockets.
}

/// Done when the process is asked to stop.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// Done when the process is asked to stop.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::windows;
    let mut interrupt = windows::ctrl_c()?;
    let mut close = windows::ctrl_close()?;
    let mut shutdown = windows::ctrl_shutdown()?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}
