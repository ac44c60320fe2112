//! The Curia forum's dialect: `socket.io-client` 4 with a JSON Web Token.
//!
//! Owns the forum's vocabulary, both of it, and who of a community hears what. Does not know how sockets are carried.

#![allow(dead_code, reason = "nobody is connected yet: these are the rules only")]

mod forum;
mod news;
mod pace;
mod presence;
mod rules;
mod said;
mod typing;
mod words;
