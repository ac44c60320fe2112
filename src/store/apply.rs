//! What each change does to the rows: appending, snapshots and their generations, rows of tables.
//!
//! Owns retention: which log rows and snapshots may go. Does not know threads, files or who asked.

use std::collections::HashMap;

use bytes::Bytes;

use super::Table;
use super::log::{Fault, Rows, Writing};
use super::row::{
    Census, Head, KEY_CENSUS, key_head, key_log, key_name, key_name_again, key_order, key_snapshot,
    key_stamp, key_table, seal, seal_number, seal_numbered, unseal_number,
};
use crate::config::limits::SNAPSHOT_GENERATIONS;
use crate::id::DocName;

/// One change, made ready by the caller so that the writer has little to do.
#[derive(Debug)]
pub(super) enum Change {
    /// One more row in a document's log.
    Append { doc: DocName, update: Bytes },
    /// A packed state that holds a document's rows up to `upto`.
    Snapshot { doc: DocName, upto: u64, frame: Vec<u8> },
    /// A row of a table.
    Put { table: Table, key: Bytes, value: Bytes },
    /// A row of a table goes.
    Delete { table: Table, key: Bytes },
    /// Rows of a table go.
    DeleteRange { table: Table, from: Bytes, to: Bytes },
}

impl Change {
    /// Bytes it holds.
    pub(super) fn len(&self) -> usize {
        64 + match self {
            Self::Append { update, .. } => update.len(),
            Self::Snapshot { frame, .. } => frame.len(),
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, .. } => key.len(),
            Self::DeleteRange { from, to, .. } => from.len() + to.len(),
        }
    }
}

/// One transaction's work: what was read of each document is kept until the end and written once.
pub(super) struct Applying<'a, 'txn> {
    rows: &'a mut Writing<'txn>,
    census: Census,
    /// Heads by name: number, head, and the row that the order has for it.
    heads: HashMap<DocName, (u64, Head, u64)>,
}

impl<'a, 'txn> Applying<'a, 'txn> {
    /// Starts from what the file says.
    pub(super) fn new(rows: &'a mut Writing<'txn>) -> Result<Self, Fault> {
        let census = match rows.get(&KEY_CENSUS)? {
            Some(sealed) => Census::unseal(&sealed)?,
            None => return Err(Fault::Damaged("the count of rows is missing".into())),
        };
        Ok(Self { rows, census, heads: HashMap::new() })
    }

    /// The last row of the log so far.
    pub(super) fn tip(&self) -> u64 {
        self.census.tip
    }

