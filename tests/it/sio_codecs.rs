//! Hostile text and bytes: the decoders of the channels answer ten million of each kind (`TOWNHALL_FUZZ_RUNS` for fewer),
//! quickly, and whatever they let through is written again as it was read.

use std::time::Duration;

use crate::harness::dice::Dice;
use bytes::Bytes;
use townhall::clock::Stopwatch;
use townhall::config::limits::{EMITTER_JSON_MAX_BYTES, EMITTER_ROOMS_MAX};
use townhall::config::limits::{SOCKETIO_ATTACHMENTS_MAX, SOCKETIO_ATTACHMENTS_MAX_BYTES};
use townhall::wire::emitter;
use townhall::wire::engineio::{self, Packet};
use townhall::wire::socketio::{self, Assembly, Body, Telling};

const RUNS: u64 = 10_000_000;
/// What is let through is written and read again this often: once in so many times.
const WRITTEN_AGAIN: usize = 8;
const THREADS: u64 = 2;

fn runs() -> u64 {
    std::env::var("TOWNHALL_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

const ENGINE_SEEDS: [&str; 6] = [
    "4hello\u{1e}2\u{1e}4world\u{1e}bAQIDBA==",
    "2probe",
    "42[\"message\",{\"a\":\"é😀\"}]",
    "0{\"sid\":\"x\"}\u{1e}1\u{1e}6",
    "b\u{1e}bAAAA\u{1e}5",
    "3probe\u{1e}3",
];
const SOCKET_SEEDS: [&str; 8] = [
    "0/admin,{\"token\":\"123\"}",
    "2[\"message\",1,\"2\",{\"3\":[true]}]",
    "212/a,[\"é\",\"\\ud83d\",{\"_placeholder\":true,\"num\":0}]",
    "51-/admin,456[\"x\",{\"_placeholder\":true,\"num\":0}]",
    "52-789[\"y\",{\"num\":1,\"_placeholder\":true},[{\"_placeholder\":true,\"num\":0}]]",
    "61-15[\"bar\",{\"_placeholder\":true,\"num\":0}]",
    "4{\"message\":\"Not authorized\",\"data\":{\"a\":[1,2,{}]}}",
    "39007199254740991[]",
];
const PIECES: [&str; 24] = [
    "",
    "0",
    "1",
    "2",
    "4",
    "5",
    "6",
    "9",
    "b",
    "-",
    "/",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "\u{1e}",
    "é",
    "😀",
    "99999999999",
    "\"_placeholder\":true",
    "\"num\":7,",
];

/// One of the seeds with a few pieces put in, taken out or replaced, never inside a letter, and sometimes cut there.
fn mutate(text: &mut String, seeds: &[&str], dice: &mut Dice) {
    text.clear();
    text.push_str(seeds[dice.below(seeds.len())]);
    for _ in 0..=dice.below(3) {
        let mut at = dice.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let inside = at < text.len();
        match dice.below(6) {
            0 if inside => _ = text.remove(at),
            1 if dice.below(4) == 0 => text.truncate(at),
            2 if inside => {
                text.remove(at);
                text.insert_str(at, PIECES[dice.below(PIECES.len())]);
            }
            3 => {
                let other = dice.pick(seeds);
                let from = dice.below(other.len());
                text.insert_str(at, other.get(from..).unwrap_or(other));
            }
            _ => text.insert_str(at, PIECES[dice.below(PIECES.len())]),
        }
    }
}

/// Tries something on all threads; how long it took.
fn everywhere(what: &str, one: impl Fn(&mut Dice, &mut String) -> bool + Sync) {
    let watch = Stopwatch::start();
    let passed: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let one = &one;
                scope.spawn(move || {
                    let (mut dice, mut text) =
                        (Dice::new(0x9e37_79b9_7f4a_7c15 ^ thread << 32 | 1), String::new());
                    let mut passed = 0;
                    for _ in 0..runs() / THREADS {
                        passed += u64::from(one(&mut dice, &mut text));
                    }
                    passed
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{what}: {} runs, {passed} let through, {:?}", runs(), watch.elapsed());
    assert!(passed > runs() / 100, "the mutations of {what} are too wild to tell anything");
    assert!(passed < runs(), "the mutations of {what} are too tame to tell anything");
}

#[test]
fn payloads_are_taken_or_refused_and_come_back_as_they_were() {
    everywhere("engineio payload", |dice, body| {
        mutate(body, &ENGINE_SEEDS, dice);
        let mut packets = Vec::new();
        for packet in engineio::payload(body) {
            match packet {
                Ok(packet) => packets.push(packet),
                Err(_) => return false,
            }
        }
        if dice.below(WRITTEN_AGAIN) > 0 {
            return true;
        }
        let mut again = Vec::new();
        for packet in &packets {
            if !again.is_empty() {
                again.push(engineio::SEPARATOR as u8);
            }
            engineio::encode(&mut again, packet);
        }
        let again = String::from_utf8(again).unwrap();
        let read: Vec<_> = engineio::payload(&again).map(Result::unwrap).collect();
        assert_eq!(read, packets, "{body:?}");
        true
    });
}

#[test]
fn frames_are_taken_or_refused() {
    everywhere("engineio frame", |dice, text| {
        mutate(text, &ENGINE_SEEDS, dice);
        let Ok(packet) = engineio::decode(text) else { return false };
        assert!(!matches!(packet, Packet::Binary(_)), "binary data has frames of its own");
        if dice.below(WRITTEN_AGAIN) == 0 {
            let mut again = Vec::new();
            engineio::encode(&mut again, &packet);
            assert_eq!(again, text.as_bytes());
        }
        true
    });
}

#[test]
fn packets_are_taken_or_refused_and_come_back_as_they_were() {
    everywhere("socketio packet", |dice, text| {
        mutate(text, &SOCKET_SEEDS, dice);
        let Ok(packet) = socketio::decode(text) else { return false };
        assert!(packet.body.attachments() <= SOCKETIO_ATTACHMENTS_MAX);
        if dice.below(WRITTEN_AGAIN) == 0 {
            comes_back(text, &packet);
        }
        true
    });
}

/// What was let through is written, and read as the same.
fn comes_back(text: &str, packet: &socketio::Packet<'_>) {
    let (namespace, mut again) = (packet.namespace, Vec::new());
    match &packet.body {
        Body::Event(event) => socketio::encode_event(
            &mut again,
            &Telling {
                namespace,
                name: &event.name,
                arguments: event.arguments.as_bytes(),
                offset: None,
                attachments: event.attachments,
                id: event.id,
            },
        ),
        Body::Ack { id, arguments, attachments } => {
            socketio::encode_ack(&mut again, namespace, *id, arguments.as_bytes(), *attachments);
        }
        Body::Connect(Some(json)) | Body::ConnectError(json) => {
            serde_json::from_str::<serde::de::IgnoredAny>(json).expect("what passes is JSON");
            return;
        }
        Body::Connect(None) | Body::Disconnect => return,
    }
    let again = String::from_utf8(again).unwrap();
    let once_more = socketio::decode(&again).unwrap_or_else(|error| panic!("{error}: {text} as {again}"));
    match (&once_more.body, &packet.body) {
        // A number as a name is written as text.
        (Body::Event(mine), Body::Event(theirs)) => {
            assert_eq!((&mine.name, mine.arguments, mine.id), (&theirs.name, theirs.arguments, theirs.id));
        }
        (mine, theirs) => assert_eq!(mine, theirs, "{text}"),
    }
}

#[test]
fn sequences_of_packets_and_binary_messages_hold_little() {
    everywhere("socketio sequence", |dice, text| {
        let mut assembly = Assembly::default();
        let mut complete = false;
        for _ in 0..1 + dice.below(4) {
            let heard = if dice.below(3) == 0 {
                assembly.binary(Bytes::from_static(b"binary"))
            } else {
                mutate(text, &SOCKET_SEEDS, dice);
                socketio::decode(text).and_then(|packet| assembly.text(text, &packet))
            };
            let Ok(heard) = heard else { return complete };
            if let Some(heard) = heard {
                assert_eq!(heard.packet().unwrap().body.attachments(), heard.attachments.len());
                complete = true;
            }
        }
        complete
    });
}

/// What emitters of Node, Ruby and Go say, as their libraries write it: by room, to all, with binary parts.
fn emitted() -> Vec<Vec<u8>> {
    let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
    let message = |data: &[&[u8]], rooms: &[&str], flags: &[u8]| {
        let mut out = vec![0x93];
        out.extend(text("emitter"));
        out.push(0x83);
        out.extend([text("type"), vec![2], text("data"), vec![0x90 | data.len() as u8]].concat());
        data.iter().for_each(|value| out.extend_from_slice(value));
        out.extend(
            [text("nsp"), text("/"), vec![0x83], text("rooms"), vec![0x90 | rooms.len() as u8]].concat(),
        );
        rooms.iter().for_each(|room| out.extend(text(room)));
        out.extend([text("flags"), flags.to_vec(), text("except"), vec![0x90]].concat());
        out
    };
    let name = text("records");
    vec![
        message(&[&name, b"\x82\xa1a\x01\xa1b\x92\xc0\xcb\x3f\xf8\0\0\0\0\0\0"], &["group-1"], b"\x80"),
        message(&[&name, b"\xc4\x03\x01\x02\x03", b"\x81\xa1b\xc4\x01\x09"], &["a", "b"], b"\x80"),
        message(&[&name, b"\xd6\xff\0\0\0\x01", b"\xcd\x01\0", b"\xd1\xff\0"], &[], b"\x80"),
        message(&[&name, "\u{a9}é".as_bytes().get(1..).unwrap(), b"\xc3"], &[], b"\x81\xa8volatile\xc3"),
    ]
}

#[test]
fn emitted_messages_are_json_or_refused() {
    let seeds = emitted();
    let channels = ["socket.io#/#", "socket.io#/#group-1#"];
    let telling =
        [0, 0x80, 0x81, 0x90, 0x92, 0xa1, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xd6, 0xdb, 0xdc, 0xdf, 0xff];
    everywhere("emitter message", |dice, _| {
        let mut body = seeds[dice.below(seeds.len())].clone();
        for _ in 0..dice.below(4) {
            let at = dice.below(body.len());
            match dice.below(8) {
                0 => body.truncate(at + 1),
                1 => body.insert(at, telling[dice.below(telling.len())]),
                2 => _ = body.remove(at),
                3 => body[at] = telling[dice.below(telling.len())],
                4 => body[at] = dice.next() as u8,
                _ => body[at] ^= 1 << dice.below(8),
            }
            if body.is_empty() {
                break;
            }
        }
        let Ok(emitted) = emitter::decode(channels[dice.below(2)], &body.into()) else { return false };
        assert!(
            emitted.rooms.len() <= EMITTER_ROOMS_MAX && emitted.attachments.len() <= SOCKETIO_ATTACHMENTS_MAX
        );
        assert!(emitted.arguments.len() <= EMITTER_JSON_MAX_BYTES);
        if dice.below(WRITTEN_AGAIN) == 0 {
            let array = format!("[{}]", emitted.arguments);
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&array).is_ok(), "{array}");
        }
        true
    });
}

#[test]
fn giants_are_refused_at_once() {
    let watch = Stopwatch::start();
    let million = |piece: &str| piece.repeat(1_000_000 / piece.len());
    let digits = million("9");
    for text in [
        format!("5500000-[{}]", million("0,")),
        format!("5{digits}-[\"a\"]"),
        format!("2{digits}[\"a\"]"),
        format!("0/{}", million("é")),
        format!("2[\"{}\"]", million("n")),
        format!("2[\"a\",{}", million("[")),
        format!("51-[\"a\",{}{}]", million("["), million("]")),
        format!("51-[\"a\"{}]", million(",{\"_placeholder\":true,\"num\":1}")),
        million("\u{1e}"),
        million("5"),
    ] {
        assert!(socketio::decode(&text).is_err(), "{}", &text[..20]);
    }
    assert!(engineio::payload(&million("\u{1e}")).all(|packet| packet.is_err()));
    assert!(engineio::payload(&million("b!")).all(|packet| packet.is_err()));
    let mut assembly = Assembly::default();
    let text = format!("5{SOCKETIO_ATTACHMENTS_MAX}-[\"a\"]");
    assembly.text(&text, &socketio::decode(&text).unwrap()).unwrap();
    let piece = Bytes::from(vec![0; 1_000_000]);
    let taken = (0..SOCKETIO_ATTACHMENTS_MAX).map_while(|_| assembly.binary(piece.clone()).ok()).count();
    assert!(taken * piece.len() <= SOCKETIO_ATTACHMENTS_MAX_BYTES);
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
}
