//! Tokens that another system signed (RFC 7519): checked against the keys of this office, never made here.
//!
//! Owns which signatures count. Every key knows its one algorithm and a token's header only chooses among the keys, so
//! there is neither `none` nor a public key taken for a secret. The claims are the published ones of the Curia forum
//! (Curia's `server.ts`). Tokens and keys are never logged.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::config::limits::{
    JWT_ID_MAX_BYTES, JWT_KEY_FILE_MAX_BYTES, JWT_MAX_BYTES, JWT_ROLES_MAX, JWT_TEXT_MAX_BYTES,
};

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the public key {0} cannot be read: {1}")]
    Unreadable(PathBuf, String),
    /// The file holds something else.
    #[error("the public key {0} is not understood: a PEM file with an RSA or Ed25519 PUBLIC KEY is expected")]
    NotAKey(PathBuf),
}

/// Why a token opened nothing: for counting, not for telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtDenied {
    /// It is not a token of this form.
    #[error("not a token")]
    Malformed,
    /// There is no key for its algorithm.
    #[error("an algorithm that no key is for")]
    Algorithm,
    /// Nobody we know signed it.
    #[error("a wrong signature")]
    Signature,
    /// Its time is over, or has not come, or it says none.
    #[error("out of its time")]
    Time,
    /// It does not say what it has to say.
    #[error("claims are missing or not understood")]
    Claims,
}

impl JwtDenied {
    /// A short fixed word for the figures.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "jwt_malformed",
            Self::Algorithm => "jwt_algorithm",
            Self::Signature => "jwt_signature",
            Self::Time => "jwt_time",
            Self::Claims => "jwt_claims",
        }
    }
}

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the person.
    pub person: String,
    /// `uid`: the device.
    pub device: Option<String>,
    /// `cid`: the community.
    pub community: Option<String>,
    /// `adm`: whether the person administers the community. Only a true `true` counts.
    pub admin: bool,
    /// `roles`.
    pub roles: Vec<String>,
    /// `name`.
    pub name: Option<String>,
    /// `picture`.
    pub picture: Option<String>,
    /// `communityShortId`.
    pub community_short_id: Option<String>,
    /// `pluginId`.
    pub plugin_id: Option<String>,
    /// `exp`, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

enum Key {
    Hs256(hmac::Key),
    /// The key in its PKCS #1 form.
    Rs256(Vec<u8>),
    EdDsa(Vec<u8>),
}

/// The keys that count, each for its one algorithm.
pub struct JwtKeys(Vec<Key>);

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(Key::algorithm)).finish()
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

impl Key {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn signed(&self, text: &[u8], mark: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, text, mark).is_ok(),
            Self::Rs256(key) => {
                signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key)
                    .verify(text, mark)
                    .is_ok()
            }
            Self::EdDsa(key) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(text, mark).is_ok()
            }
        }
    }
}

impl JwtKeys {
    /// The keys that are configured; `None` when there is none, since then nobody's token counts.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn open(secret: Option<&str>, public_key_file: Option<&Path>) -> Result<Option<Self>, KeyError> {
        let mut keys = Vec::new();
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            if secret.len() < 32 {
                tracing::warn!("the secret for tokens of the forum is short: 32 bytes or more are advised");
            }
            keys.push(Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())));
        }
        if let Some(path) = public_key_file {
            let unreadable = |why: std::io::Error| KeyError::Unreadable(path.to_path_buf(), why.to_string());
            let size = std::fs::metadata(path).map_err(unreadable)?.len();
            let fits = size <= JWT_KEY_FILE_MAX_BYTES;
            let text = if fits { std::fs::read_to_string(path).map_err(unreadable)? } else { String::new() };
            keys.push(public_key(&text).ok_or_else(|| KeyError::NotAKey(path.to_path_buf()))?);
        }
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    /// What a token says, if somebody we know signed it and its time is now.
    ///
    /// # Errors
    /// See [`JwtDenied`].
    pub fn claims(&self, token: &str, clock: &Clock) -> Result<Claims, JwtDenied> {
        if token.len() > JWT_MAX_BYTES {
            return Err(JwtDenied::Malformed);
        }
        let (signed, mark) = token.rsplit_once('.').ok_or(JwtDenied::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtDenied::Malformed)?;
        let header: Header = serde_json::from_slice(&unpacked(header)?).map_err(|_| JwtDenied::Malformed)?;
        if header.crit.is_some() {
            return Err(JwtDenied::Algorithm);
        }
        let mark = unpacked(mark)?;
        let mut known = self.0.iter().filter(|key| key.algorithm() == header.alg).peekable();
        if known.peek().is_none() {
            return Err(JwtDenied::Algorithm);
        }
        if !known.any(|key| key.signed(signed.as_bytes(), &mark)) {
            return Err(JwtDenied::Signature);
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(&unpacked(claims)?).map_err(|_| JwtDenied::Malformed)?;
        read(&claims, clock.now_ms())
    }
}

