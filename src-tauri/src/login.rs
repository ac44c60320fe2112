//! Starting with the computer: the words that the system is given for the next login, so that the same office opens.
//!
//! Owns which options are passed on and how each system wants them written. Who writes them down is the tray's menu.

use std::path::Path;

use townhall::config::{Flags, LogFormat};

/// What stands behind the program's name. What came from the environment is said too: at the login it may be another.
/// Secrets are left out, because every program of the user can read what is kept here: they belong in the office's
/// file.
pub(crate) fn words(flags: &Flags) -> Vec<String> {
    // Taken apart in full, so that a new flag is not forgotten here.
    let Flags {
        data,
        listen,
        share,
        config,
        redis: _,
        redis_url: _,
        log,
        log_format,
        documents_free,
        query_tokens,
        loomio_app_url,
        cache_redis_expire,
        curia_jwt_secret: _,
        curia_jwt_public_key_file,
        channels_origins,
    } = flags;
    let origins = (!channels_origins.is_empty()).then(|| channels_origins.join(","));
    let options = [
        ("--data", data.as_deref().and_then(from_anywhere)),
        ("--listen", listen.map(|address| address.to_string())),
        ("--config", config.as_deref().and_then(from_anywhere)),
        ("--log", log.clone()),
        ("--log-format", log_format.map(|form| form_word(form).to_owned())),
        ("--documents-free", documents_free.map(|yes| yes.to_string())),
        ("--query-tokens", query_tokens.map(|yes| yes.to_string())),
        ("--loomio-app-url", loomio_app_url.clone()),
        ("--cache-redis-expire", cache_redis_expire.map(|seconds| seconds.to_string())),
        ("--curia-jwt-public-key-file", curia_jwt_public_key_file.as_deref().and_then(from_anywhere)),
        ("--channels-origins", origins),
    ];
    let mut words = vec!["--hidden".to_owned()];
    if *share {
        words.push("--share".to_owned());
    }
    for (option, value) in options {
        match value {
            Some(value) if value.chars().any(char::is_control) => not_passed_on(option),
            Some(value) => words.extend([option.to_owned(), quoted(&value)]),
            None => {}
        }
    }
    words
}

/// The path in full: at the login the program is started in another folder.
fn from_anywhere(path: &Path) -> Option<String> {
    let full = std::path::absolute(path).ok()?;
    let text = full.to_str().map(str::to_owned);
    if text.is_none() {
        not_passed_on(&path.to_string_lossy());
    }
    text
}

fn not_passed_on(what: &str) {
    tracing::warn!(what, "cannot be written down for a start with the computer");
}

fn form_word(form: LogFormat) -> &'static str {
    match form {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// One word of a command line, which the system takes apart at blanks. A backslash before a quotation mark would take
/// its meaning away, so those at the end are doubled; a mark itself is in no path, and in an option only by mistake.
#[cfg(windows)]
fn quoted(word: &str) -> String {
    let word = word.replace('"', "");
    let at_the_end = word.len() - word.trim_end_matches('\\').len();
    format!("\"{word}{}\"", "\\".repeat(at_the_end))
}

/// One text of a property list, which is XML and takes nothing apart.
#[cfg(target_os = "macos")]
fn quoted(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// One word of `Exec=` in a desktop entry: in quotation marks, inside which four characters are escaped. The escape is
/// doubled, since the entry's own escapes are undone first; a per cent sign would begin a field.
#[cfg(not(any(windows, target_os = "macos")))]
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in word.chars() {
        match letter {
            '\\' => quoted.push_str(r"\\\\"),
            '"' | '`' | '$' => quoted.extend(['\\', '\\', letter]),
            '%' => quoted.push_str("%%"),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
