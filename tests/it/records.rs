//! Records: a file goes in and comes out again; what nobody changed keeps its bytes; drafts follow the log.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use townhall::auth::{Grant, Role};
use townhall::clock::Clock;
use townhall::follow::drafting;
use townhall::id::{DocName, RecordId};
use townhall::records::{CreateError, DraftState, ImportError, NewRecord, Records, RenameError};
use townhall::scribe::Scribe;
use townhall::store::{Store, Table, Write};
use townhall::telemetry::Metrics;
use yrs::updates::decoder::Decode;
use yrs::{ReadTxn, Text, Transact, XmlElementPrelim, XmlFragment, XmlTextPrelim};

const BYLAW: &str = include_str!("fixtures/bylaw.md");

struct House {
    store: Store,
    records: Records,
    clock: Clock,
    stop: CancellationToken,
    _folder: TempDir,
}

impl House {
    fn open() -> Self {
        Self::with_scribe(PathBuf::from(env!("CARGO_BIN_EXE_townhall")))
    }

    fn with_scribe(program: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::real();
        let store = Store::open(folder.path(), &clock, &Metrics::new()).unwrap();
        let records = Records::new(store.clone(), Scribe::new(program), clock.clone());
        Self { store, records, clock, stop: CancellationToken::new(), _folder: folder }
    }

    fn follow(&self) {
        let (store, records, clock) = (self.store.clone(), self.records.clone(), self.clock.clone());
        tokio::spawn(drafting::run(store, records, clock, Metrics::new(), self.stop.clone()));
    }

    /// Changes words of a record's text, as an editor would.
    async fn edit(&self, id: &RecordId, from: &str, to: &str) {
        let doc = DocName::of_record(id);
        let loaded = self.store.load(&doc).unwrap().unwrap();
        let editor = yrs::Doc::with_client_id(4_711);
        let root = editor.get_or_insert_xml_fragment("default");
        let mut writing = editor.transact_mut();
        for (_, part) in loaded.snapshot.into_iter().chain(loaded.tail) {
            writing.apply_update(yrs::Update::decode_v1(&part).unwrap()).unwrap();
        }
        let before = writing.state_vector();
        let mut nodes: Vec<yrs::XmlOut> = root.children(&writing).collect();
        let mut found = 0;
        while let Some(node) = nodes.pop() {
            match node {
                yrs::XmlOut::Text(text) => {
                    let letters: String = yrs::GetString::get_string(&text, &writing);
                    if let Some(at) = letters.find(from) {
                        text.remove_range(&mut writing, at as u32, from.len() as u32);
                        text.insert(&mut writing, at as u32, to);
                        found += 1;
                    }
                }
                yrs::XmlOut::Element(element) => nodes.extend(element.children(&writing)),
                yrs::XmlOut::Fragment(_) => {}
            }
        }
        assert_eq!(found, 1, "{from:?} stands once in the text");
        let update = writing.encode_diff_v1(&before).into();
        drop(writing);
        self.store.commit(vec![Write::Append { doc, update }]).unwrap().await.unwrap().unwrap();
    }

    /// Puts a paragraph into a record's empty text, as an editor would.
    async fn write(&self, id: &RecordId, text: &str) {
        let editor = yrs::Doc::with_client_id(4_712);
        let root = editor.get_or_insert_xml_fragment("default");
        let mut writing = editor.transact_mut();
        let paragraph = root.push_back(&mut writing, XmlElementPrelim::empty("paragraph"));
        paragraph.push_back(&mut writing, XmlTextPrelim::new(text));
        let update = writing.encode_update_v1().into();
        drop(writing);
        let write = Write::Append { doc: DocName::of_record(id), update };
        self.store.commit(vec![write]).unwrap().await.unwrap().unwrap();
    }

