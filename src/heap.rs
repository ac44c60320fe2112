//! Room for a thread's memory, asked of the system once and not page by page.
//!
//! Owns a habit of one allocator: glibc gives every thread a heap of its own and makes it larger by a page at a time,
//! each with a call to the system; what was large once is not asked for again. A server pays for that with every
//! connection and every message that it keeps: without this, connections cost a fifth more. Other allocators do as
//! they like with it, and lose nothing. Does not know what the memory is for.

use crate::config::limits::{THREAD_ROOM_BYTES, THREAD_ROOM_PIECE_BYTES};

/// Takes room for the thread that calls it and gives it back at once; it is never written to, so it stays with the
/// system until it is used. To be called when a thread begins; it pays for threads that live long.
pub fn make_room() {
    let pieces: Vec<Vec<u8>> = (0..THREAD_ROOM_BYTES / THREAD_ROOM_PIECE_BYTES)
        .map(|_| Vec::with_capacity(THREAD_ROOM_PIECE_BYTES))
        .collect();
    // Nobody may find out that nothing is done with them.
    drop(std::hint::black_box(pieces));
}
