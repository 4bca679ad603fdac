//! Keys that sign streams: Ed25519 (RFC 8032).

use crate::StoreError;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

/// Who may sign: known to everybody, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Signs; known to one store only.
pub struct SecretKey(SigningKey);

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a public key: 64 hexadecimal digits are expected")]
pub struct BadKey(String);

impl SecretKey {
    /// A new one.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        let flags = rustix::rand::GetRandomFlags::empty();
        let mut filled = 0;
        while filled < seed.len() {
            filled += rustix::rand::getrandom(&mut seed[filled..], flags)?;
        }
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key in `file`, which is made, readable for its owner only, if there is none.
    pub fn at(file: &Path) -> Result<Self, StoreError> {
        match fs::read_to_string(file) {
            Ok(text) => {
                let seed = from_hex(text.trim());
                let seed =
                    seed.ok_or_else(|| StoreError::corrupt("signing-key", "it is no key"))?;
                Ok(Self(SigningKey::from_bytes(&seed)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate().map_err(StoreError::io("make a key for", file))?;
                let text = format!("{}\n", hex(&key.0.to_bytes()));
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
                made.and_then(|mut made| made.write_all(text.as_bytes()))
                    .map_err(StoreError::io("create", file))?;
                Ok(key)
            }
            Err(e) => Err(StoreError::io("read", file)(e)),
        }
    }

    /// What others know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of `text`, in hexadecimal.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        hex(&self.0.sign(text).to_bytes())
    }
}

impl PublicKey {
    /// True if `signature` (hexadecimal) is this key's, of `text`.
    pub(crate) fn has_signed(&self, text: &[u8], signature: &str) -> bool {
        let signature = from_hex(signature).map(|bytes| Signature::from_bytes(&bytes));
        signature.is_some_and(|signature| self.0.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let key = from_hex(text).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        key.map(Self).ok_or_else(|| BadKey(text.to_owned()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case digits only: a text has one spelling.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
