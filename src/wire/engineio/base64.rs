//! Base64 (RFC 4648, section 4) as browsers write it. Reading also takes text whose padding was left off.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Browsers read what has bits too many at its end, and so does this.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    let (start, chars) = (out.len(), bytes.len().div_ceil(3) * 4);
    out.resize(start + chars, b'=');
    let written = BASE64.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(chars));
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_standards_vectors() {
        let vectors =
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"].into_iter().enumerate();
        for (len, text) in vectors {
            let bytes = &b"foobar"[..len];
            let mut out = Vec::new();
            encode(&mut out, bytes);
            assert_eq!(out, text.as_bytes());
            assert_eq!(decode(text).as_deref(), Some(bytes));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes));
        }
        for bad in ["A", "AAAAA", "=", "==", "====", "Zm9v=", "Z g=", "Zg==Zg==", "é", "Zm_v"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            encode(&mut out, &bytes);
            prop_assert_eq!(out.len(), bytes.len().div_ceil(3) * 4);
            prop_assert_eq!(decode(std::str::from_utf8(&out).unwrap()), Some(bytes));
        }
    }
}
