//! The house rules that no compiler checks: who may know whom, where each engine lives, sizes, names, paths.
//!
//! Reads the sources as text (comments, strings and test code blanked out) and names every line that breaks a rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

// --- the rules, as data ----------------------------------------------------------------------------------

/// A module imports only from a smaller rank. `lib.rs` and the two `main.rs` stand above all of them.
const RANKS: &[(&str, u8)] = &[
    ("id", 0),
    ("clock", 0),
    ("config", 0),
    ("lock", 0),
    ("heap", 1),
    ("telemetry", 1),
    ("wire", 1),
    ("text", 1),
    ("store", 2),
    ("bus", 2),
    ("outbound", 2),
    ("auth", 3),
    ("records", 3),
    ("scribe", 3),
    ("rooms", 4),
    ("faces", 5),
    ("follow", 5),
    ("lan", 5),
    ("server", 6),
];

/// The few imports within one rank: who, whom, why. They must not make a circle.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("records", "auth", "a grant is the proof that a record may be changed"),
    ("records", "scribe", "the scribe makes a record's first update"),
    ("bus", "store", "what is published while the central server is away lies in the log"),
];

/// What a module must not name, beyond its rank.
const BLIND: &[(&str, &[&str], &str)] = &[
    ("id", &["tokio", "axum"], "names know neither runtime nor HTTP"),
    ("clock", &["tokio", "axum"], "time knows neither runtime nor HTTP"),
    ("config", &["tokio", "axum"], "configuration knows neither runtime nor HTTP"),
    ("wire", &["tokio", "axum", "std::net", "std::time", "crate::clock"], "codecs are pure"),
    ("text", &["tokio", "axum", "std::net", "std::time", "crate::clock"], "the text's codec is pure"),
    ("telemetry", &["axum", "std::net"], "telemetry knows no sockets"),
    ("store", &["axum"], "the store knows no HTTP"),
    ("bus", &["axum"], "the bus knows no HTTP"),
    ("outbound", &["axum"], "the client knows no HTTP server"),
    ("auth", &["axum"], "faces bring credentials, auth knows no HTTP"),
    ("records", &["axum"], "records know no HTTP"),
    ("scribe", &["axum"], "the scribe knows no HTTP"),
    ("rooms", &["axum", "serde_json", "crate::bus"], "rooms know no dialect, no JSON and no bus"),
    ("faces", &["crate::store"], "faces reach what is durable through rooms, records and auth"),
];

/// Rooms know these parts of `wire` and no others.
const ROOMS_MAY_KNOW_OF_WIRE: &[&str] = &["gate", "awareness"];

/// What faces stand on: they may know these, and these know no face.
const SHARED_FLOORS: &[&str] = &["mod", "door", "line", "sio"];

/// Foreign engines and the only places that may name them.
const ENGINES: &[(&str, &[&str])] = &[
    ("yrs", &["src/rooms/merge.rs", "src/scribe"]),
    ("redb", &["src/store/log.rs", "src/store/log"]),
    ("sled", &["src/bus/embedded.rs"]),
    ("redis", &["src/bus/central.rs", "src/bus/central"]),
    ("mdns_sd", &["src/lan/announce.rs"]),
    ("if_addrs", &["src/lan/addresses.rs"]),
    ("rustls_native_certs", &["src/outbound/tls.rs"]),
    ("tokio_rustls", &["src/outbound/tls.rs", "src/bus/central"]),
    ("qrcode", &["src/lan/qr.rs"]),
    ("pulldown_cmark", &["src/text"]),
    ("ring", &["src/auth/jwt.rs", "src/auth/jwt", "src/outbound/tls.rs"]),
    ("zstd", &["src/store"]),
    ("gtk", &["src-tauri"]),
    ("rfd", &["src-tauri"]),
    ("tauri", &["src-tauri"]),
    ("tauri_build", &["src-tauri"]),
    ("tauri_plugin_autostart", &["src-tauri"]),
    ("tauri_plugin_opener", &["src-tauri"]),
    ("tauri_plugin_single_instance", &["src-tauri"]),
    ("tauri_plugin_window_state", &["src-tauri"]),
];

/// Lines of a file, without its tests, stay below this.
const FILE_LINES: usize = 400;
/// Lines of a function stay below this.
const FUNCTION_LINES: usize = 70;
/// A line, tests aside, is at most this wide, in characters. The formatter breaks code at 110 already; this is for what it
/// leaves alone: comments, strings, logging.
const LINE_COLUMNS: usize = 120;

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: &[&str] = &[
    "manager",
    "managers",
    "service",
    "services",
    "helper",
    "helpers",
    "util",
    "utils",
    "processor",
    "processors",
    "common",
    "commons",
];

