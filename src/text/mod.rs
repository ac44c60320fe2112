//! Markdown to a document tree and back, and front matter. Pure.
