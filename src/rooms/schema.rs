//! Who may write in a record's text by what its client knows of the record schema (schema/record-v1.json).
//!
//! Owns the names that every editor of records knows. An editor removes from the shared text what it does not know; so
//! whoever does not say that it knows version 1 may write only as long as a text has no other names.

use crate::wire::gate::{Name, names};

/// The version of the schema that this office writes.
const VERSION: u32 = 1;

const ELEMENTS: [&str; 15] = [
    "paragraph",
    "heading",
    "blockquote",
    "horizontal_rule",
    "code_block",
    "bullet_list",
    "ordered_list",
    "list_item",
    "table",
    "table_row",
    "table_header",
    "table_cell",
    "image",
    "hard_break",
    "civicRef",
];
const ATTRIBUTES: [&str; 13] = [
    "level", "params", "order", "colspan", "rowspan", "colwidth", "align", "src", "alt", "title", "refType",
    "id", "label",
];
const MARKS: [&str; 4] = ["link", "em", "strong", "code"];

/// Whether a client that says this knows every name that a text may have.
pub(super) fn knows_all(schema: Option<u32>) -> bool {
    schema.is_some_and(|version| version >= VERSION)
}

/// Whether an update brings a name that not every editor knows.
pub(super) fn is_beyond_base(update: &[u8]) -> bool {
    let mut beyond = false;
    let read = names(update, |name| {
        beyond |= match name {
            Name::Element(name) => !ELEMENTS.contains(&name),
            Name::Attribute(name) => !ATTRIBUTES.contains(&name),
            // Marks of one kind that lie over each other are told apart by what follows two dashes.
            Name::Mark(name) => !MARKS.contains(&name.split("--").next().unwrap_or(name)),
        };
    });
    beyond || read.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_says_nothing_does_not_know_all() {
        assert!(knows_all(Some(1)) && knows_all(Some(2)) && !knows_all(Some(0)) && !knows_all(None));
    }
}
