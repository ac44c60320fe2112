//! The published client for browsers, as Socket.IO's own server serves it (MIT; its licence is beside it).

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The bundle of the package `socket.io-client`.
const BUNDLE: &str = include_str!("socket.io.min.js");
/// Its version, as the bundle's first lines name it.
const TAG: &str = "\"4.8.4\"";

pub(super) async fn bundle(headers: HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let about = [
        (header::ETAG, TAG),
        (header::CACHE_CONTROL, "public, max-age=0"),
        (header::CONTENT_TYPE, "application/javascript; charset=utf-8"),
        // A page of the application that these channels are for loads it as a script.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    match known.map(|tag| tag.trim_start_matches("W/")) {
        Some(TAG) => (StatusCode::NOT_MODIFIED, about).into_response(),
        _ => (about, BUNDLE).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_says_whose_it_is_and_which() {
        let head: String = BUNDLE.lines().take(5).collect();
        assert!(head.contains(&format!("Socket.IO v{}", TAG.trim_matches('"'))), "{head}");
        assert!(head.contains("MIT License"), "{head}");
        assert!(include_str!("LICENSE").starts_with("The MIT License"));
    }
}
