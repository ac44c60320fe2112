//! Nobody but the program's own user reads the data folder, whatever the folder's rights were.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::OfficeProcess;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const FILES: [&str; 4] = ["admin.token", "townhall.db", "townhall.journal", "townhall.lock"];

#[test]
fn a_new_data_folder_is_its_owners_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("hall");
    let office = OfficeProcess::start(&data);
    assert_eq!(mode(&data), 0o700);
    for file in FILES {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    office.stop();
}

#[test]
fn in_a_folder_that_was_there_the_offices_own_files_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    OfficeProcess::start(&data).stop();
    // As an older version, or a copy, leaves it.
    for open in ["", "bus"] {
        std::fs::set_permissions(data.join(open), Permissions::from_mode(0o755)).unwrap();
    }
    for file in FILES {
        std::fs::set_permissions(data.join(file), Permissions::from_mode(0o644)).unwrap();
    }
    let office = OfficeProcess::start(&data);
    assert_eq!(mode(&data), 0o755, "the folder may be somebody's own");
    assert_eq!(mode(&data.join("bus")), 0o700);
    for file in FILES {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    office.stop();
}
