//! The threads that the server's tasks run on, the same in both programs.
//!
//! Owns how they are made. Does not know what runs on them.

use tokio::runtime::{Builder, Runtime};

use crate::heap;

/// A runtime for [`Server`](super::Server): a worker thread for each of the computer's cores. Its threads for work that
/// blocks, which come and go, get their room as well: the runtime does not tell them apart.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().on_thread_start(heap::make_room).build()
}
