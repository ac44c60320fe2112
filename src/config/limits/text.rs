//! The bounds of reading, comparing and writing a record's text.
//!
//! Owns numbers only.

use super::KIB;

/// Deepest nesting of blocks that is kept; what lies deeper is lifted up to this depth. Bounds recursion everywhere.
pub const TEXT_NESTING_MAX: usize = 32;
/// Widest table cell that is written as empty cells: a hostile document may claim billions.
pub const TEXT_CELL_SPAN_MAX: u32 = 64;
/// Largest difference of two texts, in pairs of blocks, that is looked into block by block: comparing more takes too
/// long.
pub const TEXT_COMPARED_MAX: usize = 16_000_000;
/// Largest group of changed blocks, in pairs, in which the edited ones are looked for one by one.
pub const TEXT_PAIRS_MAX: usize = 10_000;
/// Most pieces of a text merged one by one; longer texts are merged line by line, the longest ones not at all.
pub const TEXT_PIECES_MAX: usize = 6_000;
/// Largest front matter that is read, in bytes: real ones have two or three kilobytes.
pub const FRONT_MATTER_MAX_BYTES: usize = 64 * KIB;
/// Longest value that is taken from front matter, in characters; the rest of it is left out.
pub const FRONT_MATTER_VALUE_MAX_CHARS: usize = 500;
