//! What a back end emits as Node does, as publications: so the forum's rules hold for it too.
//!
//! Owns which of it is the forum's: what is for its rooms. Does not know who is in them.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::news::Publication;
use super::words::Target;
use crate::wire::emitter::decode;

/// One publication for each of the forum's rooms that it is for; none when it is somebody else's. What is not
/// understood is counted by whoever listens to the same for the other dialects.
pub(super) fn publications(channel: &str, body: &Bytes) -> Result<Vec<Publication>, String> {
    let Ok(emitted) = decode(channel, body) else { return Ok(Vec::new()) };
    let ours = emitted.rooms.iter().filter(|room| Target::read(room).is_some());
    let except: Vec<Target> = emitted.except.iter().filter_map(|room| Target::read(room)).collect();
    let mut all = Vec::new();
    for room in ours {
        let payload = payload(&emitted.arguments, !emitted.attachments.is_empty());
        let payload = payload.ok_or("the forum's events have one argument, without binary parts")?;
        let publication = Publication::new(Some(room), &emitted.name, payload);
        let publication = publication.map_err(|why| why.to_string())?;
        all.push(Publication { except: except.clone(), keep: !emitted.volatile, ..publication });
    }
    Ok(all)
}

/// The one argument of an event; `null` when it has none.
fn payload(arguments: &str, binary: bool) -> Option<Box<RawValue>> {
    let text = if arguments.is_empty() { "null" } else { arguments };
    RawValue::from_string(text.to_owned()).ok().filter(|_| !binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_argument_or_none() {
        let text = |arguments: &str, binary| payload(arguments, binary).map(|one| one.get().to_owned());
        assert_eq!(text("{\"a\":1}", false).as_deref(), Some("{\"a\":1}"));
        assert_eq!(text("", false).as_deref(), Some("null"));
        assert_eq!((text("1,2", false), text("{}", true)), (None, None));
    }
}
