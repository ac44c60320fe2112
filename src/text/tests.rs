//! What writing and reading promise together.

use std::time::Duration;

use proptest::prelude::*;

use super::tree::{Align, Link, ListItem, Marks, TableCell, TableRow};
use super::*;
use crate::clock::Stopwatch;

const BYLAW: &str = include_str!("fixtures/bylaw.md");
const WORKOUT: &str = include_str!("fixtures/workout.md");

fn html(source: &str) -> String {
    let mut out = String::new();
    pulldown_cmark::html::push_html(
        &mut out,
        pulldown_cmark::Parser::new_ext(source, super::read::options()),
    );
    out
}

fn samples() -> Vec<String> {
    let mut all = vec![
        BYLAW.to_owned(),
        WORKOUT.to_owned(),
        WORKOUT.replace('\n', "\r\n"),
        String::new(),
        "\n\n".to_owned(),
        "no line end".to_owned(),
        "[only]: /a-definition\n".to_owned(),
        "```\nnever closed\n\n".to_owned(),
    ];
    let folder = std::env::var_os("TOWNHALL_SAMPLES").map(std::path::PathBuf::from); // more files, where there are any
    for entry in folder.into_iter().flat_map(std::fs::read_dir).flatten().flatten() {
        all.push(std::fs::read_to_string(entry.path()).unwrap());
    }
    all
}

#[test]
fn what_nobody_changed_is_written_back_byte_for_byte() {
    for source in samples() {
        let document = read(&source).document;
        assert_eq!(write_over(&source, &document), source);
        assert_eq!(write_over(&source, &normal(&document)), source);
    }
}

#[test]
fn rewritten_text_shows_the_same() {
    for source in samples() {
        let text = write(&read(&source).document);
        let squash = |html: String| html.replace('\n', "");
        assert_eq!(squash(html(&text)), squash(html(&source)));
        assert_eq!(write(&read(&text).document), text, "a second pass changes nothing");
    }
}

#[test]
fn a_paragraph_may_start_with_a_reference() {
    let source = "<!--civic-ref type=\"record\" id=\"r-1\" label=\"Budget\"--> was *adopted*.\n";
    let document = read(source).document;
    let Block::Paragraph(content) = &document.blocks[0] else { panic!("{document:?}") };
    assert!(matches!(&content[0], Inline::CivicRef { label, .. } if label == "Budget"));
    assert_eq!(content.len(), 4);
    assert_eq!(write(&document), source);
}

/// Changes one word everywhere in a tree.
fn replace_word(document: &mut Document, from: &str, to: &str) {
    let json = serde_json::to_string(document).unwrap().replace(from, to);
    *document = serde_json::from_str(&json).unwrap();
}

fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(before, after);
    let changed = diff.iter_all_changes().filter(|change| change.tag() == similar::ChangeTag::Insert);
    changed.map(|change| change.value().to_owned()).collect()
}

#[test]
fn one_word_is_one_line() {
    for (from, to) in [
        ("résidents", "citoyens"),
        ("starred", "changed"),
        ("nested", "changed"),
        ("quoted", "changed"),
        ("padded", "changed"),
        ("setext", "changed"),
        ("underlined", "changed"),
        ("referenced", "changed"),
        ("fenced", "changed"),
        ("loose", "changed"),
        ("parenthesised", "changed"),
        ("done", "changed"),
        ("explained", "changed"),
    ] {
        let source = if BYLAW.contains(from) { BYLAW } else { WORKOUT };
        assert_eq!(source.matches(from).count(), 1, "{from}");
        for source in [source.to_owned(), source.replace('\n', "\r\n")] {
            let mut document = read(&source).document;
            replace_word(&mut document, from, to);
            assert_eq!(write_over(&source, &document), source.replace(from, to), "{from}");
        }
    }
}

#[test]
fn added_and_removed_blocks_leave_the_others_alone() {
    let mut document = read(BYLAW).document;
    let new = Block::Paragraph(vec![Inline::plain("Un nouvel article.")]);
    document.blocks.insert(3, new.clone());
    document.blocks.push(new);
    document.blocks.remove(0);
    let text = write_over(BYLAW, &document);
    assert_eq!(changed_lines(BYLAW, &text).iter().filter(|line| line.trim() != "").count(), 2);
    assert_eq!(normal(&read(&text).document), normal(&document));
    assert!(write_over(BYLAW, &Document::default()).trim().is_empty());
}

