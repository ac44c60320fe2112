//! The window on the office's own page: where it may go, and how it comes and goes.
//!
//! Owns the one window. The page has no rights over the computer: no commands, no capabilities.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tauri::webview::{DownloadEvent, NewWindowResponse};
use tauri::{AppHandle, Manager, Url, Webview, WebviewUrl, WebviewWindow, WebviewWindowBuilder};
use tauri_plugin_opener::OpenerExt;
use townhall::clock::Clock;
use townhall::config::limits::WINDOW_AWAY_MAX_MS;

use crate::notice::{self, Choice};
use crate::office::Office;

const LABEL: &str = "main";
/// The page that asks for a code. In the host's own window it means that the login has ended.
const JOIN_PATH: &str = "/join";
/// In the program's own configuration folder: the clerk was told that closing the window does not close the office.
const TOLD_FILE: &str = "told-that-it-stays-open";

/// Where the window is.
#[derive(Default)]
pub(crate) struct Place(Mutex<Whereabouts>);

#[derive(Default)]
struct Whereabouts {
    /// By the computer's clock: a stopwatch stands still while a Linux computer sleeps, and logins do not.
    away_since_ms: Option<u64>,
    asking: bool,
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Whereabouts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this process can show a window at all.
pub(crate) fn screen_is_there() -> bool {
    let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || named("DISPLAY") || named("WAYLAND_DISPLAY")
}

/// On Linux, some graphics drivers show a blank window unless this variable is set before the first thread starts. It
/// can only be set for a new program, so this one starts itself again in its own place.
#[cfg(target_os = "linux")]
pub(crate) fn prepare_web_view() {
    use std::os::unix::process::CommandExt;
    const VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if std::env::var_os(VARIABLE).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        // Returns only when it failed; then the window is tried as it is.
        let _failed =
            std::process::Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "1").exec();
    }
}

/// Elsewhere the web view needs no preparation.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare_web_view() {}

/// Brings the window forward, and makes it where there is none.
pub(crate) fn show(app: &AppHandle) {
    let app = app.clone();
    let shown = app.clone().run_on_main_thread(move || {
        if let Err(error) = try_show(&app) {
            tracing::error!(%error, "the window could not be shown");
        }
    });
    if let Err(error) = shown {
        tracing::error!(%error, "the window could not be shown");
    }
}

fn try_show(app: &AppHandle) -> tauri::Result<()> {
    let Some(place) = app.try_state::<Place>() else { return Ok(()) };
    let away_since_ms = place.lock().away_since_ms.take();
    let Some(window) = app.get_webview_window(LABEL) else { return build(app) };
    let now_ms = Clock::real().now_ms();
    let long_away =
        away_since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= WINDOW_AWAY_MAX_MS);
    if (long_away || is_locked_out(&window))
        && let Err(error) = log_in_again(app, &window, now_ms)
    {
        // The window is wanted all the same.
        tracing::error!(%error, "the window could not log in again");
    }
    window.show()?;
    window.unminimize()?;
    window.set_focus()
}

/// Whether the page asks its host for a code, which the host has nobody to get from.
fn is_locked_out(window: &WebviewWindow) -> bool {
    window.url().is_ok_and(|url| url.path() == JOIN_PATH)
}

/// Lets the window in once more. It stays the same window: one of the same name cannot be made until the system has
/// taken the old one down.
fn log_in_again(app: &AppHandle, window: &WebviewWindow, now_ms: u64) -> tauri::Result<()> {
    let mut link = link(app)?;
    // An address that differs behind its `#` alone is a place in the page that is open: nothing would be loaded.
    link.set_query(Some(&format!("opened={now_ms}")));
    window.navigate(link)
}

fn link(app: &AppHandle) -> tauri::Result<Url> {
    let link = app.state::<Office>().window_link();
    link.parse().map_err(|_| tauri::Error::InvalidWebviewUrl("no address"))
}

