//! The journal's file: a small file beside the database that takes what was committed last.
//!
//! Owns the file: making it at its full size, so that writing to it changes nothing but its content and reaches the
//! disk in one short step; and where in it the next record goes. Does not know what is in a record, nor when it is of
//! no more use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::folder::sync_folder;
use super::log::Fault;
#[cfg(test)]
use super::log::failing;
use super::private;
use super::redo::place;
use crate::config::limits::JOURNAL_BYTES;

pub(super) const FILE: &str = "townhall.journal";
const FILE_NEW: &str = "townhall.journal.new";

/// How the file begins.
const HEADER: [u8; 16] = *b"townhall journ1\n";
/// Bytes for records; tests come to its end soon.
const AREA: usize = if cfg!(test) { 16 * 1024 } else { JOURNAL_BYTES };

/// The open file.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Where the next record goes.
    at: usize,
}

impl Journal {
    /// Opens the file of a folder. `Ok(None)`: there is none. What is no whole journal is damage.
    pub(super) fn open(dir: &Path) -> Result<Option<Self>, Fault> {
        let path = dir.join(FILE);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::Disk(format!("{}: {error}", path.display()))),
        };
        let mut header = [0; HEADER.len()];
        let is_whole = file.metadata()?.len() == (HEADER.len() + AREA) as u64;
        if !is_whole || file.read_exact(&mut header).is_err() || header != HEADER {
            return Err(Fault::Damaged("the journal is cut short, or is none".into()));
        }
        Ok(Some(Self { file, path, at: 0 }))
    }

    /// Makes the file anew, in the place of one that may be there. It gets its whole size now, on disk.
    pub(super) fn make(dir: &Path) -> Result<Self, Fault> {
        let (path, new) = (dir.join(FILE), dir.join(FILE_NEW));
        let made = make(&path, &new);
        if made.is_err() {
            // Half of it would only take room.
            let _ = fs::remove_file(&new);
        }
        Ok(Self { file: made?, path, at: 0 })
    }

    /// Everything that may be records.
    pub(super) fn area(&mut self) -> Result<Vec<u8>, Fault> {
        let mut area = vec![0; AREA];
        self.file.seek(SeekFrom::Start(HEADER.len() as u64))?;
        self.file.read_exact(&mut area)?;
        Ok(area)
    }

    /// Whether a record of so many bytes has room.
    pub(super) fn has_room(&self, record: usize) -> bool {
        self.at + record <= AREA
    }

    /// Writes a record. It survives the end of this program from here on, and the computer's after [`Journal::sync`].
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), Fault> {
        #[cfg(test)]
        failing::strike(&self.path)?;
        write_at(&self.file, record, (HEADER.len() + self.at) as u64)?;
        self.at += place(record.len());
        Ok(())
    }

    /// Waits until the disk has everything.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        #[cfg(test)]
        return Ok(failing::strike(&self.path)?);
        #[cfg(not(test))]
        Ok(self.file.sync_data()?)
    }

    /// Begins again: nothing that was written is needed any more.
    pub(super) fn restart(&mut self) {
        self.at = 0;
    }

    /// For logs.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes in one call to the system where that is possible.
#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Moves the place where the file is read on, which nobody relies on.
#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        let rest = bytes.get(written..).filter(|_| written > 0);
        bytes = rest.ok_or(io::ErrorKind::WriteZero)?;
        at += written as u64;
    }
    Ok(())
}

fn make(path: &Path, new: &Path) -> Result<File, Fault> {
    #[cfg(test)]
    failing::strike(path)?;
    let mut file = private::options().read(true).write(true).create(true).truncate(true).open(new)?;
    file.write_all(&HEADER)?;
    // In small pieces: the allocator would keep the room of a large one.
    io::copy(&mut io::repeat(0).take(AREA as u64), &mut file)?;
    file.sync_all()?;
    // Some systems do not rename what is open.
    drop(file);
    fs::rename(new, path)?;
    sync_folder(path)?;
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}
