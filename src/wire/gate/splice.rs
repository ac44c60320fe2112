//! Cutting and joining updates as bytes.
//!
//! Owns the way back from structure to update. Structs are copied as they are; only one that is cut in two is
//! written anew, as `Item.write` of Yjs does with an offset. So JSON keeps its form and order, and half an emoji
//! becomes U+FFFD exactly where Yjs makes it so.

use bytes::Bytes;

use super::content::{ANY, DELETED, GC, SKIP, STRING, skip_any};
use super::pack::pack;
use super::parse::{Struct, read_struct, united, with_origin};
use super::{GateError, Range, Run, StateVector, check};
use crate::wire::varint::{Reader, write_str, write_uint};

/// What of `update` is beyond `have`, all its deletes included: the answer to "this is what I have".
///
/// # Errors
/// When `update` does not pass the gate.
pub fn cut(update: &[u8], have: &StateVector) -> Result<Bytes, GateError> {
    join_beyond(&[update], have)
}

/// One update that says what all `updates` say, whatever their order, and shorter: structs that continue each other
/// become one. Where the updates leave clocks out, so does it.
///
/// # Errors
/// When one of them does not pass the gate.
pub fn join<B: AsRef<[u8]>>(updates: &[B]) -> Result<Bytes, GateError> {
    write(updates, &StateVector::default(), true)
}

/// What of all `updates` together is beyond `have`; structs stay as they are.
///
/// # Errors
/// When one of them does not pass the gate.
pub fn join_beyond<B: AsRef<[u8]>>(updates: &[B], have: &StateVector) -> Result<Bytes, GateError> {
    write(updates, have, false)
}

fn write<B: AsRef<[u8]>>(updates: &[B], have: &StateVector, packed: bool) -> Result<Bytes, GateError> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut deletes: Vec<Range> = Vec::new();
    let mut size = 0;
    for update in updates.iter().map(AsRef::as_ref) {
        let structure = check(update)?;
        size += update.len();
        for run in structure.runs.iter().filter(|run| run.range.end > have.clock(run.range.client)) {
            let bytes = update.get(run.from as usize..run.to as usize).unwrap_or_default();
            pieces.push(Piece { run: *run, bytes });
        }
        deletes.extend(structure.deletes);
    }
    // highest client first as Yjs writes them; of pieces that start alike the longest, so the others are skipped
    pieces.sort_by(|a, b| {
        let (a, b) = (a.run.range, b.run.range);
        b.client.cmp(&a.client).then(a.start.cmp(&b.start)).then(b.end.cmp(&a.end))
    });
    united(&mut deletes);
    let mut out = Vec::with_capacity(size + 16);
    write_blocks(&mut out, &pieces, have, packed)?;
    write_deletes(&mut out, &deletes);
    if out.len() < size / 2 {
        out.shrink_to_fit(); // a small difference of something large may be kept for a while
    }
    Ok(out.into())
}

/// A run and its bytes.
struct Piece<'a> {
    run: Run,
    bytes: &'a [u8],
}

