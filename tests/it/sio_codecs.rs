//! Hostile text: the decoders of Engine.IO and Socket.IO answer a million of it each (`TOWNHALL_FUZZ_RUNS` for more),
//! quickly, and whatever they let through is written again as it was read.

use std::time::Duration;

use bytes::Bytes;
use townhall::clock::Stopwatch;
use townhall::config::limits::{SOCKETIO_ATTACHMENTS_MAX, SOCKETIO_ATTACHMENTS_MAX_BYTES};
use townhall::wire::engineio;
use townhall::wire::socketio::{self, Assembly, Body, Telling};

const RUNS: u64 = 1_000_000;
const THREADS: u64 = 2;

fn runs() -> u64 {
    std::env::var("TOWNHALL_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

/// A small deterministic source of numbers.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (((self.next() >> 32) * end as u64) >> 32) as usize
    }
}

fn pick<'a>(list: &[&'a str], dice: &mut Dice) -> &'a str {
    list[dice.below(list.len())]
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
fn mutate(seeds: &[&str], dice: &mut Dice) -> String {
    let mut text = pick(seeds, dice).to_owned();
    for _ in 0..=dice.below(3) {
        let mut at = dice.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let letter = text[at..].chars().next().map_or(0, char::len_utf8);
        match dice.below(6) {
            0 => text.replace_range(at..at + letter, ""),
            1 if dice.below(4) == 0 => text.truncate(at),
            2 => text.replace_range(at..at + letter, pick(&PIECES, dice)),
            3 => {
                let other = pick(seeds, dice);
                let from =
                    other.char_indices().map(|(at, _)| at).nth(dice.below(other.len() / 2)).unwrap_or(0);
                text.insert_str(at, &other[from..]);
            }
            _ => text.insert_str(at, pick(&PIECES, dice)),
        }
    }
    text
}

/// Tries something on all threads; how long it took.
fn everywhere(what: &str, one: impl Fn(&mut Dice) -> bool + Sync) {
    let watch = Stopwatch::start();
    let passed: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let one = &one;
                scope.spawn(move || {
                    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ thread << 32 | 1);
                    (0..runs() / THREADS).filter(|_| one(&mut dice)).count() as u64
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
    everywhere("engineio payload", |dice| {
        let body = mutate(&ENGINE_SEEDS, dice);
        let Ok(packets) = engineio::payload(&body).collect::<Result<Vec<_>, _>>() else { return false };
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
    everywhere("engineio frame", |dice| {
        let text = mutate(&ENGINE_SEEDS, dice);
        let Ok(packet) = engineio::decode(&text) else { return false };
        let mut again = Vec::new();
        engineio::encode(&mut again, &packet);
        assert_eq!(again, text.as_bytes());
        true
    });
}

#[test]
fn packets_are_taken_or_refused_and_come_back_as_they_were() {
    everywhere("socketio packet", |dice| {
        let text = mutate(&SOCKET_SEEDS, dice);
        let Ok(packet) = socketio::decode(&text) else { return false };
        assert!(packet.body.attachments() <= SOCKETIO_ATTACHMENTS_MAX);
        let namespace = packet.namespace;
        let mut again = Vec::new();
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
                return true;
            }
            Body::Connect(None) | Body::Disconnect => return true,
        }
        let again = String::from_utf8(again).unwrap();
        let once_more = socketio::decode(&again).unwrap_or_else(|error| panic!("{error}: {text} as {again}"));
        match (&once_more.body, &packet.body) {
            // A number as a name is written as text.
            (Body::Event(mine), Body::Event(theirs)) => {
                assert_eq!(
                    (&mine.name, mine.arguments, mine.id),
                    (&theirs.name, theirs.arguments, theirs.id)
                );
            }
            (mine, theirs) => assert_eq!(mine, theirs, "{text}"),
        }
        true
    });
}

#[test]
fn sequences_of_packets_and_binary_messages_hold_little() {
    everywhere("socketio sequence", |dice| {
        let mut assembly = Assembly::default();
        let mut complete = false;
        for _ in 0..1 + dice.below(4) {
            let heard = if dice.below(3) == 0 {
                assembly.binary(Bytes::from_static(b"binary"))
            } else {
                let text = mutate(&SOCKET_SEEDS, dice);
                socketio::decode(&text).and_then(|packet| assembly.text(&text, &packet))
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
