//! Who may read what lies in the data folder: its owner only.
//!
//! Owns the rights that files and folders are made with. Does not know what is in them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
const FILE: u32 = 0o600;
#[cfg(unix)]
const FOLDER: u32 = 0o700;

/// How a file of the office is opened: if that makes it, it is its owner's only.
#[cfg(unix)]
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE);
    options
}

/// How a file of the office is opened; it takes over the rights of its folder: see [`is_open_to_others`].
#[cfg(not(unix))]
#[must_use]
pub fn options() -> OpenOptions {
    OpenOptions::new()
}

/// Makes a folder for its owner only. One that is there keeps its rights: it may be somebody's own, with other things
/// in it, so what the office puts there is closed piece by piece.
///
/// # Errors
/// When the system does not make it.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above)?;
    }
    match make(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

#[cfg(unix)]
fn make(dir: &Path) -> io::Result<()> {
    let mut folder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, FOLDER);
    folder.create(dir)
}

#[cfg(not(unix))]
fn make(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir)
}

/// The same for one that is the office's alone: others lose their rights on it.
///
/// # Errors
/// When the system does not make it.
pub fn own_folder(dir: &Path) -> io::Result<()> {
    make_folder(dir)?;
    close_if_there(dir);
    Ok(())
}

/// Takes the rights of everybody else on a file, or on a folder with all that is in it.
///
/// # Errors
/// When it is not there, or is another user's.
#[cfg(unix)]
pub fn close(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let known = fs::metadata(path)?;
    let mode = if known.is_dir() { FOLDER } else { FILE };
    if known.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Elsewhere a file takes over the rights of its folder.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn close(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// The same for what an office has, whose work does not depend on it: a drive may know no rights.
pub fn close_if_there(path: &Path) {
    match close(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "other users of this computer may be able to read this");
        }
        _ => {}
    }
}

/// Whether the system lets other users of this computer read what is made in a folder: on Windows everywhere but in a
/// user's own profile.
#[must_use]
pub fn is_open_to_others(dir: &Path) -> bool {
    cfg!(windows) && std::env::home_dir().is_none_or(|home| !lies_in(dir, &home))
}

fn lies_in(dir: &Path, home: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(dir).starts_with(whole(home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_is_made_is_its_owners_only_and_other_peoples_folders_keep_their_rights() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        make_folder(&folder).unwrap();
        assert_eq!(mode(&folder), FOLDER);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o755);
        let file = folder.join("x");
        options().write(true).create(true).truncate(true).open(&file).unwrap();
        assert_eq!(mode(&file), FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        close(&file).unwrap();
        close(&folder).unwrap();
        assert_eq!((mode(&file), mode(&folder)), (FILE, FOLDER));
        assert!(make_folder(&file).is_err(), "a file is no folder");
    }

    #[test]
    fn a_profile_holds_what_lies_in_it() {
        let home = tempfile::tempdir().unwrap();
        let inside = home.path().join("AppData");
        fs::create_dir(&inside).unwrap();
        let outside = tempfile::tempdir().unwrap();
        assert!(lies_in(&inside, home.path()) && !lies_in(outside.path(), home.path()));
    }
}
