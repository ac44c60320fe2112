//! A document tree as Markdown.
//!
//! Owns how blocks are laid out: headings with `#`, bullets `-`, numbers that count, fences of backticks, one
//! blank line between blocks. Does not know the source a tree was read from.

use super::escape;
use super::normal::{needs_blank, normal};
use super::spell::{Place, spell};
use super::tree::{Align, Block, Document, Inline, ListItem, TableCell, TableRow};

/// Writes a document as Markdown with `\n` at the end of each line.
#[must_use]
pub fn write(document: &Document) -> String {
    write_blocks(&normal(document).blocks)
}

/// The small habits of an author, where Markdown leaves a choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    bullet: char,
    dot: char,
    /// How far the later lines of an item are indented, when it is not by the width of its marker.
    indent: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self { bullet: '-', dot: '.', indent: 0 }
    }
}

impl Manner {
    /// The manner of a list, from its source.
    pub(super) fn of(source: &str) -> Self {
        let mut manner = Self::default();
        let first = source.trim_start();
        match first.chars().next() {
            Some(bullet @ ('*' | '+')) => manner.bullet = bullet,
            Some('0'..='9') => {
                let dot = first.trim_start_matches(|c: char| c.is_ascii_digit()).chars().next();
                manner.dot = if dot == Some(')') { ')' } else { '.' };
            }
            _ => {}
        }
        let indents = source.lines().skip(1).map(|line| line.len() - line.trim_start_matches(' ').len());
        manner.indent = indents.filter(|indent| (2..=6).contains(indent)).min().unwrap_or(0);
        manner
    }
}

/// Writes blocks that are in normal form.
#[must_use]
pub(super) fn write_blocks(blocks: &[Block]) -> String {
    write_in(blocks, Manner::default())
}

/// Writes blocks that are in normal form in somebody's manner.
#[must_use]
pub(super) fn write_in(blocks: &[Block], manner: Manner) -> String {
    let mut text = String::new();
    for line in lines_of(blocks, Layout::of(manner)) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// How blocks of one container are laid out.
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    /// Without blank lines where none are needed.
    tight: bool,
    /// Directly inside a list item.
    in_item: bool,
    manner: Manner,
}

impl Layout {
    fn of(manner: Manner) -> Self {
        Self { manner, ..Self::default() }
    }
}

fn lines_of(blocks: &[Block], layout: Layout) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before: Option<&Block> = None;
    let mut other_marker = false;
    for block in blocks.iter().filter(|block| !block.is_empty_paragraph()) {
        let same_list = matches!(
            (before, block),
            (Some(Block::BulletList { .. }), Block::BulletList { .. })
                | (Some(Block::OrderedList { .. }), Block::OrderedList { .. })
        );
        other_marker = same_list && !other_marker;
        if let Some(before) = before
            && (!layout.tight || needs_blank(before, block))
        {
            lines.push(String::new());
        }
        lines.extend(block_lines(block, layout, other_marker));
        before = Some(block);
    }
    lines
}

