//! What reads the log behind everybody, each follower from its own durable cursor; and what listens to the bus.
//!
//! Owns nothing that cannot be made again from the log. Late or failed work is repeated from the cursor. Does
//! not know peers or HTTP.

pub mod drafting;
pub mod emitted;
pub mod relay;
