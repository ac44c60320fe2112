//! The first update of a record: its text as Yjs would hold it.
//!
//! Owns the encoding of a tree as one Yjs update (format v1) of one made-up client. It runs no engine, so the
//! same tree and record id give the same bytes in every process. Element and attribute names are those of the
//! record schema; what only our own schema knows is left out where it says the default, so that the text
//! stays open to other editors.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ScribeError;
use crate::config::limits::UPDATE_MAX_BYTES;
use crate::id::RecordId;
use crate::text::tree::{Block, Document, Inline, ListItem, Marks, TableCell, TableRow};
use crate::wire::varint::{write_buf, write_str, write_uint};

/// The fragment that holds a record's text.
pub(super) const ROOT: &str = "default";

// Kinds of content and bits of a struct's first byte (`yjs/src/structs/Item.js`).
const STRING: u8 = 4;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const HAS_ORIGIN: u8 = 0x80;
const HAS_PARENT_SUB: u8 = 0x20;
// Types by number (`yjs/src/structs/ContentType.js`).
const XML_ELEMENT: u64 = 3;
const XML_TEXT: u64 = 6;
// Values by number, downwards from 127 (`lib0/encoding.js`).
const ANY_NULL: u8 = 126;
const ANY_INTEGER: u8 = 125;
const ANY_FLOAT: u8 = 123;
const ANY_TRUE: u8 = 120;
const ANY_FALSE: u8 = 121;
const ANY_STRING: u8 = 119;
const ANY_ARRAY: u8 = 117;

/// Makes the first update of a record.
///
/// # Errors
/// [`ScribeError::TooLarge`] when it would be larger than any update may be.
pub fn seed(record: &RecordId, document: &Document) -> Result<Bytes, ScribeError> {
    let mut seeder =
        Seeder { structs: Vec::new(), count: 0, clock: 0, client: client_of(record), full: false };
    seeder.blocks(Parent::Root, &document.blocks);
    if seeder.full {
        return Err(ScribeError::TooLarge);
    }
    let mut update = Vec::with_capacity(seeder.structs.len() + 32);
    write_uint(&mut update, 1); // clients
    write_uint(&mut update, seeder.count);
    write_uint(&mut update, seeder.client);
    write_uint(&mut update, 0); // the first clock
    update.extend_from_slice(&seeder.structs);
    write_uint(&mut update, 0); // nothing is deleted
    Ok(update.into())
}

/// A client that no editor draws: theirs have 32 bits, this one has more.
fn client_of(record: &RecordId) -> u64 {
    const FIRST: u64 = 1 << 32;
    const END: u64 = 1 << 53;
    let digest = Sha256::digest(format!("townhall record {record}"));
    let number = digest.iter().take(8).fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
    FIRST + number % (END - FIRST)
}

/// Where something is put: a clock of the seed's client, or the root.
#[derive(Clone, Copy)]
enum Parent {
    Root,
    Item(u64),
}

struct Seeder {
    structs: Vec<u8>,
    count: u64,
    clock: u64,
    client: u64,
    full: bool,
}

impl Seeder {
    /// Writes one struct's head; its content follows. `origin` is the last clock of the sibling before it.
    fn item(&mut self, kind: u8, parent: Parent, key: Option<&str>, origin: Option<u64>, length: u64) -> u64 {
        self.full |= self.structs.len() > UPDATE_MAX_BYTES;
        let clock = self.clock;
        self.count += 1;
        self.clock += length;
        match origin {
            Some(origin) => {
                self.structs.push(kind | HAS_ORIGIN);
                write_uint(&mut self.structs, self.client);
                write_uint(&mut self.structs, origin);
            }
            None => {
                self.structs.push(kind | if key.is_some() { HAS_PARENT_SUB } else { 0 });
                match parent {
                    Parent::Root => {
                        write_uint(&mut self.structs, 1);
                        write_str(&mut self.structs, ROOT);
                    }
                    Parent::Item(of) => {
                        write_uint(&mut self.structs, 0);
                        write_uint(&mut self.structs, self.client);
                        write_uint(&mut self.structs, of);
                    }
                }
                if let Some(key) = key {
                    write_str(&mut self.structs, key);
                }
            }
        }
        clock
    }

