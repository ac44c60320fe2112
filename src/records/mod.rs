//! What a record is, and its rules. Does not know HTTP or rooms.
