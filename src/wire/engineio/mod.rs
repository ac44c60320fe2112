//! Engine.IO 4: packets, what a polling request carries, and the handshake.
//!
//! Owns the codec of the public protocol document, revision 4. Does not know sessions, transports or time. A text
//! packet borrows from what was read; nothing here reserves memory that the input only announces.

mod base64;

use bytes::Bytes;

/// Separates packets in a polling payload.
pub const SEPARATOR: char = '\u{1e}';

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: the handshake, only ever said by a server.
    Open(&'a str),
    /// `1`: the session ends.
    Close,
    /// `2`: a ping; with `probe`, the first word on a transport to upgrade to.
    Ping(&'a str),
    /// `3`: the answer to a ping, with the ping's own words.
    Pong(&'a str),
    /// `4`: a text message.
    Text(&'a str),
    /// A binary message: a binary WebSocket frame as it is, or `b` and base64 in a polling payload.
    Binary(Bytes),
    /// `5`: the other transport is the only one from here on.
    Upgrade,
    /// `6`: nothing; it ends a polling request.
    Noop,
}

/// Why text is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// There is nothing.
    #[error("an empty packet")]
    Empty,
    /// The first character is no packet type.
    #[error("an unknown packet type")]
    Kind,
    /// A packet of this type carries nothing.
    #[error("a packet with data that it must not have")]
    Trailing,
    /// The binary message is no base64.
    #[error("binary data that is no base64")]
    Base64,
}

/// Reads the text of one WebSocket message. A binary message is a [`Packet::Binary`] as it stands.
///
/// # Errors
/// See [`PacketError`].
pub fn decode(text: &str) -> Result<Packet<'_>, PacketError> {
    let mut rest = text.chars();
    let kind = rest.next().ok_or(PacketError::Empty)?;
    let rest = rest.as_str();
    let bare = |packet| if rest.is_empty() { Ok(packet) } else { Err(PacketError::Trailing) };
    match kind {
        '0' => Ok(Packet::Open(rest)),
        '1' => bare(Packet::Close),
        '2' => Ok(Packet::Ping(rest)),
        '3' => Ok(Packet::Pong(rest)),
        '4' => Ok(Packet::Text(rest)),
        '5' => bare(Packet::Upgrade),
        '6' => bare(Packet::Noop),
        _ => Err(PacketError::Kind),
    }
}

/// Reads the body of a polling request: packets, one by one, as they are asked for.
pub fn payload(body: &str) -> impl Iterator<Item = Result<Packet<'_>, PacketError>> {
    body.split(SEPARATOR).map(|part| match part.strip_prefix('b') {
        Some(text) => {
            base64::decode(text).map(|bytes| Packet::Binary(bytes.into())).ok_or(PacketError::Base64)
        }
        None => decode(part),
    })
}

/// Writes a packet as the text of a WebSocket message, or as a part of a polling payload (there, binary ones too).
pub fn encode(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let (kind, rest): (u8, &[u8]) = match packet {
        Packet::Open(text) => (b'0', text.as_bytes()),
        Packet::Close => (b'1', b""),
        Packet::Ping(text) => (b'2', text.as_bytes()),
        Packet::Pong(text) => (b'3', text.as_bytes()),
        Packet::Text(text) => (b'4', text.as_bytes()),
        Packet::Binary(bytes) => return encode_binary(out, bytes),
        Packet::Upgrade => (b'5', b""),
        Packet::Noop => (b'6', b""),
    };
    out.push(kind);
    out.extend_from_slice(rest);
}

/// Writes a binary message as a part of a polling payload.
pub fn encode_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'b');
    base64::encode(out, bytes);
}

/// What a server tells at the start of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// The session's secret id: letters, digits, `-` and `_`.
    pub sid: &'a str,
    /// Whether the session may move to a WebSocket.
    pub upgrades: bool,
    /// In milliseconds.
    pub ping_interval_ms: u64,
    /// In milliseconds.
    pub ping_timeout_ms: u64,
    /// In bytes.
    pub max_payload: usize,
}