    /// An element with its attributes; those that are null are not stored.
    fn element(
        &mut self,
        parent: Parent,
        before: &mut Option<u64>,
        name: &str,
        attributes: &[(&str, Value)],
    ) -> Parent {
        let clock = self.item(TYPE, parent, None, *before, 1);
        write_uint(&mut self.structs, XML_ELEMENT);
        write_str(&mut self.structs, name);
        *before = Some(clock);
        let element = Parent::Item(clock);
        for (key, value) in attributes.iter().filter(|(_, value)| !value.is_null()) {
            self.item(ANY, element, Some(key), None, 1);
            write_uint(&mut self.structs, 1);
            any(&mut self.structs, value);
        }
        element
    }

    /// Blocks of a container; there is always one.
    fn blocks(&mut self, parent: Parent, blocks: &[Block]) {
        let mut before = None;
        for block in blocks {
            if self.full {
                return;
            }
            self.block(parent, &mut before, block);
        }
        if before.is_none() {
            self.element(parent, &mut before, "paragraph", &[]);
        }
    }

    fn block(&mut self, parent: Parent, before: &mut Option<u64>, block: &Block) {
        match block {
            Block::Paragraph(content) => {
                let element = self.element(parent, before, "paragraph", &[]);
                self.inlines(element, content);
            }
            Block::Heading { level, content } => {
                let element = self.element(parent, before, "heading", &[("level", json!(level))]);
                self.inlines(element, content);
            }
            Block::Blockquote(content) => {
                let element = self.element(parent, before, "blockquote", &[]);
                self.blocks(element, content);
            }
            Block::HorizontalRule => drop(self.element(parent, before, "horizontal_rule", &[])),
            Block::CodeBlock { params, text } => {
                let element = self.element(parent, before, "code_block", &[("params", json!(params))]);
                self.text(element, &mut None, &[(text, &Marks::default())]);
            }
            Block::BulletList { tight, items } => {
                let element = self.element(parent, before, "bullet_list", &[("tight", unless_false(*tight))]);
                self.items(element, items);
            }
            Block::OrderedList { order, tight, items } => {
                let attributes = [("order", json!(order)), ("tight", unless_false(*tight))];
                let element = self.element(parent, before, "ordered_list", &attributes);
                self.items(element, items);
            }
            Block::Table(rows) => {
                let element = self.element(parent, before, "table", &[]);
                self.rows(element, rows);
            }
            Block::HtmlBlock { value } => {
                self.element(parent, before, "html_block", &[("value", json!(value))]);
            }
            Block::FootnoteDefinition { label, content } => {
                let element = self.element(parent, before, "footnote_definition", &[("label", json!(label))]);
                self.blocks(element, content);
            }
        }
    }

    fn items(&mut self, list: Parent, items: &[ListItem]) {
        let mut before = None;
        for item in items {
            let element = self.element(list, &mut before, "list_item", &[("checked", json!(item.checked))]);
            self.blocks(element, &item.content);
        }
    }

    fn rows(&mut self, table: Parent, rows: &[TableRow]) {
        let mut before = None;
        for row in rows {
            let element = self.element(table, &mut before, "table_row", &[]);
            let mut before = None;
            for cell in &row.cells {
                self.cell(element, &mut before, cell);
            }
        }
    }

    fn cell(&mut self, row: Parent, before: &mut Option<u64>, cell: &TableCell) {
        let name = if cell.header { "table_header" } else { "table_cell" };
        let attributes = [
            ("colspan", json!(cell.colspan)),
            ("rowspan", json!(cell.rowspan)),
            ("colwidth", json!(cell.colwidth)),
            ("align", json!(cell.align.map(|align| align.name()))),
        ];
        let element = self.element(row, before, name, &attributes);
        self.blocks(element, &cell.content);
    }