#[test]
fn an_item_added_to_a_list_keeps_the_manner_of_the_list() {
    let source = "* one\n* two\n* three\n";
    let mut document = read(source).document;
    let Block::BulletList { items, .. } = &mut document.blocks[0] else { panic!() };
    items.insert(2, ListItem { checked: None, content: vec![Block::Paragraph(vec![Inline::plain("new")])] });
    let text = write_over(source, &document);
    assert_eq!(normal(&read(&text).document), normal(&document));
    assert!(text.starts_with("* one\n* two\n"), "{text}");
}

#[test]
fn deep_nesting_is_bounded() {
    for source in [">".repeat(5_000), "- ".repeat(5_000), format!("{}x", "1. ".repeat(3_000))] {
        let document = read(&source).document;
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
        let _ = write(&document);
    }
}

#[test]
fn the_widest_table_takes_no_longer_than_its_length() {
    let columns = 400_000;
    let source = format!("{}\n{}\n", "a|".repeat(columns), "-|".repeat(columns - 1) + "-:");
    let since = Stopwatch::start();
    let document = read(&source).document;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let Block::Table(rows) = &document.blocks[0] else { panic!("no table") };
    let aligns = [rows[0].cells[0].align, rows[0].cells[columns - 1].align];
    assert_eq!(aligns, [None, Some(Align::Right)]);
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "word", "é", "😀", " ", " ", "*", "_", "`", "``", "[", "]", "<", ">", "&", "&amp;", "#",
        "1.", "1)", "-", "+", "|", "~", "\\", "!", "(", ")", ":", "=", "/", "http://x", "«", "»", "’", "1",
        "\"", "'", "<b>", "- ", "1. ", "# ", "\u{301}", "\u{a0}", "===", "---", "[^1]", "\t", ".", ",",
    ])
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..6).prop_map(|words| words.concat())
}

fn marks() -> impl Strategy<Value = Marks> {
    let href =
        prop::sample::select(vec!["/a", "http://x", "a b", "", "(", "a*b_c", "x&amp;y", "\\", "a`b", "<"]);
    let title = prop::option::weighted(0.3, prop::sample::select(vec!["t", "a \"b\"", "&lt; \\", "`"]));
    let link = prop::option::weighted(
        0.2,
        (href, title).prop_map(|(href, title)| Link { href: href.into(), title: title.map(Into::into) }),
    );
    let rarely = || prop::bool::weighted(0.25);
    (link, rarely(), rarely(), prop::bool::weighted(0.1), rarely())
        .prop_map(|(link, em, strong, code, strike)| Marks { link, em, strong, code, strike })
}

fn inline() -> impl Strategy<Value = Inline> {
    prop_oneof![
        8 => (text(), marks()).prop_map(|(text, marks)| Inline::Text { text, marks }),
        1 => any::<bool>().prop_map(|soft| Inline::HardBreak { soft }),
        1 => (text(), prop::option::of(text()), prop::option::of(Just("/l".to_owned()))).prop_map(|(alt, title, href)| {
            let tidy = |text: String| text.trim().to_owned();
            Inline::Image { src: "/i.png".into(), alt: Some(tidy(alt)), title: title.map(tidy), href }
        }),
        1 => text().prop_map(|label| Inline::CivicRef { ref_type: "record".into(), id: "r-1".into(), label }),
        1 => prop::sample::select(vec!["<b>", "</b>", "<!-- x -->", "<br/>"])
            .prop_map(|value| Inline::HtmlInline { value: value.into() }),
    ]
}

fn inlines() -> impl Strategy<Value = Vec<Inline>> {
    prop::collection::vec(inline(), 0..6)
}

