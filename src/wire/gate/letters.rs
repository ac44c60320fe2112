//! The letters inside an update, spelled another way.
//!
//! Owns finding the text of an update's structs and putting other text of the same length in its place.
//! Nothing else of the update changes. Does not know what the letters say.

use super::GateError;
use super::content::{STRING, fits};
use super::parse::read_struct;
use crate::wire::varint::{Reader, write_str};

/// Writes an update with other text: `spell` is given each run of letters and says how it is spelled instead.
/// The new spelling must have as many UTF-16 units; `None` leaves a run as it is.
///
/// # Errors
/// See [`GateError`].
pub fn spelled(update: &[u8], mut spell: impl FnMut(&str) -> Option<String>) -> Result<Vec<u8>, GateError> {
    let mut reader = Reader::new(update);
    let mut out = Vec::with_capacity(update.len());
    let mut written = 0;
    let sections = reader.uint()?;
    for _ in 0..fits(sections, &reader, 3)? {
        let structs = reader.uint()?;
        reader.uint()?; // client
        reader.uint()?; // first clock
        for _ in 0..fits(structs, &reader, 2)? {
            let one = read_struct(&mut reader)?;
            if one.kind() != STRING {
                continue;
            }
            let letters = Reader::new(&update[one.content_at..reader.at()]).str()?;
            if let Some(other) = spell(letters) {
                out.extend_from_slice(&update[written..one.content_at]);
                write_str(&mut out, &other);
                written = reader.at();
            }
        }
    }
    out.extend_from_slice(&update[written..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::varint::write_uint;

    #[test]
    fn only_the_letters_change() {
        let mut update = Vec::new();
        // one client, one struct: client 7, clock 0, text in a root called "t", then nothing deleted
        for number in [1, 1, 7, 0] {
            write_uint(&mut update, number);
        }
        update.push(STRING);
        update.push(1);
        write_str(&mut update, "t");
        write_str(&mut update, "hello");
        update.push(0);
        let shout = spelled(&update, |letters| Some(letters.to_uppercase())).unwrap();
        assert_eq!(shout.len(), update.len());
        assert!(shout.windows(5).any(|five| five == b"HELLO"));
        assert_eq!(spelled(&update, |_| None).unwrap(), update);
        assert!(spelled(&update[..8], |_| None).is_err());
    }
}
