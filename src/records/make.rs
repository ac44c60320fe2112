//! New records: made from nothing, or imported from a file.
//!
//! Owns the order of making one: row, source and the document's first update are one commit, so a record is
//! there with its text or not at all. Does not know what a file's bytes were sent by.

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Records;
use super::error::{CreateError, ImportError, RenameError};
use super::names::{self, TitleFault};
use super::record::{self, Record, key};
use crate::auth::Grant;
use crate::config::limits::{RECORD_BODY_MAX_BYTES, RECORDS_MAX, RECORDS_READ_ROWS};
use crate::id::{DocName, RecordId};
use crate::store::{CommitError, ReadError, Store, Table, Write};
use crate::text::front_matter::{self, FrontMatter};
use crate::text::{Document, read};

/// What a person says of a record to be made.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Its title.
    pub title: String,
    /// Its type; `record` when nobody says.
    pub kind: Option<String>,
}

/// A record that is ready to be written.
struct Making {
    record: Record,
    source: Bytes,
    document: Document,
}

/// Why something ready was not written.
enum NotMade {
    TooMany,
    TooLarge,
    Commit(CommitError),
    Read(ReadError),
}

impl From<ReadError> for NotMade {
    fn from(fault: ReadError) -> Self {
        Self::Read(fault)
    }
}

impl Records {
    /// Makes an empty record.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub async fn create(&self, new: NewRecord, grant: &Grant) -> Result<Record, CreateError> {
        if !grant.may_write() {
            return Err(CreateError::Forbidden);
        }
        let title = names::title(&new.title).map_err(|fault| match fault {
            TitleFault::Missing => CreateError::TitleMissing,
            TitleFault::TooLong => CreateError::TitleTooLong,
        })?;
        let kind = match &new.kind {
            None => names::KIND.to_owned(),
            Some(kind) => names::word(kind).ok_or(CreateError::Kind)?,
        };
        let now_ms = self.0.clock.now_ms();
        let _writing = self.0.writing.lock().await;
        let id = self.free_id(None, now_ms).await?;
        let file_name = names::file_of(&kind, &title).unwrap_or_else(|| format!("{id}.md"));
        let author = grant.name().to_owned();
        let status = names::DRAFT.to_owned();
        let record =
            Record { id, title, kind, status, author, created_ms: now_ms, updated_ms: now_ms, file_name };
        let source = head_of(&record).into();
        let made = self.make(Making { record, source, document: Document::default() }).await;
        made.map_err(|fault| match fault {
            NotMade::TooMany | NotMade::TooLarge => CreateError::TooMany,
            NotMade::Commit(fault) => fault.into(),
            NotMade::Read(fault) => fault.into(),
        })
    }

    /// Makes a record of a Markdown file. Its bytes are kept as they are.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn import(&self, file_name: &str, bytes: Bytes, grant: &Grant) -> Result<Record, ImportError> {
        if !grant.may_write() {
            return Err(ImportError::Forbidden);
        }
        if bytes.len() > RECORD_BODY_MAX_BYTES {
            return Err(ImportError::TooLarge);
        }
        let source = std::str::from_utf8(&bytes).map_err(|_| ImportError::NotUtf8)?;
        if source.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
            return Err(ImportError::Empty);
        }
        let split = front_matter::split(source);
        let said = front_matter::values(split.yaml)?;
        let body = split.body.to_owned();
        let reading = tokio::task::spawn_blocking(move || read(&body).document).await;
        let document = reading.map_err(|_| ImportError::NotSaved(CommitError::Closed))?;

        let now_ms = self.0.clock.now_ms();
        let _writing = self.0.writing.lock().await;
        let id = self.free_id(said.id.as_deref(), now_ms).await?;
        let record = imported(id, file_name, &said, &document, grant, now_ms);
        let made = self.make(Making { record, source: bytes, document }).await;
        made.map_err(|fault| match fault {
            NotMade::TooMany => ImportError::TooMany,
            NotMade::TooLarge => ImportError::TooLarge,
            NotMade::Commit(fault) => fault.into(),
            NotMade::Read(fault) => fault.into(),
        })
    }

    /// Gives a record another title, in its front matter too; nothing else of the front matter changes.
    ///
    /// # Errors
    /// See [`RenameError`].
    pub async fn rename(&self, id: &RecordId, title: &str, grant: &Grant) -> Result<Record, RenameError> {
        if !grant.may_write() {
            return Err(RenameError::Forbidden);
        }
        let title = names::title(title).map_err(|fault| match fault {
            TitleFault::Missing => RenameError::TitleMissing,
            TitleFault::TooLong => RenameError::TitleTooLong,
        })?;
        let _writing = self.0.writing.lock().await;
        let mut record = self.get(id).await?.ok_or(RenameError::NotFound)?;
        if record.title == title {
            return Ok(record);
        }
        let of = key(id);
        let source = self.reading(move |store| store.get(Table::Sources, &of)).await?.unwrap_or_default();
        let mut writes = Vec::with_capacity(2);
        if let Ok(text) = std::str::from_utf8(&source) {
            let split = front_matter::split(text);
            if let Some(head) = front_matter::with_title(split.head, &title) {
                let value = format!("{head}{}", split.body).into();
                writes.push(Write::Put { table: Table::Sources, key: key(id), value });
            }
        }
        record.title = title;
        record.updated_ms = self.0.clock.now_ms();
        writes.push(record.write()?);
        self.commit(writes).await?;
        Ok(record)
    }

    /// Writes row, source and first update in one commit.
    async fn make(&self, making: Making) -> Result<Record, NotMade> {
        if self.reading(full).await? {
            return Err(NotMade::TooMany);
        }
        let Making { record, source, document } = making;
        let update = self.0.scribe.seed(&record.id, &document).map_err(|_| NotMade::TooLarge)?;
        let writes = vec![
            record.write().map_err(NotMade::Commit)?,
            Write::Put { table: Table::Sources, key: key(&record.id), value: source },
            Write::Append { doc: DocName::of_record(&record.id), update },
        ];
        self.commit(writes).await.map_err(NotMade::Commit)?;
        Ok(record)
    }

    /// The wished id when it is valid and nobody has it, else a new one.
    async fn free_id(&self, wished: Option<&str>, now_ms: u64) -> Result<RecordId, ReadError> {
        let wished = wished.and_then(|id| RecordId::parse(id).ok());
        self.reading(move |store| {
            let numbered = (now_ms..).filter_map(|ms| RecordId::parse(&format!("record-{ms}")).ok());
            for id in wished.into_iter().chain(numbered) {
                if record::load(store, &id)?.is_none() && store.load(&DocName::of_record(&id))?.is_none() {
                    return Ok(id);
                }
            }
            Err(ReadError::Damaged("no id is free".to_owned()))
        })
        .await
    }
}

