//! Hostile updates by name, and what cutting and joining promise.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::config::limits::UPDATE_NESTING_MAX;
use crate::wire::varint::write_uint;

/// An update of one client's structs, nothing deleted.
fn update(client: u64, clock: u64, structs: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![1];
    section(&mut out, client, clock, structs);
    out.push(0);
    out
}

fn section(out: &mut Vec<u8>, client: u64, clock: u64, structs: &[&[u8]]) {
    write_uint(out, structs.len() as u64);
    write_uint(out, client);
    write_uint(out, clock);
    structs.iter().for_each(|one| out.extend_from_slice(one));
}

/// Text in the root type "t".
fn text(words: &str) -> Vec<u8> {
    let mut out = vec![4, 1, 1, b't', words.len() as u8];
    out.extend_from_slice(words.as_bytes());
    out
}

/// A struct of `kind` in the root type "t" with `content`.
fn item(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 1, 1, b't'], content].concat()
}

/// Text behind the struct `(client, clock)`.
fn text_behind(client: u8, clock: u8, words: &str) -> Vec<u8> {
    let mut out = vec![0x84, client, clock, words.len() as u8];
    out.extend_from_slice(words.as_bytes());
    out
}

fn refused(update: &[u8]) -> GateError {
    check(update).expect_err("refused")
}

fn vector(clocks: &[(u64, u32)]) -> StateVector {
    StateVector::from_clocks(clocks.to_vec()).expect("clocks")
}

#[test]
fn the_empty_update_says_nothing() {
    let structure = check(&[0, 0]).unwrap();
    assert!(structure.is_empty());
    assert_eq!(Known::default().place(&structure), Placement::Nothing);
}

#[test]
fn an_empty_client_block_is_refused() {
    // five bytes that end a well-known engine when the client is known
    assert_eq!(refused(&[1, 0, 7, 0, 0]), GateError::Empty);
    assert_eq!(refused(&[2, 0, 7, 0, 1, 8, 0, 0, 1, 0]), GateError::Empty);
    assert_eq!(refused(&[1, 0, 7, 3, 1, 7, 1, 0, 1]), GateError::Empty);
}

#[test]
fn structs_and_deletes_without_length_are_refused() {
    assert_eq!(refused(&update(7, 0, &[&[0, 0]])), GateError::Empty, "a collected run of nothing");
    assert_eq!(refused(&update(7, 0, &[&[10, 0]])), GateError::Empty, "a skip of nothing");
    assert_eq!(refused(&update(7, 0, &[&text("")])), GateError::Empty, "text without letters");
    assert_eq!(refused(&update(7, 0, &[&item(8, &[0])])), GateError::Empty, "no values");
    assert_eq!(refused(&[0, 1, 7, 1, 0, 0]), GateError::Empty, "nothing deleted");
}

#[test]
fn count_bombs_are_refused_by_what_follows_them() {
    let bomb = [0xff, 0xff, 0xff, 0xbf, 0x01]; // 400 million
    assert_eq!(refused(&bomb), GateError::Count, "clients");
    assert_eq!(refused(&[&[1][..], &bomb, &[7, 0, 0, 1, 0]].concat()), GateError::Count, "structs");
    assert_eq!(refused(&[&[0][..], &bomb].concat()), GateError::Count, "clients with deletes");
    assert_eq!(refused(&[&[0, 1, 7][..], &bomb].concat()), GateError::Count, "deletes");
    assert_eq!(refused(&update(7, 0, &[&item(8, &bomb)])), GateError::Count, "values");
    for kind in [117, 118] {
        let values = [&[1, kind][..], &bomb].concat();
        assert_eq!(refused(&update(7, 0, &[&item(8, &values)])), GateError::Count, "values inside a value");
    }
    assert_eq!(refused(&update(7, 0, &[&item(3, &bomb)])), WireError::Short.into(), "a buffer");
}

