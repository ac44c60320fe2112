//! Writing a tree over the source it came from: what nobody changed stays byte for byte.
//!
//! Owns the alignment of blocks with their source. A changed block keeps the manner of its source as far as
//! the result still reads as the new text; that is checked, never assumed. Does not know front matter.

use std::collections::HashMap;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::merge::{likeness, merge};
use super::normal::{normal, normal_blocks};
use super::read::read;
use super::tree::{Block, Document, plain_text};
use super::write::{Manner, write, write_blocks, write_in};
use crate::config::limits::{TEXT_COMPARED_MAX, TEXT_PAIRS_MAX};

/// Writes `document` over `source`.
#[must_use]
pub fn write_over(source: &str, document: &Document) -> String {
    let base = Base::new(source);
    let new = normal(document).blocks;
    let joined: Vec<Block> = base.blocks.iter().flatten().cloned().collect();
    if joined == new {
        return source.to_owned();
    }
    let plain = write(document);
    let meant = normal(&read(&plain).document);
    let reads_right = |text: &String| normal(&read(text).document) == meant;
    let steps = base.align(&new);
    // from the most faithful manner to the plainest one
    let manners = [(true, false), (true, true), (false, true)];
    let written =
        manners.into_iter().map(|(keep_manner, apart)| base.compose(&steps, &new, keep_manner, apart));
    written.into_iter().find(reads_right).unwrap_or_else(|| base.with_line_ends(&plain))
}

/// A source and its own reading.
struct Base<'a> {
    source: &'a str,
    spans: Vec<Range<usize>>,
    /// The normal form of each block; `None` for one that says nothing.
    blocks: Vec<Option<Block>>,
    line_end: &'static str,
}

/// What becomes of the blocks, in order.
enum Step {
    Keep(usize),
    Change(usize, usize),
    Insert(usize),
    Drop(usize),
}

/// One written block.
struct Piece {
    text: String,
    /// The block of the source in whose place it stands.
    place: Option<usize>,
    /// Whether it is the source's own text.
    kept: bool,
}

impl<'a> Base<'a> {
    fn new(source: &'a str) -> Self {
        let reading = read(source);
        let one = |block: &Block| normal_blocks(std::slice::from_ref(block)).pop();
        let blocks = reading.document.blocks.iter().map(one).collect();
        let windows = source.matches("\r\n").count();
        let line_end = if windows * 2 > source.matches('\n').count() { "\r\n" } else { "\n" };
        Self { source, spans: reading.spans, blocks, line_end }
    }

