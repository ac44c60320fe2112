//! What a reading has open at the moment.
//!
//! Owns the containers and the running text that are not complete yet. Does not know the parser.

use pulldown_cmark::Alignment;

use super::tree::{Block, Inline, ListItem, TableCell, TableRow};

/// What is being read at the moment, outermost first.
pub(super) enum Open {
    Quote(Held),
    Footnote(String, Held),
    List { order: Option<u64>, loose: bool, items: Vec<ListItem> },
    Item(Option<bool>, Held),
    Paragraph(Vec<Inline>),
    Heading(u8, Vec<Inline>),
    Code { params: String, text: String },
    Html(String),
    Table { aligns: Vec<Alignment>, rows: Vec<TableRow> },
    Row { header: bool, cells: Vec<TableCell> },
    Cell(Vec<Inline>),
}

/// Blocks held by a container, and the running text of a tight item that has not become a paragraph yet.
#[derive(Default)]
pub(super) struct Held {
    pub(super) blocks: Vec<Block>,
    pub(super) line: Vec<Inline>,
}

impl Held {
    pub(super) fn settle(&mut self) {
        if !self.line.is_empty() {
            self.blocks.push(Block::Paragraph(std::mem::take(&mut self.line)));
        }
    }
}
