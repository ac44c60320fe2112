//! What reads the log behind everybody, each follower from its own durable cursor.
//!
//! Owns nothing that cannot be made again from the log. Late or failed work is repeated from the cursor. Does
//! not know rooms, peers or HTTP.

pub mod drafting;
pub mod relay;