#[test]
fn values_nest_as_deep_as_the_limit() {
    let nested = |depth: usize| {
        let mut values = vec![1];
        (0..depth).for_each(|_| values.extend_from_slice(&[117, 1]));
        values.push(126);
        update(7, 0, &[&item(8, &values)])
    };
    assert!(check(&nested(UPDATE_NESTING_MAX)).is_ok());
    assert_eq!(refused(&nested(UPDATE_NESTING_MAX + 1)), GateError::Nesting);
    assert_eq!(refused(&nested(20_000)), GateError::Nesting, "forty kilobytes that overflow a stack");
}

#[test]
fn clocks_end_before_engines_count_below_zero() {
    assert!(check(&update(7, (1 << 31) - 3, &[&text("abc")])).is_ok());
    assert_eq!(refused(&update(7, (1 << 31) - 2, &[&text("abc")])), GateError::Clock);
    assert_eq!(refused(&update(7, 1 << 32, &[&text("abc")])), GateError::Clock);
    let most = [0xff, 0xff, 0xff, 0xff, 0x07];
    assert_eq!(refused(&update(7, 2, &[&[&[0][..], &most].concat()])), GateError::Clock, "a collected run");
    assert_eq!(refused(&update(7, 2, &[&item(1, &most)])), GateError::Clock, "a deleted run");
    assert_eq!(refused(&[&[0, 1, 7, 1, 2][..], &most].concat()), GateError::Clock, "a delete");
    assert_eq!(
        refused(&[&[1, 1, 7, 0, 0x84, 9][..], &[0x80, 0x80, 0x80, 0x80, 8, 1, 97, 0]].concat()),
        GateError::Clock
    );
}

#[test]
fn nothing_trails_and_nothing_is_cut_short() {
    let whole = update(7, 0, &[&text("abc")]);
    for end in 0..whole.len() {
        assert!(check(&whole[..end]).is_err(), "{end} bytes");
    }
    assert_eq!(refused(&[&whole[..], &[0]].concat()), WireError::Trailing.into());
}

#[test]
fn a_client_stands_once() {
    let mut twice = vec![2];
    section(&mut twice, 7, 0, &[&text("a")]);
    section(&mut twice, 7, 1, &[&text_behind(7, 0, "b")]);
    twice.push(0);
    assert_eq!(refused(&twice), GateError::Twice);
    assert_eq!(refused(&[0, 2, 7, 1, 0, 1, 7, 1, 1, 1]), GateError::Twice);
}

#[test]
fn foreign_and_legacy_contents_are_refused() {
    assert_eq!(refused(&update(7, 0, &[&item(2, &[1, 1, b'1'])])), GateError::Content(2), "JSON of Yjs 12");
    assert_eq!(refused(&update(7, 0, &[&item(11, &[0, 0, 0, 0])])), GateError::Content(11), "a move");
    assert_eq!(refused(&update(7, 0, &[&item(7, &[7, 0, 0, 0])])), WireError::Kind(7).into(), "a weak link");
    assert_eq!(
        refused(&update(7, 0, &[&[0x80, 1]])),
        GateError::Content(0x80),
        "a collected run with an origin"
    );
    assert_eq!(refused(&update(7, 0, &[&item(8, &[1, 30])])), WireError::Kind(30).into());
    assert_eq!(refused(&update(7, 0, &[&[4, 2, 1, b't', 1, b'a']])), GateError::Content(4), "no such parent");
}

#[test]
fn text_is_utf8_and_json_is_json() {
    assert_eq!(refused(&update(7, 0, &[&item(4, &[2, 0xc3, 0x28])])), WireError::Text.into());
    assert_eq!(refused(&update(7, 0, &[&item(5, &[1, b'{'])])), GateError::Json);
    let half = br#""\ud83d""#;
    let embed = [&[half.len() as u8][..], half].concat();
    assert!(check(&update(7, 0, &[&item(5, &embed)])).is_ok(), "JavaScript may write half an emoji");
}

#[test]
fn a_subdocument_may_say_only_what_yjs_lets_it_say() {
    let doc = |options: &[u8]| check(&update(7, 0, &[&item(9, &[&[1, b'g', 118][..], options].concat())]));
    assert!(doc(&[0]).is_ok());
    assert!(doc(&[2, 2, b'g', b'c', 121, 4, b'm', b'e', b't', b'a', 126]).is_ok());
    assert_eq!(doc(&[1, 2, b'g', b'c', 126]), Err(GateError::Content(9)));
    assert_eq!(doc(&[1, 1, b'x', 120]), Err(GateError::Content(9)));
}

