//! Running text as Markdown.
//!
//! Owns how marks become delimiters: the longest run outermost, links outside emphasis where runs are equally
//! long, and delimiters that read back as what they stand for. Does not know blocks.

use super::civic_ref;
use super::escape::{self, Around};
use super::inlines::{MARKS, Mark, Piece, normal_inlines, pieces};
use super::read::read;
use super::tree::{Block, Inline, Marks};

/// Where running text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Lines that must not start another block.
    Lines,
    /// The one line of a heading.
    Heading,
    /// A table's cell.
    Cell,
}

#[derive(Debug, Clone, Copy)]
struct Style {
    em: char,
    strong: char,
}

/// Tried in this order; the first one that reads back as it was meant is taken.
const STYLES: [Style; 4] = [
    Style { em: '*', strong: '*' },
    Style { em: '_', strong: '*' },
    Style { em: '*', strong: '_' },
    Style { em: '_', strong: '_' },
];

/// Writes running text in its normal form; the lines are separated by `\n`.
pub(super) fn spell(content: &[Inline], place: Place) -> String {
    let first = spell_as(content, place, STYLES[0]);
    if is_simple(content) || reads_back(&first, content, place) {
        return first;
    }
    let other = STYLES.iter().skip(1).map(|style| spell_as(content, place, *style));
    other.into_iter().find(|text| reads_back(text, content, place)).unwrap_or(first)
}

/// Whether delimiters cannot go wrong: marks stand alone, on whole words between blanks. Most text is like that, and
/// need not be read back.
fn is_simple(content: &[Inline]) -> bool {
    let text = |at: Option<usize>| match at.and_then(|at| content.get(at)) {
        None => Some(" "),
        Some(Inline::Text { text, marks }) if marks == &Marks::default() => Some(text.as_str()),
        Some(_) => None,
    };
    content.iter().enumerate().all(|(at, inline)| match inline {
        Inline::Text { text: inner, marks } => {
            let marks_on = [marks.em, marks.strong, marks.strike, marks.code, marks.link.is_some()];
            let alone = || {
                let before = at.checked_sub(1).map_or(Some(" "), |before| text(Some(before)));
                before.is_some_and(|before| before.ends_with([' ', '(']))
                    && text(Some(at + 1))
                        .is_some_and(|after| after.starts_with([' ', '.', ',', ';', ':', ')']))
                    && inner.starts_with(char::is_alphanumeric)
                    && inner.ends_with(char::is_alphanumeric)
            };
            match marks_on.into_iter().filter(|on| *on).count() {
                0 => true,
                1 => marks.link.is_none() && alone(),
                _ => false,
            }
        }
        Inline::HardBreak { .. } => true,
        _ => false,
    })
}

fn reads_back(text: &str, content: &[Inline], place: Place) -> bool {
    let mut source = match place {
        Place::Lines => text.to_owned(),
        Place::Heading => format!("# {text}"),
        Place::Cell => format!("| {text} |\n| --- |"),
    };
    for inline in content {
        if let Inline::FootnoteReference { label } = inline {
            source.push_str(&format!("\n\n[^{label}]: x")); // without its definition it would be no reference
        }
    }
    let blocks = read(&source).document.blocks;
    let found = match blocks.first() {
        Some(Block::Paragraph(found) | Block::Heading { content: found, .. }) => Some(found),
        Some(Block::Table(rows)) => match rows.first().and_then(|row| row.cells.first()?.content.first()) {
            Some(Block::Paragraph(found)) => Some(found),
            _ => None,
        },
        _ => None,
    };
    found.is_some_and(|found| normal_inlines(found) == content)
}

fn spell_as(content: &[Inline], place: Place, style: Style) -> String {
    let mut speller = Speller { out: String::new(), place, style, fence_next: false, blank_next: false };
    speller.run(&pieces(content), false);
    match place {
        Place::Lines => {
            let lines: Vec<String> = speller.out.split('\n').map(escape::line_start).collect();
            lines.join("\n")
        }
        Place::Heading => speller.out,
        Place::Cell => speller.out.replace('|', "\\|"),
    }
}

struct Speller {
    out: String,
    place: Place,
    style: Style,
    /// The next letter stands beside a delimiter that only closes before punctuation or a blank.
    fence_next: bool,
    /// The next letter stands behind a delimiter that does not open before a blank.
    blank_next: bool,
}

impl Speller {
    fn run(&mut self, pieces: &[Piece], bracketed: bool) {
        let mut at = 0;
        while at < pieces.len() {
            let mut best: Option<(Mark, usize)> = None;
            for mark in MARKS.into_iter().filter(|mark| mark.is_on(&pieces[at].marks)) {
                let length = pieces[at..]
                    .iter()
                    .take_while(|piece| mark.joins(&pieces[at].marks, &piece.marks))
                    .count();
                if best.is_none_or(|(_, longest)| length > longest) {
                    best = Some((mark, length));
                }
            }
            let Some((mark, length)) = best else {
                let more = at + 1 < pieces.len();
                self.piece(&pieces[at], pieces.get(at + 1), bracketed, more);
                at += 1;
                continue;
            };
            let mut inner = pieces[at..at + length].to_vec();
            inner.iter_mut().for_each(|piece| mark.take_off(&mut piece.marks));
            self.marked(mark, &pieces[at].marks, &inner, bracketed);
            at += length;
        }
    }

