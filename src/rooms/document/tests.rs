//! What a room promises, tried with a real store.
