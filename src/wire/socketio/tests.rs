//! The protocol document's examples, what it forbids, and round trips.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn event<'a>(name: &str, arguments: &'a str, id: Option<u64>, attachments: usize) -> Body<'a> {
    Body::Event(Event { name: name.to_owned(), arguments, id, attachments })
}

#[test]
fn the_documents_examples_read_as_they_are_meant() {
    for (text, namespace, body) in [
        ("0", "/", Body::Connect(None)),
        ("0{\"token\":\"123\"}", "/", Body::Connect(Some("{\"token\":\"123\"}"))),
        ("0/admin,{\"sid\":\"o\"}", "/admin", Body::Connect(Some("{\"sid\":\"o\"}"))),
        ("0/admin,", "/admin", Body::Connect(None)),
        ("0/admin", "/admin", Body::Connect(None)),
        ("1/admin,", "/admin", Body::Disconnect),
        ("1", "/", Body::Disconnect),
        ("4{\"message\":\"Not authorized\"}", "/", Body::ConnectError("{\"message\":\"Not authorized\"}")),
        ("2[\"foo\"]", "/", event("foo", "", None, 0)),
        ("2/admin,[\"bar\"]", "/admin", event("bar", "", None, 0)),
        ("212[\"foo\"]", "/", event("foo", "", Some(12), 0)),
        ("3/admin,13[\"bar\"]", "/admin", Body::Ack { id: 13, arguments: "\"bar\"", attachments: 0 }),
        ("30[]", "/", Body::Ack { id: 0, arguments: "", attachments: 0 }),
        (
            "51-[\"baz\",{\"_placeholder\":true,\"num\":0}]",
            "/",
            event("baz", "{\"_placeholder\":true,\"num\":0}", None, 1),
        ),
        (
            "52-/admin,[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
            "/admin",
            event("baz", "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}", None, 2),
        ),
        (
            "61-15[\"bar\",{\"_placeholder\":true,\"num\":0}]",
            "/",
            Body::Ack { id: 15, arguments: "\"bar\",{\"_placeholder\":true,\"num\":0}", attachments: 1 },
        ),
        ("2[42,\"a number is a name\"]", "/", event("42", "\"a number is a name\"", None, 0)),
        ("2[\"\\u00e9\\n\", \"\\ud83d\"]", "/", event("é\n", "\"\\ud83d\"", None, 0)),
        ("50-[\"none\"]", "/", event("none", "", None, 0)),
    ] {
        assert_eq!(decode(text), Ok(Packet { namespace, body }), "{text}");
    }
}

#[test]
fn what_the_document_forbids_is_an_error() {
    for (text, error) in [
        ("", PacketError::Kind),
        ("7", PacketError::Kind),
        ("abc", PacketError::Kind),
        ("é", PacketError::Kind),
        ("2", PacketError::Data),
        ("2{}", PacketError::Data),
        ("2[]", PacketError::Name),
        ("2[", PacketError::Data),
        ("2[\"a\",]", PacketError::Data),
        ("2[\"a\"]x", PacketError::Data),
        ("2abc[\"a\"]", PacketError::Data),
        ("2[null]", PacketError::Name),
        ("2[{\"a\":1}]", PacketError::Name),
        ("2[\"connect\"]", PacketError::Name),
        ("2[\"disconnecting\"]", PacketError::Name),
        ("2[\"c\\u006fnnect\"]", PacketError::Name),
        ("2[\"\\ud83d\"]", PacketError::Name),
        ("0[]", PacketError::Data),
        ("0\"text\"", PacketError::Data),
        ("01", PacketError::Id),
        ("1[]", PacketError::Data),
        ("1/admin,{}", PacketError::Data),
        ("3[1]", PacketError::Id),
        ("31{}", PacketError::Data),
        ("399999999999999999999[]", PacketError::Id),
        ("39007199254740992[]", PacketError::Id),
        ("5[\"a\"]", PacketError::Attachments),
        ("5-[\"a\"]", PacketError::Attachments),
        ("5-1-[\"a\"]", PacketError::Attachments),
        ("51[\"a\"]", PacketError::Attachments),
        ("511-[\"a\"]", PacketError::Attachments),
        ("5500000-[\"a\"]", PacketError::Attachments),
        ("599999999999999999999999-[\"a\"]", PacketError::Attachments),
        ("51e1-[\"a\"]", PacketError::Attachments),
        ("5é-[\"a\"]", PacketError::Attachments),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":1}]", PacketError::Attachments),
        ("2/\0,[\"a\"]", PacketError::Namespace),
    ] {
        assert_eq!(decode(text), Err(error), "{text:?}");
    }
    let long = |n: usize| format!("0/{}", "n".repeat(n));
    assert!(decode(&long(SOCKETIO_NAMESPACE_MAX_BYTES - 1)).is_ok());
    assert_eq!(decode(&long(SOCKETIO_NAMESPACE_MAX_BYTES)), Err(PacketError::Namespace));
    assert_eq!(decode(&format!("2[\"{}\"]", "n".repeat(300))), Err(PacketError::Name));
    let deep = |n: usize| format!("2[\"a\",{}{}]", "[".repeat(n), "]".repeat(n));
    assert!(decode(&deep(SOCKETIO_NESTING_MAX - 1)).is_ok());
    assert_eq!(decode(&deep(400_000)), Err(PacketError::Data));
}

