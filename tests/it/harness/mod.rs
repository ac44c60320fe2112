//! What the tests share: an office on port 0, clients, and clean-up.