fn unpacked(part: &str) -> Result<Vec<u8>, JwtDenied> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtDenied::Malformed)
}

fn read(claims: &Map<String, Value>, now_ms: u64) -> Result<Claims, JwtDenied> {
    // What no expiry is said of would be valid for ever.
    let expires_at_ms = time_ms(claims.get("exp"))?.ok_or(JwtDenied::Time)?;
    if expires_at_ms <= now_ms || time_ms(claims.get("nbf"))?.is_some_and(|from_ms| from_ms > now_ms) {
        return Err(JwtDenied::Time);
    }
    let roles = match claims.get("roles") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(roles)) if roles.len() <= JWT_ROLES_MAX => {
            roles.iter().map(|role| id(role).ok_or(JwtDenied::Claims)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(JwtDenied::Claims),
    };
    let id_of = |key: &str| match claims.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => id(value).map(Some).ok_or(JwtDenied::Claims),
    };
    Ok(Claims {
        person: id_of("sub")?.ok_or(JwtDenied::Claims)?,
        device: id_of("uid")?,
        community: id_of("cid")?,
        admin: claims.get("adm") == Some(&Value::Bool(true)),
        roles,
        // What people look at opens nothing: left out where it is too long, not refused.
        name: claims.get("name").and_then(text),
        picture: claims.get("picture").and_then(text),
        community_short_id: claims.get("communityShortId").and_then(text),
        plugin_id: claims.get("pluginId").and_then(text),
        expires_at_ms,
    })
}

/// An id: a text, or a whole number as text, since signers write it either way.
fn id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(id) => id.clone(),
        Value::Number(number) if number.is_u64() => number.to_string(),
        _ => return None,
    };
    let fits = !id.is_empty() && id.len() <= JWT_ID_MAX_BYTES && !id.chars().any(char::is_control);
    fits.then_some(id)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.len() <= JWT_TEXT_MAX_BYTES).map(str::to_owned)
}

fn time_ms(value: Option<&Value>) -> Result<Option<u64>, JwtDenied> {
    let Some(value) = value else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds)).ok_or(JwtDenied::Claims)?;
    Ok(Some((seconds * 1000.0) as u64))
}

/// The key of a PEM file: `SubjectPublicKeyInfo` (RFC 5280, 4.1) with RSA (RFC 8017) or Ed25519 (RFC 8410), or the
/// older `RSA PUBLIC KEY`.
fn public_key(pem: &str) -> Option<Key> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    if let Some(pkcs1) = pem_body(pem, "RSA PUBLIC KEY") {
        return is_rsa(&pkcs1).then_some(Key::Rs256(pkcs1));
    }
    let der = pem_body(pem, "PUBLIC KEY")?;
    let (info, rest) = der_value(&der, 0x30)?;
    let (algorithm, key) = der_value(info, 0x30)?;
    let (oid, _) = der_value(algorithm, 0x06)?;
    let (bits, none) = der_value(key, 0x03)?;
    let (unused, key) = bits.split_first()?;
    if !rest.is_empty() || !none.is_empty() || *unused != 0 {
        return None;
    }
    match oid {
        RSA if is_rsa(key) => Some(Key::Rs256(key.to_vec())),
        ED25519 if key.len() == 32 => Some(Key::EdDsa(key.to_vec())),
        _ => None,
    }
}

fn is_rsa(pkcs1: &[u8]) -> bool {
    let Some((numbers, [])) = der_value(pkcs1, 0x30) else { return false };
    // 2048 bits and more: what is shorter is broken, and its tokens would only be refused one by one.
    matches!(der_value(numbers, 0x02), Some((modulus, _)) if modulus.len() > 256)
}

fn pem_body(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// The contents of the first DER value, if it has this tag, and what follows it.
fn der_value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&size, rest) = rest.split_first()?;
    let (size, rest) = match size {
        0..=0x7f => (usize::from(size), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
        _ => return None,
    };
    (first == tag).then_some(())?;
    rest.split_at_checked(size)
}

#[cfg(test)]
mod tests;