/// Whether there are as many records as there may be.
fn full(store: &Store) -> Result<bool, ReadError> {
    let mut count = 0;
    let mut from = Bytes::new();
    loop {
        let rows = store.scan(Table::Records, &from, RECORDS_READ_ROWS)?;
        count += rows.len();
        match rows.last() {
            Some((key, _)) if rows.len() == RECORDS_READ_ROWS && count < RECORDS_MAX => {
                from = [key, &b"\0"[..]].concat().into()
            }
            _ => return Ok(count >= RECORDS_MAX),
        }
    }
}

fn imported(
    id: RecordId,
    file_name: &str,
    said: &FrontMatter,
    document: &Document,
    grant: &Grant,
    now_ms: u64,
) -> Record {
    let title = said.title.as_deref().and_then(names::title_cut);
    let title = title.or_else(|| names::title_cut(&document.first_heading()?));
    let title = title.or_else(|| names::title_of_file(file_name)).unwrap_or_else(|| id.to_string());
    let word = |said: &Option<String>, other: &str| {
        said.as_deref().and_then(names::word).unwrap_or_else(|| other.to_owned())
    };
    Record {
        title,
        kind: word(&said.kind, names::KIND),
        status: word(&said.status, names::DRAFT),
        author: said.author.clone().unwrap_or_else(|| grant.name().to_owned()),
        created_ms: said.created.as_deref().and_then(moment).unwrap_or(now_ms),
        updated_ms: now_ms,
        file_name: names::file(file_name).unwrap_or_else(|| format!("{id}.md")),
        id,
    }
}

/// A time as front matter writes it.
fn moment(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The front matter of a record that is made here.
fn head_of(record: &Record) -> String {
    let quoted = front_matter::quoted;
    let created = OffsetDateTime::from_unix_timestamp(i64::try_from(record.created_ms / 1_000).unwrap_or(0));
    let created = created.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    format!(
        "---\nid: {}\ntitle: {}\ntype: {}\nstatus: {}\nauthor: {}\ncreated: {}\n---\n",
        quoted(record.id.as_str()),
        quoted(&record.title),
        record.kind,
        record.status,
        quoted(&record.author),
        quoted(&created),
    )
}
