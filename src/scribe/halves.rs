//! Emoji that were cut in half.
//!
//! Owns a spelling of letters beyond the basic plane in which each half is a letter of its own. Yjs counts
//! such a letter as two and may cut between them; the engine here would count wrong from there on, and lose
//! what comes after. Does not know trees.

use crate::wire::gate::{GateError, letters};

/// Letters that may stand for halves: private ones, of which a document that uses some hardly uses all.
const PLACES: [u32; 3] = [0xe000, 0xe800, 0xf000];
/// Halves there are: 1,024 first ones, 1,024 second ones.
const HALVES: u32 = 0x800;
const FIRST_HALF: u32 = 0xd800;

/// Which private letters stand for halves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halves(u32);

impl Halves {
    /// Letters that none of the parts uses; `None` when there is no need, or no room.
    pub(super) fn of(parts: &[&[u8]]) -> Result<Option<Self>, GateError> {
        let mut needed = false;
        let mut used = [false; PLACES.len()];
        for part in parts {
            letters::spelled(part, |text| {
                for letter in text.chars() {
                    needed |= letter.len_utf16() == 2;
                    for (place, used) in PLACES.iter().zip(&mut used) {
                        *used |= (*place..place + HALVES).contains(&u32::from(letter));
                    }
                }
                None
            })?;
        }
        let free = PLACES.iter().zip(used).find(|(_, used)| !used).map(|(place, _)| Self(*place));
        Ok(free.filter(|_| needed))
    }

    /// A part with every half spelled as a letter.
    pub(super) fn apart(self, part: &[u8]) -> Result<Vec<u8>, GateError> {
        letters::spelled(part, |text| {
            let long = text.chars().any(|letter| letter.len_utf16() == 2);
            long.then(|| text.chars().flat_map(|letter| self.split(letter)).collect())
        })
    }

    fn split(self, letter: char) -> Vec<char> {
        let mut units = [0u16; 2];
        if letter.len_utf16() == 1 {
            return vec![letter];
        }
        let halves = letter.encode_utf16(&mut units).iter();
        halves.filter_map(|half| char::from_u32(u32::from(*half) - FIRST_HALF + self.0)).collect()
    }

    /// Text with its halves put together again; a half without the other is `U+FFFD`, as Yjs has it.
    pub(super) fn joined(self, text: &str) -> String {
        let unit = |letter: char| {
            let half = u32::from(letter).checked_sub(self.0).filter(|half| *half < HALVES);
            half.and_then(|half| u16::try_from(half + FIRST_HALF).ok())
        };
        let mut units = Vec::with_capacity(text.len());
        for letter in text.chars() {
            match unit(letter) {
                Some(half) => units.push(half),
                None => units.extend_from_slice(letter.encode_utf16(&mut [0; 2])),
            }
        }
        String::from_utf16_lossy(&units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_letters_come_back_and_lone_halves_do_not() {
        let halves = Halves(PLACES[0]);
        let apart: String = "a😀é\u{10ffff}".chars().flat_map(|letter| halves.split(letter)).collect();
        assert_eq!(apart.chars().count(), 6);
        assert_eq!(halves.joined(&apart), "a😀é\u{10ffff}");
        let cut: String = apart.chars().take(2).collect();
        assert_eq!(halves.joined(&cut), "a\u{fffd}");
    }
}
