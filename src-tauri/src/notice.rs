//! A message of the system, for what cannot be said on the page: the page is not there, or about to be hidden.
//!
//! Owns the two ways of showing one: GTK's own on Linux, where only the window's thread may touch it, and the system's
//! elsewhere.

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

/// Shows a message and goes on; `then` is called when it was read.
pub(crate) fn say(app: &AppHandle, kind: Kind, text: &str, then: impl FnOnce() + Send + 'static) {
    ask(app, kind, text, Vec::new(), move |_| then());
}

/// Asks what closing the window should mean, and goes on. The first button has the keyboard: Enter ends nothing.
pub(crate) fn ask_about_closing(app: &AppHandle, then: impl FnOnce(Choice) + Send + 'static) {
    let words = words();
    let answers = vec![words.stay, words.quit, words.back];
    ask(app, Kind::Word, words.goes_on, answers, move |answer| {
        then(match answer {
            Some(0) => Choice::Stay,
            Some(1) => Choice::Quit,
            _ => Choice::Back,
        });
    });
}

/// Shows a message on the window's own thread; `then` hears which answer it was, or none when it was only closed.
fn ask(
    app: &AppHandle,
    kind: Kind,
    text: &str,
    answers: Vec<&'static str>,
    then: impl FnOnce(Option<usize>) + Send + 'static,
) {
    let text = text.to_owned();
    if let Err(error) = app.run_on_main_thread(move || show(kind, &text, &answers, then)) {
        tracing::warn!(%error, "a message could not be shown");
    }
}

#[cfg(target_os = "linux")]
pub(crate) use on_linux::say_alone;
#[cfg(target_os = "linux")]
use on_linux::show;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::say_alone;
#[cfg(not(target_os = "linux"))]
use elsewhere::show;

#[cfg(target_os = "linux")]
mod on_linux {
    use std::cell::Cell;

    use gtk::prelude::{DialogExt, GtkWindowExt, WidgetExt};
    use gtk::{ButtonsType, DialogFlags, MessageDialog, MessageType, ResponseType, Window};

    use super::Kind;

    pub(super) fn show(
        kind: Kind,
        text: &str,
        answers: &[&'static str],
        then: impl FnOnce(Option<usize>) + 'static,
    ) {
        let dialog = dialog(kind, text, answers);
        // Closing it is an answer once more; the first one counts.
        let then = Cell::new(Some(then));
        dialog.connect_response(move |dialog, response| {
            if let Some(then) = then.take() {
                then(place(response));
                dialog.close();
            }
        });
        dialog.show_all();
        dialog.present();
    }

    /// Shows a message before there is a program, and waits until it was read.
    pub(crate) fn say_alone(text: &str) {
        if gtk::init().is_ok() {
            dialog(Kind::Trouble, text, &[]).run();
        }
    }

    fn dialog(kind: Kind, text: &str, answers: &[&'static str]) -> MessageDialog {
        let (kind, buttons) = match (kind, answers) {
            (Kind::Word, []) => (MessageType::Info, ButtonsType::Ok),
            (Kind::Word, _) => (MessageType::Info, ButtonsType::None),
            (Kind::Trouble, _) => (MessageType::Error, ButtonsType::Ok),
        };
        let dialog = MessageDialog::new(None::<&Window>, DialogFlags::empty(), kind, buttons, text);
        dialog.set_title("Townhall");
        for (place, answer) in (0..).zip(answers) {
            dialog.add_button(answer, ResponseType::Other(place));
        }
        if !answers.is_empty() {
            dialog.set_default_response(ResponseType::Other(0));
        }
        dialog
    }

    fn place(response: ResponseType) -> Option<usize> {
        match response {
            ResponseType::Other(place) => usize::from(place).into(),
            _ => None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use rfd::{AsyncMessageDialog, MessageButtons, MessageDialog, MessageDialogResult, MessageLevel};

    use super::Kind;

    pub(super) fn show(
        kind: Kind,
        text: &str,
        answers: &[&'static str],
        then: impl FnOnce(Option<usize>) + Send + 'static,
    ) {
        let level = match kind {
            Kind::Word => MessageLevel::Info,
            Kind::Trouble => MessageLevel::Error,
        };
        let buttons = match answers {
            [first, second, third] => {
                MessageButtons::YesNoCancelCustom((*first).into(), (*second).into(), (*third).into())
            }
            _ => MessageButtons::Ok,
        };
        let dialog = AsyncMessageDialog::new().set_level(level).set_title("Townhall").set_description(text);
        let answer = dialog.set_buttons(buttons).show();
        let answers = answers.to_vec();
        tauri::async_runtime::spawn(async move {
            // Some systems name the button by its place, others by its label.
            then(match answer.await {
                MessageDialogResult::Yes | MessageDialogResult::Ok => Some(0),
                MessageDialogResult::No => Some(1),
                MessageDialogResult::Cancel => None,
                MessageDialogResult::Custom(label) => answers.iter().position(|one| *one == label),
            });
        });
    }

    /// Shows a message before there is a program, and waits until it was read.
    pub(crate) fn say_alone(text: &str) {
        MessageDialog::new()
            .set_level(MessageLevel::Error)
            .set_title("Townhall")
            .set_description(text)
            .show();
    }
}
