//! A live Yjs document as a tree.
//!
//! Owns reading what editors store (y-prosemirror's form of the record schema): typed attributes, marks with
//! or without a suffix, empty blocks without child. What the schema does not know is kept as its text. Runs
//! only in the scribe's process.

use std::collections::BTreeMap;

use bytes::Bytes;
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, OffsetKind, Options, Out, ReadTxn, Text, Transact, Transaction, Update, Xml};
use yrs::{XmlElementRef, XmlFragment, XmlOut, XmlTextRef};

use super::halves::Halves;
use super::seed::ROOT;
use crate::config::limits::{SCRIBE_WALK_MAX, TEXT_NESTING_MAX};
use crate::text::tree::{
    Align, Block, Document, Inline, Link, ListItem, Marks, TableCell, TableRow, push_text,
};
use crate::wire::gate;
use crate::wire::varint::write_uint;

/// Reads a document from its parts, oldest first: the tree, and the state vector as this engine sees it.
pub(super) fn read(parts: &[&[u8]]) -> Result<(Document, Vec<u8>), String> {
    let halves = Halves::of(parts).map_err(|fault| fault.to_string())?;
    let doc = Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
    let root = doc.get_or_insert_xml_fragment(ROOT);
    {
        let mut writing = doc.transact_mut();
        for part in parts {
            // What JavaScript writes and this engine does not read is replaced in place, so that one odd attribute
            // does not keep a record's draft failed for ever.
            let plain = gate::plain(&Bytes::copy_from_slice(part)).map_err(|fault| fault.to_string())?;
            let apart =
                halves.map(|halves| halves.apart(&plain)).transpose().map_err(|fault| fault.to_string())?;
            let update =
                Update::decode_v1(apart.as_deref().unwrap_or(&plain)).map_err(|fault| fault.to_string())?;
            writing.apply_update(update).map_err(|fault| fault.to_string())?;
        }
    }
    let reading = doc.transact();
    let walk = Walk { reading: &reading, halves };
    let blocks = walk.blocks(walk.children(&root), 0)?;
    Ok((Document { blocks }, vector(&reading)))
}

/// The state vector in Yjs' form, clients in order.
fn vector(reading: &Transaction<'_>) -> Vec<u8> {
    let vector = reading.state_vector();
    let clocks: BTreeMap<u64, u32> = vector.iter().map(|(client, clock)| (client.get(), *clock)).collect();
    let mut bytes = Vec::new();
    write_uint(&mut bytes, clocks.len() as u64);
    for (client, clock) in clocks {
        write_uint(&mut bytes, client);
        write_uint(&mut bytes, u64::from(clock));
    }
    bytes
}

struct Walk<'a> {
    reading: &'a Transaction<'a>,
    halves: Option<Halves>,
}

type Walked<T> = Result<T, String>;

/// What somebody who makes such a document can do about it.
fn too_deep() -> String {
    format!(
        "more than {SCRIBE_WALK_MAX} of its blocks stand one inside the other; take the innermost ones out"
    )
}