/// Hides the window; the office goes on. The first time it says so.
pub(crate) fn put_away(app: &AppHandle) {
    let Some(place) = app.try_state::<Place>() else { return };
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.hide()
    {
        tracing::error!(%error, "the window could not be hidden");
        return;
    }
    let mut whereabouts = place.lock();
    whereabouts.away_since_ms = Some(Clock::real().now_ms());
    let told = told_file(app);
    if whereabouts.asking || told.as_ref().is_some_and(|file| file.exists()) {
        return;
    }
    whereabouts.asking = true;
    drop(whereabouts);
    let handle = app.clone();
    notice::ask_about_closing(app, move |choice| {
        if let Some(place) = handle.try_state::<Place>() {
            place.lock().asking = false;
        }
        match choice {
            Choice::Quit => handle.exit(0),
            Choice::Back => show(&handle),
            Choice::Stay => {
                if let Some(file) = told {
                    remember(&file);
                }
            }
        }
    });
}

fn told_file(app: &AppHandle) -> Option<PathBuf> {
    app.path().app_config_dir().ok().map(|folder| folder.join(TOLD_FILE))
}

fn remember(file: &std::path::Path) {
    let written =
        file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(file, ""));
    if let Err(error) = written {
        tracing::debug!(%error, "it will be said again that the office stays open");
    }
}

fn build(app: &AppHandle) -> tauri::Result<()> {
    let link = link(app)?;
    let (at_home, also_at_home) = (link.clone(), link.clone());
    let (outside, also_outside) = (app.clone(), app.clone());
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::External(link))
        .title("Townhall")
        .inner_size(1180.0, 780.0)
        .min_inner_size(380.0, 480.0)
        .center()
        // The page takes dropped files itself.
        .disable_drag_drop_handler()
        .on_navigation(move |url| {
            let stays = is_home(&at_home, url);
            if !stays {
                open_outside(&outside, url);
            }
            stays
        })
        .on_new_window(move |url, _| {
            if is_home(&also_at_home, &url) {
                // One window: a page of our own opens in it.
                go_to(&also_outside, url);
            } else {
                open_outside(&also_outside, &url);
            }
            NewWindowResponse::Deny
        })
        .on_download(|webview, event| keep_download(&webview, event))
        .build()?;
    window.set_focus()
}

fn is_home(home: &Url, url: &Url) -> bool {
    url.origin() == home.origin() || url.as_str() == "about:blank"
}

fn go_to(app: &AppHandle, url: Url) {
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.navigate(url)
    {
        tracing::warn!(%error, "the page could not be opened");
    }
}

/// Hands a link to the program that the computer has for it; nothing but web pages and mail leaves the window.
fn open_outside(app: &AppHandle, url: &Url) {
    if !["http", "https", "mailto"].contains(&url.scheme()) {
        tracing::warn!(scheme = url.scheme(), "a link was refused");
        return;
    }
    if let Err(error) = app.opener().open_url(url.as_str(), None::<&str>) {
        tracing::warn!(%error, "a link could not be handed on");
    }
}

/// A record that was exported lies among the clerk's downloads, and its folder is shown.
fn keep_download(webview: &Webview, event: DownloadEvent<'_>) -> bool {
    match event {
        DownloadEvent::Requested { destination, .. } => {
            if let Ok(folder) = webview.path().download_dir()
                && let Some(name) = destination.file_name()
            {
                *destination = free_name(folder.join(name));
            }
        }
        DownloadEvent::Finished { path: Some(path), success: true, .. } => {
            if let Err(error) = webview.opener().reveal_item_in_dir(path) {
                tracing::debug!(%error, "the folder of a download could not be shown");
            }
        }
        _ => {}
    }
    true
}

/// `bylaw.md`, or `bylaw (2).md` where the first one is taken: an export replaces nothing.
fn free_name(wanted: PathBuf) -> PathBuf {
    let stem = wanted.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = wanted.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    let others = (2..1000).map(|number| wanted.with_file_name(format!("{stem} ({number}){extension}")));
    std::iter::once(wanted.clone()).chain(others).find(|path| !path.exists()).unwrap_or(wanted)
}
