//! The sign beside the clock: open, start with the computer, quit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tauri::AppHandle;
use tauri::image::Image;
use tauri::menu::{CheckMenuItem, Menu, MenuItem, PredefinedMenuItem};
use tauri::tray::{MouseButton, TrayIconBuilder, TrayIconEvent};
use tauri_plugin_autostart::ManagerExt;

use crate::window;
use crate::words::words;

const OPEN: &str = "open";
const START_WITH_COMPUTER: &str = "start-with-computer";
const QUIT: &str = "quit";

/// Puts the sign beside the clock. A desktop without a place for it is no reason not to open.
pub(crate) fn build(app: &AppHandle) {
    // Where the system's library for signs is missing, the crate that looks for it panics.
    match catch_unwind(AssertUnwindSafe(|| try_build(app))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "no sign beside the clock"),
        Err(_) => tracing::warn!("no sign beside the clock: the system's library for it is missing"),
    }
}

fn try_build(app: &AppHandle) -> tauri::Result<()> {
    let words = words();
    let starts = app.autolaunch().is_enabled().unwrap_or(false);
    let open = MenuItem::with_id(app, OPEN, words.open, true, None::<&str>)?;
    let start = CheckMenuItem::with_id(
        app,
        START_WITH_COMPUTER,
        words.start_with_computer,
        true,
        starts,
        None::<&str>,
    )?;
    let quit = MenuItem::with_id(app, QUIT, words.quit, true, None::<&str>)?;
    let line = PredefinedMenuItem::separator(app)?;
    let menu = Menu::with_items(app, &[&open, &start, &line, &quit])?;
    TrayIconBuilder::with_id("townhall")
        .icon(Image::from_bytes(include_bytes!("../../icons/tray.png"))?)
        .tooltip("Townhall")
        .menu(&menu)
        .show_menu_on_left_click(false)
        .on_menu_event(move |app, event| match event.id().as_ref() {
            OPEN => window::show(app),
            START_WITH_COMPUTER => toggle_start(app, &start),
            QUIT => app.exit(0),
            _ => {}
        })
        .on_tray_icon_event(|tray, event| {
            if let TrayIconEvent::Click { button: MouseButton::Left, .. } = event {
                window::show(tray.app_handle());
            }
        })
        .build(app)?;
    Ok(())
}

/// Writes the choice where the system looks at login, then shows what really holds.
fn toggle_start(app: &AppHandle, item: &CheckMenuItem<tauri::Wry>) {
    let launch = app.autolaunch();
    let wanted = !launch.is_enabled().unwrap_or(false);
    let done = if wanted { launch.enable() } else { launch.disable() };
    if let Err(error) = done {
        tracing::warn!(%error, "starting with the computer could not be changed");
    }
    if let Err(error) = item.set_checked(launch.is_enabled().unwrap_or(false)) {
        tracing::debug!(%error, "the sign's menu did not change");
    }
}
