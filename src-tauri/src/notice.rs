//! A message of the system, for what cannot be said on the page: the page is not there, or about to be hidden.

use rfd::{AsyncMessageDialog, MessageButtons, MessageDialog, MessageDialogResult, MessageLevel};
use tauri::AppHandle;

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

/// Asks a question and goes on; `then` is told whether the answer was No. A message that was closed without an answer
/// is not a No.
pub(crate) fn unless_no(app: &AppHandle, text: &str, then: impl FnOnce(bool) + Send + 'static) {
    ask(app, Kind::Word, text, MessageButtons::YesNo, move |answer| then(answer == MessageDialogResult::No));
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
