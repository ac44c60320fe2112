//! What the emitter of Node said, byte for byte, and what nobody says.

use proptest::prelude::*;

use super::*;
use crate::config::limits::BUS_MESSAGE_MAX_BYTES;

/// Recorded from @socket.io/redis-emitter 5.1.0: a record for one room.
const RECORD: (&str, &str) = (
    "socket.io#/#group-1#",
    "93a7656d697474657283a47479706502a46461746192a77265636f72647382a4726f6f6da767726f75702d31a77265636f72647381a6\
     6576656e74739188a2696401a3626967cf000000012a05f200a36e6567fda166cb3ff8000000000000a16ec0a174c3a164d6ff000000\
     00a173a6c3a922e280a8a36e7370a12f83a5726f6f6d7391a767726f75702d31a5666c61677380a665786365707490",
);
/// Two rooms, one excepted, volatile, two binary parts.
const BINARY: (&str, &str) = (
    "socket.io#/#",
    "93a7656d697474657283a47479706502a46461746195a17801a374776fc40301020381a162c40109a36e7370a12f83a5726f6f6d7392\
     a161a162a5666c61677381a8766f6c6174696c65c3a665786365707491a163",
);
/// To everybody in another namespace.
const FORUM: (&str, &str) = (
    "socket.io#/forum#",
    "93a7656d697474657283a47479706502a46461746191a568656c6c6fa36e7370a62f666f72756d83a5726f6f6d7390a5666c616773\
     80a665786365707490",
);

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}

#[test]
fn what_nodes_emitter_says_is_understood() {
    let record = decode(RECORD.0, &bytes(RECORD.1)).unwrap();
    assert_eq!((record.namespace.as_str(), record.name.as_str()), ("/", "records"));
    assert_eq!(record.rooms, ["group-1"]);
    assert_eq!(
        record.arguments,
        "{\"room\":\"group-1\",\"records\":{\"events\":[{\"id\":1,\"big\":5000000000,\"neg\":-3,\"f\":1.5,\
         \"n\":null,\"t\":true,\"d\":\"1970-01-01T00:00:00.000Z\",\"s\":\"é\\\"\u{2028}\"}]}}"
    );
    let binary = decode(BINARY.0, &bytes(BINARY.1)).unwrap();
    assert_eq!(
        (binary.rooms.join(" "), binary.except.join(" "), binary.volatile),
        ("a b".into(), "c".into(), true)
    );
    assert_eq!(
        binary.arguments,
        "1,\"two\",{\"_placeholder\":true,\"num\":0},{\"b\":{\"_placeholder\":true,\"num\":1}}"
    );
    assert_eq!(binary.attachments, [Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[9])]);
    let forum = decode(FORUM.0, &bytes(FORUM.1)).unwrap();
    assert_eq!(
        (forum.namespace.as_str(), forum.name.as_str(), forum.arguments.as_str()),
        ("/forum", "hello", "")
    );
    assert!(forum.rooms.is_empty() && forum.attachments.is_empty());
}

#[test]
fn a_message_on_another_channel_is_dropped() {
    for channel in
        ["socket.io#/forum#", "socket.io#/#group-2#", "socket.io#/", "socket.io-request#/#", "socket.io##"]
    {
        assert_eq!(decode(channel, &bytes(RECORD.1)), Err(EmitterError::Channel), "{channel}");
    }
    assert!(decode("socket.io#/#", &bytes(RECORD.1)).is_ok());
}

/// A message with this in the place of its arguments.
fn around(name: &[u8], argument: &[u8]) -> Bytes {
    let head = bytes("93a16583a47479706502a464617461");
    let tail = bytes("a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490");
    [&head, [0x92].as_slice(), name, argument, &tail].concat().into()
}

