//! Running text before it is written: which marks lie on which piece, and its normal form.
//!
//! Owns the rules for marks over breaks and pictures, and for blanks at the edges of lines and marks. Does
//! not know Markdown's letters.

use super::tree::{Inline, Link, Marks, push_text};

/// One inline and the marks that lie on it, those lent by its neighbours included.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) inline: Inline,
    pub(super) marks: Marks,
}

/// A mark, for walking over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Link,
    Strong,
    Em,
    Strike,
}

/// Outermost first where runs are equally long.
pub(super) const MARKS: [Mark; 4] = [Mark::Link, Mark::Strong, Mark::Em, Mark::Strike];
const EMPHASES: [Mark; 3] = [Mark::Strong, Mark::Em, Mark::Strike];

impl Mark {
    /// Whether both pieces carry this mark, as one and the same.
    pub(super) fn joins(self, first: &Marks, second: &Marks) -> bool {
        match self {
            Self::Link => first.link.is_some() && first.link == second.link,
            Self::Strong => first.strong && second.strong,
            Self::Em => first.em && second.em,
            Self::Strike => first.strike && second.strike,
        }
    }

    pub(super) fn is_on(self, marks: &Marks) -> bool {
        self.joins(marks, marks)
    }

    pub(super) fn take_off(self, marks: &mut Marks) {
        match self {
            Self::Link => marks.link = None,
            Self::Strong => marks.strong = false,
            Self::Em => marks.em = false,
            Self::Strike => marks.strike = false,
        }
    }
}

/// Lends atoms the marks that the text on both their sides carries. A link is not lent to a hard line end,
/// and a picture has its own.
pub(super) fn pieces(content: &[Inline]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = content
        .iter()
        .map(|inline| Piece {
            inline: inline.clone(),
            marks: match inline {
                Inline::Text { marks, .. } => marks.clone(),
                _ => Marks::default(),
            },
        })
        .collect();
    let mut before: Option<Marks> = None;
    let mut from = 0;
    for at in 0..pieces.len() {
        let Inline::Text { marks, .. } = &pieces[at].inline else { continue };
        let after = marks.clone();
        if let Some(before) = &before {
            let atoms = &mut pieces[from..at];
            let parted = atoms.iter().any(|piece| matches!(piece.inline, Inline::HardBreak { soft: false }));
            let shared = Marks {
                link: before.link.clone().filter(|link| !parted && after.link.as_ref() == Some(link)),
                em: before.em && after.em,
                strong: before.strong && after.strong,
                code: false,
                strike: before.strike && after.strike,
            };
            atoms.iter_mut().for_each(|piece| piece.marks = shared.clone());
        }
        before = Some(after);
        from = at + 1;
    }
    link_images(&mut pieces);
    pieces
}

/// A linked picture belongs to the link beside it when both lead to the same place, and is a link of its own
/// otherwise.
fn link_images(pieces: &mut [Piece]) {
    for at in 0..pieces.len() {
        let Inline::Image { href, .. } = &pieces[at].inline else { continue };
        let Some(href) = href.clone() else {
            pieces[at].marks.link = None;
            continue;
        };
        let beside = [at.checked_sub(1), at.checked_add(1)];
        let same = beside
            .into_iter()
            .flatten()
            .filter_map(|near| pieces.get(near)?.marks.link.clone())
            .find(|link| link.href == href);
        pieces[at].marks.link = Some(same.unwrap_or(Link { href, title: None }));
    }
}

/// Breaks become blanks.
pub(super) fn without_breaks(content: &[Inline]) -> Vec<Inline> {
    let blank = |inline: &Inline| match inline {
        Inline::HardBreak { .. } => Inline::plain(" "),
        other => other.clone(),
    };
    content.iter().map(blank).collect()
}

/// The normal form of running text.
pub(super) fn normal_inlines(content: &[Inline]) -> Vec<Inline> {
    let content = tidy_edges(&clean(content));
    merge(&trim_lines(content))
}

