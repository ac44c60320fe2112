//! Builds every part of the office, owns all tasks, and the order of start and stop.
