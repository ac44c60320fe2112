//! References to records, places and attachments, as they stand in Markdown: an HTML comment in running text.
//!
//! Owns that text form (CivicPress 0.3: attributes `type`, `id`, `label` in this order). Does not know what
//! they refer to.

use super::read::read;
use super::tree::{Block, Inline};

const OPEN: &str = "<!--civic-ref ";
/// A letter before a line, so that it is running text.
const LEAD: &str = "x";
const CLOSE: &str = "-->";
const TYPES: [&str; 3] = ["record", "geography", "attachment"];

/// Reads the comment; anything else than a complete reference is not one.
#[must_use]
pub(super) fn parse(html: &str) -> Option<Inline> {
    let inner = html.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    let ref_type = attribute(inner, "type")?;
    let id = attribute(inner, "id")?;
    let label = attribute(inner, "label").unwrap_or_default();
    if id.is_empty() || !TYPES.contains(&ref_type.as_str()) {
        return None;
    }
    let inline = Inline::CivicRef { ref_type, id, label };
    // a comment with more in it keeps its source
    (write(&inline) == html.replace("&#124;", "|")).then_some(inline)
}

/// Writes the comment; empty for any other inline.
#[must_use]
pub(super) fn write(inline: &Inline) -> String {
    let Inline::CivicRef { ref_type, id, label } = inline else { return String::new() };
    format!("{OPEN}type=\"{}\" id=\"{}\" label=\"{}\"{CLOSE}", escape(ref_type), escape(id), escape(label))
}

/// Reads a line that starts with a reference. To CommonMark it is raw HTML; to its readers it is running
/// text.
#[must_use]
pub(super) fn line(html: &str) -> Option<Vec<Inline>> {
    if !html.starts_with(OPEN) || html.contains('\n') {
        return None;
    }
    let mut blocks = read(&format!("{LEAD}{html}")).document.blocks;
    let Some(Block::Paragraph(mut content)) = blocks.pop() else { return None };
    let led = matches!(content.first(), Some(Inline::Text { text, .. }) if text == LEAD);
    if !blocks.is_empty() || !led || !matches!(content.get(1), Some(Inline::CivicRef { .. })) {
        return None;
    }
    content.remove(0);
    Some(content)
}

fn attribute(inner: &str, name: &str) -> Option<String> {
    let start = inner.find(&format!("{name}=\""))? + name.len() + 2;
    let value = inner[start..].split('"').next()?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#10;", "\n")
            .replace("&#45;", "-")
            .replace("&#124;", "|")
            .replace("&amp;", "&"),
    )
}

fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('"', "&quot;").replace("--", "&#45;&#45;").replace('\n', "&#10;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_keeps_every_letter_of_its_label() {
        let inline = Inline::CivicRef {
            ref_type: "record".into(),
            id: "rec-abc".into(),
            label: "Budget \"2026\" -- &quot; A&B".into(),
        };
        assert_eq!(parse(&write(&inline)), Some(inline));
        assert_eq!(parse("<!-- a note -->"), None);
        assert_eq!(parse("<!--civic-ref type=\"record\" id=\"\" label=\"x\"-->"), None);
    }
}