#[test]
fn a_cut_inside_a_letter_is_no_matter() {
    let text = "51-/é,12[\"né\",\"😀\",{\"_placeholder\":true,\"num\":0}]";
    assert!(decode(text).is_ok());
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let _ = decode(&text[..end]);
    }
}

#[test]
fn binary_messages_complete_a_packet_in_order() {
    let text = "52-[\"a\",{\"_placeholder\":true,\"num\":1}]";
    let packet = decode(text).unwrap();
    let mut assembly = Assembly::default();
    assert_eq!(assembly.binary(Bytes::new()), Err(PacketError::Attachments), "nothing waits for it");
    assert_eq!(assembly.text(text, &packet), Ok(None));
    assert_eq!(assembly.text("2[\"b\"]", &decode("2[\"b\"]").unwrap()), Err(PacketError::Attachments));
    assert_eq!(assembly.binary(Bytes::from_static(b"1")), Ok(None));
    let heard = assembly.binary(Bytes::from_static(b"2")).unwrap().unwrap();
    assert_eq!(heard.packet(), Ok(packet));
    assert_eq!(heard.attachments, ["1", "2"]);
    assert!(!assembly.waits());
}

#[test]
fn attachments_have_a_bound_in_bytes() {
    let text = "510-[\"a\"]";
    let mut assembly = Assembly::default();
    assembly.text(text, &decode(text).unwrap()).unwrap();
    let piece = Bytes::from(vec![0; 1_000_000]);
    let taken = (0..10).map_while(|_| assembly.binary(piece.clone()).ok()).count();
    assert_eq!(taken, 4);
    assert!(!assembly.waits(), "what came is let go");
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_written_is_the_reference_servers_form() {
    assert_eq!(written(|out| encode_connected(out, "/", "s", Some("p"))), "0{\"sid\":\"s\",\"pid\":\"p\"}");
    assert_eq!(written(|out| encode_connected(out, "/custom", "s", None)), "0/custom,{\"sid\":\"s\"}");
    assert_eq!(
        written(|out| encode_refused(out, "/random", "Invalid namespace", None)),
        "4/random,{\"message\":\"Invalid namespace\"}"
    );
    assert_eq!(
        written(|out| encode_refused(out, "/", "no \"way\"", Some("{\"code\":1}"))),
        "4{\"message\":\"no \\\"way\\\"\",\"data\":{\"code\":1}}"
    );
    assert_eq!(written(|out| encode_disconnect(out, "/")), "1");
    assert_eq!(written(|out| encode_disconnect(out, "/custom")), "1/custom,");
    let telling = Telling {
        namespace: "/",
        name: "records",
        arguments: b"{\"b\":1, \"a\":2}",
        offset: Some("Q7tEmz1"),
        attachments: 0,
        id: None,
    };
    assert_eq!(written(|out| encode_event(out, &telling)), "2[\"records\",{\"b\":1, \"a\":2},\"Q7tEmz1\"]");
    let bare = Telling { arguments: b"", offset: None, id: Some(7), namespace: "/n", ..telling };
    assert_eq!(written(|out| encode_event(out, &bare)), "2/n,7[\"records\"]");
    assert_eq!(written(|out| encode_ack(out, "/", 456, b"1,\"2\"", 0)), "3456[1,\"2\"]");
    assert_eq!(written(|out| encode_ack(out, "/n", 9, b"", 2)), "62-/n,9[]");
}

proptest! {
    #[test]
    fn events_come_back(
        name in "\\PC{1,20}", texts in prop::collection::vec("\\PC{0,20}", 0..4),
        id in prop::option::of(0u64..1 << 53), namespace in "/[a-z]{0,8}",
    ) {
        let telling: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
        let arguments = telling.join(",");
        let text = written(|out| encode_event(out, &Telling {
            namespace: &namespace, name: &name, arguments: arguments.as_bytes(), offset: None, attachments: 0, id,
        }));
        let body = Body::Event(Event { name, arguments: &arguments, id, attachments: 0 });
        match decode(&text) {
            Ok(packet) => prop_assert_eq!(packet, Packet { namespace: &namespace, body }),
            Err(error) => prop_assert_eq!(error, PacketError::Name),
        }
    }

    #[test]
    fn no_text_is_too_strange(text in "[0-6][0-9-]{0,3}(/[a-zé]{0,3},)?[0-9]{0,3}[\\[\\]{}\",:a-z0-9é😀 ]{0,30}") {
        let _ = decode(&text);
    }
}
