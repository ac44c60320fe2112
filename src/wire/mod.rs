//! Pure codecs: bytes to values and back. No IO, no clock, no engine; every decoder is bounded and fuzzed.

pub mod awareness;
pub mod emitter;
pub mod engineio;
pub mod gate;
pub mod hocuspocus;
pub mod socketio;
pub mod varint;
pub mod ysync;
