//! The scribe reads what editors wrote, always the same way, and may die, hang or lie without harm.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use townhall::id::RecordId;
use townhall::scribe::{Scribe, ScribeError, ScribeLimits, seed};
use townhall::text::tree::{Inline, Marks};
use townhall::text::{Block, normal, read, write};

/// Written by an editor (npm yjs 13.6): one update a line, oldest first.
const EDITOR_SESSION: &str = include_str!("fixtures/editor-session.hex");
/// By the same: an emoji halved by two deletions, another one by a replacement, with text written after each.
const HALF_EMOJI: &str = include_str!("fixtures/half-emoji.hex");
const BYLAW: &str = include_str!("../../src/text/fixtures/bylaw.md");
const WORKOUT: &str = include_str!("../../src/text/fixtures/workout.md");

fn townhall() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_townhall"))
}

fn hex(line: &str) -> Bytes {
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect()
}

fn id(text: &str) -> RecordId {
    RecordId::parse(text).unwrap()
}

#[tokio::test]
async fn an_editors_session_reads_as_it_was_written() {
    let scribe = Scribe::new(townhall());
    let parts: Vec<Bytes> = EDITOR_SESSION.lines().map(hex).collect();
    let (document, vector) = scribe.read(parts).await.unwrap();
    assert!(!vector.is_empty());
    let expected = "## séance du 3 mai 😀!\n\n*plain* **bold *both***[ link](/x)\\\nnext![A seal](/i.png)\n\n\
        - [ ] task\n-\n\nunknown block\n\n| H |\n| --: |\n\n```rust\nlet x = 1;\n\n```\n";
    let Block::Paragraph(line) = &document.blocks[2] else { panic!("{document:?}") };
    let both = Marks { em: true, strong: true, ..Marks::default() };
    assert!(line.contains(&Inline::Text { text: " both".into(), marks: both }), "{line:?}");
    assert_eq!(document.blocks[1], Block::Paragraph(vec![]), "an empty paragraph is a paragraph");
    assert_eq!(
        normal(&read(&write(&document)).document),
        normal(&read(expected).document),
        "{}",
        write(&document)
    );
}

#[tokio::test]
async fn text_behind_half_an_emoji_is_not_lost() {
    let scribe = Scribe::new(townhall());
    let parts: Vec<Bytes> = HALF_EMOJI.lines().map(hex).collect();
    let (document, _) = scribe.read(parts).await.unwrap();
    assert_eq!(write(&document), "aNEXTb \u{fffd}\u{fffd} end after 👍\n", "as Yjs reads it");
}

#[tokio::test]
async fn a_seed_reads_back_as_the_text_it_was_made_of() {
    let scribe = Scribe::new(townhall());
    for source in [BYLAW, WORKOUT, "", "# Only a title 😀\n", "> \n"] {
        let document = read(source).document;
        let update = scribe.seed(&id("record-1"), &document).unwrap();
        let (found, _) = scribe.read(vec![update]).await.unwrap();
        assert_eq!(normal(&found), normal(&document));
        if !source.trim_matches(['>', ' ', '\n']).is_empty() {
            assert_eq!(found, document);
        }
    }
}

#[test]
fn the_same_text_makes_the_same_seed_in_every_process() {
    let document = read(WORKOUT).document;
    let here = seed(&id("record-1"), &document).unwrap();
    assert_ne!(here, seed(&id("record-2"), &document).unwrap(), "two records do not share a client");
    // this test runs itself once more and compares what the other process made
    let file = tempfile::NamedTempFile::new().unwrap();
    if let Ok(path) = std::env::var("TOWNHALL_TEST_SEED") {
        std::fs::write(path, &here).unwrap();
        return;
    }
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scribe::the_same_text_makes_the_same_seed_in_every_process"])
        .env("TOWNHALL_TEST_SEED", file.path())
        .output()
        .unwrap();
    assert!(done.status.success());
    assert_eq!(std::fs::read(file.path()).unwrap(), here.to_vec());
}

#[tokio::test]
async fn what_does_not_follow_from_what_is_stored_is_not_read() {
    let scribe = Scribe::new(townhall());
    let parts: Vec<Bytes> = EDITOR_SESSION.lines().map(hex).collect();
    let gap = vec![parts[0].clone(), parts[2].clone()];
    for wrong in [gap, vec![Bytes::from_static(b"garbage")]] {
        assert!(matches!(scribe.read(wrong).await, Err(ScribeError::Unreadable(_))));
    }
    assert!(scribe.read(parts).await.is_ok(), "and the next question is answered");
}