    /// Does one change.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Append { doc, update } => self.append(doc, update),
            Change::Snapshot { doc, upto, frame } => self.snapshot(doc, *upto, frame),
            Change::Put { table, key, value } => {
                self.census.stamp += 1;
                let (stamp, row) = (key_stamp(*table, key), key_table(*table, key));
                self.rows.put(&stamp, &seal_number(&stamp, self.census.stamp))?;
                self.rows.put(&row, &seal_numbered(&row, self.census.stamp, value))
            }
            Change::Delete { table, key } => {
                self.rows.delete(&key_stamp(*table, key))?;
                self.rows.delete(&key_table(*table, key))
            }
            Change::DeleteRange { table, from, to } => {
                self.rows.delete_range(&key_stamp(*table, from), &key_stamp(*table, to))?;
                self.rows.delete_range(&key_table(*table, from), &key_table(*table, to))
            }
        }
    }

    /// Writes what was kept. Without it the transaction makes no sense.
    pub(super) fn finish(self) -> Result<(), Fault> {
        for (number, head, ordered) in self.heads.values() {
            let key = key_head(*number);
            self.rows.put(&key, &head.seal(&key))?;
            if *ordered != head.last {
                if *ordered != 0 {
                    self.rows.delete(&key_order(*ordered))?;
                }
                let key = key_order(head.last);
                self.rows.put(&key, &seal_number(&key, *number))?;
            }
        }
        self.rows.put(&KEY_CENSUS, &self.census.seal())?;
        Ok(())
    }

    fn append(&mut self, doc: &DocName, update: &[u8]) -> Result<(), Fault> {
        let seq = self.census.tip + 1;
        let (number, before) = match self.find(doc)? {
            Some((number, head, _)) => (*number, std::mem::replace(&mut head.last, seq)),
            None => (self.make(doc, seq)?, 0),
        };
        let key = key_log(number, seq);
        self.rows.put(&key, &seal_numbered(&key, before, update))?;
        self.census.tip = seq;
        Ok(())
    }

    /// Gives a new document its number.
    fn make(&mut self, doc: &DocName, seq: u64) -> Result<u64, Fault> {
        let number = self.census.docs + 1;
        for key in [key_name(doc.as_str()), key_name_again(doc.as_str())] {
            self.rows.put(&key, &seal_number(&key, number))?;
        }
        self.census.docs = number;
        let head = Head { name: doc.as_str().to_owned(), last: seq, ..Head::default() };
        self.heads.insert(doc.clone(), (number, head, 0));
        Ok(number)
    }

    /// Keeps a snapshot, and retires what no kept one needs any more. Log rows go only behind the oldest kept
    /// snapshot, and only once every generation is there: until then the whole log is the last resort.
    fn snapshot(&mut self, doc: &DocName, upto: u64, frame: &[u8]) -> Result<(), Fault> {
        let Some((number, head, _)) = self.find(doc)? else {
            tracing::warn!(%doc, "a snapshot of a document without a log was left out");
            return Ok(());
        };
        let number = *number;
        let upto = upto.min(head.last);
        if head.snapshots.last().is_some_and(|newest| upto < *newest) {
            return Ok(());
        }
        if head.snapshots.last() != Some(&upto) {
            head.snapshots.push(upto);
        }
        let retired: Vec<u64> =
            head.snapshots.drain(..head.snapshots.len().saturating_sub(SNAPSHOT_GENERATIONS)).collect();
        let gone = match head.snapshots.first() {
            Some(oldest) if head.snapshots.len() == SNAPSHOT_GENERATIONS && *oldest > head.floor => {
                let from = std::mem::replace(&mut head.floor, *oldest);
                Some((from, *oldest))
            }
            _ => None,
        };
        let key = key_snapshot(number, upto);
        self.rows.put(&key, &seal(&key, &[frame]))?;
        for old in retired {
            self.rows.delete(&key_snapshot(number, old))?;
        }
        if let Some((from, upto)) = gone {
            self.rows.delete_range(&key_log(number, from), &key_log(number, upto.saturating_add(1)))?;
        }
        Ok(())
    }

    fn find(&mut self, doc: &DocName) -> Result<Option<&mut (u64, Head, u64)>, Fault> {
        if !self.heads.contains_key(doc) {
            let Some((number, head)) = find(self.rows, doc)? else { return Ok(None) };
            let ordered = head.last;
            self.heads.insert(doc.clone(), (number, head, ordered));
        }
        Ok(self.heads.get_mut(doc))
    }
}

/// A document's number and head; `None` when it was never made.
pub(super) fn find(rows: &impl Rows, doc: &DocName) -> Result<Option<(u64, Head)>, Fault> {
    let key = key_name(doc.as_str());
    let Some(sealed) = rows.get(&key)? else {
        return match rows.get(&key_name_again(doc.as_str()))? {
            Some(_) => Err(Fault::Damaged(format!("document {doc}: its name is missing"))),
            None => Ok(None),
        };
    };
    let number = unseal_number(&key, &sealed).map_err(|fault| named(doc, "its name", fault))?;
    let head = head(rows, number).map_err(|fault| named(doc, "its list of rows", fault))?;
    if head.name != doc.as_str() {
        return Err(Fault::Damaged(format!("document {doc}: its name leads to another document")));
    }
    // A head that is old but whole would hide rows: the order, which lies elsewhere, must agree with it.
    let key = key_order(head.last);
    match rows.get(&key)?.map(|sealed| unseal_number(&key, &sealed)) {
        Some(Ok(ordered)) if ordered == number => Ok(Some((number, head))),
        _ => Err(Fault::Damaged(format!("document {doc}: its list of rows is not the newest one"))),
    }
}

/// A document's head by its number.
pub(super) fn head(rows: &impl Rows, number: u64) -> Result<Head, Fault> {
    let key = key_head(number);
    match rows.get(&key)? {
        Some(sealed) => Head::unseal(&key, &sealed),
        None => Err(Fault::Damaged(format!("document number {number} is missing"))),
    }
}

/// Says which document a fault is about.
pub(super) fn named(doc: &DocName, what: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Damaged(why) => Fault::Damaged(format!("document {doc}: {what}: {why}")),
        other => other,
    }
}