impl Handshake<'_> {
    /// The open packet, with the keys in the reference server's order.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { sid, ping_interval_ms, ping_timeout_ms, max_payload, .. } = self;
        let upgrades = if self.upgrades { "\"websocket\"" } else { "" };
        format!(
            "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{ping_interval_ms},\
             \"pingTimeout\":{ping_timeout_ms},\"maxPayload\":{max_payload}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(body: &str) -> Result<Vec<Packet<'_>>, PacketError> {
        payload(body).collect()
    }

    #[test]
    fn the_documents_examples_read_as_they_are_meant() {
        assert_eq!(decode("4hello"), Ok(Packet::Text("hello")));
        assert_eq!(decode("4€"), Ok(Packet::Text("€")));
        assert_eq!(decode("2"), Ok(Packet::Ping("")));
        assert_eq!(decode("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(decode("3probe"), Ok(Packet::Pong("probe")));
        assert_eq!(decode("5"), Ok(Packet::Upgrade));
        let binary = Packet::Binary(Bytes::from_static(&[1, 2, 3, 4]));
        let body = "4hello\u{1e}2\u{1e}4world\u{1e}bAQIDBA==";
        let packets = vec![Packet::Text("hello"), Packet::Ping(""), Packet::Text("world"), binary];
        assert_eq!(all(body), Ok(packets));
        assert_eq!(all("4a\u{1e}4b\u{1e}6").unwrap().len(), 3);
    }

    #[test]
    fn rubbish_is_an_error() {
        for (text, error) in [
            ("", PacketError::Empty),
            ("abc", PacketError::Kind),
            ("7", PacketError::Kind),
            ("é4", PacketError::Kind),
            ("\u{1e}", PacketError::Kind),
            ("1x", PacketError::Trailing),
            ("5probe", PacketError::Trailing),
            ("6\0", PacketError::Trailing),
            ("bAQIDBA==", PacketError::Kind),
        ] {
            assert_eq!(decode(text), Err(error), "{text:?}");
        }
        assert_eq!(all("4a\u{1e}"), Err(PacketError::Empty));
        assert_eq!(all("bAQ?="), Err(PacketError::Base64));
        assert_eq!(all("b€"), Err(PacketError::Base64));
        assert_eq!(all("b\u{1e}4"), Ok(vec![Packet::Binary(Bytes::new()), Packet::Text("")]));
    }

    #[test]
    fn half_a_million_packets_are_read_one_by_one() {
        let body = vec!["4"; 500_000].join("\u{1e}");
        assert_eq!(payload(&body).filter(Result::is_ok).count(), 500_000);
        assert_eq!(payload(&body).next(), Some(Ok(Packet::Text(""))));
    }

    #[test]
    fn the_handshake_has_the_reference_servers_keys_in_its_order() {
        let handshake = Handshake {
            sid: "lv_VI97HAXpY6yYWAAAB",
            upgrades: true,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
        };
        assert_eq!(
            handshake.encode(),
            "0{\"sid\":\"lv_VI97HAXpY6yYWAAAB\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\
             \"pingTimeout\":20000,\"maxPayload\":1000000}"
        );
        assert!(Handshake { upgrades: false, ..handshake }.encode().contains("\"upgrades\":[],"));
    }

    proptest! {
        #[test]
        fn packets_come_back(text in "[^\u{1e}]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let packets = vec![
                Packet::Text(&text), Packet::Binary(bytes.into()), Packet::Ping("probe"), Packet::Close, Packet::Noop,
            ];
            let mut body = Vec::new();
            for packet in &packets {
                if !body.is_empty() {
                    body.push(SEPARATOR as u8);
                }
                encode(&mut body, packet);
            }
            let body = String::from_utf8(body).unwrap();
            prop_assert_eq!(all(&body), Ok(packets));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}") {
            let _ = decode(&text);
            for packet in payload(&text).flatten() {
                if let Packet::Binary(bytes) = &packet {
                    prop_assert!(bytes.len() <= text.len());
                }
            }
        }
    }
}
