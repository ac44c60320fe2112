//! Records: list, make, import, open, rename, export.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OwnFace;
use super::answer::{Failure, Member, Said, body, is_type, rfc3339, sentence};
use crate::config::limits::RECORD_BODY_MAX_BYTES;
use crate::id::{DocKind, RecordId};
use crate::records::{CreateError, ExportError, ImportError, NewRecord, Record, RenameError};

#[derive(Deserialize)]
pub(super) struct Create {
    #[serde(default)]
    title: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Rename {
    #[serde(default)]
    title: String,
}

#[derive(Deserialize)]
pub(super) struct Import {
    #[serde(default)]
    file_name: String,
}

pub(super) async fn list(State(face): State<OwnFace>, Member(_): Member) -> Result<Response, Failure> {
    let records = face.records.list().await.map_err(|error| Failure::fault(&error))?;
    let here = here(&face);
    let shown: Vec<Value> = records.iter().map(|record| shown(record, &here)).collect();
    Ok(Json(json!({ "records": shown })).into_response())
}

pub(super) async fn create(
    State(face): State<OwnFace>,
    Member(by): Member,
    Said(Create { title, kind }): Said<Create>,
) -> Result<Response, Failure> {
    let made = face.records.create(NewRecord { title, kind }, &by).await;
    let record = made.map_err(|error| match error {
        CreateError::Forbidden => forbidden(),
        CreateError::TitleMissing => Failure::bad("title_missing", sentence(&error)),
        CreateError::TitleTooLong => Failure::bad("title_too_long", sentence(&error)),
        CreateError::Kind => Failure::bad("bad_type", sentence(&error)),
        CreateError::TooMany => Failure::new(StatusCode::CONFLICT, "too_many_records", sentence(&error)),
        CreateError::NotSaved(_) | CreateError::NotRead(_) => Failure::fault(&error),
    })?;
    tracing::info!(person = by.person(), record = %record.id, "record made");
    Ok((StatusCode::CREATED, one(&face, &record)).into_response())
}

/// The body is the file as it lies on the clerk's disk.
pub(super) async fn import(
    State(face): State<OwnFace>,
    Member(by): Member,
    Query(Import { file_name }): Query<Import>,
    request: Request,
) -> Result<Response, Failure> {
    if !is_type(request.headers(), "text/markdown") {
        let message = "Send the file as text/markdown.";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "markdown_expected", message));
    }
    if !by.may_write() {
        return Err(forbidden());
    }
    let bytes = body(request, RECORD_BODY_MAX_BYTES).await?;
    let record = face.records.import(&file_name, bytes, &by).await.map_err(|error| match error {
        ImportError::Forbidden => forbidden(),
        ImportError::NotUtf8 => Failure::bad("not_utf8", sentence(&error)),
        ImportError::Empty => Failure::bad("empty", sentence(&error)),
        ImportError::FrontMatter(_) => Failure::bad("front_matter", sentence(&error)),
        ImportError::TooLarge => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", sentence(&error)),
        ImportError::TooMany => Failure::new(StatusCode::CONFLICT, "too_many_records", sentence(&error)),
        ImportError::NotSaved(_) | ImportError::NotRead(_) => Failure::fault(&error),
    })?;
    tracing::info!(person = by.person(), record = %record.id, "record imported");
    Ok((StatusCode::CREATED, one(&face, &record)).into_response())
}

pub(super) async fn show(
    State(face): State<OwnFace>,
    Member(_): Member,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = record_id(&id)?;
    let record = face.records.get(&id).await.map_err(|error| Failure::fault(&error))?;
    let record = record.ok_or_else(no_such_record)?;
    let draft = face.records.draft(&id).await.map_err(|error| Failure::fault(&error))?;
    let here = here(&face);
    let draft = json!({ "state": draft.state, "why": draft.why });
    Ok(Json(json!({ "record": shown(&record, &here), "draft": draft })).into_response())
}

pub(super) async fn rename(
    State(face): State<OwnFace>,
    Member(by): Member,
    Path(id): Path<String>,
    Said(Rename { title }): Said<Rename>,
) -> Result<Response, Failure> {
    let renamed = face.records.rename(&record_id(&id)?, &title, &by).await;
    let record = renamed.map_err(|error| match error {
        RenameError::Forbidden => forbidden(),
        RenameError::NotFound => no_such_record(),
        RenameError::TitleMissing => Failure::bad("title_missing", sentence(&error)),
        RenameError::TitleTooLong => Failure::bad("title_too_long", sentence(&error)),
        RenameError::NotSaved(_) | RenameError::NotRead(_) => Failure::fault(&error),
    })?;
    Ok(one(&face, &record).into_response())
}

pub(super) async fn export(
    State(face): State<OwnFace>,
    Member(_): Member,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let export = face.records.export(&record_id(&id)?).await.map_err(|error| match error {
        ExportError::NotFound => no_such_record(),
        ExportError::NotRead(_) | ExportError::NotWritten(_) => {
            tracing::error!(%error, record = id, "an export failed");
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "not_exported", sentence(&error))
        }
    })?;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8")),
        (header::CONTENT_DISPOSITION, attachment(&export.file_name)),
    ];
    Ok((headers, export.markdown).into_response())
}

fn one(face: &OwnFace, record: &Record) -> Json<Value> {
    Json(json!({ "record": shown(record, &here(face)) }))
}

/// How many people are in each record's text.
fn here(face: &OwnFace) -> BTreeMap<RecordId, BTreeSet<String>> {
    let mut here: BTreeMap<RecordId, BTreeSet<String>> = BTreeMap::new();
    for found in face.rooms.here() {
        if let DocKind::Record(id) = found.doc.kind() {
            here.entry(id).or_default().insert(found.person);
        }
    }
    here
}

fn shown(record: &Record, here: &BTreeMap<RecordId, BTreeSet<String>>) -> Value {
    json!({
        "id": record.id,
        "title": record.title,
        "type": record.kind,
        "status": record.status,
        "created_at": rfc3339(record.created_ms),
        "updated_at": rfc3339(record.updated_ms),
        "people": here.get(&record.id).map_or(0, BTreeSet::len),
    })
}

fn record_id(text: &str) -> Result<RecordId, Failure> {
    RecordId::parse(text).map_err(|error| Failure::bad("bad_id", sentence(&error)))
}

fn no_such_record() -> Failure {
    Failure::not_found("There is no such record.")
}

fn forbidden() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "not_allowed", "You may read, but not write here.")
}

/// `Content-Disposition` with the name for every browser: plain ASCII, and RFC 5987 for the rest.
fn attachment(file_name: &str) -> HeaderValue {
    let plain: String = file_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    let exact: String = file_name
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let value = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}");
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_name_in_every_browser() {
        assert_eq!(
            attachment("règlement \"bruit\".md").to_str().unwrap(),
            "attachment; filename=\"r_glement _bruit_.md\"; filename*=UTF-8''r%C3%A8glement%20%22bruit%22.md"
        );
    }
}