fn block_lines(block: &Block, layout: Layout, other_marker: bool) -> Vec<String> {
    match block {
        Block::Paragraph(content) => split(&spell(content, Place::Lines)),
        Block::Heading { level, content } => heading_lines(*level, content),
        Block::Blockquote(content) => {
            let mut lines = lines_of(content, Layout::of(layout.manner));
            if lines.is_empty() {
                lines.push(String::new());
            }
            lines.into_iter().map(|line| prefixed("> ", &line)).collect()
        }
        // `* ***` would be a rule, not an item
        Block::HorizontalRule if layout.in_item => vec!["___".to_owned()],
        // `---` at the start of a file opens front matter, in other programs whatever follows
        Block::HorizontalRule => vec!["***".to_owned()],
        Block::CodeBlock { params, text } => code_lines(params, text),
        Block::BulletList { tight, items } => {
            let other = if layout.manner.bullet == '*' { '-' } else { '*' };
            let marker = if other_marker { other } else { layout.manner.bullet };
            item_lines(items, *tight, layout.manner, |_| marker.to_string())
        }
        Block::OrderedList { order, tight, items } => {
            let other = if layout.manner.dot == '.' { ')' } else { '.' };
            let dot = if other_marker { other } else { layout.manner.dot };
            item_lines(items, *tight, layout.manner, |number| {
                format!("{}{dot}", (order + number).min(999_999_999))
            })
        }
        Block::Table(rows) => table_lines(rows),
        Block::HtmlBlock { value } => split(value),
        Block::FootnoteDefinition { label, content } => {
            hanging(&format!("[^{label}]:"), "    ", lines_of(content, Layout::of(layout.manner)))
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split('\n').map(str::to_owned).collect()
}

fn prefixed(prefix: &str, line: &str) -> String {
    if line.is_empty() { prefix.trim_end().to_owned() } else { format!("{prefix}{line}") }
}

/// Lines behind a marker: the first beside it, the others indented.
fn hanging(marker: &str, indent: &str, lines: Vec<String>) -> Vec<String> {
    let mut hung = Vec::with_capacity(lines.len().max(1));
    for (number, line) in lines.into_iter().enumerate() {
        hung.push(if number == 0 { format!("{marker} {line}") } else { prefixed(indent, &line) });
    }
    if hung.is_empty() {
        hung.push(marker.to_owned());
    }
    hung
}

fn heading_lines(level: u8, content: &[Inline]) -> Vec<String> {
    let broken = content.iter().any(|inline| matches!(inline, Inline::HardBreak { .. }));
    if broken && level <= 2 {
        let mut lines = split(&spell(content, Place::Lines));
        lines.push(if level == 1 { "===" } else { "---" }.to_owned());
        return lines;
    }
    let marker = "#".repeat(usize::from(level));
    let mut text = spell(content, Place::Heading).replace('\n', " ");
    if text.is_empty() {
        return vec![marker];
    }
    if text.ends_with('#') {
        let stem = text.trim_end_matches('#').len();
        if stem == 0 || text[..stem].ends_with([' ', '\t']) {
            text.insert(stem, '\\'); // not the closing sequence of the heading
        }
    }
    vec![format!("{marker} {text}")]
}

fn code_lines(params: &str, text: &str) -> Vec<String> {
    let letter = if params.contains('`') { '~' } else { '`' };
    let fence = letter.to_string().repeat((escape::longest_run(text, letter) + 1).max(3));
    let info = escape::info(params);
    let mut lines = vec![format!("{fence}{info}")];
    if !text.is_empty() {
        lines.extend(split(text));
    }
    lines.push(fence);
    lines
}

fn item_lines(
    items: &[ListItem],
    tight: bool,
    manner: Manner,
    marker: impl Fn(i64) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, item) in items.iter().enumerate() {
        if number > 0 && !tight {
            lines.push(String::new());
        }
        let marker = marker(i64::try_from(number).unwrap_or(i64::MAX / 2));
        let indent = " ".repeat(manner.indent.max(marker.len() + 1));
        let mut content = lines_of(&item.content, Layout { tight, in_item: true, manner });
        if let Some(done) = item.checked {
            let task = if done { "[x] " } else { "[ ] " };
            match content.first_mut() {
                Some(first) => first.insert_str(0, task),
                None => content.push(task.to_owned()),
            }
        }
        lines.extend(hanging(&marker, &indent, content));
    }
    lines
}

fn table_lines(rows: &[TableRow]) -> Vec<String> {
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.cells.iter().map(cell_text).collect();
        lines.push(row_line(&cells));
        if number == 0 {
            let rulers: Vec<String> = row.cells.iter().map(|cell| ruler(cell.align).to_owned()).collect();
            lines.push(row_line(&rulers));
        }
    }
    lines
}

fn row_line(cells: &[String]) -> String {
    let mut line = String::from("|");
    for cell in cells {
        line.push(' ');
        line.push_str(cell);
        line.push_str(if cell.is_empty() { "|" } else { " |" });
    }
    line
}

fn ruler(align: Option<Align>) -> &'static str {
    match align {
        None => "---",
        Some(Align::Left) => ":--",
        Some(Align::Center) => ":-:",
        Some(Align::Right) => "--:",
    }
}

fn cell_text(cell: &TableCell) -> String {
    match cell.content.first() {
        Some(Block::Paragraph(content)) => spell(content, Place::Cell).replace('\n', " "),
        _ => String::new(),
    }
}