    /// Runs of text become one XML text; atoms stand between them.
    fn inlines(&mut self, parent: Parent, content: &[Inline]) {
        let mut before = None;
        let mut runs: Vec<(&str, &Marks)> = Vec::new();
        for inline in content {
            if let Inline::Text { text, marks } = inline {
                runs.push((text, marks));
                continue;
            }
            self.text(parent, &mut before, &std::mem::take(&mut runs));
            match inline {
                Inline::Image { src, alt, title, href } => {
                    let attributes = [
                        ("src", json!(src)),
                        ("alt", json!(alt)),
                        ("title", json!(title)),
                        ("href", json!(href)),
                    ];
                    self.element(parent, &mut before, "image", &attributes);
                }
                Inline::HardBreak { soft } => {
                    self.element(parent, &mut before, "hard_break", &[("soft", unless_false(*soft))]);
                }
                Inline::CivicRef { ref_type, id, label } => {
                    let attributes =
                        [("refType", json!(ref_type)), ("id", json!(id)), ("label", json!(label))];
                    self.element(parent, &mut before, "civicRef", &attributes);
                }
                Inline::HtmlInline { value } => {
                    self.element(parent, &mut before, "html_inline", &[("value", json!(value))]);
                }
                Inline::FootnoteReference { label } => {
                    self.element(parent, &mut before, "footnote_reference", &[("label", json!(label))]);
                }
                Inline::Text { .. } => {}
            }
        }
        self.text(parent, &mut before, &runs);
    }

    fn text(&mut self, parent: Parent, before: &mut Option<u64>, runs: &[(&str, &Marks)]) {
        if runs.iter().all(|(text, _)| text.is_empty()) {
            return;
        }
        let clock = self.item(TYPE, parent, None, *before, 1);
        write_uint(&mut self.structs, XML_TEXT);
        *before = Some(clock);
        let text_type = Parent::Item(clock);
        let mut last = None;
        let mut now = formats(&Marks::default());
        for (text, marks) in runs.iter().filter(|(text, _)| !text.is_empty()) {
            let next = formats(marks);
            self.change(text_type, &mut last, &now, &next);
            now = next;
            let length = text.encode_utf16().count() as u64;
            let clock = self.item(STRING, text_type, None, last, length);
            write_str(&mut self.structs, text);
            last = Some(clock + length - 1);
        }
        self.change(text_type, &mut last, &now, &formats(&Marks::default()));
    }

    fn change(&mut self, text: Parent, last: &mut Option<u64>, now: &Formats, next: &Formats) {
        for ((name, now), (_, next)) in now.iter().zip(next) {
            if now != next {
                *last = Some(self.item(FORMAT, text, None, *last, 1));
                write_str(&mut self.structs, name);
                write_str(&mut self.structs, &next.to_string());
            }
        }
    }
}

type Formats = [(&'static str, Value); 5];

/// Marks as formatting attributes, always in the same order.
fn formats(marks: &Marks) -> Formats {
    let on = |on: bool| if on { json!({}) } else { Value::Null };
    let link = |link: &crate::text::tree::Link| json!({ "href": link.href, "title": link.title });
    [
        ("link", marks.link.as_ref().map_or(Value::Null, link)),
        ("strong", on(marks.strong)),
        ("em", on(marks.em)),
        ("strike", on(marks.strike)),
        ("code", on(marks.code)),
    ]
}

/// What only our own schema knows is not said when it is the default.
fn unless_false(value: bool) -> Value {
    if value { Value::Bool(true) } else { Value::Null }
}

fn any(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Object(_) => out.push(ANY_NULL),
        Value::Bool(yes) => out.push(if *yes { ANY_TRUE } else { ANY_FALSE }),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => {
                out.push(ANY_INTEGER);
                write_integer(out, integer);
            }
            None => {
                out.push(ANY_FLOAT);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => {
            out.push(ANY_STRING);
            write_buf(out, text.as_bytes());
        }
        Value::Array(values) => {
            out.push(ANY_ARRAY);
            write_uint(out, values.len() as u64);
            values.iter().for_each(|value| any(out, value));
        }
    }
}

/// A signed integer: sign in bit 6 of the first byte (`lib0/encoding.js`, `writeVarInt`).
fn write_integer(out: &mut Vec<u8>, integer: i64) {
    let mut rest = integer.unsigned_abs();
    let sign = if integer < 0 { 0x40 } else { 0 };
    let low = (rest & 0x3f) as u8;
    rest >>= 6;
    out.push(if rest > 0 { 0x80 } else { 0 } | sign | low);
    while rest > 0 {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        out.push(if rest > 0 { 0x80 } else { 0 } | low);
    }
}