#[test]
fn blocks_that_wait_for_each_other_are_refused() {
    assert_eq!(refused(&update(7, 3, &[&text_behind(7, 3, "a")])), GateError::Circle, "for itself");
    assert_eq!(refused(&update(7, 3, &[&text_behind(7, 9, "a")])), GateError::Circle, "for its own future");
    let pair = |second: &[u8]| {
        let mut out = vec![2];
        section(&mut out, 7, 0, &[&text_behind(8, 0, "a")]);
        section(&mut out, 8, 0, &[second]);
        out.push(0);
        out
    };
    assert_eq!(refused(&pair(&text_behind(7, 0, "b"))), GateError::Circle);
    assert!(check(&pair(&text("b"))).is_ok(), "what it waits for may stand later");
}

#[test]
fn a_long_chain_between_two_clients_is_put_in_order() {
    let mut out = vec![2];
    for (client, other) in [(7u64, 8u8), (8, 7)] {
        let first = if client == 7 { text("a") } else { text_behind(7, 0, "b") };
        // 7:1 waits for 8:0, 8:1 for 7:1, and so on
        let back = u8::from(client == 7);
        let rest = (1..100u8).map(|clock| text_behind(other, clock - back, "x"));
        let structs: Vec<Vec<u8>> = std::iter::once(first).chain(rest).collect();
        section(&mut out, client, 0, &structs.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    out.push(0);
    let structure = check(&out).unwrap();
    assert_eq!(Known::default().place(&structure), Placement::New);
}

#[test]
fn an_update_is_placed_by_what_the_document_has() {
    let mut known = Known::default();
    let place = |known: &Known, bytes: &[u8]| known.place(&check(bytes).unwrap());
    assert_eq!(place(&known, &update(7, 1, &[&text("b")])), Placement::Gap, "its own past is missing");
    assert_eq!(
        place(&known, &update(7, 0, &[&text_behind(8, 0, "a")])),
        Placement::Gap,
        "its neighbour is missing"
    );
    assert_eq!(place(&known, &[0, 1, 7, 1, 0, 1]), Placement::Gap, "what it deletes is missing");

    known.absorb(&check(&update(7, 0, &[&text("abc")])).unwrap());
    assert_eq!(place(&known, &update(7, 0, &[&text("abc")])), Placement::Nothing);
    assert_eq!(place(&known, &update(7, 3, &[&text_behind(7, 2, "d")])), Placement::New);
    assert_eq!(place(&known, &update(7, 1, &[&text_behind(7, 0, "bcd")])), Placement::Overlap);
    assert_eq!(place(&known, &update(8, 0, &[&text_behind(7, 2, "d")])), Placement::New);
    assert_eq!(place(&known, &update(8, 0, &[&text_behind(7, 3, "d")])), Placement::Gap);

    assert_eq!(place(&known, &[0, 1, 7, 1, 0, 2]), Placement::New);
    assert_eq!(place(&known, &[0, 1, 7, 1, 0, 4]), Placement::Gap);
    known.absorb(&check(&[0, 1, 7, 1, 0, 2]).unwrap());
    assert_eq!(place(&known, &[0, 1, 7, 1, 1, 1]), Placement::Nothing, "deleted already");
    assert_eq!(place(&known, &[0, 1, 7, 1, 1, 2]), Placement::New, "deletes one more");
    assert!(known.covers(&vector(&[(7, 3)])) && !known.covers(&vector(&[(7, 4)])));
}

#[test]
fn what_is_skipped_must_be_known() {
    let skipping = update(7, 0, &[&text("a"), &[10, 3], &text_behind(7, 3, "e")]);
    let structure = check(&skipping).unwrap();
    assert!(structure.has_gap());
    let mut known = Known::default();
    assert_eq!(known.place(&structure), Placement::Gap);
    known.absorb(&check(&update(7, 0, &[&text("abcd")])).unwrap());
    assert_eq!(known.place(&structure), Placement::Overlap);
    let rest = splice::cut(&skipping, &known.clocks()).unwrap();
    assert_eq!(rest, update(7, 4, &[&text_behind(7, 3, "e")]));
    // a skip that leads nowhere does not reach anybody
    let trailing = update(7, 4, &[&text_behind(7, 3, "e"), &[10, 100]]);
    assert_eq!(known.place(&check(&trailing).unwrap()), Placement::Overlap);
    assert_eq!(splice::cut(&trailing, &known.clocks()).unwrap(), rest);
}

#[test]
fn a_cut_leaves_the_rest_as_yjs_writes_it() {
    let cut = |bytes: &[u8], clock| splice::cut(bytes, &vector(&[(7, clock)])).unwrap();
    let whole = update(7, 0, &[&text("a😀b"), &item(8, &[3, 126, 127, 120]), &item(1, &[5]), &[0, 4]]);
    let rest = |clock: u64, first: &[u8]| {
        let all: [&[u8]; 4] = [first, &item(8, &[3, 126, 127, 120]), &item(1, &[5]), &[0, 4]];
        update(7, clock, &all)
    };
    assert_eq!(cut(&whole, 0), whole);
    assert_eq!(cut(&whole, 1), rest(1, &text_behind(7, 0, "😀b")));
    assert_eq!(cut(&whole, 2), rest(2, &text_behind(7, 1, "\u{fffd}b")), "half an emoji");
    assert_eq!(cut(&whole, 3), rest(3, &text_behind(7, 2, "b")));
    assert_eq!(cut(&whole, 6), update(7, 6, &[&[0x88, 7, 5, 1, 120], &item(1, &[5]), &[0, 4]]), "values");
    assert_eq!(cut(&whole, 9), update(7, 9, &[&[0x81, 7, 8, 3], &[0, 4]]), "what is deleted");
    assert_eq!(cut(&whole, 14), update(7, 14, &[&[0, 2]]), "what is collected");
    assert_eq!(cut(&whole, 16), [0, 0][..]);
    let right = update(7, 0, &[&[0x44, 9, 4, 2, b'a', b'b']]);
    assert_eq!(cut(&right, 1), update(7, 1, &[&[0xc4, 7, 0, 9, 4, 1, b'b']]), "its right neighbour stays");
}

#[test]
fn joining_keeps_json_as_it_was_written() {
    let json = br#"{"b":1e19,"a":"\ud83d"}"#;
    let embed = item(5, &[&[json.len() as u8][..], json].concat());
    let joined = splice::join(&[update(7, 0, &[&embed]), update(8, 0, &[&text("x")])]).unwrap();
    assert!(joined.windows(json.len()).any(|part| part == json));
}

#[test]
fn joining_leaves_holes_open_until_they_are_filled() {
    let (a, b, c) = (
        update(7, 0, &[&text("a")]),
        update(7, 1, &[&text_behind(7, 0, "b")]),
        update(7, 2, &[&text_behind(7, 1, "c")]),
    );
    let open = splice::join(&[&a, &c]).unwrap();
    assert_eq!(open, update(7, 0, &[&text("a"), &[10, 1], &text_behind(7, 1, "c")]));
    let closed = splice::join(&[&open[..], &b]).unwrap();
    assert_eq!(closed, update(7, 0, &[&text("abc")]));
}

#[test]
fn structs_that_continue_each_other_become_one() {
    let joined = |structs: &[&[u8]]| splice::join(&[update(7, 0, structs)]).unwrap();
    let values = |n: u8, behind: u8| [&[0x88, 7, behind, n][..], &vec![126; usize::from(n)]].concat();
    let three = [&text("a😀")[..], &text_behind(7, 2, "b"), &text_behind(7, 3, "c")];
    assert_eq!(joined(&three), update(7, 0, &[&text("a😀bc")]));
    let counted = [&item(8, &[1, 126])[..], &values(2, 0), &values(1, 2)];
    assert_eq!(joined(&counted), update(7, 0, &[&item(8, &[4, 126, 126, 126, 126])]));

    let elsewhere: [&[&[u8]]; 5] = [
        &[&text("ab"), &text_behind(7, 0, "c")],
        &[&text("ab"), &[0xc4, 7, 1, 7, 0, 1, b'c']],
        &[&text("ab"), &values(1, 1)],
        &[&text("ab"), &[0xa4, 7, 1, 1, b'c']],
        &[&[4 | 0x20, 1, 1, b't', 1, b'k', 1, b'a'], &text_behind(7, 0, "b")],
    ];
    for apart in elsewhere {
        assert_eq!(joined(apart), update(7, 0, apart));
    }
}

/// One person's typing, in pieces: always an honest history.
fn history() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(("[a-z😀é]{1,6}", any::<bool>(), any::<u8>()), 1..20).prop_map(|pieces| {
        let mut clock = 0u8;
        let mut updates = Vec::new();
        for (words, delete, at) in pieces {
            let one = if clock == 0 { text(&words) } else { text_behind(7, clock - 1, &words) };
            updates.push(update(7, u64::from(clock), &[&one]));
            clock += words.encode_utf16().count() as u8;
            if delete {
                updates.push(vec![0, 1, 7, 1, at % clock, 1]);
            }
        }
        updates
    })
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes: Vec<u8>) {
        if let Ok(structure) = check(&bytes) {
            prop_assert!(structure.parts() <= bytes.len());
            let _ = Known::default().place(&structure);
            let _ = splice::join(&[bytes]);
        }
    }

    #[test]
    fn a_history_joined_in_any_order_and_cut_anywhere_is_the_same(history in history(), seed: u64, at: u8) {
        let known = Known::from_parts(history.iter().map(Vec::as_slice))?;
        let mut shuffled: Vec<&Vec<u8>> = history.iter().collect();
        shuffled.sort_by_key(|update| crc32c::crc32c_append(seed as u32, update));
        let whole = splice::join(&shuffled)?;
        prop_assert_eq!(&splice::join(&history)?, &whole);
        prop_assert_eq!(&Known::from_parts([&whole[..]].into_iter())?, &known);

        let all = known.clocks().clock(7);
        let have = vector(&[(7, u32::from(at) % (all + 1))]);
        let rest = splice::cut(&whole, &have)?;
        let mut later = Known::default();
        later.clocks_are(&have);
        prop_assert_ne!(later.place(&check(&rest)?), Placement::Gap);
        later.absorb(&check(&rest)?);
        prop_assert_eq!(&later, &known);
        let also = check(&splice::join_beyond(&history, &have)?)?;
        let mut later = Known::default();
        later.clocks_are(&have);
        later.absorb(&also);
        prop_assert_eq!(later, known);
        prop_assert_eq!(&splice::join(&[&whole])?, &whole, "packed once is packed");
    }

    #[test]
    fn deleted_ranges_are_kept_like_a_set(
        ranges in prop::collection::vec((0u32..200, 1u32..9), 1..60),
        many: bool,
    ) {
        let typed = update(7, 0, &[&[0, 250, 1]]);
        let mut known = Known::from_parts([&typed[..]].into_iter())?;
        let mut expected = std::collections::BTreeSet::new();
        let delete = |ranges: &[(u32, u32)]| {
            let mut out = vec![0, 1, 7];
            write_uint(&mut out, ranges.len() as u64);
            for (start, len) in ranges {
                write_uint(&mut out, u64::from(*start));
                write_uint(&mut out, u64::from(*len));
            }
            Bytes::from(out)
        };
        for some in ranges.chunks(if many { 20 } else { 1 }) {
            known.absorb(&check(&delete(some))?);
            expected.extend(some.iter().flat_map(|(start, len)| *start..start + len));
        }
        for clock in 0..210 {
            let is_deleted = known.place(&check(&delete(&[(clock, 1)]))?) == Placement::Nothing;
            prop_assert_eq!(is_deleted, expected.contains(&clock));
        }
        let kept: Vec<(u32, u32)> = expected.iter().map(|clock| (*clock, 1)).collect();
        let mut fresh = Known::from_parts([&typed[..]].into_iter())?;
        fresh.absorb(&check(&delete(&kept))?);
        prop_assert_eq!(fresh, known, "however they came");
    }
}
