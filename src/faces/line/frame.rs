//! Frames as a server writes them (RFC 6455, 5.2): never masked, never in pieces, so the same bytes for every reader.
//!
//! Owns their bytes. Does not know what is said in them, nor to whom.

use bytes::Bytes;

/// Opcodes with the final bit.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// The longest head.
const HEAD_MAX_BYTES: usize = 10;

/// A ping without content.
pub(in crate::faces) const PING: Bytes = Bytes::from_static(&[0x89, 0]);

/// A text message as a whole frame.
pub(in crate::faces) fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + HEAD_MAX_BYTES);
    put_frame(&mut out, TEXT, text);
    out
}

/// A binary message as a whole frame.
pub(in crate::faces) fn binary_frame(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + HEAD_MAX_BYTES);
    put_frame(&mut out, BINARY, bytes);
    out.into()
}

/// A binary message as a whole frame behind what is there already.
pub(in crate::faces) fn put_binary_frame(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + HEAD_MAX_BYTES);
    put_frame(out, BINARY, bytes);
}

/// What goes in front of a binary message of `len` bytes.
pub(in crate::faces) fn binary_head(len: usize) -> Bytes {
    let mut out = Vec::with_capacity(HEAD_MAX_BYTES);
    put_head(&mut out, BINARY, len);
    out.into()
}

fn put_frame(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    put_head(out, kind, content.len());
    out.extend_from_slice(content);
}

fn put_head(out: &mut Vec<u8>, kind: u8, len: usize) {
    out.push(kind);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..126), _) => out.push(short),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The messages in frames of our own: whether it is text, and what it says.
pub(in crate::faces) fn messages(mut frames: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, rest) = frames.split_first()?;
        let (short, rest) = rest.split_first()?;
        let (len, rest) = match short {
            126 => {
                rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?
            }
            127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
            len => (usize::from(*len), rest),
        };
        let (message, after) = rest.split_at_checked(len)?;
        frames = after;
        Some((*kind == TEXT, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_whatever_their_length() {
        for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 100_000] {
            let content = vec![b'x'; len];
            let mut frames = text_frame(&content);
            put_binary_frame(&mut frames, b"after");
            let heard: Vec<_> = messages(&frames).collect();
            assert_eq!(heard, [(true, &content[..]), (false, &b"after"[..])], "{len}");
        }
        assert_eq!(&text_frame(b"2")[..], [0x81, 1, b'2']);
        assert_eq!(&text_frame(&[b'a'; 200])[..4], [0x81, 126, 0, 200]);
        assert_eq!(&text_frame(&[b'a'; 70_000])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
