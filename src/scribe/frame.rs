//! What the server and the scribe say to each other over its standard input and output.
//!
//! Owns the frames: a length of four bytes, big end first, then the content. A question is the parts of a
//! document, each with its length; an answer is one byte for "read" or "not read", then a state vector with
//! its length and the tree as JSON, or the reason as text. Does not know processes.

use bytes::Bytes;

use super::ScribeError;
use crate::config::limits::{SCRIBE_PARTS_MAX, SCRIBE_QUESTION_MAX_BYTES};
use crate::text::Document;

/// Bytes of a length.
pub(super) const LENGTH: usize = 4;
const READ: u8 = 0;
const NOT_READ: u8 = 1;

/// A question, ready to be written: the frame's head and the parts between their lengths.
pub(super) fn question(parts: &[Bytes]) -> Result<Vec<Bytes>, ScribeError> {
    let all: usize = parts.iter().map(|part| part.len() + LENGTH).sum();
    if all > SCRIBE_QUESTION_MAX_BYTES || parts.len() > SCRIBE_PARTS_MAX {
        return Err(ScribeError::TooLarge);
    }
    let mut frame = Vec::with_capacity(1 + 2 * parts.len());
    frame.push(length(all)?);
    for part in parts {
        frame.push(length(part.len())?);
        frame.push(part.clone());
    }
    Ok(frame)
}

fn length(bytes: usize) -> Result<Bytes, ScribeError> {
    let length = u32::try_from(bytes).map_err(|_| ScribeError::TooLarge)?;
    Ok(Bytes::copy_from_slice(&length.to_be_bytes()))
}

/// The parts of a question's content; `None` when it is cut or has too many.
pub(super) fn parts(mut content: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !content.is_empty() {
        let (head, rest) = content.split_first_chunk::<LENGTH>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*head) as usize)?;
        if parts.len() == SCRIBE_PARTS_MAX {
            return None;
        }
        parts.push(part);
        content = rest;
    }
    Some(parts)
}

/// The content of an answer.
pub(super) fn answer(read: Result<(Document, Vec<u8>), String>) -> Vec<u8> {
    let written = read.and_then(|(document, vector)| {
        let mut content = vec![READ];
        let length = u32::try_from(vector.len()).map_err(|_| "too many people".to_owned())?;
        content.extend_from_slice(&length.to_be_bytes());
        content.extend_from_slice(&vector);
        serde_json::to_writer(&mut content, &document).map_err(|fault| fault.to_string())?;
        Ok(content)
    });
    written.unwrap_or_else(|why| [&[NOT_READ], why.as_bytes()].concat())
}

/// Reads an answer's content: the tree and the state vector.
pub(super) fn read_answer(content: &Bytes) -> Result<(Document, Bytes), ScribeError> {
    let (kind, rest) = content.split_first().ok_or(ScribeError::Died)?;
    if *kind != READ {
        let why: String =
            String::from_utf8_lossy(rest).chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(ScribeError::Unreadable(why));
    }
    let nonsense = || ScribeError::Unreadable("its answer makes no sense".to_owned());
    let (head, rest) = rest.split_first_chunk::<LENGTH>().ok_or_else(nonsense)?;
    let (vector, json) = rest.split_at_checked(u32::from_be_bytes(*head) as usize).ok_or_else(nonsense)?;
    let document = serde_json::from_slice(json).map_err(|_| nonsense())?;
    Ok((document, content.slice_ref(vector)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_read_back() {
        let asked = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        let frame = question(&asked).unwrap().concat();
        assert_eq!(frame[..LENGTH], u32::to_be_bytes((frame.len() - LENGTH) as u32));
        assert_eq!(parts(&frame[LENGTH..]).unwrap(), [b"one".as_slice(), b"", b"three"]);
        assert_eq!(parts(&frame[LENGTH..frame.len() - 1]), None);

        let document = crate::text::read("# Text\n").document;
        let content = Bytes::from(answer(Ok((document.clone(), vec![1, 2]))));
        assert_eq!(read_answer(&content).unwrap(), (document, Bytes::from_static(&[1, 2])));
        let refused = Bytes::from(answer(Err("why".to_owned())));
        assert_eq!(read_answer(&refused), Err(ScribeError::Unreadable("why".to_owned())));
        for nonsense in ["", "\0", "\0\0\0\0\u{9}x", "\0\0\0\0\0{}"] {
            assert!(read_answer(&Bytes::from(nonsense)).is_err(), "{nonsense:?}");
        }
    }
}
