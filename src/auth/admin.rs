//! The office's own `admin.token`: made at the first start, readable by its owner only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::secret::{NoRandomness, Secret};
use crate::store::private;

const FILE_NAME: &str = "admin.token";
/// Hex digits of a token.
const DIGITS: usize = 64;

/// Why `admin.token` could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminFileError {
    /// It cannot be read or made.
    #[error("{path} cannot be used: {why}")]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// It holds something else than a token.
    #[error("{0} does not hold a token; remove it and start again to get a new one")]
    Damaged(PathBuf),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Reads the token, or makes it.
pub(super) fn read_or_make(dir: &Path) -> Result<Secret, AdminFileError> {
    let path = dir.join(FILE_NAME);
    let file = |why| AdminFileError::File { path: path.clone(), why };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim();
            if token.len() != DIGITS || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(AdminFileError::Damaged(path));
            }
            private::close(&path).map_err(file)?;
            Ok(Secret::known(token.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = Secret::token()?;
            private::make_folder(dir).map_err(file)?;
            write(dir, &path, &token).map_err(file)?;
            Ok(token)
        }
        Err(error) => Err(file(error)),
    }
}

/// Writes beside and renames, so that a kill in between leaves no half token.
fn write(dir: &Path, path: &Path, token: &Secret) -> io::Result<()> {
    let beside = dir.join("admin.token.new");
    let mut file = private::options().write(true).create(true).truncate(true).open(&beside)?;
    private::close(&beside)?;
    writeln!(file, "{}", token.reveal())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap().reveal(), made.reveal());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join(FILE_NAME);
            let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(), 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            read_or_make(dir.path()).unwrap();
            assert_eq!(mode(), 0o600);
        }
    }

    #[test]
    fn a_damaged_token_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), "admin\n").unwrap();
        assert!(matches!(read_or_make(dir.path()), Err(AdminFileError::Damaged(_))));
    }
}