    async fn draft_is(&self, id: &RecordId, state: DraftState) {
        for _ in 0..200 {
            if self.records.draft(id).await.unwrap().state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the draft did not become {state:?}");
    }

    async fn exported(&self, id: &RecordId) -> String {
        let export = self.records.export(id).await.unwrap();
        String::from_utf8(export.markdown.to_vec()).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn clerk() -> Grant {
    Grant::new("p-1".into(), "Marie Tremblay".into(), Role::Editor)
}

async fn imported(house: &House) -> RecordId {
    house.records.import("bacs.md", BYLAW.into(), &clerk()).await.unwrap().id
}

#[tokio::test]
async fn a_file_comes_out_as_it_went_in() {
    let house = House::open();
    let mut files = vec![
        BYLAW.to_owned(),
        BYLAW.replace('\n', "\r\n"),
        format!("\u{feff}{BYLAW}"),
        "no front matter, no line end".to_owned(),
    ];
    if let Some(folder) = std::env::var_os("TOWNHALL_SAMPLES") {
        let entries = std::fs::read_dir(folder).unwrap();
        files.extend(entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    for file in &files {
        let record = house.records.import("a file.md", file.clone().into(), &clerk()).await.unwrap();
        assert_eq!(house.exported(&record.id).await, *file, "before any draft was made");
    }
    house.follow();
    for (record, _) in house.records.list().await.unwrap().iter().zip(&files) {
        house.draft_is(&record.id, DraftState::Current).await;
        let key = record.id.as_str().as_bytes();
        assert_eq!(
            house.store.get(Table::Drafts, key).unwrap(),
            None,
            "nothing is written when nothing changed"
        );
        assert!(files.contains(&house.exported(&record.id).await));
    }
}

#[tokio::test]
async fn front_matter_without_a_line_end_stays_apart_from_the_text() {
    let house = House::open();
    let head = "---\ntitle: Bacs\nstatus: draft\n---";
    let id = house.records.import("bacs.md", head.into(), &clerk()).await.unwrap().id;
    assert_eq!(house.exported(&id).await, head, "what nobody changed");
    house.write(&id, "Texte").await;
    assert_eq!(house.exported(&id).await, format!("{head}\nTexte\n"));
}

#[tokio::test]
async fn a_file_that_starts_with_a_rule_shows_all_its_text() {
    let house = House::open();
    let file = "---\n\nDate : 3 mai\nLieu : salle\n\n---\n# Ordre du jour\n";
    let id = house.records.import("ordre.md", file.into(), &clerk()).await.unwrap().id;
    assert_eq!(house.exported(&id).await, file);
    house.edit(&id, "3 mai", "4 mai").await;
    assert_eq!(house.exported(&id).await, file.replace("3 mai", "4 mai"));
}

#[tokio::test]
async fn a_one_word_edit_is_a_one_line_difference() {
    let house = House::open();
    house.follow();
    let id = imported(&house).await;
    let before = house.records.get(&id).await.unwrap().unwrap();
    house.edit(&id, "résidents", "citoyens").await;
    let expected = BYLAW.replace("résidents", "citoyens");
    assert_eq!(house.exported(&id).await, expected, "the export is the newest saved text, draft or not");
    house.draft_is(&id, DraftState::Current).await;
    assert_eq!(house.exported(&id).await, expected);
    let draft = house.store.get(Table::Drafts, id.as_str().as_bytes()).unwrap().unwrap();
    assert!(expected.ends_with(std::str::from_utf8(&draft).unwrap()));
    assert!(house.records.get(&id).await.unwrap().unwrap().updated_ms >= before.updated_ms);

    house.edit(&id, "citoyens", "résidents").await;
    house.draft_is(&id, DraftState::Behind).await;
    house.draft_is(&id, DraftState::Current).await;
    assert_eq!(house.exported(&id).await, BYLAW, "changed back, the file is the one that came in");
}

#[tokio::test]
async fn what_a_file_says_of_itself_is_kept() {
    let house = House::open();
    let record = house.records.import("x/bacs.md", BYLAW.into(), &clerk()).await.unwrap();
    assert_eq!(record.id.as_str(), "record-1705276800123");
    assert_eq!(record.title, "Règlement sur les bacs : l'essentiel");
    assert_eq!((record.kind.as_str(), record.status.as_str()), ("bylaw", "published"));
    assert_eq!((record.author.as_str(), record.file_name.as_str()), ("mctremblay", "bacs.md"));
    assert_eq!(record.created_ms, 1_736_935_200_000);
    let again = house.records.import("bacs.md", BYLAW.into(), &clerk()).await.unwrap();
    assert_ne!(again.id, record.id, "an id is given once");
    let plain =
        house.records.import("a-plain_file.md", "text\n\n# The *title*\n".into(), &clerk()).await.unwrap();
    assert_eq!((plain.title.as_str(), plain.kind.as_str()), ("The title", "record"));
    let bare = house.records.import("a-plain_file.md", "only text\n".into(), &clerk()).await.unwrap();
    assert_eq!((bare.title.as_str(), bare.author.as_str()), ("a plain file", "Marie Tremblay"));
    let listed: Vec<RecordId> =
        house.records.list().await.unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!(listed.len(), 4);
    assert_eq!(listed[0], bare.id, "the last changed one comes first");
}

#[tokio::test]
async fn what_is_no_record_is_refused_in_plain_words() {
    let house = House::open();
    let import =
        async |bytes: &[u8]| house.records.import("x.md", Bytes::copy_from_slice(bytes), &clerk()).await;
    assert!(matches!(import(b"caf\xe9").await, Err(ImportError::NotUtf8)));
    assert!(matches!(import(b" \r\n").await, Err(ImportError::Empty)));
    assert!(matches!(import(&vec![b'a'; 3 << 20]).await, Err(ImportError::TooLarge)));
    assert!(matches!(import("- a\n".repeat(500_000).as_bytes()).await, Err(ImportError::TooLarge)));
    let long = format!("---\n{}---\ntext\n", "a: 1\n".repeat(20_000));
    assert!(matches!(import(long.as_bytes()).await, Err(ImportError::FrontMatter(_))));
    let viewer = Grant::new("p-2".into(), "Léa".into(), Role::Viewer);
    let refused = house.records.import("x.md", "text".into(), &viewer).await;
    assert!(matches!(refused, Err(ImportError::Forbidden)));
    let new = |title: &str, kind: Option<&str>| NewRecord { title: title.into(), kind: kind.map(Into::into) };
    assert!(matches!(house.records.create(new("  ", None), &clerk()).await, Err(CreateError::TitleMissing)));
    assert!(matches!(
        house.records.create(new("x", Some("two words")), &clerk()).await,
        Err(CreateError::Kind)
    ));
    assert!(matches!(house.records.create(new("x", None), &viewer).await, Err(CreateError::Forbidden)));
    assert!(house.records.list().await.unwrap().is_empty());
    let unknown = RecordId::parse("nobody").unwrap();
    assert!(matches!(house.records.rename(&unknown, "x", &clerk()).await, Err(RenameError::NotFound)));
}

#[tokio::test]
async fn a_new_record_can_be_written_in_named_and_taken_away() {
    let house = House::open();
    house.follow();
    let new = NewRecord { title: "Séance du 3 mai : \"ordre\"".into(), kind: Some("minutes".into()) };
    let record = house.records.create(new, &clerk()).await.unwrap();
    assert_eq!(record.file_name, "minutes-seance-du-3-mai-ordre.md");
    assert!(house.store.load(&DocName::of_record(&record.id)).unwrap().is_some(), "its document is there");
    let text = house.exported(&record.id).await;
    assert!(text.starts_with(&format!("---\nid: \"{}\"\ntitle: \"Séance", record.id)), "{text}");

    let renamed = house.records.rename(&record.id, "Ordre du jour", &clerk()).await.unwrap();
    assert_eq!(house.records.get(&record.id).await.unwrap().unwrap(), renamed);
    let after = house.exported(&record.id).await;
    assert_eq!(after, text.replace("\"Séance du 3 mai : \\\"ordre\\\"\"", "\"Ordre du jour\""));
    let taken = house.records.import(&record.file_name, after.clone().into(), &clerk()).await.unwrap();
    assert_eq!((taken.title.as_str(), taken.kind.as_str()), ("Ordre du jour", "minutes"));
    assert_eq!(house.exported(&taken.id).await, after);
}

#[tokio::test]
async fn a_new_title_leaves_the_rest_of_the_front_matter_alone() {
    let house = House::open();
    let id = imported(&house).await;
    house.records.rename(&id, "Bacs", &clerk()).await.unwrap();
    house.edit(&id, "résidents", "citoyens").await;
    let title = BYLAW.lines().find(|line| line.starts_with("title:")).unwrap();
    let expected = BYLAW.replace(title, "title: \"Bacs\" # as read out").replace("résidents", "citoyens");
    assert_eq!(house.exported(&id).await, expected);
}

#[tokio::test]
async fn a_draft_that_fails_keeps_its_last_text_and_says_why() {
    let house = House::with_scribe("/nowhere/townhall".into());
    house.follow();
    let id = imported(&house).await;
    house.draft_is(&id, DraftState::Failed).await;
    assert!(house.records.draft(&id).await.unwrap().why.unwrap().contains("could not be started"));
    assert!(house.records.export(&id).await.is_err(), "an old text is never given out as the newest");

    // the same folder with a scribe that works: the draft is made up for
    house.stop.cancel();
    let scribe = Scribe::new(PathBuf::from(env!("CARGO_BIN_EXE_townhall")));
    let records = Records::new(house.store.clone(), scribe, house.clock.clone());
    assert_eq!(records.draft(&id).await.unwrap().state, DraftState::Failed, "a restart does not forget it");
    house.edit(&id, "résidents", "citoyens").await;
    let stop = CancellationToken::new();
    tokio::spawn(drafting::run(
        house.store.clone(),
        records.clone(),
        house.clock.clone(),
        Metrics::new(),
        stop.clone(),
    ));
    for _ in 0..200 {
        if records.draft(&id).await.unwrap().state == DraftState::Current {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(records.draft(&id).await.unwrap().state, DraftState::Current);
    let export = records.export(&id).await.unwrap();
    assert_eq!(export.markdown, BYLAW.replace("résidents", "citoyens"));
    stop.cancel();
}
