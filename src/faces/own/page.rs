//! The page itself, out of the program: one page for every address of the application, and its files.

use std::borrow::Cow;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::faces::failure;

/// The built page, with `.br` and `.gz` beside files worth it.
#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Ui;

/// Folder of files whose names change with their content.
const HASHED: &str = "assets/";
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Townhall</title>\
                         <p>The server runs. Its page was not built into this program: <code>make run</code> does.";

pub(super) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if !matches!(method, Method::GET | Method::HEAD) {
        return failure(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This is a page.");
    }
    let path = uri.path().trim_start_matches('/');
    if !path.is_empty() && Ui::get(path).is_some() {
        return file(path, &headers);
    }
    // An address of the application has no dot in its last part; a missing file does.
    if path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        return failure(StatusCode::NOT_FOUND, "not_found", "There is no such file.");
    }
    if Ui::get("index.html").is_none() {
        return Html(NOT_BUILT).into_response();
    }
    file("index.html", &headers)
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let (found, encoding) = smallest(path, headers);
    let Some(found) = found else {
        return failure(StatusCode::NOT_FOUND, "not_found", "There is no such file.");
    };
    let tag = tag(&found);
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = kind(path);
        // What is in the program already is not copied.
        let data = match found.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        ([(header::CONTENT_TYPE, kind)], data).into_response()
    };
    let said = [
        (header::CACHE_CONTROL, cache),
        (header::VARY, "Accept-Encoding"),
        (header::ETAG, tag.as_str()),
        (header::CONTENT_ENCODING, encoding.unwrap_or("identity")),
    ];
    for (name, value) in said {
        if let Ok(value) = value.parse()
            && (name != header::CONTENT_ENCODING || encoding.is_some())
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The file in the smallest form that the browser takes.
fn smallest(path: &str, headers: &HeaderMap) -> (Option<EmbeddedFile>, Option<&'static str>) {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let takes = |wanted: &str| {
        let mut offers = accepted.split(',').map(|offer| offer.split(';').next().unwrap_or("").trim());
        offers.any(|offer| offer.eq_ignore_ascii_case(wanted)) && !accepted.contains("q=0,")
    };
    for (encoding, ending) in [("br", "br"), ("gzip", "gz")] {
        if takes(encoding)
            && let Some(found) = Ui::get(&format!("{path}.{ending}"))
        {
            return (Some(found), Some(encoding));
        }
    }
    (Ui::get(path), None)
}

fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
