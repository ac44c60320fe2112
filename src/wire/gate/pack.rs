//! Makes a client's structs shorter without changing what they say.
//!
//! Owns one rule: a struct that continues the one before it (the next clock, its origin the last one of the other,
//! the same right origin) is written as a part of it. Cut again at that clock, as every engine does when
//! something was put between, it is the same struct; so typing costs a byte a letter instead of twenty.

use super::GateError;
use super::content::{ANY, STRING};
use super::parse::{Id, Struct, has_parent_sub, read_struct};
use crate::wire::varint::{Reader, write_uint};

/// Structs of one kind that continue each other.
struct Chain<'a> {
    kind: u8,
    right_origin: Option<Id>,
    /// Everything of the first one that stands before its content.
    head: &'a [u8],
    /// Their lengths together: bytes of text, or how many values.
    length: u64,
    contents: Vec<u8>,
}

/// Writes the structs in `body`, which begin at clock `start` of `client`, shorter to `out`; says how many are left.
pub(super) fn pack(out: &mut Vec<u8>, body: &[u8], client: u64, start: u32) -> Result<u32, GateError> {
    let mut reader = Reader::new(body);
    let (mut clock, mut structs) = (start, 0);
    let mut open: Option<Chain<'_>> = None;
    while reader.left() > 0 {
        let at = reader.at();
        let one = read_struct(&mut reader)?;
        let content = body.get(one.content_at..reader.at()).unwrap_or_default();
        let last = (client, clock.wrapping_sub(1));
        clock += one.len;
        if let Some(chain) = open.as_mut().filter(|chain| chain.goes_on_with(&one, last)) {
            chain.add(content)?;
            continue;
        }
        structs += 1;
        if let Some(chain) = open.take() {
            chain.write(out);
        }
        if matches!(one.kind(), STRING | ANY) && !has_parent_sub(one.info) {
            let head = body.get(at..one.content_at).unwrap_or_default();
            let mut chain = Chain {
                kind: one.kind(),
                right_origin: one.right_origin,
                head,
                length: 0,
                contents: Vec::new(),
            };
            chain.add(content)?;
            open = Some(chain);
        } else {
            out.extend_from_slice(reader.since(at));
        }
    }
    if let Some(chain) = open {
        chain.write(out);
    }
    Ok(structs)
}

impl Chain<'_> {
    fn goes_on_with(&self, one: &Struct, last: Id) -> bool {
        one.kind() == self.kind
            && one.refers[0] == Some(last)
            && one.right_origin == self.right_origin
            && !has_parent_sub(one.info)
    }

    fn add(&mut self, content: &[u8]) -> Result<(), GateError> {
        let mut reader = Reader::new(content);
        self.length += reader.uint()?;
        self.contents.extend_from_slice(content.get(reader.at()..).unwrap_or_default());
        Ok(())
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        write_uint(out, self.length);
        out.extend_from_slice(&self.contents);
    }
}
