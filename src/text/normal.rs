//! The normal form of a tree: what Markdown can say of it.
//!
//! Owns the small differences between what an editor can hold and what Markdown can: empty paragraphs, blanks
//! at the edges of lines and marks, tightness of lists that have nothing to be tight about. Two trees with
//! one normal form are the same text. Does not know how Markdown is written.

use super::inlines::{normal_inlines, without_breaks};
use super::tree::{Block, Document, Inline, ListItem, TableCell, TableRow};
use crate::config::limits::TEXT_CELL_SPAN_MAX;

/// The normal form of a document.
#[must_use]
pub fn normal(document: &Document) -> Document {
    Document { blocks: normal_blocks(&document.blocks) }
}

/// The normal form of blocks in a container; empty paragraphs vanish.
#[must_use]
pub(super) fn normal_blocks(blocks: &[Block]) -> Vec<Block> {
    blocks.iter().filter_map(normal_block).collect()
}

fn normal_block(block: &Block) -> Option<Block> {
    Some(match block {
        Block::Paragraph(content) => {
            let mut content = normal_inlines(content);
            if let Some(Inline::CivicRef { .. }) = content.first() {
                content = normal_inlines(&without_breaks(&content)); // such a line ends its paragraph
            }
            if content.is_empty() {
                return None;
            }
            Block::Paragraph(content)
        }
        Block::Heading { level, content } => {
            let level = (*level).clamp(1, 6);
            let content =
                if level > 2 { normal_inlines(&without_breaks(content)) } else { normal_inlines(content) };
            Block::Heading { level, content }
        }
        Block::Blockquote(content) => Block::Blockquote(normal_blocks(content)),
        Block::HorizontalRule => Block::HorizontalRule,
        Block::CodeBlock { params, text } => Block::CodeBlock {
            params: params.split_whitespace().collect::<Vec<_>>().join(" "),
            text: text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}"),
        },
        Block::BulletList { tight, items } => {
            let (tight, items) = normal_items(*tight, items)?;
            Block::BulletList { tight, items }
        }
        Block::OrderedList { order, tight, items } => {
            let (tight, items) = normal_items(*tight, items)?;
            Block::OrderedList { order: (*order).clamp(0, 999_999_999), tight, items }
        }
        Block::Table(rows) => Block::Table(normal_rows(rows)?),
        Block::HtmlBlock { value } => {
            let value = value.replace("\r\n", "\n");
            let value = value.trim_end_matches('\n');
            if value.trim().is_empty() {
                return None;
            }
            Block::HtmlBlock { value: value.to_owned() }
        }
        Block::FootnoteDefinition { label, content } => {
            Block::FootnoteDefinition { label: label.clone(), content: normal_blocks(content) }
        }
    })
}

fn normal_items(tight: bool, items: &[ListItem]) -> Option<(bool, Vec<ListItem>)> {
    if items.is_empty() {
        return None;
    }
    let items: Vec<ListItem> = items.iter().map(normal_item).collect();
    let told = items.iter().any(|item| item.content.iter().any(is_told));
    let alone = items.len() == 1 && items.iter().all(|item| said(item) <= 1);
    let apart = items.iter().any(|item| item.content.windows(2).any(|pair| needs_blank(&pair[0], &pair[1])));
    let tight = !apart && (tight || alone || !told);
    Some((tight, items))
}

fn normal_item(item: &ListItem) -> ListItem {
    let mut content = normal_blocks(&item.content);
    if !matches!(content.first(), Some(Block::Paragraph(_))) {
        content.insert(0, Block::Paragraph(Vec::new()));
    }
    // the box stands at the start of a paragraph; there is none to stand in
    let boxless = content.len() > 1 && content[0].is_empty_paragraph();
    ListItem { checked: item.checked.filter(|_| !boxless), content }
}

/// Whether Markdown tells tightness by this block of an item: only paragraphs look different.
fn is_told(block: &Block) -> bool {
    matches!(block, Block::Paragraph(content) if !content.is_empty())
}

/// How many blocks of an item are written.
fn said(item: &ListItem) -> usize {
    item.content.iter().filter(|block| !block.is_empty_paragraph()).count()
}

