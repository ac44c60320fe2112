//! The form of a snapshot: a compressed state that says what it is and proves that it is whole.
//!
//! Owns compression and its bounds. Does not know documents, rows or what a state means.

use crate::config::limits::SNAPSHOT_MAX_BYTES;

/// The number of this form. Forms of earlier numbers are still read.
const FORMAT: u8 = 1;
/// As small as gzip's best in a tenth of its time.
const LEVEL: i32 = 3;
/// The program that wrote it: for the person who looks at a damaged file.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const VERSION_LEN: u8 = VERSION.len() as u8;

/// Why a state was not packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// It is larger than a snapshot may be.
    #[error("the state is too large for a snapshot")]
    TooLarge,
    /// It could not be compressed.
    #[error("the state could not be compressed: {0}")]
    Compress(std::io::Error),
}

/// Packs a state.
///
/// Format number, length and text of the program's version, time in milliseconds, size and CRC-32C of the state,
/// then the state in zstd.
pub(super) fn pack(state: &[u8], now_ms: u64) -> Result<Vec<u8>, PackError> {
    if state.len() > SNAPSHOT_MAX_BYTES {
        return Err(PackError::TooLarge);
    }
    let packed = zstd::bulk::compress(state, LEVEL).map_err(PackError::Compress)?;
    let version = VERSION.as_bytes();
    let mut frame = Vec::with_capacity(32 + version.len() + packed.len());
    frame.push(FORMAT);
    frame.push(VERSION_LEN);
    frame.extend_from_slice(version);
    frame.extend_from_slice(&now_ms.to_le_bytes());
    frame.extend_from_slice(&(state.len() as u64).to_le_bytes());
    frame.extend_from_slice(&crc32c::crc32c(state).to_le_bytes());
    frame.extend_from_slice(&packed);
    Ok(frame)
}

/// Unpacks a state, or says in a few words why not. Never makes more bytes than the frame declares.
pub(super) fn unpack(frame: &[u8]) -> Result<Vec<u8>, &'static str> {
    const SHORT: &str = "the snapshot is too short";
    let (format, rest) = frame.split_first().ok_or(SHORT)?;
    if *format != FORMAT {
        return Err("the snapshot has a form that this program does not know");
    }
    let (version, rest) = rest.split_first().ok_or(SHORT)?;
    let rest = rest.get(usize::from(*version)..).ok_or(SHORT)?;
    let (_written_ms, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let (size, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let (sum, packed) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let size = usize::try_from(u64::from_le_bytes(*size)).map_err(|_| "the snapshot is too large")?;
    // No bound on the ratio: ten million equal letters are a state too, and what was packed must unpack.
    if size > SNAPSHOT_MAX_BYTES {
        return Err("the snapshot is too large");
    }
    let state = zstd::bulk::decompress(packed, size).map_err(|_| "the snapshot cannot be unpacked")?;
    if state.len() != size || crc32c::crc32c(&state) != u32::from_le_bytes(*sum) {
        return Err("the snapshot's state is not the one that was packed");
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was() {
        let letters = vec![b'w'; 20_000_000]; // packs to a few hundred bytes
        for state in [vec![], b"abc".to_vec(), (0..100_000u32).flat_map(u32::to_le_bytes).collect(), letters]
        {
            assert_eq!(unpack(&pack(&state, 7).unwrap()).unwrap(), state);
        }
    }

    #[test]
    fn a_changed_or_cut_snapshot_is_refused_and_makes_no_memory() {
        let state: Vec<u8> = (0..4_000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let frame = pack(&state, 7).unwrap();
        for cut in 0..frame.len() {
            assert!(unpack(&frame[..cut]).is_err(), "cut at {cut}");
        }
        let written = 2 + VERSION.len()..10 + VERSION.len();
        for place in 0..frame.len() {
            let mut bad = frame.clone();
            bad[place] ^= 0x10;
            match unpack(&bad) {
                Ok(read) => assert!(written.contains(&place) || place > 1 && read == state, "{place}"),
                Err(_) => assert!(!written.contains(&place)),
            }
        }
        let mut bomb = frame[..2 + VERSION.len() + 8].to_vec();
        bomb.extend_from_slice(&(1u64 << 40).to_le_bytes());
        bomb.extend_from_slice(&[0; 64]);
        assert!(unpack(&bomb).is_err());
    }
}