    fn marked(&mut self, mark: Mark, marks: &Marks, inner: &[Piece], bracketed: bool) {
        let delimiter = match mark {
            Mark::Link => return self.link(marks, inner),
            Mark::Strong => self.style.strong.to_string().repeat(2),
            Mark::Em => self.style.em.to_string(),
            Mark::Strike => "~~".to_owned(),
        };
        self.open(&delimiter, inner);
        self.run(inner, bracketed);
        self.close(&delimiter);
    }

    fn open(&mut self, delimiter: &str, inner: &[Piece]) {
        let first = match inner.first().map(|piece| (&piece.inline, &piece.marks)) {
            Some((Inline::Text { text, marks }, lent)) if !marks.code && lent == &Marks::default() => {
                text.chars().next()
            }
            _ => None, // another delimiter or an atom: punctuation
        };
        let word_first = first.is_some_and(char::is_alphanumeric);
        if (!word_first || delimiter.starts_with('_'))
            && let Some(outer) = self.out.chars().next_back()
            && !outer.is_whitespace()
            && !escape::is_punctuation(outer)
        {
            self.out.pop();
            self.out.push_str(&escape::entity(outer));
        }
        self.out.push_str(delimiter);
        self.fence_next = false;
        self.blank_next = true;
    }

    fn close(&mut self, delimiter: &str) {
        let last = self.out.chars().next_back();
        if let Some(blank) = last.filter(|last| last.is_whitespace()) {
            self.out.pop();
            self.out.push_str(&escape::entity(blank));
        }
        self.out.push_str(delimiter);
        self.fence_next = delimiter.starts_with('_') || !last.is_some_and(char::is_alphanumeric);
        self.blank_next = false;
    }

    fn link(&mut self, marks: &Marks, inner: &[Piece]) {
        let Some(link) = &marks.link else { return };
        if let [Piece { inline: Inline::Text { text, marks: own }, marks: lent }] = inner
            && lent == &Marks::default()
            && !own.code
            && link.title.is_none()
            && self.place != Place::Cell
            && is_autolink(&link.href, text)
        {
            self.put(&format!("<{text}>"));
            return;
        }
        self.put("[");
        self.run(inner, true);
        let rest = format!("]({}{})", escape::destination(&link.href), escape::title(link.title.as_deref()));
        self.put(&rest);
    }

    fn piece(&mut self, piece: &Piece, next: Option<&Piece>, bracketed: bool, more: bool) {
        match &piece.inline {
            Inline::Text { text, marks } if marks.code => self.put(&escape::code(text)),
            Inline::Text { text, .. } => {
                let bracket_follows = next.is_some_and(|next| {
                    next.marks.link.is_some()
                        || matches!(next.inline, Inline::Image { .. } | Inline::FootnoteReference { .. })
                });
                self.text(text, Around { before: None, bracketed, bracket_follows, more });
            }
            Inline::Image { src, alt, title, .. } => {
                let around = Around { bracketed: true, more: true, ..Around::default() };
                let alt =
                    escape::text(&alt.as_deref().unwrap_or_default().replace(['\n', '\r'], " "), around);
                let title = escape::title(title.as_deref());
                let image = format!("![{alt}]({}{title})", escape::destination(src));
                self.put(&image);
            }
            Inline::HardBreak { soft } => {
                let line_end = match (self.place, soft) {
                    (Place::Cell, false) => "<br>",
                    (Place::Cell, true) => " ",
                    (_, true) => "\n",
                    (_, false) => "\\\n",
                };
                self.put(line_end);
            }
            Inline::CivicRef { .. } if self.place == Place::Cell => {
                self.put(&civic_ref::write(&piece.inline).replace('|', "&#124;"));
            }
            Inline::CivicRef { .. } => self.put(&civic_ref::write(&piece.inline)),
            Inline::HtmlInline { value } => self.put(value),
            Inline::FootnoteReference { label } => self.put(&format!("[^{label}]")),
        }
    }

    fn text(&mut self, text: &str, around: Around) {
        let before = self.out.chars().next_back();
        let mut rest = text;
        if let Some(first) = text.chars().next() {
            let open_blank = self.blank_next && first.is_whitespace();
            let shut = self.fence_next && !first.is_whitespace() && !escape::is_punctuation(first);
            // a colon behind a footnote's name would make it a definition
            let colon = first == ':' && before == Some(']');
            if open_blank || shut || colon {
                self.out.push_str(&escape::entity(first));
                rest = &text[first.len_utf8()..];
            }
        }
        self.put(&escape::text(rest, Around { before: self.out.chars().next_back(), ..around }));
    }

    fn put(&mut self, text: &str) {
        if !text.is_empty() {
            self.out.push_str(text);
            self.fence_next = false;
            self.blank_next = false;
        }
    }
}

/// Whether a link can stand between angle brackets: its text is its address.
fn is_autolink(href: &str, text: &str) -> bool {
    let clean =
        !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '\\' | '|'));
    if !clean || !text.is_ascii() {
        return false;
    }
    if let Some(address) = href.strip_prefix("mailto:") {
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
        };
        let edges =
            |part: &str| part.starts_with(char::is_alphanumeric) && part.ends_with(char::is_alphanumeric);
        let parts = address.split_once('@');
        return address == text
            && parts.is_some_and(|(name, host)| {
                plain(name) && plain(host) && !host.contains(['_', '+']) && host.split('.').all(edges)
            });
    }
    let Some((scheme, _)) = href.split_once(':') else { return false };
    href == text
        && (2..=32).contains(&scheme.len())
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
}
