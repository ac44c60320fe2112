//! What reads the log behind everybody, each follower from its own durable cursor.