#[tokio::test]
async fn an_idle_scribe_ends_and_is_started_again() {
    let limits = ScribeLimits { idle: Duration::from_millis(200), ..ScribeLimits::default() };
    let scribe = Scribe::with_limits(townhall(), limits);
    assert!(!scribe.is_running().await, "nobody asked yet");
    let update = seed(&id("record-1"), &read(BYLAW).document).unwrap();
    for _ in 0..2 {
        scribe.read(vec![update.clone()]).await.unwrap();
        assert!(scribe.is_running().await);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!scribe.is_running().await);
    }
}

#[tokio::test]
async fn many_questions_at_once_are_all_answered() {
    let scribe = Scribe::new(townhall());
    let mut asked = Vec::new();
    for number in 0..40 {
        let (scribe, source) = (scribe.clone(), format!("# Record {number}\n"));
        let update = seed(&id("record-1"), &read(&source).document).unwrap();
        asked.push(tokio::spawn(async move { (scribe.read(vec![update]).await.unwrap().0, source) }));
    }
    for answer in asked {
        let (document, source) = answer.await.unwrap();
        assert_eq!(write(&document), source);
    }
}

/// Programs that are no scribe at all.
#[cfg(unix)]
mod faults {
    use std::os::unix::fs::PermissionsExt;

    use townhall::text::Document;

    use super::*;

    fn program(folder: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = folder.path().join("scribe");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn ask(script: &str) -> Result<(Document, Bytes), ScribeError> {
        let folder = tempfile::tempdir().unwrap();
        let limits = ScribeLimits { deadline: Duration::from_millis(1_000), ..ScribeLimits::default() };
        let scribe = Scribe::with_limits(program(&folder, script), limits);
        let update = seed(&id("record-1"), &read(BYLAW).document).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), scribe.read(vec![update])).await.unwrap();
        assert!(!scribe.is_running().await, "a faulty process is not asked again");
        answer
    }

    #[tokio::test]
    async fn a_scribe_that_hangs_dies_or_babbles_is_ended() {
        assert_eq!(ask("exec /bin/sleep 60").await, Err(ScribeError::Deadline));
        assert_eq!(ask("exit 1").await, Err(ScribeError::Died));
        assert_eq!(ask("/bin/head -c 100 >/dev/null; kill -9 $$").await, Err(ScribeError::Died));
        assert_eq!(
            ask("printf '\\377\\377\\377\\377'; exec /bin/cat >/dev/null").await,
            Err(ScribeError::TooLarge)
        );
        assert_eq!(
            ask("printf '\\000\\001\\000\\000short'; exec /bin/head -c 400 >/dev/null").await,
            Err(ScribeError::Died)
        );
        assert!(matches!(
            ask("exec /bin/cat").await,
            Err(ScribeError::Unreadable(_) | ScribeError::Deadline)
        ));
        assert!(matches!(
            Scribe::new("/nowhere/townhall".into()).read(vec![]).await,
            Err(ScribeError::Start(_))
        ));
    }

    #[tokio::test]
    async fn an_answer_about_another_document_is_not_used() {
        // the right form, the wrong state vector
        let folder = tempfile::tempdir().unwrap();
        let answer = b"\0\0\0\x14\0\0\0\0\x02\x01\0{\"blocks\":[]}";
        std::fs::write(folder.path().join("answer"), &answer[..]).unwrap();
        let script = format!("/bin/cat {}; exec /bin/cat >/dev/null", folder.path().join("answer").display());
        let answered = ask(&script).await;
        assert!(matches!(answered, Err(ScribeError::Disagrees | ScribeError::Unreadable(_))), "{answered:?}");
    }

    #[tokio::test]
    async fn a_scribe_that_ended_meanwhile_is_replaced() {
        let scribe = Scribe::new(townhall());
        let update = seed(&id("record-1"), &read(BYLAW).document).unwrap();
        let (before, _) = scribe.read(vec![update.clone()]).await.unwrap();
        let mine = std::process::id();
        let listed = Command::new("ps").args(["-o", "pid=,args=", "--ppid", &mine.to_string()]).output();
        let Ok(listed) = listed else { return }; // no `ps` here
        for line in String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.ends_with(" scribe")) {
            let pid = line.split_whitespace().next().unwrap();
            Command::new("kill").args(["-9", pid]).status().unwrap();
        }
        let (after, _) = scribe.read(vec![update]).await.unwrap();
        assert_eq!(before, after);
    }
}
