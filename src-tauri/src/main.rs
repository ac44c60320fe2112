//! The desktop program `townhall-desktop`: a thin shell over the same server.
//!
//! Owns the order of start and the exit codes. What it shows is the office's own page; it knows nothing of records.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod login;
mod notice;
mod office;
mod tray;
mod window;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tauri::{AppHandle, Manager, RunEvent, WindowEvent};
use tauri_plugin_window_state::StateFlags;
use townhall::config::{self, Config, Flags};
use townhall::server;

use office::{Office, Trouble};
use window::Place;

/// Exit code of a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

/// Townhall for the desktop: the office's server with its window.
#[derive(Debug, Parser)]
#[command(name = "townhall-desktop", version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// Start without a window: serve, and wait in the tray
    #[arg(long)]
    hidden: bool,
    /// End the Townhall that is running, in order: for desktops that show no tray
    #[arg(long, conflicts_with = "hidden")]
    quit: bool,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == "scribe") {
        return scribe();
    }
    window::prepare_web_view();
    let cli = Cli::parse();
    let config = match config::resolve(&cli.flags) {
        Ok(config) => config,
        Err(error) => {
            return refuse_to_start(words::words().bad_settings, &error.to_string(), BAD_CONFIGURATION);
        }
    };
    if !window::screen_is_there() {
        complain("There is no screen for a window. `townhall serve` works without one.");
        return ExitCode::FAILURE;
    }
    match shell(&config, &cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse_to_start(words::words().cannot_open, &error.to_string(), 1),
    }
}

/// What the server starts this program for: no window, no logs, only questions and answers.
fn scribe() -> ExitCode {
    match townhall::scribe::child() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Builds the program and runs it until the clerk quits. Where another one runs already, its window comes forward and
/// this process ends inside `build`.
fn shell(config: &Config, cli: &Cli) -> tauri::Result<()> {
    office::prepare(config);
    let runtime = server::runtime()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, words, _| on_second_start(app, &words)))
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .plugin(
            tauri_plugin_autostart::Builder::new()
                .args(login::words(&cli.flags))
                .app_name("Townhall")
                .build(),
        )
        // Its script for links in pages is left out: it asks for rights that our page does not have.
        .plugin(tauri_plugin_opener::Builder::new().open_js_links_on_click(false).build())
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                api.prevent_close();
                window::put_away(window.app_handle());
            }
        })
        .build(context())?;
    if cli.quit {
        // Nobody was there to be ended.
        return Ok(());
    }
    match Office::open(config) {
        Ok(office) => {
            let teller = app.handle().clone();
            office.run(move |why| stopped_by_itself(&teller, &why));
            app.manage(office);
            app.manage(Place::default());
            tray::build(app.handle());
            office::end_with_the_session(app.handle());
            if !cli.hidden {
                window::show(app.handle());
            }
        }
        Err(trouble) => say_and_end(app.handle(), &trouble, config),
    }
    app.run(|app, event| match event {
        // Without a window the office goes on; only Quit, which brings a code, ends it.
        RunEvent::ExitRequested { api, code: None, .. } => api.prevent_exit(),
        RunEvent::Exit => {
            if let Some(office) = app.try_state::<Office>() {
                office.stop();
            }
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app),
        _ => {}
    });
    // On most systems the process has ended by now.
    runtime.shutdown_background();
    Ok(())
}

/// What `tauri.conf.json` says, and the icons.
#[expect(clippy::exit, reason = "the macro's own, for a second start where resources are missing")]
fn context() -> tauri::Context {
    tauri::generate_context!("tauri.conf.json")
}

/// Somebody started the program once more: the window comes forward, or the program ends if that was asked.
fn on_second_start(app: &AppHandle, words: &[String]) {
    if words.iter().any(|word| word == "--quit") {
        app.exit(0);
    } else {
        window::show(app);
    }
}

/// The office cannot open: says so where the clerk looks, then ends with the code that programs look at.
fn say_and_end(app: &AppHandle, trouble: &Trouble, config: &Config) {
    let words = words::words();
    let (code, text) = match trouble {
        Trouble::FolderInUse => (3, words.folder_in_use.replace("{}", &config.data.display().to_string())),
        Trouble::PortInUse => (1, words.port_in_use.replace("{}", &config.listen.port().to_string())),
        Trouble::Other(why) => (1, format!("{}\n\n{why}", words.cannot_open)),
    };
    complain(&text);
    let app = app.clone();
    notice::say(&app.clone(), notice::Kind::Trouble, &text, move || app.exit(code));
}

/// A part of the server failed: what was acknowledged is on disk, and nothing more can be.
fn stopped_by_itself(app: &AppHandle, why: &str) {
    tracing::error!(why, "the office has stopped");
    let handle = app.clone();
    notice::say(app, notice::Kind::Trouble, words::words().stopped, move || handle.exit(1));
}

/// Before there is a program that could show anything: a plain line, and a message where there is a screen.
fn refuse_to_start(what: &str, why: &str, code: u8) -> ExitCode {
    complain(why);
    if window::screen_is_there() {
        notice::say_alone(&format!("{what}\n\n{why}"));
    }
    ExitCode::from(code)
}

/// The plain line for who started this from a terminal; nobody to tell is no fault.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "townhall-desktop: {text}"));
}
