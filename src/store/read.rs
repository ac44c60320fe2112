//! Reading back: a document from its newest good snapshot and the rows after it, rows of tables, what changed.
//!
//! Owns the proof that what is returned is what was written: every row's checksum, and that no row is missing.
//! Does not know who asks, nor what the bytes mean.

use bytes::Bytes;

use super::apply::{find, head, named};
use super::log::{Fault, Rows};
use super::row::{
    Head, ORDER, end_of_stamps, end_of_table, key_log, key_order, key_snapshot, key_stamp, key_table, seq_of,
    unseal, unseal_number, unseal_numbered,
};
use super::snapshot::unpack;
use super::{Loaded, Table};
use crate::id::{DocName, Seq};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Reason;

/// Reads a document.
pub(super) fn document(rows: &impl Rows, doc: &DocName, metrics: &Metrics) -> Result<Option<Loaded>, Fault> {
    let Some((number, head)) = find(rows, doc)? else { return Ok(None) };
    let snapshot = newest_good(rows, doc, number, &head, metrics)?;
    let from = snapshot.as_ref().map_or(0, |(upto, _)| upto.0);
    let tail = tail(rows, doc, number, &head, from)?;
    Ok(Some(Loaded { snapshot, tail }))
}

/// The newest snapshot that is whole. When none is, but the whole log is there, that is enough.
fn newest_good(
    rows: &impl Rows,
    doc: &DocName,
    number: u64,
    head: &Head,
    metrics: &Metrics,
) -> Result<Option<(Seq, Bytes)>, Fault> {
    let mut why = String::new();
    for upto in head.snapshots.iter().rev() {
        match snapshot(rows, number, *upto) {
            Ok(state) => return Ok(Some((Seq(*upto), state))),
            Err(Fault::Damaged(what)) => {
                tracing::error!(%doc, upto, what, "a snapshot is damaged on disk; the one before it is used");
                metrics.snapshots.get_or_create(&Reason { reason: "damaged" }).inc();
                why = what;
            }
            Err(other) => return Err(other),
        }
    }
    if head.floor == 0 {
        return Ok(None);
    }
    Err(Fault::Damaged(format!("document {doc}: no snapshot can be read: {why}")))
}

fn snapshot(rows: &impl Rows, number: u64, upto: u64) -> Result<Bytes, Fault> {
    let key = key_snapshot(number, upto);
    let sealed = rows.get(&key)?.ok_or_else(|| Fault::Damaged("the snapshot is missing".into()))?;
    let state = unpack(unseal(&key, &sealed)?).map_err(|why| Fault::Damaged(why.into()))?;
    Ok(state.into())
}

/// The rows after `from`. Each row names the one before it and the head names the last: a lost row is noticed.
fn tail(
    rows: &impl Rows,
    doc: &DocName,
    number: u64,
    head: &Head,
    from: u64,
) -> Result<Vec<(Seq, Bytes)>, Fault> {
    let mut tail: Vec<(Seq, Bytes)> = Vec::new();
    let damaged = |seq: u64, why: &str| Fault::Damaged(format!("document {doc}: row {seq}: {why}"));
    let end = key_log(number, u64::MAX);
    rows.each(&key_log(number, from.saturating_add(1)), &end, &mut |key, sealed| {
        let seq = seq_of(key)?;
        let (before, update) =
            unseal_numbered(key, sealed).map_err(|fault| named(doc, &format!("row {seq}"), fault))?;
        let follows = match tail.last() {
            Some((last, _)) => before == last.0 && seq > last.0,
            None => before <= from,
        };
        if !follows || seq > head.last {
            return Err(damaged(seq, "the row before it is missing"));
        }
        tail.push((Seq(seq), Bytes::copy_from_slice(update)));
        Ok(true)
    })?;
    let end = tail.last().map_or(from, |(last, _)| last.0);
    if end < head.last {
        return Err(damaged(head.last, "the row is missing"));
    }
    Ok(tail)
}

/// Reads a row of a table. It must agree with its stamp, which lies elsewhere.
pub(super) fn row(rows: &impl Rows, table: Table, key: &[u8]) -> Result<Option<Bytes>, Fault> {
    let (row, stamp) = (key_table(table, key), key_stamp(table, key));
    match (rows.get(&row)?, rows.get(&stamp)?) {
        (Some(sealed), Some(sealed_stamp)) => {
            let (number, value) = unseal_numbered(&row, &sealed)?;
            if number != unseal_number(&stamp, &sealed_stamp)? {
                return Err(Fault::Damaged("a row is not the newest one".into()));
            }
            Ok(Some(Bytes::copy_from_slice(value)))
        }
        (None, None) => Ok(None),
        _ => Err(Fault::Damaged("a row is missing".into())),
    }
}

/// Reads rows of a table in key order, and their stamps beside them.
pub(super) fn scan(
    rows: &impl Rows,
    table: Table,
    from: &[u8],
    most: usize,
) -> Result<Vec<(Bytes, Bytes)>, Fault> {
    let mut found: Vec<(Bytes, Bytes)> = Vec::new();
    let mut numbers: Vec<u64> = Vec::new();
    if most == 0 {
        return Ok(found);
    }
    rows.each(&key_table(table, from), &end_of_table(table), &mut |key, sealed| {
        let (number, value) = unseal_numbered(key, sealed)?;
        found.push((Bytes::copy_from_slice(key.get(1..).unwrap_or_default()), Bytes::copy_from_slice(value)));
        numbers.push(number);
        Ok(found.len() < most)
    })?;
    let mut stamped = 0;
    rows.each(&key_stamp(table, from), &end_of_stamps(table), &mut |key, sealed| {
        let agrees = found.get(stamped).is_some_and(|(row, _)| Some(&row[..]) == key.get(1..))
            && numbers.get(stamped) == Some(&unseal_number(key, sealed)?);
        if !agrees {
            return Err(Fault::Damaged("a row of a table is missing, or not the newest one".into()));
        }
        stamped += 1;
        Ok(stamped < most)
    })?;
    if stamped != found.len() {
        return Err(Fault::Damaged("the stamp of a table's row is missing".into()));
    }
    Ok(found)
}

/// The documents whose newest row is behind `after`, oldest first. A document stands there once.
pub(super) fn changed_after(rows: &impl Rows, after: Seq, most: usize) -> Result<Vec<(Seq, DocName)>, Fault> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    if most == 0 {
        return Ok(Vec::new());
    }
    rows.each(&key_order(after.0.saturating_add(1)), &ORDER.1, &mut |key, sealed| {
        found.push((seq_of(key)?, unseal_number(key, sealed)?));
        Ok(found.len() < most)
    })?;
    let named = found.into_iter().map(|(seq, number)| {
        let head = head(rows, number)?;
        if head.last != seq {
            return Err(Fault::Damaged(format!("document {}: its place in the order is wrong", head.name)));
        }
        let doc =
            DocName::parse(&head.name).map_err(|why| Fault::Damaged(format!("a document's name: {why}")))?;
        Ok((Seq(seq), doc))
    });
    named.collect()
}