#[test]
fn what_is_too_much_is_refused_without_believing_it() {
    let name = b"\xa1x";
    let deep = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    assert!(decode("socket.io#/#", &around(name, &deep(SOCKETIO_NESTING))).is_ok());
    assert_eq!(
        decode("socket.io#/#", &around(name, &deep(SOCKETIO_NESTING + 1))),
        Err(EmitterError::TooLarge)
    );
    for (argument, error) in [
        (&b"\xdd\xff\xff\xff\xff"[..], EmitterError::Malformed),
        (b"\xdf\xff\xff\xff\xff", EmitterError::Unknown),
        (b"\xdb\xff\xff\xff\xffab", EmitterError::Malformed),
        (b"\xc6\xff\xff\xff\xff", EmitterError::Malformed),
        (b"\xc1", EmitterError::Malformed),
        (b"\xa1\xff", EmitterError::Malformed),
        (b"\xd4\x05\x00", EmitterError::Unknown),
        (b"\x81\xc4\x00\x01", EmitterError::Unknown),
        (b"\x81\x90\x01", EmitterError::Unknown),
        (b"\xc7\x0c\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", EmitterError::Unknown),
    ] {
        assert_eq!(decode("socket.io#/#", &around(name, argument)), Err(error), "{argument:?}");
    }
    for reserved in ["connect", "disconnect"] {
        let name = [&[0xa0 | reserved.len() as u8], reserved.as_bytes()].concat();
        assert_eq!(decode("socket.io#/#", &around(&name, b"\xc0")), Err(EmitterError::Reserved));
    }
    // A megabyte of bytes that each become six.
    let text = [&b"\xdb\x00\x0f\xf0\x00"[..], &vec![1; 0x000f_f000]].concat();
    let array = [&b"\xdd\x00\x00\x00\x02"[..], &text, b"\xc0"].concat();
    assert!(text.len() < BUS_MESSAGE_MAX_BYTES);
    assert_eq!(decode("socket.io#/#", &around(name, &array)), Err(EmitterError::TooLarge));
    assert_eq!(decode("socket.io#/#", &around(b"\x01", b"\xc0")), Err(EmitterError::Unknown));
}

const SOCKETIO_NESTING: usize = crate::config::limits::SOCKETIO_NESTING_MAX;

#[test]
fn numbers_are_written_as_javascript_writes_them() {
    for (argument, json) in [
        (&b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"[..], "null"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xcb\x40\x00\x00\x00\x00\x00\x00\x00", "2"),
        (b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "0"),
        (b"\xca\x3f\x00\x00\x00", "0.5"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        (b"\xd4\x00\x00", "null"),
    ] {
        assert_eq!(decode("socket.io#/#", &around(b"\xa1x", argument)).unwrap().arguments, json);
    }
}

#[test]
fn keys_of_other_languages_are_names_of_properties() {
    for (argument, json) in [
        (&b"\x81\x01\x02"[..], r#"{"1":2}"#),
        (b"\x81\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x02", r#"{"18446744073709551615":2}"#),
        (b"\x82\xff\x02\xd1\xff\x00\x03", r#"{"-1":2,"-256":3}"#),
        (b"\x83\xc2\x01\xc3\x02\xc0\x03", r#"{"false":1,"true":2,"null":3}"#),
        (b"\x81\xa1\"\x81\x07\xc0", r#"{"\"":{"7":null}}"#),
    ] {
        assert_eq!(decode("socket.io#/#", &around(b"\xa1x", argument)).unwrap().arguments, json);
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode("socket.io#/#", &body.into());
    }

    #[test]
    fn damaged_messages_are_json_or_refused(
        which in 0..3_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let (channel, hex) = [RECORD, BINARY, FORUM][which];
        let mut body = bytes(hex).to_vec();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if !whole {
            body.truncate(cut.index(body.len()));
        }
        if let Ok(emitted) = decode(channel, &body.into()) {
            let array = format!("[{}]", emitted.arguments);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&array).is_ok(), "{array}");
        }
    }
}
