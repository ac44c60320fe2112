//! Two edits of one text brought together, letter group by letter group.
//!
//! Owns a three-way merge: what only one side changed is taken from that side; where both changed the same
//! place, the second side wins. Does not know Markdown; whoever asks checks what comes out.

use std::collections::HashMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::config::limits::TEXT_PIECES_MAX;

/// Applies what changed from `base` to `first` and from `base` to `second`; `None` when the texts are too
/// long.
pub(super) fn merge(base: &str, first: &str, second: &str) -> Option<String> {
    [pieces as fn(&str) -> Vec<&str>, lines].into_iter().find_map(|cut| {
        let (base, first, second) = (cut(base), cut(first), cut(second));
        let longest = base.len().max(first.len()).max(second.len());
        (longest <= TEXT_PIECES_MAX).then(|| merge_pieces(&base, &first, &second))
    })
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Words, runs of blanks, and everything else letter by letter.
fn pieces(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        '\n' => 0,
        ' ' | '\t' => 1,
        c if c.is_alphanumeric() => 2,
        _ => 3,
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before: Option<u8> = None;
    for (at, letter) in text.char_indices() {
        let now = kind(letter);
        if before.is_some_and(|before| before != now || now == 0 || now == 3) {
            pieces.push(&text[start..at]);
            start = at;
        }
        before = Some(now);
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

/// A replacement of `base[start..end]`.
struct Edit<'a> {
    start: usize,
    end: usize,
    with: Vec<&'a str>,
}

fn edits<'a>(base: &[&str], other: &[&'a str]) -> Vec<Edit<'a>> {
    let operations = capture_diff_slices(Algorithm::Myers, base, other);
    let edit = |operation: &DiffOp| match operation {
        DiffOp::Equal { .. } => None,
        _ => {
            let (old, new) = (operation.old_range(), operation.new_range());
            Some(Edit { start: old.start, end: old.end, with: other[new].to_vec() })
        }
    };
    operations.iter().filter_map(edit).collect()
}

fn merge_pieces(base: &[&str], first: &[&str], second: &[&str]) -> String {
    let (ours, theirs) = (edits(base, first), edits(base, second));
    let (mut left, mut right) = (ours.iter().peekable(), theirs.iter().peekable());
    let mut out = String::new();
    let mut at = 0;
    while let Some(start) =
        [left.peek().map(|e| e.start), right.peek().map(|e| e.start)].into_iter().flatten().min()
    {
        // gather every edit that touches the same pieces
        let (mut mine, mut other): (Vec<&Edit<'_>>, Vec<&Edit<'_>>) = (Vec::new(), Vec::new());
        let mut end = start;
        loop {
            let begins = |edit: &Edit<'_>, empty: bool| edit.start < end || (empty && edit.start == start);
            if let Some(edit) = left.next_if(|edit| begins(edit, mine.is_empty() && other.is_empty())) {
                end = end.max(edit.end);
                mine.push(edit);
            } else if let Some(edit) =
                right.next_if(|edit| begins(edit, other.is_empty() && (mine.is_empty() || end == start)))
            {
                end = end.max(edit.end);
                other.push(edit);
            } else {
                break;
            }
        }
        out.extend(base[at..start].iter().copied());
        let winner = if other.is_empty() { mine } else { other };
        let mut from = start;
        for edit in winner {
            out.extend(base[from..edit.start].iter().copied());
            out.extend(edit.with.iter().copied());
            from = edit.end;
        }
        out.extend(base[from..end].iter().copied());
        at = end;
    }
    out.extend(base[at..].iter().copied());
    out
}

/// How much two texts have in common, 0 to 1,000.
pub(super) fn likeness(first: &str, second: &str) -> u32 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    let mut all = 0;
    for word in first.split_whitespace() {
        *left.entry(word).or_default() += 1;
        all += 1;
    }
    let (mut shared, mut others) = (0usize, 0);
    for word in second.split_whitespace() {
        others += 1;
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    let longest = all.max(others).max(1);
    u32::try_from(shared * 1_000 / longest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_keeps_its_change() {
        assert_eq!(merge("- a *b*", "* a _b_", "- a *c*").as_deref(), Some("* a _c_"));
        assert_eq!(merge("one two", "one two", "one 2 two").as_deref(), Some("one 2 two"));
        assert_eq!(merge("a\nb\n", "a\r\nb\n", "a\nc\n").as_deref(), Some("a\r\nc\n"));
        assert_eq!(merge("same", "ours", "theirs").as_deref(), Some("theirs"));
    }

    #[test]
    fn likeness_finds_the_edited_text() {
        assert!(likeness("the quick brown fox", "the quick red fox") > 700);
        assert_eq!(likeness("a b", "c d"), 0);
        assert_eq!(likeness("", ""), 0);
    }
}
