//! Letters that would mean something else in Markdown, spelled so that they mean themselves.
//!
//! Owns escaping of text, addresses, titles, info strings and starts of lines. Does not know blocks or marks.

/// What stands around a run of text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    /// The letter written before it.
    pub(super) before: Option<char>,
    /// Inside a link's or picture's brackets.
    pub(super) bracketed: bool,
    /// A bracket comes right after it.
    pub(super) bracket_follows: bool,
    /// Something comes right after it.
    pub(super) more: bool,
}

/// Spells a run of text.
pub(super) fn text(text: &str, around: Around) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = around.before;
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        let after = rest.clone().next();
        if special(letter, before, after, rest.as_str(), around) {
            out.push('\\');
        }
        out.push(letter);
        before = Some(letter);
    }
    out
}

fn special(letter: char, before: Option<char>, after: Option<char>, rest: &str, around: Around) -> bool {
    let word = |near: Option<char>| near.is_some_and(char::is_alphanumeric);
    let blank = |near: Option<char>| matches!(near, Some(' ' | '\t'));
    match letter {
        '\\' | '`' | '[' | '~' => true,
        '*' => !(blank(before) && blank(after)),
        '_' => !(word(before) && word(after)),
        ']' => around.bracketed,
        '<' => match after {
            None => around.more,
            Some(next) => next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?'),
        },
        '&' => is_entity(rest),
        '!' => after.is_none() && around.bracket_follows,
        _ => false,
    }
}

/// Whether the text after an `&` makes it an entity.
fn is_entity(rest: &str) -> bool {
    let name = rest.strip_prefix('#').unwrap_or(rest);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    end > 0 && name[end..].starts_with(';')
}

/// A letter as an entity: at the edge of an emphasis it counts as punctuation.
pub(super) fn entity(letter: char) -> String {
    format!("&#{};", u32::from(letter))
}

/// Whether a letter is known to count as punctuation beside an emphasis.
pub(super) fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation() || "«»‹›“”‘’„…–—¿¡§·¶".contains(letter)
}

/// Spells the start of one line of a paragraph so that it starts no other block.
pub(super) fn line_start(line: &str) -> String {
    let escape_at = |at: usize| format!("{}\\{}", &line[..at], &line[at..]);
    let Some(first) = line.chars().next() else { return String::new() };
    let blank_or_end = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t']);
    match first {
        '#' => {
            let rest = line.trim_start_matches('#');
            if line.len() - rest.len() <= 6 && blank_or_end(rest) {
                return escape_at(0);
            }
        }
        '>' => return escape_at(0),
        '+' if blank_or_end(&line[1..]) => return escape_at(0),
        '-' if blank_or_end(&line[1..]) => return escape_at(0),
        '0'..='9' => {
            let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let rest = &line[digits..];
            if digits <= 9 && rest.starts_with(['.', ')']) && blank_or_end(&rest[1..]) {
                return escape_at(digits);
            }
        }
        _ => {}
    }
    let ruler = line.chars().all(|c| matches!(c, '-' | '|' | ':' | ' ' | '\t'));
    let underline = line.trim_end().chars().all(|c| c == '=');
    if (ruler || underline) && first.is_ascii_punctuation() { escape_at(0) } else { line.to_owned() }
}

/// Spells a link's address.
pub(super) fn destination(href: &str) -> String {
    let angled = href.is_empty()
        || !balanced(href)
        || href.chars().any(|c| c == ' ' || c.is_control() || c == '<' || c == '>');
    let mut out = String::with_capacity(href.len() + 2);
    if angled {
        out.push('<');
    }
    let mut rest = href.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\n' | '\r' => {
                out.push_str(&entity(letter));
                continue;
            }
            '\\' if rest.clone().next().is_none_or(|next| next.is_ascii_punctuation()) => out.push('\\'),
            '`' | '<' | '>' => out.push('\\'),
            '&' if is_entity(rest.as_str()) => out.push('\\'),
            _ => {}
        }
        out.push(letter);
    }
    if angled {
        out.push('>');
    }
    out
}

fn balanced(href: &str) -> bool {
    let mut depth = 0i32;
    for letter in href.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if !(0..=8).contains(&depth) {
            return false;
        }
    }
    depth == 0
}

/// Spells a link's title with the blank before it; nothing when there is none.
pub(super) fn title(title: Option<&str>) -> String {
    let Some(title) = title else { return String::new() };
    let mut out = String::from(" \"");
    let mut rest = title.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\n' | '\r' => {
                out.push_str(&entity(letter));
                continue;
            }
            '\\' | '"' | '`' | '<' => out.push('\\'),
            '&' if is_entity(rest.as_str()) => out.push('\\'),
            _ => {}
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// Spells the info string of a fence.
pub(super) fn info(params: &str) -> String {
    let mut out = String::with_capacity(params.len());
    let mut rest = params.chars();
    while let Some(letter) = rest.next() {
        if letter == '\\' || (letter == '&' && is_entity(rest.as_str())) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// Spells code in running text.
pub(super) fn code(text: &str) -> String {
    let longest = longest_run(text, '`');
    // the shortest fence that does not occur inside
    let fence = (1..=longest + 1).find(|n| !has_run(text, *n)).unwrap_or(longest + 1);
    let fence = "`".repeat(fence);
    let blank_edges = text.starts_with(' ') && text.ends_with(' ') && !text.trim_matches(' ').is_empty();
    let pad = if text.starts_with('`') || text.ends_with('`') || blank_edges { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn has_run(text: &str, length: usize) -> bool {
    text.split(|c| c != '`').any(|run| run.len() == length)
}

/// The longest run of one letter.
pub(super) fn longest_run(text: &str, letter: char) -> usize {
    text.split(|c| c != letter).map(str::len).max().unwrap_or(0)
}
