//! A message's HTML as plain text, for clients that show none: the `body` beside a `formatted_body`.
//!
//! Owns which tags break a line and what an entity stands for, as the bots do it whose place ours take
//! (Loomio's channel server). One pass, no tree, whatever the HTML.

use crate::config::limits::BOT_HTML_NESTING_MAX;

/// The text of a piece of HTML.
#[must_use]
pub(super) fn plain(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.words(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        if !after.starts_with(|c: char| c == '/' || c == '!' || c.is_ascii_alphabetic()) {
            text.words("<");
            rest = after;
            continue;
        }
        let Some((tag, beyond)) = cut_tag(after) else {
            rest = "";
            break;
        };
        rest = beyond;
        let (name, closing) = name_of(tag);
        if !closing && matches!(&*name, "script" | "style" | "head" | "title") {
            rest = beyond_close(rest, &name);
            continue;
        }
        if closing { text.close(&name) } else { text.open(&name, tag) }
    }
    text.words(rest);
    text.out
}

/// What stands in a tag, and what comes after it; a `>` in quotes is none.
fn cut_tag(after: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, byte) in after.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some((&after[..at], &after[at + 1..])),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn name_of(tag: &str) -> (String, bool) {
    let closing = tag.starts_with('/');
    let name = tag.trim_start_matches('/').split(|c: char| c.is_whitespace() || c == '/').next();
    (name.unwrap_or_default().to_ascii_lowercase(), closing)
}

/// What comes after the end of an element whose text nobody reads.
fn beyond_close<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut from = rest;
    while let Some(at) = from.find("</") {
        from = &from[at + 2..];
        if from.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return from.split_once('>').map_or("", |(_, rest)| rest);
        }
    }
    ""
}

/// The value of an attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let at = lower.find(&format!(" {name}="))? + name.len() + 2;
    let value = &tag[at..];
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    Some(decoded(value))
}

#[derive(Default)]
struct Text {
    out: String,
    /// Line breaks due before the next word.
    breaks: usize,
    space: bool,
    quotes: usize,
    upper: bool,
    pre: bool,
    /// For each open list: the number of its last item, if it is numbered.
    lists: Vec<Option<usize>>,
    links: Vec<String>,
}

impl Text {
    fn open(&mut self, name: &str, tag: &str) {
        match name {
            "br" => self.line(),
            "hr" => {
                self.block(2);
                self.put(&"-".repeat(40));
                self.block(2);
            }
            "h1" => self.heading(true),
            "ul" | "ol" => {
                self.block(if self.lists.is_empty() { 2 } else { 1 });
                if self.lists.len() < BOT_HTML_NESTING_MAX {
                    self.lists.push((name == "ol").then_some(0));
                }
            }
            "li" => self.item(),
            "a" if self.links.len() < BOT_HTML_NESTING_MAX => {
                self.links.push(attribute(tag, "href").unwrap_or_default());
            }
            "img" => {
                let (alt, src) = (attribute(tag, "alt"), attribute(tag, "src"));
                let src = src.map(|src| format!("[{src}]"));
                let all: Vec<_> = [alt, src].into_iter().flatten().filter(|part| !part.is_empty()).collect();
                self.put(&all.join(" "));
            }
            "blockquote" => {
                self.block(2);
                self.quotes = (self.quotes + 1).min(BOT_HTML_NESTING_MAX);
            }
            _ => self.close_block(name, true),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "h1" => self.heading(false),
            "ul" | "ol" => {
                self.lists.pop();
                self.block(if self.lists.is_empty() { 2 } else { 1 });
            }
            "a" => {
                if let Some(link) = self.links.pop().filter(|link| !link.is_empty()) {
                    self.space = true;
                    self.put(&format!("[{link}]"));
                }
            }
            "blockquote" => {
                self.quotes = self.quotes.saturating_sub(1);
                self.block(2);
            }
            _ => self.close_block(name, false),
        }
    }

    fn close_block(&mut self, name: &str, opens: bool) {
        match name {
            "p" | "h2" | "h3" | "h4" | "h5" | "h6" => self.block(2),
            "pre" => {
                self.block(2);
                self.pre = opens;
            }
            "div" | "section" | "article" | "header" | "footer" | "main" | "nav" | "aside" | "form"
            | "table" | "tr" | "li" | "dl" | "dt" | "dd" | "figure" | "figcaption" => self.block(1),
            _ => {}
        }
    }

