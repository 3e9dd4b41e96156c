//! Frames: round trips, the committed vectors, and every kind of damage.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use catga_core::frame::{Fault, Frame, HEADER, MAX_BYTES, checksum, seal};
use proptest::prelude::*;

const SMALLEST: &[u8] = include_bytes!("../../../tests/unit/golden/smallest.bin");
const EMPTY_PARTS: &[u8] = include_bytes!("../../../tests/unit/golden/empty_parts.bin");
const WHOLE: &[u8] = include_bytes!("../../../tests/unit/golden/whole.bin");
const EXTREMES: &[u8] = include_bytes!("../../../tests/unit/golden/extremes.bin");

const PLAIN: Frame<'static> = Frame {
    kind: 0,
    flags: 0,
    codec: 0,
    priority: 0,
    schema_version: 0,
    id: [0; 16],
    created_ms: 0,
    due_ms: 0,
    deadline_ms: 0,
    type_name: "",
    key: None,
    ext: None,
    payload: &[],
};

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0xEE; frame.size(MAX_BYTES).unwrap()];
    assert_eq!(frame.write(&mut out).unwrap(), out.len());
    out
}

fn fault(buffer: &[u8], max_bytes: usize) -> (Fault, usize) {
    let error = Frame::read_whole(buffer, max_bytes).unwrap_err();
    (error.fault, error.offset)
}