/// What ends a process or hides a fault; tests may.
const NOT_OUTSIDE_TESTS: &[&str] = &[
    ".unwrap()",
    ".unwrap_err()",
    ".expect(",
    ".expect_err(",
    "panic!",
    "unreachable!",
    "todo!",
    "unimplemented!",
    "unsafe",
    "SystemTime::now",
    "Instant::now",
];

/// The one place where the real time is asked.
const TIME_SOURCE: &str = "src/clock.rs";

// --- the tests -------------------------------------------------------------------------------------------

#[test]
fn a_module_imports_only_from_a_smaller_rank() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(module) = file.module() else { continue };
        let Some(rank) = rank_of(module) else {
            wrong.push(format!("{}: `{module}` has no rank; give it one in tests/it/tidy.rs", file.path));
            continue;
        };
        for (line, path) in file.imports() {
            let other = path.split("::").next().unwrap_or_default();
            let Some(theirs) = rank_of(other) else { continue };
            let neighbour = NEIGHBOURS.iter().any(|(who, whom, _)| *who == module && *whom == other);
            if other != module && theirs >= rank && !neighbour {
                wrong.push(format!(
                    "{}:{line}: `{module}` (rank {rank}) must not know `{other}` (rank {theirs})",
                    file.path
                ));
            }
        }
    }
    report("imports against the ranks", &wrong);
}

#[test]
fn neighbours_of_one_rank_make_no_circle() {
    for (who, whom, _) in NEIGHBOURS {
        assert_eq!(rank_of(who), rank_of(whom), "{who} and {whom} are not of one rank");
        assert!(
            !NEIGHBOURS.iter().any(|(a, b, _)| a == whom && b == who),
            "{who} and {whom} would know each other"
        );
    }
}

#[test]
fn what_a_module_must_not_know_it_does_not_name() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(module) = file.module() else { continue };
        for (_, words, why) in BLIND.iter().filter(|(who, ..)| *who == module) {
            for word in *words {
                match word.strip_prefix("crate::") {
                    Some(inner) => wrong.extend(
                        file.imports()
                            .iter()
                            .filter(|(_, path)| path.split("::").next() == Some(inner))
                            .map(|(line, _)| format!("{}:{line}: names `{word}`; {why}", file.path)),
                    ),
                    None => wrong.extend(
                        file.naming(word)
                            .iter()
                            .map(|line| format!("{}:{line}: names `{word}`; {why}", file.path)),
                    ),
                }
            }
        }
        if module == "rooms" {
            for (line, path) in file.imports() {
                let mut steps = path.split("::");
                let of_wire = steps.next() == Some("wire");
                let part = steps.next().unwrap_or_default();
                if of_wire && !ROOMS_MAY_KNOW_OF_WIRE.contains(&part) {
                    wrong.push(format!(
                        "{}:{line}: names `wire::{part}`; rooms know only {ROOMS_MAY_KNOW_OF_WIRE:?} of wire",
                        file.path
                    ));
                }
            }
        }
    }
    report("names that a module must not know", &wrong);
}

#[test]
fn faces_do_not_know_each_other() {
    let mut wrong = Vec::new();
    let dialects: Vec<String> = sources("src")
        .iter()
        .filter_map(|file| file.path.strip_prefix("src/faces/").map(face_of))
        .filter(|face| !SHARED_FLOORS.contains(&face.as_str()))
        .collect();
    for file in sources("src") {
        let Some(mine) = file.path.strip_prefix("src/faces/").map(face_of) else { continue };
        if mine == "mod" {
            continue;
        }
        for (line, path) in file.imports() {
            let Some(theirs) = path.strip_prefix("faces::").map(|rest| face_of(&rest.replace("::", "/")))
            else {
                continue;
            };
            if theirs != mine && dialects.contains(&theirs) {
                wrong.push(format!(
                    "{}:{line}: the face `{mine}` must not know the face `{theirs}`",
                    file.path
                ));
            }
        }
    }
    report("faces that know each other", &wrong);
}