    fn heading(&mut self, opens: bool) {
        self.block(2);
        self.upper = opens;
    }

    fn item(&mut self) {
        self.block(1);
        let depth = self.lists.len().saturating_sub(1);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!(" {number}. ")
            }
            _ => " * ".to_owned(),
        };
        self.put(&format!("{}{mark}", "   ".repeat(depth)));
    }

    fn block(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.space = false;
    }

    fn line(&mut self) {
        self.breaks += 1;
        self.space = false;
    }

    /// Text between tags: runs of white space are one space.
    fn words(&mut self, html: &str) {
        let text = decoded(html);
        if self.pre {
            for (number, line) in text.split('\n').enumerate() {
                if number > 0 {
                    self.line();
                }
                self.put(line);
            }
            return;
        }
        // A space that must not break is no white space here, and an ordinary one afterwards.
        for (number, word) in text.split([' ', '\t', '\r', '\n', '\u{c}']).enumerate() {
            self.space |= number > 0;
            if !word.is_empty() {
                self.put(&word.replace('\u{a0}', " "));
            }
        }
    }

    fn put(&mut self, word: &str) {
        if word.is_empty() {
            return;
        }
        let starts = self.out.is_empty();
        if self.breaks > 0 && !starts {
            for _ in 0..self.breaks {
                self.out.push('\n');
                self.out.push_str(&"> ".repeat(self.quotes));
            }
        } else if starts {
            self.out.push_str(&"> ".repeat(self.quotes));
        } else if self.space && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
        (self.breaks, self.space) = (0, false);
        if self.upper { self.out.push_str(&word.to_uppercase()) } else { self.out.push_str(word) }
    }
}

/// Text with its entities decoded.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "bull" => '•',
        "middot" => '·',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "euro" => '€',
        "pound" => '£',
        "sect" => '§',
        "deg" => '°',
        "times" => '×',
        "rarr" => '→',
        "larr" => '←',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_the_bots_before_wrote_it() {
        for (html, text) in [
            ("<p>Hello &amp; <b>bye</b></p><p>two<br>three</p>", "Hello & bye\n\ntwo\nthree"),
            ("<h1>Title</h1>text", "TITLE\n\ntext"),
            ("<ul><li>a</li><li>b</li></ul>after", " * a\n * b\n\nafter"),
            ("<a href=\"https://x.y/z\">link</a> t", "link [https://x.y/z] t"),
            ("<div>a</div><div>b</div>", "a\nb"),
            ("a<script>x < y</script>b", "ab"),
            ("<ol><li>a</li><li>b</li></ol>", " 1. a\n 2. b"),
            ("<blockquote>q<br>r</blockquote>s", "> q\n> r\n\ns"),
            ("<pre>a\n  b</pre>", "a\n  b"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "ab"),
            ("<img src=\"http://a/b.png\" alt=\"alt\">", "alt [http://a/b.png]"),
            ("x<hr>y", "x\n\n----------------------------------------\n\ny"),
            ("  many   spaces\n here ", "many spaces here"),
            ("<p>a</p>\n<p>b</p>", "a\n\nb"),
            ("&#x41;&#66;&nbsp;&hellip;", "AB …"),
            ("<h2>A</h2><p>b</p>", "A\n\nb"),
            ("1 < 2 && é &nope; &", "1 < 2 && é &nope; &"),
            ("a<!-- <b>no</b> -->b", "ab"),
            ("a <b title=\"x > y\">b</b>", "a b"),
        ] {
            assert_eq!(plain(html), text, "{html}");
        }
    }

    #[test]
    fn hostile_html_is_read_in_one_pass() {
        for piece in [
            "<",
            "</",
            "<a href='",
            "<ul>",
            "<blockquote>",
            "&#x",
            "<script>",
            "<!--",
            "</ul>",
            "<h1 é>",
            "<a>é&",
        ] {
            let text = plain(&piece.repeat(20_000));
            assert!(text.len() < 1_000_000, "{piece}: {}", text.len());
        }
    }
}
