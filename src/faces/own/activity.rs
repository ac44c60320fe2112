//! What is going on in the office, for whoever looks after it: rooms, messages, who came back, the bus, refusals.
//!
//! Owns the page's form of figures that others count. They are sums since the start; the page makes rates of them. No
//! secret is among them, and people go by the names that the office shows anyway.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::OwnFace;
use super::answer::{Host, rfc3339};
use crate::bus::Bus;
use crate::config::limits::{ACTIVITY_NAMES_MAX, ACTIVITY_REASONS_MAX, ACTIVITY_ROOMS_MAX};
use crate::id::{DocKind, DocName};

/// The result of taking up a session that is none of the reasons why not.
const TAKEN_UP: &str = "recovered";

pub(super) async fn show(State(face): State<OwnFace>, Host(_): Host) -> Response {
    let (documents, people) = documents(&face);
    let (channels, channels_more) = channels(&face).await;
    let documents_more = documents.len().saturating_sub(ACTIVITY_ROOMS_MAX);
    let mut shown = Vec::new();
    for (doc, names) in documents.into_iter().take(ACTIVITY_ROOMS_MAX) {
        shown.push(document(&face, &doc, &names).await);
    }
    let figures = &face.metrics;
    Json(json!({
        "at_ms": face.clock.now_ms(),
        "started_at": rfc3339(face.started_ms),
        "people": {
            "in_documents": people,
            "in_channels": figures.members.get(),
            "connections": figures.connections.get(),
        },
        "documents": { "rooms": shown, "more": documents_more },
        "channels": { "rooms": channels, "more": channels_more },
        "messages": {
            "received": figures.messages_in.get(),
            "sent": figures.messages_out.get(),
            "edits_saved": figures.edits_saved.get(),
            "kept": figures.said.get("kept"),
            "passing": figures.said.get("passing"),
            "delivered": figures.delivered.get(),
        },
        "recoveries": recoveries(&face),
        "bus": bus(&face),
        "refused": refused(&face),
        "store": { "state": face.desk.office().store, "waiting": figures.writer_queue.get() },
    }))
    .into_response()
}

/// Who is in which document, the fullest first; and how many people that is in all.
fn documents(face: &OwnFace) -> (Vec<(DocName, Vec<String>)>, usize) {
    let mut documents: BTreeMap<DocName, Vec<String>> = BTreeMap::new();
    let mut people = Vec::new();
    for here in face.rooms.here() {
        documents.entry(here.doc).or_default().push(here.name);
        people.push(here.person);
    }
    people.sort_unstable();
    people.dedup();
    let mut documents: Vec<_> = documents.into_iter().collect();
    documents.sort_by_key(|(_, names)| Reverse(names.len()));
    (documents, people.len())
}

async fn document(face: &OwnFace, doc: &DocName, names: &[String]) -> Value {
    let record = match doc.kind() {
        DocKind::Record(id) => face.records.get(&id).await.ok().flatten(),
        _ => None,
    };
    json!({
        "name": doc.as_str(),
        "record": record.as_ref().map(|record| &record.id),
        "title": record.as_ref().map(|record| &record.title),
        "people": names.len(),
        "names": names.iter().take(ACTIVITY_NAMES_MAX).collect::<Vec<_>>(),
    })
}

/// The rooms of channels, the fullest first, and how many more there are.
async fn channels(face: &OwnFace) -> (Vec<Value>, usize) {
    let spaces = face.spaces.fullest(ACTIVITY_ROOMS_MAX).await;
    let more: usize = spaces.iter().map(|(_, space)| space.more).sum();
    let mut rooms: Vec<_> = spaces
        .into_iter()
        .flat_map(|(name, space)| space.rooms.into_iter().map(move |room| (name, room)))
        .collect();
    rooms.sort_by_key(|(_, crowded)| Reverse(crowded.members));
    let cut = rooms.len().saturating_sub(ACTIVITY_ROOMS_MAX);
    rooms.truncate(ACTIVITY_ROOMS_MAX);
    let shown = rooms.into_iter().map(|(space, crowded)| {
        let room = crowded.room.as_str();
        json!({ "space": space, "name": room, "people": crowded.people, "connections": crowded.members })
    });
    (shown.collect(), more + cut)
}

/// Who came: taken up again where they were, not taken up and why, or new.
fn recoveries(face: &OwnFace) -> Value {
    let results = face.metrics.recoveries.list();
    let asked: u64 = results.iter().map(|(_, count)| count).sum();
    let refused: Vec<_> = results
        .iter()
        .filter(|(word, _)| *word != TAKEN_UP)
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect();
    json!({
        "taken_up": face.metrics.recoveries.get(TAKEN_UP),
        "not_taken_up": refused,
        "new": face.metrics.arrivals.get().saturating_sub(asked),
    })
}

fn bus(face: &OwnFace) -> Value {
    let state = face.bus.state().borrow().clone();
    json!({
        "kind": state.kind,
        "up": state.up,
        "since": rfc3339(state.since_ms),
        "last_error": state.last_error,
        "last_error_code": state.last_error.as_deref().map(Bus::why_code),
        "waiting": face.bus.waiting(),
        "received": face.metrics.bus_messages_in.get(),
        "sent": face.metrics.bus_messages_out.get(),
    })
}

/// What was not let in or not understood, the most frequent first.
fn refused(face: &OwnFace) -> Value {
    let mut reasons = face.metrics.refused.list();
    reasons.sort_by_key(|(_, count)| Reverse(*count));
    let rest: u64 = reasons.iter().skip(ACTIVITY_REASONS_MAX).map(|(_, count)| count).sum();
    let shown = reasons.iter().take(ACTIVITY_REASONS_MAX);
    let shown: Vec<_> = shown.map(|(reason, count)| json!({ "reason": reason, "count": count })).collect();
    json!({ "reasons": shown, "other": rest })
}