#[test]
fn every_engine_is_named_in_its_place_only() {
    let mut wrong = Vec::new();
    for file in sources("src").into_iter().chain(sources("src-tauri")) {
        for (engine, places) in ENGINES {
            let at_home =
                places.iter().any(|place| file.path == *place || file.path.starts_with(&format!("{place}/")));
            if !at_home {
                wrong.extend(file.naming(engine).iter().map(|line| {
                    format!("{}:{line}: names `{engine}`, whose place is {}", file.path, places.join(" or "))
                }));
            }
        }
    }
    report("engines outside their place", &wrong);
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for file in sources("src").into_iter().chain(sources("src-tauri")) {
        let lines = file.lines_without_tests();
        if lines >= FILE_LINES {
            wrong.push(format!("{}: {lines} lines without tests, the limit is {FILE_LINES}", file.path));
        }
        for (line, name, length) in file.functions() {
            if length >= FUNCTION_LINES {
                wrong.push(format!(
                    "{}:{line}: `{name}` has {length} lines, the limit is {FUNCTION_LINES}",
                    file.path
                ));
            }
        }
        for (number, line) in without_tests(&file.text).lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS {
                let path = &file.path;
                wrong.push(format!("{path}:{}: {columns} columns, the limit is {LINE_COLUMNS}", number + 1));
            }
        }
    }
    report("files, functions or lines that are too long", &wrong);
}

#[test]
fn every_module_says_what_it_is() {
    let wrong: Vec<String> = sources("src")
        .into_iter()
        .chain(sources("src-tauri"))
        .chain(sources("tests/it"))
        .filter(|file| !file.text.starts_with("//!") && !file.text.trim().is_empty())
        .map(|file| format!("{}: does not open with `//!` and what it owns", file.path))
        .collect();
    report("modules that do not say what they are", &wrong);
}

#[test]
fn names_are_nouns_of_the_domain() {
    let mut wrong = Vec::new();
    for path in tracked() {
        let ours = ["src/", "src-tauri/", "tests/", "ui/src/"].iter().any(|place| path.starts_with(place));
        if ours && words(&path).iter().any(|word| EMPTY_WORDS.contains(&word.as_str())) {
            wrong.push(format!("{path}: the name of the file or folder says nothing"));
        }
    }
    for file in sources("src").into_iter().chain(sources("src-tauri")).chain(sources("tests/it")) {
        for (line, name) in file.definitions() {
            if words(&name).iter().any(|word| EMPTY_WORDS.contains(&word.as_str())) {
                wrong.push(format!("{}:{line}: `{name}` says nothing; name what it is", file.path));
            }
        }
    }
    report("empty names", &wrong);
}

#[test]
fn nothing_ends_the_process_outside_tests() {
    let mut wrong = Vec::new();
    for file in sources("src").into_iter().chain(sources("src-tauri")) {
        for word in NOT_OUTSIDE_TESTS {
            if word.ends_with("::now") && file.path == TIME_SOURCE {
                continue;
            }
            wrong.extend(file.holding(word).iter().map(|line| format!("{}:{line}: `{word}`", file.path)));
        }
    }
    report("what must not stand outside tests", &wrong);
}

#[test]
fn no_tracked_file_names_a_machine() {
    // Written in pieces, so that this file passes its own test.
    let paths = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/Us", "ers/"].concat(),
        ["\\Us", "ers\\"].concat(),
        ["/tm", "p/"].concat(),
    ];
    let resolved = ["\"resol", "ved\": \"http"].concat();
    let mut wrong = Vec::new();
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            for part in &paths {
                if line.match_indices(part.as_str()).any(|(at, _)| starts_a_path(line, at)) {
                    wrong.push(format!("{path}:{number}: a path of one machine ({part}…)"));
                }
            }
            if line.contains(&resolved) {
                wrong.push(format!("{path}:{number}: the address of a package registry"));
            }
            if path == "Cargo.lock"
                && line.starts_with("source = ")
                && !line.contains("rust-lang/crates.io-index")
            {
                wrong.push(format!("{path}:{number}: a crate that is not from crates.io"));
            }
        }
    }
    wrong.truncate(40);
    report("paths of one machine in tracked files", &wrong);
}

#[test]
fn the_reader_of_this_test_sees_what_it_must() {
    let file = Source::new(
        "src/rooms/x.rs",
        "//! yrs::Doc in a comment\nuse crate::{store::Store, wire::{gate, ysync}};\nfn f<'a>(x: &'a str) {\n    \
         let s = \"crate::faces — // {\";\n    let c = '{';\n    g(s, c)\n}\n#[cfg(test)]\nmod tests {\n    \
         use crate::server;\n    fn t() { x.unwrap() }\n}\n",
    );
    let paths: Vec<String> = file.imports().into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["store::Store", "wire::gate", "wire::ysync"]);
    assert!(file.naming("yrs").is_empty());
    assert!(file.holding(".unwrap()").is_empty());
    assert_eq!(file.functions(), [(3, "f".to_owned(), 5)]);
    assert_eq!(file.lines_without_tests(), 7);
    let up = Source::new("src/rooms/y.rs", "use super::super::faces::Caller;\n");
    assert_eq!(up.imports(), [(1, "faces::Caller".to_owned())]);
}