#[test]
fn the_vectors_are_read_and_written_as_ever() {
    let id = 0x0190_163d_8694_739b_8abc_def0_1234_5678_u128.to_be_bytes();
    let payload: Vec<u8> = (0..=255).collect();
    let whole = Frame {
        kind: 2,
        flags: 0xA5,
        codec: 3,
        priority: 4,
        schema_version: 0xBEEF,
        id,
        created_ms: 1_767_225_600_000,
        due_ms: 1_767_225_660_000,
        deadline_ms: 1_767_229_200_000,
        type_name: "orders.пла\u{301}ced.订单",
        key: Some(b"customer-\x00\xff"),
        ext: Some(b"\x81\xa1a\x01"),
        payload: &payload,
    };
    let empty_parts = Frame {
        kind: 1,
        codec: 1,
        priority: 7,
        schema_version: 1,
        id: std::array::from_fn(|at| u8::try_from(at).unwrap()),
        created_ms: -1,
        type_name: "t",
        key: Some(b""),
        ext: Some(b""),
        ..PLAIN
    };
    let (name, key) = ("x".repeat(300), [b'k'; 300]);
    let extremes = Frame {
        kind: 255,
        flags: 255,
        codec: 255,
        priority: 7,
        schema_version: u16::MAX,
        id: [255; 16],
        created_ms: i64::MIN,
        due_ms: i64::MAX,
        deadline_ms: -1,
        type_name: &name,
        key: Some(&key),
        ext: Some(b""),
        payload: &[0; 5_000],
    };
    for (frame, golden) in [(PLAIN, SMALLEST), (empty_parts, EMPTY_PARTS), (whole, WHOLE), (extremes, EXTREMES)] {
        assert_eq!(written(&frame), golden);
        assert_eq!(Frame::read_whole(golden, MAX_BYTES), Ok(frame));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_are_there() {
    let mut head = written(&Frame { payload: &[1; 200], ..PLAIN });
    head.truncate(HEADER);
    assert_eq!(fault(&head, 268), (Fault::Truncated, HEADER));
    assert_eq!(fault(&head, 267), (Fault::TooLarge, 60));
    head[60..64].fill(0xFF);
    head[56..60].copy_from_slice(&0xFFFF_FFFE_u32.to_le_bytes());
    assert_eq!(fault(&head, MAX_BYTES), (Fault::TooLarge, 60));
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    let (name, key) = ("n".repeat(65_536), vec![0; 65_535]);
    let refused = |frame: Frame<'_>, max_bytes| frame.size(max_bytes).map_err(|error| (error.fault, error.offset));
    assert_eq!(refused(Frame { priority: 8, ..PLAIN }, MAX_BYTES), Err((Fault::Malformed, 7)));
    assert_eq!(refused(Frame { type_name: &name, ..PLAIN }, MAX_BYTES), Err((Fault::TooLarge, 50)));
    assert_eq!(refused(Frame { key: Some(&key), ..PLAIN }, MAX_BYTES), Err((Fault::TooLarge, 52)));
    assert_eq!(refused(Frame { payload: &key, ..PLAIN }, 65_602), Err((Fault::TooLarge, 60)));
    assert_eq!(refused(Frame { payload: &key, ..PLAIN }, 65_603), Ok(65_603));
    let longest = Frame { type_name: &name[1..], key: Some(&key[1..]), ..PLAIN };
    assert_eq!(Frame::read_whole(&written(&longest), MAX_BYTES), Ok(longest));
    assert_eq!(PLAIN.write(&mut [0; HEADER - 1]).unwrap_err().fault, Fault::Truncated);
}

#[test]
fn what_is_behind_a_whole_frame_is_found() {
    assert_eq!(fault(&[SMALLEST, &[0]].concat(), MAX_BYTES), (Fault::Malformed, HEADER));
}

#[test]
fn a_type_that_is_no_utf8_is_found_where_it_breaks() {
    let mut frame = written(&Frame { type_name: "abc", ..PLAIN });
    frame[HEADER + 2] = 0xFF;
    seal(&mut frame);
    assert_eq!(fault(&frame, MAX_BYTES), (Fault::Malformed, HEADER + 2));
}

#[test]
fn garbage_is_known_at_its_first_bytes() {
    assert_eq!(fault(&[], MAX_BYTES), (Fault::Truncated, 0));
    assert_eq!(fault(&[0x7A], MAX_BYTES), (Fault::Truncated, 1));
    assert_eq!(fault(&[0x7B], MAX_BYTES), (Fault::Magic, 0));
    assert_eq!(fault(&[0x7A, 0xC4, 2], MAX_BYTES), (Fault::Version, 2));
}

#[test]
fn an_error_says_its_code_and_its_place() {
    let error = Frame::read(&[0], 0).unwrap_err();
    assert_eq!(error.to_string(), "CTG-3002 at byte 0: no frame begins here");
}

#[test]
fn checksums_go_on_where_they_stopped() {
    assert_eq!(checksum(b"123456789", 0), 0xE306_9283);
    assert_eq!(checksum(b"6789", checksum(b"12345", 0)), 0xE306_9283);
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

prop_compose! {
    fn parts()(
        numbers in (any::<u8>(), any::<u8>(), any::<u8>(), 0_u8..8, any::<u16>()),
        id in any::<[u8; 16]>(),
        times in any::<[i64; 3]>(),
        name in ".{0,20}",
        key in prop::option::of(bytes(20)),
        ext in prop::option::of(bytes(20)),
        payload in bytes(300),
    ) -> ((u8, u8, u8, u8, u16), [u8; 16], [i64; 3], String, Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>) {
        (numbers, id, times, name, key, ext, payload)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        ((kind, flags, codec, priority, schema_version), id, times, name, key, ext, payload) in parts(),
        behind in bytes(10),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let [created_ms, due_ms, deadline_ms] = times;
        let frame = Frame {
            kind, flags, codec, priority, schema_version, id, created_ms, due_ms, deadline_ms,
            type_name: &name, key: key.as_deref(), ext: ext.as_deref(), payload: &payload,
        };
        let mut buffer = written(&frame);
        prop_assert_eq!(Frame::read_whole(&buffer, buffer.len()), Ok(frame));
        let size = buffer.len();
        buffer.extend(&behind);
        prop_assert_eq!(Frame::read(&buffer, size), Ok((frame, size)));
        let at = at.index(size);
        buffer[at] ^= flip;
        prop_assert!(Frame::read(&buffer, MAX_BYTES).is_err(), "byte {} changed unseen", at);
        prop_assert!(Frame::read(&buffer[..at], MAX_BYTES).is_err());
    }
}

/// splitmix64: the same inputs on every machine and in every run.
struct Source(u64);

impl Source {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// Damages a frame; mostly it then gets a fitting checksum, so that the damage reaches what lies behind that check.
fn damage(source: &mut Source, frame: &mut Vec<u8>) {
    match source.below(10) {
        0 => *frame = (0..source.below(200)).map(|_| source.byte()).collect(),
        1 => frame.truncate(source.below(frame.len() + 1)),
        2 => frame.extend((0..source.below(90)).map(|at| u8::try_from(at).unwrap())),
        // The lengths, by little, so that many still add up or nearly do.
        3 | 4 => {
            let field = [50, 52, 56, 60][source.below(4)];
            frame[field] = frame[field].wrapping_add(source.byte() % 9).wrapping_sub(4);
        }
        // A length moved from one part to another: the sum still fits, every part is another.
        5 | 6 => {
            let (from, to) = ([50, 52, 56, 60][source.below(4)], [50, 52, 56, 60][source.below(4)]);
            if frame[from] != 0xFF && frame[to] != 0xFF {
                let moved = source.below(usize::from(frame[from].min(254 - frame[to])) + 1);
                let moved = u8::try_from(moved).unwrap();
                frame[from] -= moved;
                frame[to] += moved;
            }
        }
        _ => {
            for _ in 0..=source.below(4) {
                let at = source.below(frame.len());
                frame[at] = source.byte();
            }
        }
    }
    if source.below(8) > 0 {
        seal(frame);
    }
}

#[test]
fn no_damage_does_more_than_fail() {
    let inputs = match std::env::var_os("CATGA_LONG") {
        Some(_) => 2_000_000,
        None if cfg!(miri) => 300,
        None => 50_000,
    };
    let (mut source, mut past_header) = (Source(1), 0);
    for _ in 0..inputs {
        let mut buffer = [SMALLEST, EMPTY_PARTS, WHOLE, EXTREMES][source.below(4)].to_vec();
        damage(&mut source, &mut buffer);
        let limit = [MAX_BYTES, 400][source.below(8) / 7];
        let read = Frame::read(&buffer, limit);
        match read {
            Ok((frame, size)) => {
                past_header += 1;
                assert!(size <= buffer.len() && size <= limit);
                assert_eq!(written(&frame), &buffer[..size], "what is read is all there is to write");
            }
            Err(error) => {
                assert!(error.offset <= buffer.len());
                // Only bytes that passed every check of the header can lack others, fail the sum or hold a bad type.
                let body = matches!(error.fault, Fault::Checksum) || error.offset >= HEADER;
                past_header += usize::from(body);
            }
        }
    }
    assert!(past_header * 2 >= inputs, "only {past_header} of {inputs} got past the header");
}
