//! Everything the product is made of may be given to a municipality: permissive licences and MPL, nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseItem, ParseMode};

/// What we choose ourselves comes under one of these.
const CHOSEN: &[&str] = &["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0"];

/// What comes along with it may also come under one of these, each for its reason.
const COMES_ALONG: &[(&str, &str)] = &[
    ("ISC", "the same permissions as MIT in fewer words"),
    ("0BSD", "MIT without the duty to name the author"),
    ("MIT-0", "MIT without the duty to name the author"),
    ("Zlib", "permissive; altered versions must say that they are"),
    ("BSL-1.0", "permissive; binaries need not even carry the text"),
    ("Unicode-3.0", "permissive; covers the Unicode tables"),
    ("Unicode-DFS-2016", "permissive; covers older Unicode tables"),
    ("CC0-1.0", "the author gives up every right"),
    ("Unlicense", "the author gives up every right"),
    ("BlueOak-1.0.0", "permissive, with a patent grant"),
    ("Python-2.0", "permissive; covers a port of Python's argparse, a build tool's part"),
    ("CC-BY-4.0", "data only (browser tables of the build tools), named in the package itself"),
    ("CC-BY-3.0", "data only (lists of licence names of the build tools), named in the package itself"),
];

/// What we chose all the same under a licence that otherwise only comes along: name, licence, why.
const CHOSEN_BY_NAME: &[(&str, &str, &str)] = &[
    (
        "@iconify-json/lucide",
        "ISC",
        "the drawings that Nuxt UI's own parts show; any other set would stand beside them",
    ),
    (
        "ring",
        "Apache-2.0 AND ISC",
        "the cryptography that TLS brings along anyway; a second one only for tokens would be more to trust",
    ),
];

/// Crates and packages without a usable licence field, looked at by hand: name, licence, where it says so.
const LOOKED_AT: &[(&str, &str, &str)] = &[
    ("vaul-vue", "MIT", "LICENSE of its repository, unovue/vaul-vue; a part of Nuxt UI"),
    ("base64-arraybuffer", "MIT", "LICENSE-MIT in the package; a part of socket.io-client 4.0"),
    ("xmlhttprequest-ssl", "MIT", "LICENSE in the package; a part of socket.io-client 4.0"),
];

#[test]
fn every_crate_has_an_allowed_licence() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON of cargo metadata");
    let own = metadata["resolve"]["root"].as_str().expect("root package");
    let chosen: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter(|node| node["id"] == own)
        .flat_map(|node| node["deps"].as_array().expect("deps"))
        .filter_map(|dependency| dependency["pkg"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "only {} crates were seen", packages.len());
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let direct = package["id"].as_str().is_some_and(|id| chosen.contains(id));
        if let Some(why) = refused(name, package["license"].as_str(), direct) {
            wrong.push(format!("{name} {}: {why}", package["version"].as_str().unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "crates with a licence that is not allowed:\n  {}\n", wrong.join("\n  "));
}

#[test]
fn every_npm_package_has_an_allowed_licence() {
    let mut wrong = Vec::new();
    for lock in locks() {
        let text = std::fs::read_to_string(root().join(&lock)).expect("package-lock.json");
        let json: Value = serde_json::from_str(&text).expect("JSON of package-lock.json");
        let packages = json["packages"].as_object().expect("packages");
        let chosen: BTreeSet<&String> = ["dependencies", "devDependencies"]
            .iter()
            .filter_map(|kind| packages.get("").and_then(|own| own[kind].as_object()))
            .flat_map(|names| names.keys())
            .collect();
        for (path, package) in packages {
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            let direct = path == &format!("node_modules/{name}") && chosen.iter().any(|one| *one == name);
            if let Some(why) = refused(name, package["license"].as_str(), direct) {
                wrong.push(format!("{lock}: {name}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "npm packages with a licence that is not allowed:\n  {}\n", wrong.join("\n  "));
}

#[test]
fn copyleft_and_silence_are_refused() {
    assert!(refused("x", Some("MIT OR GPL-3.0-only"), true).is_none());
    assert!(refused("x", Some("(MIT OR CC0-1.0)"), true).is_none());
    assert!(refused("x", Some("MIT/Apache-2.0"), true).is_none());
    assert!(refused("x", Some("ISC"), false).is_none());
    for (licence, direct) in [
        (Some("AGPL-3.0-or-later"), false),
        (Some("MIT AND LGPL-3.0-only"), false),
        (Some("Zlib"), true),
        (Some("SEE LICENSE IN LICENSE.md"), false),
        (None, false),
    ] {
        assert!(refused("x", licence, direct).is_some(), "{licence:?}");
    }
}

/// Why a package may not be part of the product.
fn refused(name: &str, licence: Option<&str>, direct: bool) -> Option<String> {
    let looked_at = LOOKED_AT.iter().find(|(one, ..)| *one == name).map(|(_, licence, _)| *licence);
    let Some(written) = looked_at.or(licence) else {
        return Some("says no licence".to_owned());
    };
    let Ok(expression) = Expression::parse_mode(written, ParseMode::LAX) else {
        return Some(format!("`{written}` is no SPDX expression"));
    };
    let direct =
        direct && !CHOSEN_BY_NAME.iter().any(|(one, licence, _)| *one == name && *licence == written);
    let allowed = expression.evaluate(|requirement| {
        let LicenseItem::Spdx { id, .. } = &requirement.license else { return false };
        CHOSEN.contains(&id.name) || (!direct && COMES_ALONG.iter().any(|(name, _)| *name == id.name))
    });
    let kind = if direct { "chosen by us" } else { "comes along" };
    (!allowed).then(|| format!("`{written}` is not allowed ({kind})"))
}

/// The lock files of every npm project in the repository.
fn locks() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skipped = ["node_modules", "target", "dist", ".git"].iter().any(|one| name == *one);
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if name == "package-lock.json" {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