impl Walk<'_> {
    /// Children in order. The engine's iterator stops at a child that is no XML; it is asked once for each
    /// child.
    fn children(&self, of: &impl XmlFragment) -> Vec<XmlOut> {
        let mut children = of.children(self.reading);
        (0..of.len(self.reading)).filter_map(|_| children.next()).collect()
    }

    fn blocks(&self, children: Vec<XmlOut>, depth: usize) -> Walked<Vec<Block>> {
        if depth > SCRIBE_WALK_MAX {
            return Err(too_deep());
        }
        let mut blocks = Vec::new();
        let mut line = Vec::new(); // running text outside any paragraph
        for child in children {
            match child {
                XmlOut::Text(text) => self.runs(&text, &mut line),
                XmlOut::Fragment(fragment) => {
                    blocks.extend(self.blocks(self.children(&fragment), depth + 1)?)
                }
                XmlOut::Element(element) => {
                    if let Some(atom) = self.atom(&element) {
                        line.push(atom);
                        continue;
                    }
                    settle(&mut blocks, &mut line);
                    self.block(&element, depth, &mut blocks)?;
                }
            }
        }
        settle(&mut blocks, &mut line);
        Ok(blocks)
    }

    fn block(&self, element: &XmlElementRef, depth: usize, blocks: &mut Vec<Block>) -> Walked<()> {
        let name = element.try_tag().map_or("", AsRef::as_ref);
        let inner = |walk: &Self| walk.blocks(walk.children(element), depth + 1);
        let container =
            matches!(name, "blockquote" | "footnote_definition" | "bullet_list" | "ordered_list" | "table");
        if container && depth >= TEXT_NESTING_MAX {
            blocks.extend(inner(self)?); // lifted, so that a tree is never deeper than it may be
            return Ok(());
        }
        blocks.push(match name {
            "paragraph" => Block::Paragraph(self.inlines(element, depth)?),
            "heading" => {
                let level = self.integer(element, "level").unwrap_or(1).clamp(1, 6) as u8;
                Block::Heading { level, content: self.inlines(element, depth)? }
            }
            "blockquote" => Block::Blockquote(inner(self)?),
            "horizontal_rule" => Block::HorizontalRule,
            "code_block" => {
                let params = self.string(element, "params").unwrap_or_default();
                Block::CodeBlock { params, text: self.code(element, depth)? }
            }
            "bullet_list" => {
                Block::BulletList { tight: self.flag(element, "tight"), items: self.items(element, depth)? }
            }
            "ordered_list" => Block::OrderedList {
                order: self.integer(element, "order").unwrap_or(1),
                tight: self.flag(element, "tight"),
                items: self.items(element, depth)?,
            },
            "table" => Block::Table(self.rows(element, depth)?),
            "html_block" => Block::HtmlBlock { value: self.string(element, "value").unwrap_or_default() },
            "footnote_definition" => Block::FootnoteDefinition {
                label: self.string(element, "label").unwrap_or_default(),
                content: inner(self)?,
            },
            _ => {
                // an item without its list, or a block that this schema does not know: its text stays
                blocks.extend(inner(self)?);
                return Ok(());
            }
        });
        Ok(())
    }

    fn items(&self, list: &XmlElementRef, depth: usize) -> Walked<Vec<ListItem>> {
        let mut items = Vec::new();
        for child in self.children(list) {
            let (checked, children) = match &child {
                XmlOut::Element(element) if element.try_tag().is_some_and(|tag| &**tag == "list_item") => {
                    (self.boolean(element, "checked"), self.children(element))
                }
                _ => (None, vec![child]),
            };
            let mut content = self.blocks(children, depth + 2)?;
            if !matches!(content.first(), Some(Block::Paragraph(_))) {
                content.insert(0, Block::Paragraph(Vec::new()));
            }
            items.push(ListItem { checked, content });
        }
        Ok(items)
    }

    fn rows(&self, table: &XmlElementRef, depth: usize) -> Walked<Vec<TableRow>> {
        let mut rows = Vec::new();
        for child in self.children(table) {
            let cells = match &child {
                XmlOut::Element(row) if row.try_tag().is_some_and(|tag| &**tag == "table_row") => {
                    self.children(row)
                }
                _ => vec![child],
            };
            let cells = cells.into_iter().map(|cell| self.cell(cell, depth + 2)).collect::<Walked<_>>()?;
            rows.push(TableRow { cells });
        }
        Ok(rows)
    }

    fn cell(&self, cell: XmlOut, depth: usize) -> Walked<TableCell> {
        let XmlOut::Element(element) = &cell else {
            return Ok(TableCell { content: self.blocks(vec![cell], depth)?, ..TableCell::default() });
        };
        let span =
            |name| self.integer(element, name).and_then(|span| u32::try_from(span).ok()).unwrap_or(1).max(1);
        let align = match self.string(element, "align").as_deref() {
            Some("left") => Some(Align::Left),
            Some("center") => Some(Align::Center),
            Some("right") => Some(Align::Right),
            _ => None,
        };
        let colwidth = match element.get_attribute(self.reading, "colwidth") {
            Some(Out::Any(Any::Array(widths))) => {
                widths.iter().map(|width| u32::try_from(whole(width)?).ok()).collect()
            }
            _ => None,
        };
        Ok(TableCell {
            header: element.try_tag().is_some_and(|tag| &**tag == "table_header"),
            colspan: span("colspan"),
            rowspan: span("rowspan"),
            colwidth,
            align,
            content: self.blocks(self.children(element), depth)?,
        })
    }

    fn code(&self, element: &XmlElementRef, depth: usize) -> Walked<String> {
        let mut code = String::new();
        for inline in self.inlines(element, depth)? {
            match inline {
                Inline::Text { text, .. } => code.push_str(&text),
                Inline::HardBreak { .. } => code.push('\n'),
                other => code.push_str(&crate::text::tree::plain_text(&[other])),
            }
        }
        Ok(code)
    }

    fn inlines(&self, element: &XmlElementRef, depth: usize) -> Walked<Vec<Inline>> {
        let mut line = Vec::new();
        self.gather(element, depth, &mut line)?;
        Ok(line)
    }

    fn gather(&self, element: &impl XmlFragment, depth: usize, line: &mut Vec<Inline>) -> Walked<()> {
        if depth > SCRIBE_WALK_MAX {
            return Err(too_deep());
        }
        for child in self.children(element) {
            match child {
                XmlOut::Text(text) => self.runs(&text, line),
                XmlOut::Fragment(fragment) => self.gather(&fragment, depth + 1, line)?,
                XmlOut::Element(element) => match self.atom(&element) {
                    Some(atom) => line.push(atom),
                    // a block inside running text: its text stays
                    None => self.gather(&element, depth + 1, line)?,
                },
            }
        }
        Ok(())
    }

    /// An inline that is no text.
    fn atom(&self, element: &XmlElementRef) -> Option<Inline> {
        let text = |name| self.string(element, name);
        Some(match element.try_tag().map_or("", AsRef::as_ref) {
            "image" => Inline::Image {
                src: text("src").unwrap_or_default(),
                alt: text("alt"),
                title: text("title"),
                href: text("href"),
            },
            "hard_break" => Inline::HardBreak { soft: self.flag(element, "soft") },
            "civicRef" => Inline::CivicRef {
                ref_type: text("refType").unwrap_or_default(),
                id: text("id").unwrap_or_default(),
                label: text("label").unwrap_or_default(),
            },
            "html_inline" => Inline::HtmlInline { value: text("value").unwrap_or_default() },
            "footnote_reference" => Inline::FootnoteReference { label: text("label").unwrap_or_default() },
            _ => return None,
        })
    }

    fn runs(&self, text: &XmlTextRef, line: &mut Vec<Inline>) {
        for run in text.diff(self.reading, YChange::identity) {
            if let Out::Any(Any::String(letters)) = run.insert {
                let letters =
                    self.halves.map_or_else(|| letters.as_ref().to_owned(), |halves| halves.joined(&letters));
                push_text(line, &letters, &run.attributes.map_or_else(Marks::default, |attrs| marks(&attrs)));
            }
        }
    }

    fn attribute(&self, element: &XmlElementRef, name: &str) -> Option<Any> {
        match element.get_attribute(self.reading, name)? {
            Out::Any(value) => Some(value),
            _ => None,
        }
    }

    fn string(&self, element: &XmlElementRef, name: &str) -> Option<String> {
        match self.attribute(element, name)? {
            Any::String(text) => Some(text.as_ref().to_owned()),
            value @ Any::Number(_) => Some(value.to_string()),
            _ => None,
        }
    }

    fn integer(&self, element: &XmlElementRef, name: &str) -> Option<i64> {
        whole(&self.attribute(element, name)?)
    }

    fn boolean(&self, element: &XmlElementRef, name: &str) -> Option<bool> {
        match self.attribute(element, name)? {
            Any::Bool(yes) => Some(yes),
            Any::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn flag(&self, element: &XmlElementRef, name: &str) -> bool {
        self.boolean(element, name).unwrap_or(false)
    }
}

fn settle(blocks: &mut Vec<Block>, line: &mut Vec<Inline>) {
    if !line.is_empty() {
        blocks.push(Block::Paragraph(std::mem::take(line)));
    }
}

/// A whole number, also when an old client stored it as text.
fn whole(value: &Any) -> Option<i64> {
    match value {
        Any::Number(number) => number.as_i64(),
        Any::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Formatting attributes as marks. A mark that may lie twice on one letter is stored as `name--hash`.
fn marks(attributes: &Attrs) -> Marks {
    let mut marks = Marks::default();
    for (key, value) in attributes {
        if matches!(value, Any::Null | Any::Undefined | Any::Bool(false)) {
            continue;
        }
        match key.split("--").next().unwrap_or_default() {
            "em" => marks.em = true,
            "strong" => marks.strong = true,
            "code" => marks.code = true,
            "strike" => marks.strike = true,
            "link" => marks.link = link(value),
            _ => {}
        }
    }
    marks
}

fn link(value: &Any) -> Option<Link> {
    let Any::Map(attributes) = value else { return None };
    let text = |name: &str| match attributes.get(name) {
        Some(Any::String(text)) => Some(text.as_ref().to_owned()),
        _ => None,
    };
    Some(Link { href: text("href")?, title: text("title") })
}
