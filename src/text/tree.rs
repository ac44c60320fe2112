//! The document tree: the blocks, inlines and marks of a record's text, named exactly as in the record
//! schema.
//!
//! Owns the shape of a text and its normal form. Does not know Markdown, Yjs, or where a tree came from.

use serde::{Deserialize, Serialize};

/// A record's text: blocks in order. Front matter is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Document {
    /// The top-level blocks.
    pub blocks: Vec<Block>,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Running text.
    Paragraph(Vec<Inline>),
    /// A heading.
    Heading {
        /// 1 to 6.
        level: u8,
        /// Its text.
        content: Vec<Inline>,
    },
    /// A quotation.
    Blockquote(Vec<Block>),
    /// A line across the page.
    HorizontalRule,
    /// Text kept as it is typed.
    CodeBlock {
        /// The whole info string of the fence.
        params: String,
        /// The text, without its last line ending.
        text: String,
    },
    /// A list with bullets.
    BulletList {
        /// Without blank lines between its items.
        tight: bool,
        /// Its items.
        items: Vec<ListItem>,
    },
    /// A list with numbers.
    OrderedList {
        /// The first number.
        order: i64,
        /// Without blank lines between its items.
        tight: bool,
        /// Its items.
        items: Vec<ListItem>,
    },
    /// A table, row by row.
    Table(Vec<TableRow>),
    /// Raw HTML, shown as text and never run.
    HtmlBlock {
        /// Its source.
        value: String,
    },
    /// What a footnote says.
    FootnoteDefinition {
        /// The name its references use.
        label: String,
        /// What it says.
        content: Vec<Block>,
    },
}

/// One item of a list. Its first block is a paragraph, empty when the source starts with something else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ListItem {
    /// Whether the task is done; `None`: no task.
    pub checked: Option<bool>,
    /// Its blocks.
    pub content: Vec<Block>,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TableRow {
    /// Its cells.
    pub cells: Vec<TableCell>,
}

/// One cell of a table: `table_header` or `table_cell`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableCell {
    /// A header cell.
    pub header: bool,
    /// Columns it spans.
    pub colspan: u32,
    /// Rows it spans.
    pub rowspan: u32,
    /// Widths of its columns in the editor, in pixels.
    pub colwidth: Option<Vec<u32>>,
    /// Its alignment.
    pub align: Option<Align>,
    /// Its blocks.
    pub content: Vec<Block>,
}

impl Default for TableCell {
    fn default() -> Self {
        Self { header: false, colspan: 1, rowspan: 1, colwidth: None, align: None, content: Vec::new() }
    }
}

/// How a table's column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// To the left.
    Left,
    /// To the middle.
    Center,
    /// To the right.
    Right,
}

impl Align {
    /// The attribute's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Center => "center",
            Self::Right => "right",
        }
    }
}

/// A piece of running text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// Letters with their marks.
    Text {
        /// The letters.
        text: String,
        /// The marks on them.
        marks: Marks,
    },
    /// A picture.
    Image {
        /// Where it lies.
        src: String,
        /// What it shows.
        alt: Option<String>,
        /// Its title.
        title: Option<String>,
        /// The link of a linked picture.
        href: Option<String>,
    },
    /// The end of a line.
    HardBreak {
        /// A line ending of the source that shows as a space.
        soft: bool,
    },
    /// A reference to a record, a place or an attachment.
    #[serde(rename = "civicRef")]
    CivicRef {
        /// What kind of thing it refers to.
        #[serde(rename = "refType")]
        ref_type: String,
        /// The thing's id.
        id: String,
        /// What is shown.
        label: String,
    },
    /// Raw HTML, shown as text and never run.
    HtmlInline {
        /// Its source.
        value: String,
    },
    /// A reference to a footnote.
    FootnoteReference {
        /// The name of the footnote.
        label: String,
    },
}

/// The marks of one run of text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Marks {
    /// A link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// Emphasis.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub em: bool,
    /// Strong emphasis.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strong: bool,
    /// Code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub code: bool,
    /// Struck out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strike: bool,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The address.
    pub href: String,
    /// The title; stored also when it is null.
    pub title: Option<String>,
}

impl Inline {
    /// A run of text without marks.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), marks: Marks::default() }
    }
}

impl Block {
    /// Whether this is a paragraph with nothing in it.
    #[must_use]
    pub fn is_empty_paragraph(&self) -> bool {
        matches!(self, Self::Paragraph(content) if content.is_empty())
    }
}

/// Adds a run of text; joins it to the one before when both carry the same marks.
pub fn push_text(content: &mut Vec<Inline>, text: &str, marks: &Marks) {
    if text.is_empty() {
        return;
    }
    if let Some(Inline::Text { text: before, marks: same }) = content.last_mut()
        && same == marks
    {
        before.push_str(text);
        return;
    }
    content.push(Inline::Text { text: text.to_owned(), marks: marks.clone() });
}

/// The letters of inlines without their marks; breaks show as spaces.
#[must_use]
pub fn plain_text(content: &[Inline]) -> String {
    let mut all = String::new();
    for inline in content {
        match inline {
            Inline::Text { text, .. } => all.push_str(text),
            Inline::HardBreak { .. } => all.push(' '),
            Inline::CivicRef { label, .. } => all.push_str(label),
            Inline::Image { alt, .. } => all.push_str(alt.as_deref().unwrap_or_default()),
            Inline::HtmlInline { .. } | Inline::FootnoteReference { .. } => {}
        }
    }
    all
}

impl Document {
    /// The letters of the first heading, if there is one at the top level.
    #[must_use]
    pub fn first_heading(&self) -> Option<String> {
        self.blocks.iter().find_map(|block| match block {
            Block::Heading { content, .. } => {
                let text = plain_text(content);
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                (!text.is_empty()).then_some(text)
            }
            _ => None,
        })
    }
}