/// Line endings inside text become breaks; what says nothing is left out.
fn clean(content: &[Inline]) -> Vec<Inline> {
    let mut clean = Vec::with_capacity(content.len());
    for inline in content {
        match inline {
            Inline::Text { text, marks } => {
                let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}");
                if marks.code {
                    push_text(&mut clean, &text.replace('\n', " "), marks);
                    continue;
                }
                for (number, line) in text.split('\n').enumerate() {
                    if number > 0 {
                        clean.push(Inline::HardBreak { soft: true });
                    }
                    push_text(&mut clean, line, marks);
                }
            }
            Inline::HtmlInline { value } if value.is_empty() => {}
            Inline::CivicRef { id, label, .. } if id.is_empty() => {
                push_text(&mut clean, label, &Marks::default())
            }
            Inline::Image { src, alt, title, href } => clean.push(Inline::Image {
                src: src.clone(),
                alt: alt.clone().filter(|alt| !alt.is_empty()),
                title: title.clone().filter(|title| !title.is_empty()),
                href: href.clone(),
            }),
            other => clean.push(other.clone()),
        }
    }
    clean
}

/// Takes blanks at the edges of an emphasis out of it: `**so **` is no emphasis in Markdown.
fn tidy_edges(content: &[Inline]) -> Vec<Inline> {
    let mut pieces = pieces(content);
    for mark in EMPHASES {
        for forward in [true, false] {
            let mut inside = false;
            let mut tidy = Vec::with_capacity(pieces.len());
            let order: Vec<Piece> = if forward { pieces } else { pieces.into_iter().rev().collect() };
            for piece in order {
                let on = mark.is_on(&piece.marks);
                let Inline::Text { text, marks } = &piece.inline else {
                    inside = inside && on;
                    tidy.push(piece);
                    continue;
                };
                if !on || inside || marks.code {
                    inside = on;
                    tidy.push(piece);
                    continue;
                }
                let rest = if forward { text.trim_start() } else { text.trim_end() };
                let blank = text.len() - rest.len();
                let blank =
                    if forward { text[..blank].to_owned() } else { text[text.len() - blank..].to_owned() };
                let rest = rest.to_owned();
                inside = !rest.is_empty();
                let marks = marks.clone();
                let mut bare = marks.clone();
                mark.take_off(&mut bare);
                push_piece(&mut tidy, blank, bare);
                push_piece(&mut tidy, rest, marks);
            }
            pieces = if forward { tidy } else { tidy.into_iter().rev().collect() };
        }
    }
    pieces.into_iter().map(|piece| piece.inline).collect()
}

fn push_piece(pieces: &mut Vec<Piece>, text: String, marks: Marks) {
    if !text.is_empty() {
        pieces.push(Piece { inline: Inline::Text { text, marks: marks.clone() }, marks });
    }
}

/// No blanks at the edges of lines, no line ends at the edges of the text or doubled.
fn trim_lines(content: Vec<Inline>) -> Vec<Inline> {
    let mut lines = Vec::with_capacity(content.len());
    let mut at_start = true;
    for inline in content {
        match inline {
            Inline::Text { text, marks } if at_start && !marks.code => {
                let text = text.trim_start_matches([' ', '\t']).to_owned();
                at_start = text.is_empty();
                if !text.is_empty() {
                    lines.push(Inline::Text { text, marks });
                }
            }
            Inline::HardBreak { soft } => {
                trim_end(&mut lines);
                match lines.last_mut() {
                    None => {}
                    Some(Inline::HardBreak { soft: before }) if *before => *before = soft,
                    Some(Inline::HardBreak { .. }) if soft => {}
                    Some(_) => lines.push(Inline::HardBreak { soft }),
                }
                at_start = true;
            }
            other => {
                at_start = false;
                lines.push(other);
            }
        }
    }
    trim_end(&mut lines);
    while matches!(lines.last(), Some(Inline::HardBreak { .. })) {
        lines.pop();
        trim_end(&mut lines);
    }
    lines
}

fn trim_end(lines: &mut Vec<Inline>) {
    while let Some(Inline::Text { text, marks }) = lines.last_mut() {
        if marks.code {
            return;
        }
        text.truncate(text.trim_end_matches([' ', '\t']).len());
        if !text.is_empty() {
            return;
        }
        lines.pop();
    }
}

fn merge(content: &[Inline]) -> Vec<Inline> {
    let mut merged = Vec::with_capacity(content.len());
    for inline in content {
        match inline {
            Inline::Text { text, marks } => push_text(&mut merged, text, marks),
            other => merged.push(other.clone()),
        }
    }
    merged
}