// --- reading sources -------------------------------------------------------------------------------------

/// One source file: as written, and with comments, strings and test code blanked out, line for line.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = without_tests(&without_prose(text));
        let code = if is_test_file(path) { blank(&code) } else { code };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The top-level module, or nothing for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let name = inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs");
        (!["lib", "main"].contains(&name)).then_some(name)
    }

    /// Every path into this crate: line, and the path without `crate::`.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            if !self.code[..at].ends_with(is_word) && !self.code[..at].ends_with('$') {
                let line = line_of(&self.code, at);
                expand("", &self.code[at + "crate::".len()..], &mut |path| found.push((line, path)));
            }
        }
        // A chain of `super` long enough reaches the crate's root as well.
        let up = "super::".repeat(self.depth());
        for (at, _) in self.code.match_indices(&up) {
            if !self.code[..at].ends_with(is_word) && !self.code[..at].ends_with("::") {
                let line = line_of(&self.code, at);
                expand("", &self.code[at + up.len()..], &mut |path| found.push((line, path)));
            }
        }
        found
    }

    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { (folders - 1).max(1) } else { folders.max(1) }
    }

    /// Lines that name a foreign crate or path, as the start of a path.
    fn naming(&self, name: &str) -> Vec<usize> {
        self.code
            .match_indices(name)
            .filter(|(at, _)| {
                let (before, after) = (&self.code[..*at], &self.code[at + name.len()..]);
                let starts = !before.ends_with(is_word) && !before.ends_with("::") && !before.ends_with('.');
                let imported = before.ends_with("use ") && !after.starts_with(is_word);
                starts && (imported || after.starts_with("::"))
            })
            .map(|(at, _)| line_of(&self.code, at))
            .collect()
    }

    /// Lines that hold a word as a whole.
    fn holding(&self, word: &str) -> Vec<usize> {
        self.code
            .match_indices(word)
            .filter(|(at, _)| {
                let (before, after) = (&self.code[..*at], &self.code[at + word.len()..]);
                let starts = !word.starts_with(is_word) || !before.ends_with(is_word);
                let ends = !word.ends_with(is_word) || !after.starts_with(is_word);
                starts && ends
            })
            .map(|(at, _)| line_of(&self.code, at))
            .collect()
    }

    fn lines_without_tests(&self) -> usize {
        if is_test_file(&self.path) {
            return 0;
        }
        let before_tests = without_tests(&self.text);
        before_tests.trim_end().lines().count()
    }

    /// Functions with a body: line, name, lines.
    fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for (at, name) in self.defined("fn") {
            let body = &self.code[at..];
            let Some(open) = body.find(['{', ';']).filter(|open| body[*open..].starts_with('{')) else {
                continue;
            };
            let Some(close) = closing(body, open) else { continue };
            found.push((line_of(&self.code, at), name, body[..close].matches('\n').count() + 1));
        }
        found
    }

    fn definitions(&self) -> Vec<(usize, String)> {
        ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"]
            .iter()
            .flat_map(|word| self.defined(word))
            .map(|(at, name)| (line_of(&self.code, at), name))
            .collect()
    }

    fn defined(&self, keyword: &str) -> Vec<(usize, String)> {
        let keyword = format!("{keyword} ");
        self.code
            .match_indices(&keyword)
            .filter(|(at, _)| !self.code[..*at].ends_with(is_word))
            .map(|(at, _)| {
                let name = self.code[at + keyword.len()..]
                    .trim_start()
                    .chars()
                    .take_while(|c| is_word(*c))
                    .collect();
                (at, name)
            })
            .filter(|(_, name): &(usize, String)| !name.is_empty())
            .collect()
    }
}