    fn body(&self, at: usize) -> &'a str {
        self.spans.get(at).map_or("", |span| &self.source[span.clone()])
    }

    /// What lies between a block and the next: blank lines and definitions of links.
    fn gap(&self, at: usize) -> &'a str {
        let from = self.spans.get(at).map_or(0, |span| span.end);
        let to = self.spans.get(at + 1).map_or(self.source.len(), |span| span.start);
        &self.source[from..to]
    }

    fn lead(&self) -> &'a str {
        &self.source[..self.spans.first().map_or(self.source.len(), |span| span.start)]
    }

    fn with_line_ends(&self, text: &str) -> String {
        if self.line_end == "\n" { text.to_owned() } else { text.replace('\n', self.line_end) }
    }

    fn align<'b>(&'b self, new: &'b [Block]) -> Vec<Step> {
        // blocks are compared by number: equal blocks, equal numbers; one that says nothing equals none
        let mut numbers: HashMap<&'b Block, usize> = HashMap::new();
        let mut number = |block: &'b Block| {
            let next = numbers.len();
            *numbers.entry(block).or_insert(next)
        };
        let old: Vec<usize> =
            self.blocks.iter().map(|block| block.as_ref().map_or(usize::MAX, &mut number)).collect();
        let fresh: Vec<usize> = new.iter().map(&mut number).collect();
        let same = |(old, new): (&usize, &usize)| old == new;
        let head = old.iter().zip(&fresh).take_while(|pair| same(*pair)).count();
        let tail =
            old[head..].iter().rev().zip(fresh[head..].iter().rev()).take_while(|pair| same(*pair)).count();
        let (old_end, new_end) = (old.len() - tail, fresh.len() - tail);
        let mut steps: Vec<Step> = (0..head).map(Step::Keep).collect();
        if (old_end - head).saturating_mul(new_end - head) > TEXT_COMPARED_MAX {
            self.pair(head..old_end, head..new_end, new, &mut steps); // another text: comparing takes too long
        } else {
            let middle = capture_diff_slices(Algorithm::Myers, &old[head..old_end], &fresh[head..new_end]);
            for operation in middle {
                let (from, to) = (operation.old_range(), operation.new_range());
                let (from, to) = (from.start + head..from.end + head, to.start + head..to.end + head);
                match operation {
                    DiffOp::Equal { .. } => steps.extend(from.map(Step::Keep)),
                    _ => self.pair(from, to, new, &mut steps),
                }
            }
        }
        steps.extend((old_end..old.len()).map(Step::Keep));
        steps
    }

    /// Finds which changed block stands for which: the pairing, in order, that has most words in common.
    fn pair(&self, old: Range<usize>, new: Range<usize>, blocks: &[Block], steps: &mut Vec<Step>) {
        let (rows, columns) = (old.len(), new.len());
        if rows * columns > TEXT_PAIRS_MAX || rows * columns == 0 {
            steps.extend(old.map(Step::Drop));
            steps.extend(new.map(Step::Insert));
            return;
        }
        let said = |block: &Block| (std::mem::discriminant(block), words(block));
        let before: Vec<_> =
            old.clone().map(|at| self.blocks.get(at).and_then(Option::as_ref).map(said)).collect();
        let after: Vec<_> = new.clone().map(|at| blocks.get(at).map(said)).collect();
        let likely = |row: usize, column: usize| match (&before[row], &after[column]) {
            (Some((kind, before)), Some((other, after))) if kind == other => 1 + likeness(before, after),
            _ => 0,
        };
        let mut like = vec![vec![0u32; columns]; rows];
        let mut best = vec![vec![0u32; columns + 1]; rows + 1];
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                like[row][column] = likely(row, column);
                let paired = match like[row][column] {
                    0 => 0,
                    like => like + best[row + 1][column + 1],
                };
                best[row][column] = paired.max(best[row + 1][column]).max(best[row][column + 1]);
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows && column < columns {
            let like = like[row][column];
            if like > 0 && best[row][column] == like + best[row + 1][column + 1] {
                steps.push(Step::Change(old.start + row, new.start + column));
                (row, column) = (row + 1, column + 1);
            } else if best[row][column] == best[row + 1][column] {
                steps.push(Step::Drop(old.start + row));
                row += 1;
            } else {
                steps.push(Step::Insert(new.start + column));
                column += 1;
            }
        }
        steps.extend((old.start + row..old.end).map(Step::Drop));
        steps.extend((new.start + column..new.end).map(Step::Insert));
    }

    fn compose(&self, steps: &[Step], new: &[Block], keep_manner: bool, apart: bool) -> String {
        let mut pieces: Vec<Piece> = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::Keep(at) => {
                    pieces.push(Piece { text: self.body(*at).to_owned(), place: Some(*at), kept: true });
                }
                Step::Change(at, to) => {
                    let merged = if keep_manner { self.merged(*at, &new[*to]) } else { None };
                    let text = merged.unwrap_or_else(|| self.fresh(&new[*to]));
                    pieces.push(Piece { text, place: Some(*at), kept: false });
                }
                Step::Insert(to) => {
                    pieces.push(Piece { text: self.fresh(&new[*to]), place: None, kept: false });
                }
                Step::Drop(at) => {
                    let definitions = self.gap(*at).trim_matches(['\r', '\n', ' ', '\t']);
                    if !definitions.is_empty() {
                        pieces.push(Piece { text: definitions.to_owned(), place: None, kept: false });
                    }
                }
            }
        }
        self.join(&pieces, apart)
    }

    fn fresh(&self, block: &Block) -> String {
        self.with_line_ends(write_blocks(std::slice::from_ref(block)).trim_end_matches('\n'))
    }

    /// The changed block in the manner of its source, when it then still says what it should.
    fn merged(&self, at: usize, new: &Block) -> Option<String> {
        let before = self.blocks.get(at)?.as_ref()?;
        let source = format!("{}\n", self.body(at).replace("\r\n", "\n"));
        let manner = Manner::of(&source);
        let written = |block: &Block| write_in(std::slice::from_ref(block), manner);
        let whole = written(new);
        let merged = merge(&written(before), &source, &whole);
        let definitions: String = (0..self.spans.len()).map(|at| self.gap(at)).collect();
        let read_one = |text: &str| {
            let source = format!("{text}\n\n{}\n{definitions}", self.lead());
            normal(&read(&source).document).blocks
        };
        let meant = read_one(&write_blocks(std::slice::from_ref(new)));
        let says_it = |text: &String| {
            let found = read_one(text);
            found.len() == 1 && found == meant
        };
        let text = merged.into_iter().chain([whole]).find(says_it)?;
        Some(self.with_line_ends(text.trim_end_matches('\n')))
    }

    fn join(&self, pieces: &[Piece], apart: bool) -> String {
        let blank = self.line_end.repeat(2);
        let lead = self.lead();
        let mut out = String::with_capacity(self.source.len() + 256);
        out.push_str(lead);
        if !lead.trim().is_empty() && !lead.ends_with(&blank) {
            out.push_str(&blank);
        }
        for (number, piece) in pieces.iter().enumerate() {
            out.push_str(&piece.text);
            let next = pieces.get(number + 1);
            let gap = piece.place.map_or("", |at| self.gap(at));
            let neighbours = match (piece.place, next) {
                (Some(at), Some(next)) => next.place == Some(at + 1) && (!apart || (piece.kept && next.kept)),
                (Some(at), None) => at + 1 == self.spans.len(),
                (None, _) => false,
            };
            let definitions = !gap.trim().is_empty();
            if neighbours || (definitions && next.is_none()) {
                out.push_str(gap);
            } else if definitions {
                out.push_str(gap.trim_end());
                out.push_str(&blank);
            } else if next.is_some() {
                out.push_str(&blank);
            } else {
                out.push_str(self.line_end);
            }
        }
        out
    }
}

/// The words of a block, for comparing.
fn words(block: &Block) -> String {
    match block {
        Block::Paragraph(content) | Block::Heading { content, .. } => plain_text(content),
        _ => write_blocks(std::slice::from_ref(block)),
    }
}
