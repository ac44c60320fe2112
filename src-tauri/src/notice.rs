//! A message of the system, for what cannot be said on the page: the page is not there, or about to be hidden.

use rfd::{AsyncMessageDialog, MessageButtons, MessageDialog, MessageDialogResult, MessageLevel};
use tauri::AppHandle;

use crate::words::words;

/// What kind of message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Nothing is wrong.
    Word,
    /// Something is.
    Trouble,
}

/// Shows a message and goes on; `then` is called when it was read.
pub(crate) fn say(app: &AppHandle, kind: Kind, text: &str, then: impl FnOnce() + Send + 'static) {
    ask(app, kind, text, MessageButtons::Ok, move |_| then());
}

/// What the clerk chose when the window was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The office stays open without its window.
    Stay,
    /// The program ends.
    Quit,
    /// The window comes back: the third button, or the message was closed.
    Back,
}

/// Asks what closing the window should mean, and goes on. The first button has the keyboard: Enter ends nothing.
pub(crate) fn ask_about_closing(app: &AppHandle, then: impl FnOnce(Choice) + Send + 'static) {
    let words = words();
    let buttons = MessageButtons::YesNoCancelCustom(words.stay.into(), words.quit.into(), words.back.into());
    ask(app, Kind::Word, words.goes_on, buttons, move |answer| {
        // Some systems name the button by its place, others by its label.
        let (stay, quit) = (words.stay.to_owned(), words.quit.to_owned());
        then(match answer {
            MessageDialogResult::Yes | MessageDialogResult::Ok => Choice::Stay,
            MessageDialogResult::No => Choice::Quit,
            MessageDialogResult::Custom(label) if label == stay => Choice::Stay,
            MessageDialogResult::Custom(label) if label == quit => Choice::Quit,
            MessageDialogResult::Custom(_) | MessageDialogResult::Cancel => Choice::Back,
        });
    });
}

/// Shows a message before there is a program, and waits until it was read.
pub(crate) fn say_alone(text: &str) {
    MessageDialog::new().set_level(MessageLevel::Error).set_title("Townhall").set_description(text).show();
}

fn ask(
    app: &AppHandle,
    kind: Kind,
    text: &str,
    buttons: MessageButtons,
    then: impl FnOnce(MessageDialogResult) + Send + 'static,
) {
    let level = match kind {
        Kind::Word => MessageLevel::Info,
        Kind::Trouble => MessageLevel::Error,
    };
    let text = text.to_owned();
    // macOS shows messages from the main thread only; waiting for the answer must not hold it.
    let asked = app.run_on_main_thread(move || {
        let dialog = AsyncMessageDialog::new().set_level(level).set_title("Townhall").set_description(text);
        let answer = dialog.set_buttons(buttons).show();
        tauri::async_runtime::spawn(async move { then(answer.await) });
    });
    if let Err(error) = asked {
        tracing::warn!(%error, "a message could not be shown");
    }
}
