//! How the office is found on the network: addresses, announcement, QR code.
//!
//! Owns what the network is told about this office. Does not know what is served, nor who may come in.

mod addresses;
mod announce;
mod qr;

pub use addresses::{LanAddress, addresses};
pub use announce::{Announce, AnnounceError, AnnounceOptions, OFFICE_TYPE};
pub use qr::{Qr, QrError, qr};

use crate::config::limits::LAN_HOST_LABEL_MAX_BYTES;

/// What an office without a usable name is called on the network.
const HOST_LABEL_DEFAULT: &str = "townhall";

/// The office's name as a host label: small ASCII letters, digits and single dashes, for a host label with accents or
/// blanks is not resolved by every system (RFC 1123, section 2.1).
#[must_use]
pub fn host_label(office_name: &str) -> String {
    let mut label = String::new();
    for c in office_name.chars().flat_map(char::to_lowercase) {
        let spelled = spelled(c);
        if spelled == "-" && (label.is_empty() || label.ends_with('-')) {
            continue;
        }
        if label.len() + spelled.len() > LAN_HOST_LABEL_MAX_BYTES {
            break;
        }
        label.push_str(spelled);
    }
    let label = label.trim_end_matches('-');
    if label.is_empty() { HOST_LABEL_DEFAULT.to_owned() } else { label.to_owned() }
}

/// How one small letter is written in ASCII; what has no letter is a dash.
fn spelled(c: char) -> &'static str {
    const ASCII: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    if let Some(at) = ASCII.find(c) {
        return &ASCII[at..=at];
    }
    match c {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ģ' | 'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ō' => "o",
        'ö' | 'œ' | 'ő' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ų' => "u",
        'ü' | 'ű' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // Combining marks follow a letter that is already there.
        '\u{300}'..='\u{36f}' => "",
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_office_name_becomes_a_host_label_that_every_system_resolves() {
        for (name, label) in [
            ("Mairie de Pont-Aven", "mairie-de-pont-aven"),
            ("Hôtel de ville — Saint-Étienne", "hotel-de-ville-saint-etienne"),
            ("Gemeinde Groß-Gerau", "gemeinde-gross-gerau"),
            ("  ", "townhall"),
            ("市役所", "townhall"),
            ("-a-", "a"),
            ("E\u{301}vry", "evry"),
        ] {
            assert_eq!(host_label(name), label, "{name}");
        }
        assert!(host_label(&"x".repeat(300)).len() <= LAN_HOST_LABEL_MAX_BYTES);
    }
}