/// Unfolds `a::{b, c::{d}}` into `a::b`, `a::c::d`; ends at anything that is not a path.
fn expand(prefix: &str, rest: &str, found: &mut dyn FnMut(String)) -> usize {
    let mut path = prefix.to_owned();
    let mut at = 0;
    while let Some(c) = rest[at..].chars().next() {
        if is_word(c) || c == '*' {
            path.push(c);
            at += c.len_utf8();
        } else if rest[at..].starts_with("::") {
            path.push_str("::");
            at += 2;
        } else if c == '{' && (path.ends_with("::") || path.is_empty()) {
            at += 1;
            loop {
                at += rest[at..].len() - rest[at..].trim_start_matches([' ', '\n', '\t', ',']).len();
                if rest[at..].is_empty() || rest[at..].starts_with('}') {
                    return (at + 1).min(rest.len());
                }
                let step = expand(&path, &rest[at..], found);
                if step == 0 {
                    return at;
                }
                at += step;
                if let Some(alias) = rest[at..].strip_prefix(" as ") {
                    at = rest.len() - alias.trim_start_matches(is_word).len();
                }
            }
        } else {
            break;
        }
    }
    if at > 0 {
        found(path);
    }
    at
}

/// Blanks comments, strings and characters, keeping every line break and every byte's place.
fn without_prose(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = prose_end(&chars, at);
        if end > at {
            for c in &chars[at..end] {
                code.push_str(&blank(c.encode_utf8(&mut [0; 4])));
            }
            at = end;
        } else {
            code.push(chars[at]);
            at += 1;
        }
    }
    code
}

/// Where the comment, string or character that starts here ends; `at` itself when none does.
fn prose_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let in_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |i| chars[i] == '\n'),
        '/' if next == Some('*') => {
            let (mut depth, mut i) = (0_usize, at);
            while i < chars.len() {
                match (chars[i], chars.get(i + 1)) {
                    ('/', Some('*')) => (depth, i) = (depth + 1, i + 1),
                    ('*', Some('/')) => (depth, i) = (depth - 1, i + 1),
                    _ => {}
                }
                i += 1;
                if depth == 0 {
                    break;
                }
            }
            i
        }
        'r' if !in_word || (at > 0 && ['b', 'c'].contains(&chars[at - 1])) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) != Some(&'"') {
                return at;
            }
            let ends = |i: usize| {
                i > at + 1 + hashes
                    && chars[i] == '"'
                    && (1..=hashes).all(|offset| chars.get(i + offset) == Some(&'#'))
            };
            (find(chars, at, ends) + 1 + hashes).min(chars.len())
        }
        '"' => quoted(chars, at, '"'),
        '\'' if next == Some('\\') => quoted(chars, at, '\''),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn find(chars: &[char], from: usize, mut ends: impl FnMut(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| ends(*i)).unwrap_or(chars.len())
}

/// Blanks what is compiled for tests only: an item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let shape = without_prose(code);
    let mut kept = code.to_owned();
    for (at, _) in shape.match_indices("#[cfg(") {
        let Some(end) = shape[at..].find(")]").map(|end| at + end + 2) else { continue };
        let condition = &shape[at..end];
        let for_tests =
            condition.contains("test") && !condition.contains("not(test)") && !condition.contains("any(");
        if !for_tests {
            continue;
        }
        let item = &shape[end..];
        let Some(open) = item.find(['{', ';']) else { continue };
        let close =
            if item[open..].starts_with('{') { closing(item, open).unwrap_or(item.len()) } else { open + 1 };
        let (from, to) = (at, end + close);
        kept.replace_range(from..to, &blank(&code[from..to]));
    }
    kept
}

/// The same number of bytes and lines, without anything in them.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The end of the block that opens at `open`.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(open + at + 1);
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || (path.starts_with("src/") && path.contains("/tests/"))
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn rank_of(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

fn face_of(inner: &str) -> String {
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs").to_owned()
}

/// `RoomHandle`, `room_handle` and `room/handle.rs` are made of the same words.
fn words(name: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut small_before = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && small_before) {
            found.push(String::new());
        }
        if let Some(last) = found.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
        small_before = c.is_lowercase();
    }
    found
}

/// Whether a path starts here: `see /x/` does, `a/x/` is only a part of another one.
fn starts_a_path(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|c: char| is_word(c) || ['.', '-', '}', ')', '*', '~', '>'].contains(&c))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = from_root(&path);
                found.insert(name.clone(), Source::new(&name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.into_values().collect()
}

/// Files under version control; nothing where there is no repository (a source archive).
fn tracked() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Ok(listed) = listed else { return Vec::new() };
    String::from_utf8_lossy(&listed.stdout)
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn from_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

#[track_caller]
fn report(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} {what}:\n  {}\n", wrong.len(), wrong.join("\n  "));
}