/// Raw HTML at the start of a line may open an HTML block, which is another text.
fn startable(content: Vec<Inline>) -> Vec<Inline> {
    let mut safe = vec![Inline::plain("s")];
    for inline in content {
        let breaks = matches!(&inline, Inline::HardBreak { .. });
        safe.push(inline);
        if breaks {
            safe.push(Inline::plain("s"));
        }
    }
    safe
}

fn leaf() -> impl Strategy<Value = Block> {
    prop_oneof![
        4 => inlines().prop_map(|content| Block::Paragraph(startable(content))),
        2 => (1u8..=6, inlines()).prop_map(|(level, content)| Block::Heading { level, content: startable(content) }),
        1 => Just(Block::HorizontalRule),
        1 => (prop::sample::select(vec!["", "rust", "a b", "x`y", "&amp;", "\\"]), prop::collection::vec(text(), 0..4))
            .prop_map(|(params, lines)| Block::CodeBlock { params: params.into(), text: lines.join("\n") }),
        1 => prop::sample::select(vec!["<div>\nx\n</div>", "<!-- a\n\nb -->", "<p>"])
            .prop_map(|value| Block::HtmlBlock { value: value.into() }),
        1 => table(),
    ]
}

fn table() -> impl Strategy<Value = Block> {
    let align = prop::option::of(prop::sample::select(vec![Align::Left, Align::Center, Align::Right]));
    let cell = (align, inlines()).prop_map(|(align, content)| TableCell {
        align,
        content: vec![Block::Paragraph(content)],
        ..TableCell::default()
    });
    let row = prop::collection::vec(cell, 1..4).prop_map(|cells| TableRow { cells });
    prop::collection::vec(row, 1..4).prop_map(Block::Table)
}

fn block() -> impl Strategy<Value = Block> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        let blocks = prop::collection::vec(inner, 1..4);
        let item = (prop::option::weighted(0.2, any::<bool>()), blocks.clone())
            .prop_map(|(checked, content)| ListItem { checked, content });
        let items = prop::collection::vec(item, 1..4);
        prop_oneof![
            blocks.prop_map(Block::Blockquote),
            (any::<bool>(), items.clone()).prop_map(|(tight, items)| Block::BulletList { tight, items }),
            (prop::sample::select(vec![1i64, 0, 7, 999_999_998]), any::<bool>(), items)
                .prop_map(|(order, tight, items)| Block::OrderedList { order, tight, items }),
        ]
    })
}

fn document() -> impl Strategy<Value = Document> {
    prop::collection::vec(block(), 0..6).prop_map(|blocks| Document { blocks })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(document in document()) {
        let text = write(&document);
        prop_assert_eq!(normal(&read(&text).document), normal(&document), "{}", text);
    }

    #[test]
    fn a_file_is_cut_where_it_was_joined(
        before in document(),
        after in document(),
        head in prop::sample::select(vec!["", "\u{feff}", "---\na: 1\n---\n", "---\na: 1\n---", "---\r\na: 1\r\n..."]),
        manner in any::<bool>(),
    ) {
        let mut source = write(&before);
        if manner {
            source = source.replace("***", "---"); // as many people write it
        }
        let body = write_over(&source, &after);
        let file = front_matter::join(head, &body);
        let cut = front_matter::split(&file);
        prop_assert_eq!(cut.head.trim_end(), head.trim_end(), "{}", file);
        prop_assert_eq!(normal(&read(cut.body).document), normal(&read(&body).document), "{}", file);
    }

    #[test]
    fn edits_over_any_source_read_as_meant(before in document(), after in document(), keep in 0usize..6) {
        let source = write(&before);
        let mut blocks = before.blocks.clone();
        let keep = keep.min(blocks.len());
        blocks.splice(keep.., after.blocks);
        let edited = Document { blocks };
        let text = write_over(&source, &edited);
        let meant = normal(&read(&write(&edited)).document);
        prop_assert_eq!(normal(&read(&text).document), meant, "{}\n=== over\n{}", text, source);
    }

    #[test]
    fn any_text_is_readable(source in "(?s).{0,200}") {
        prop_assert_eq!(write_over(&source, &read(&source).document), source);
    }

    #[test]
    fn a_tree_crosses_as_json(document in document()) {
        let json = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    }
}