/// Whether two blocks of one item cannot be told apart without a blank line between them.
#[must_use]
pub(super) fn needs_blank(first: &Block, second: &Block) -> bool {
    if first.is_empty_paragraph() {
        return false; // not written
    }
    match (first, second) {
        (Block::HtmlBlock { .. } | Block::Table(_) | Block::FootnoteDefinition { .. }, _) => true,
        (_, Block::HtmlBlock { .. } | Block::Table(_) | Block::FootnoteDefinition { .. }) => true,
        (Block::Paragraph(_), Block::Heading { content, .. }) => content.iter().any(is_break), // setext
        (Block::Paragraph(_), Block::OrderedList { order, items, .. }) => *order != 1 || starts_empty(items),
        (Block::Paragraph(_), Block::BulletList { items, .. }) => starts_empty(items),
        (Block::HorizontalRule | Block::CodeBlock { .. }, _) => false,
        (Block::Heading { .. }, _) => false,
        (_, Block::Paragraph(_)) => true, // would run on
        (_, Block::Heading { content, .. }) => content.iter().any(is_break),
        (
            Block::BulletList { .. } | Block::OrderedList { .. },
            Block::BulletList { .. } | Block::OrderedList { .. },
        ) => true,
        (Block::Blockquote(_), Block::Blockquote(_)) => true,
        _ => false,
    }
}

fn starts_empty(items: &[ListItem]) -> bool {
    items.first().is_none_or(|item| item.content.iter().all(Block::is_empty_paragraph))
}

fn is_break(inline: &Inline) -> bool {
    matches!(inline, Inline::HardBreak { .. })
}

/// A table as Markdown has it: one header row, cells of one paragraph, one alignment for each column.
fn normal_rows(rows: &[TableRow]) -> Option<Vec<TableRow>> {
    let width = rows.iter().map(columns).max().filter(|width| *width > 0)?;
    let aligns: Vec<_> = rows.first().map(spread).unwrap_or_default();
    let rows = rows.iter().enumerate().map(|(number, row)| {
        let mut found = spread(row);
        found.resize_with(width, || None);
        let cells = found.into_iter().enumerate().map(|(column, cell)| TableCell {
            header: number == 0,
            align: aligns.get(column).copied().flatten().and_then(|cell| cell.align),
            content: vec![Block::Paragraph(cell.map(cell_line).unwrap_or_default())],
            ..TableCell::default()
        });
        TableRow { cells: cells.collect() }
    });
    Some(rows.collect())
}

fn columns(row: &TableRow) -> usize {
    row.cells.iter().map(|cell| cell.colspan.clamp(1, TEXT_CELL_SPAN_MAX) as usize).sum()
}

fn spread(row: &TableRow) -> Vec<Option<&TableCell>> {
    let mut spread = Vec::new();
    for cell in &row.cells {
        spread.push(Some(cell));
        spread.resize(spread.len() + cell.colspan.clamp(1, TEXT_CELL_SPAN_MAX) as usize - 1, None);
    }
    spread
}

/// All that a cell says, on one line.
fn cell_line(cell: &TableCell) -> Vec<Inline> {
    let mut line = Vec::new();
    gather(&cell.content, &mut line);
    let line = line.into_iter().map(|inline| match inline {
        Inline::HardBreak { soft: true } => Inline::plain(" "),
        Inline::HtmlInline { value } if is_line_end(&value) => Inline::HardBreak { soft: false },
        Inline::HtmlInline { value } => Inline::HtmlInline { value: value.replace('\n', " ") },
        other => other,
    });
    normal_inlines(&line.collect::<Vec<_>>())
}

/// Raw HTML that a table's cell has for a line end.
#[must_use]
pub(super) fn is_line_end(html: &str) -> bool {
    matches!(html, "<br>" | "<br/>" | "<br />")
}

fn gather(blocks: &[Block], line: &mut Vec<Inline>) {
    for block in blocks {
        let mut add = |content: &[Inline]| {
            if !line.is_empty() && !content.is_empty() {
                line.push(Inline::HardBreak { soft: false });
            }
            line.extend_from_slice(content);
        };
        match block {
            Block::Paragraph(content) | Block::Heading { content, .. } => add(content),
            Block::CodeBlock { text, .. } => {
                for text in text.lines() {
                    add(&[Inline::plain(text)]);
                }
            }
            Block::HtmlBlock { value } => add(&[Inline::plain(value.replace('\n', " "))]),
            Block::Blockquote(content) | Block::FootnoteDefinition { content, .. } => gather(content, line),
            Block::BulletList { items, .. } | Block::OrderedList { items, .. } => {
                for item in items {
                    gather(&item.content, line);
                }
            }
            Block::Table(rows) => {
                for cell in rows.iter().flat_map(|row| &row.cells) {
                    gather(&cell.content, line);
                }
            }
            Block::HorizontalRule => {}
        }
    }
}