fn write_blocks(
    out: &mut Vec<u8>,
    pieces: &[Piece<'_>],
    have: &StateVector,
    packed: bool,
) -> Result<(), GateError> {
    let clients = || pieces.chunk_by(|a, b| a.run.range.client == b.run.range.client);
    write_uint(out, clients().count() as u64);
    let (mut body, mut shorter) = (Vec::new(), Vec::new());
    for group in clients() {
        let Some(first) = group.first().map(|piece| piece.run.range) else { continue };
        let start = first.start.max(have.clock(first.client));
        let (mut reach, mut structs) = (start, 0);
        body.clear();
        for piece in group.iter().filter(|piece| piece.run.range.end > start) {
            let range = piece.run.range;
            if range.end <= reach {
                continue;
            }
            if range.start > reach {
                body.push(SKIP);
                write_uint(&mut body, u64::from(range.start - reach));
                structs += 1;
            }
            structs += write_from(&mut body, piece, reach.max(range.start))?;
            reach = range.end;
        }
        if packed {
            shorter.clear();
            structs = pack(&mut shorter, &body, first.client, start)?;
            std::mem::swap(&mut body, &mut shorter);
        }
        write_uint(out, u64::from(structs));
        write_uint(out, first.client);
        write_uint(out, u64::from(start));
        out.extend_from_slice(&body);
    }
    Ok(())
}

fn write_deletes(out: &mut Vec<u8>, deletes: &[Range]) {
    let clients = || deletes.chunk_by(|a, b| a.client == b.client);
    write_uint(out, clients().count() as u64);
    for group in clients().rev() {
        write_uint(out, group.first().map_or(0, |range| range.client));
        write_uint(out, group.len() as u64);
        for range in group {
            write_uint(out, u64::from(range.start));
            write_uint(out, u64::from(range.end - range.start));
        }
    }
}

/// Writes a piece's structs from clock `from` on; says how many.
fn write_from(out: &mut Vec<u8>, piece: &Piece<'_>, from: u32) -> Result<u32, GateError> {
    if from == piece.run.range.start {
        out.extend_from_slice(piece.bytes);
        return Ok(piece.run.structs);
    }
    let mut reader = Reader::new(piece.bytes);
    let mut clock = piece.run.range.start;
    let mut passed = 0;
    while clock < from {
        let at = reader.at();
        let one = read_struct(&mut reader)?;
        passed += 1;
        if clock + one.len > from {
            let content = piece.bytes.get(one.content_at..reader.at()).unwrap_or_default();
            write_rest(
                out,
                &one,
                (piece.run.range.client, clock),
                from - clock,
                (content, reader.since(at)),
            )?;
            passed -= 1;
        }
        clock += one.len;
    }
    out.extend_from_slice(piece.bytes.get(reader.at()..).unwrap_or_default());
    Ok(piece.run.structs - passed)
}

/// Writes what follows the first `offset` clocks of a struct.
fn write_rest(
    out: &mut Vec<u8>,
    one: &Struct,
    id: (u64, u32),
    offset: u32,
    (content, whole): (&[u8], &[u8]),
) -> Result<(), GateError> {
    let rest = u64::from(one.len - offset);
    if one.kind() == GC {
        out.push(GC);
        write_uint(out, rest);
        return Ok(());
    }
    let splits = matches!(one.kind(), STRING | ANY | DELETED);
    if !splits {
        out.extend_from_slice(whole); // takes one clock, so nothing can be inside it
        return Ok(());
    }
    out.push(with_origin(one.info));
    write_uint(out, id.0);
    write_uint(out, u64::from(id.1 + offset - 1));
    if let Some((client, clock)) = one.right_origin {
        write_uint(out, client);
        write_uint(out, u64::from(clock));
    }
    let mut reader = Reader::new(content);
    match one.kind() {
        STRING => write_str(out, &text_beyond(reader.str()?, u64::from(offset))),
        ANY => {
            reader.uint()?;
            for _ in 0..offset {
                skip_any(&mut reader, 1)?;
            }
            write_uint(out, rest);
            out.extend_from_slice(content.get(reader.at()..).unwrap_or_default());
        }
        _ => write_uint(out, rest),
    }
    Ok(())
}

/// The text behind `offset` UTF-16 units; the second half of an emoji becomes U+FFFD.
fn text_beyond(text: &str, offset: u64) -> String {
    let mut passed = 0;
    for (at, c) in text.char_indices() {
        if passed >= offset {
            return text.get(at..).unwrap_or_default().to_owned();
        }
        passed += c.len_utf16() as u64;
        if passed > offset {
            return format!("\u{fffd}{}", text.get(at + c.len_utf8()..).unwrap_or_default());
        }
    }
    String::new()
}
