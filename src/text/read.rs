//! Markdown to a document tree: CommonMark with tables, task lists, strikethrough and footnotes.
//!
//! Owns the meaning of source text, and which bytes of it each top-level block came from. Does not know front
//! matter.

use std::ops::Range;

use pulldown_cmark::{Alignment, CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::civic_ref;
use super::normal::is_line_end;
use super::open::{Held, Open};
use super::tree::{Align, Block, Document, Inline, Link, ListItem, Marks, TableCell, TableRow, push_text};
use crate::config::limits::TEXT_NESTING_MAX;

/// A reading of Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The tree.
    pub document: Document,
    /// For each top-level block the bytes of the source it came from: whole lines, without blank lines around
    /// it.
    pub spans: Vec<Range<usize>>,
}

/// The switches both reading and writing agree on.
#[must_use]
pub(super) fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES
}

/// Reads Markdown; every text is readable.
#[must_use]
pub fn read(source: &str) -> Reading {
    let mut reader = Reader { source, ..Reader::default() };
    for (event, range) in Parser::new_ext(source, options()).into_offset_iter() {
        reader.event(event, range);
    }
    Reading { document: Document { blocks: reader.root }, spans: reader.spans }
}

#[derive(Default)]
struct Reader<'a> {
    source: &'a str,
    root: Vec<Block>,
    spans: Vec<Range<usize>>,
    open: Vec<Open>,
    em: usize,
    strong: usize,
    strike: usize,
    links: Vec<Link>,
    images: Vec<(String, String)>,
    alt: String,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(end) => self.end(end),
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
            Event::Code(text) => {
                let marks = Marks { code: true, ..self.marks() };
                self.put_text(&text, &marks);
            }
            Event::Html(html) => {
                if let Some(Open::Html(value)) = self.open.last_mut() {
                    value.push_str(&html);
                }
            }
            Event::InlineHtml(html) => self.html(&html),
            Event::FootnoteReference(label) => {
                self.put(Inline::FootnoteReference { label: label.into_string() })
            }
            Event::SoftBreak => self.line_end(true),
            Event::HardBreak => self.line_end(false),
            Event::Rule => self.block(Block::HorizontalRule, Some(range)),
            Event::TaskListMarker(done) => self.task(done),
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        let open = match tag {
            Tag::Paragraph => {
                self.loosen();
                Open::Paragraph(Vec::new())
            }
            Tag::Heading { level, .. } => Open::Heading(level as u8, Vec::new()),
            Tag::BlockQuote(_) => Open::Quote(Held::default()),
            Tag::CodeBlock(kind) => {
                let params = match kind {
                    CodeBlockKind::Fenced(info) => info.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                Open::Code { params, text: String::new() }
            }
            Tag::HtmlBlock => Open::Html(String::new()),
            Tag::List(order) => Open::List { order, loose: false, items: Vec::new() },
            Tag::Item => Open::Item(None, Held::default()),
            Tag::FootnoteDefinition(label) => Open::Footnote(label.into_string(), Held::default()),
            Tag::Table(aligns) => Open::Table { aligns, rows: Vec::new() },
            Tag::TableHead => Open::Row { header: true, cells: Vec::new() },
            Tag::TableRow => Open::Row { header: false, cells: Vec::new() },
            Tag::TableCell => Open::Cell(Vec::new()),
            other => return self.start_mark(other),
        };
        if self.open.is_empty() {
            self.span(range);
        }
        if let Some(held) = self.held() {
            held.settle();
        }
        self.open.push(open);
    }

    fn start_mark(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Emphasis => self.em += 1,
            Tag::Strong => self.strong += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { link_type, dest_url, title, .. } => {
                let scheme = if link_type == LinkType::Email { "mailto:" } else { "" };
                self.links
                    .push(Link { href: format!("{scheme}{dest_url}"), title: filled(title.into_string()) });
            }
            Tag::Image { dest_url, title, .. } => {
                self.images.push((dest_url.into_string(), title.into_string()));
            }
            _ => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Emphasis => self.em = self.em.saturating_sub(1),
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link => drop(self.links.pop()),
            TagEnd::Image => self.end_image(),
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::List(_)
            | TagEnd::Item
            | TagEnd::FootnoteDefinition
            | TagEnd::Table
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::TableCell => self.close(),
            _ => {}
        }
    }

    fn end_image(&mut self) {
        let Some((src, title)) = self.images.pop() else { return };
        if !self.images.is_empty() {
            return; // a picture inside another one's description: its words already are in the description
        }
        let alt = filled(std::mem::take(&mut self.alt));
        let href = self.links.last().map(|link| link.href.clone());
        self.put(Inline::Image { src, alt, title: filled(title), href });
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let depth = self.open.len();
        match open {
            Open::Paragraph(content) => self.block(Block::Paragraph(content), None),
            Open::Heading(level, content) => self.block(Block::Heading { level, content }, None),
            Open::Code { params, text } => {
                let text = without_last_line_end(&text);
                self.block(Block::CodeBlock { params, text }, None);
            }
            Open::Html(value) => {
                let value = without_last_line_end(&value);
                let block = civic_ref::line(&value).map(Block::Paragraph);
                self.block(block.unwrap_or(Block::HtmlBlock { value }), None);
            }
            Open::Quote(mut held) => {
                held.settle();
                self.wrap(depth, held.blocks, Block::Blockquote);
            }
            Open::Footnote(label, mut held) => {
                held.settle();
                self.wrap(depth, held.blocks, |content| Block::FootnoteDefinition { label, content });
            }
            Open::Item(checked, mut held) => {
                held.settle();
                if !matches!(held.blocks.first(), Some(Block::Paragraph(_))) {
                    held.blocks.insert(0, Block::Paragraph(Vec::new()));
                }
                if let Some(Open::List { items, .. }) = self.open.last_mut() {
                    items.push(ListItem { checked, content: held.blocks });
                }
            }
            Open::List { order, loose, items } => self.close_list(depth, order, !loose, items),
            Open::Table { rows, .. } => self.block(Block::Table(rows), None),
            Open::Row { cells, .. } => {
                if let Some(Open::Table { rows, .. }) = self.open.last_mut() {
                    rows.push(TableRow { cells });
                }
            }
            Open::Cell(content) => self.close_cell(content),
        }
    }

    fn close_list(&mut self, depth: usize, order: Option<u64>, tight: bool, items: Vec<ListItem>) {
        if depth >= TEXT_NESTING_MAX {
            let lifted = items.into_iter().flat_map(|item| item.content).collect();
            return self.wrap(depth, lifted, Block::Blockquote);
        }
        let list = match order {
            None => Block::BulletList { tight, items },
            Some(order) => {
                Block::OrderedList { order: i64::try_from(order).unwrap_or(i64::MAX), tight, items }
            }
        };
        self.block(list, None);
    }

    fn close_cell(&mut self, content: Vec<Inline>) {
        let [.., Open::Table { aligns, .. }, Open::Row { header, cells }] = self.open.as_mut_slice() else {
            return;
        };
        let align = match aligns.get(cells.len()) {
            Some(Alignment::Left) => Some(Align::Left),
            Some(Alignment::Center) => Some(Align::Center),
            Some(Alignment::Right) => Some(Align::Right),
            Some(Alignment::None) | None => None,
        };
        let content = vec![Block::Paragraph(content)];
        cells.push(TableCell { header: *header, align, content, ..TableCell::default() });
    }

    /// Adds a container, or only its blocks when it lies too deep.
    fn wrap(&mut self, depth: usize, blocks: Vec<Block>, container: impl FnOnce(Vec<Block>) -> Block) {
        if depth < TEXT_NESTING_MAX {
            return self.block(container(blocks), None);
        }
        for block in blocks {
            self.block(block, None);
        }
    }

    fn block(&mut self, block: Block, at: Option<Range<usize>>) {
        if self.open.is_empty() {
            if let Some(range) = at {
                self.span(range);
            }
            self.root.push(block);
        } else if let Some(held) = self.held() {
            held.settle();
            held.blocks.push(block);
        }
    }

    /// The nearest container when nothing but a container is open inside it.
    fn held(&mut self) -> Option<&mut Held> {
        match self.open.last_mut() {
            Some(Open::Quote(held) | Open::Footnote(_, held) | Open::Item(_, held)) => Some(held),
            _ => None,
        }
    }

    /// A paragraph of its own directly in an item makes the list loose.
    fn loosen(&mut self) {
        if let [.., Open::List { loose, .. }, Open::Item(..)] = self.open.as_mut_slice() {
            *loose = true;
        }
    }

    fn task(&mut self, done: bool) {
        let item = self.open.iter_mut().rev().find_map(|open| match open {
            Open::Item(checked, _) => Some(checked),
            _ => None,
        });
        if let Some(checked) = item {
            *checked = Some(done);
        }
    }

    fn marks(&self) -> Marks {
        Marks {
            link: self.links.last().cloned(),
            em: self.em > 0,
            strong: self.strong > 0,
            code: false,
            strike: self.strike > 0,
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(Open::Code { text: code, .. }) = self.open.last_mut() {
            code.push_str(text);
            return;
        }
        let marks = self.marks();
        self.put_text(text, &marks);
    }

    fn put_text(&mut self, text: &str, marks: &Marks) {
        if !self.images.is_empty() {
            self.alt.push_str(text);
        } else if let Some(content) = self.inlines() {
            push_text(content, text, marks);
        }
    }

    fn html(&mut self, html: &str) {
        let in_cell = matches!(self.open.last(), Some(Open::Cell(_)));
        if in_cell && is_line_end(html) {
            return self.put(Inline::HardBreak { soft: false }); // the only line end that a table cell has
        }
        let value = html.replace("\r\n", "\n");
        self.put(civic_ref::parse(&value).unwrap_or(Inline::HtmlInline { value }));
    }

    fn line_end(&mut self, soft: bool) {
        if self.images.is_empty() {
            self.put(Inline::HardBreak { soft });
        } else {
            self.alt.push(' ');
        }
    }

    fn put(&mut self, inline: Inline) {
        if self.images.is_empty()
            && let Some(content) = self.inlines()
        {
            content.push(inline);
        }
    }

    fn inlines(&mut self) -> Option<&mut Vec<Inline>> {
        match self.open.last_mut()? {
            Open::Paragraph(content) | Open::Heading(_, content) | Open::Cell(content) => Some(content),
            Open::Quote(held) | Open::Footnote(_, held) | Open::Item(_, held) => Some(&mut held.line),
            _ => None,
        }
    }

    /// Notes where a top-level block lies: from the start of its first line, without blank lines after it.
    fn span(&mut self, range: Range<usize>) {
        let before = &self.source[..range.start];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let start = if before[line..].trim().is_empty() { line } else { range.start };
        let end =
            range.start + self.source[range.start..range.end].trim_end_matches([' ', '\t', '\r', '\n']).len();
        let floor = self.spans.last().map_or(0, |last| last.end);
        let start = start.max(floor);
        self.spans.push(start..end.max(start));
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn without_last_line_end(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}
