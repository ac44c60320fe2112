//! Variable-length integers of lib0: 7 bits a byte, low bits first.
