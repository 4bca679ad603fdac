//! A stream: the images that had a name, newest first, signed. The only thing in a store that changes
//! its meaning.
//!
//! ```text
//! refs/NAME = JSON newline "ed25519" key signature newline
//! ```
//!
//! Key and signature (RFC 8032, of the JSON's bytes) are in hexadecimal. The generation grows with
//! every change, so that whoever has seen a newer one refuses an older one.

use crate::StoreError;
use crate::keys::{PublicKey, SecretKey};
use hostwright_model::ids::Digest;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Version of the format, raised when an older program would misread it.
pub const STREAM_VERSION: u32 = 1;
/// How many images keep a name's history, if nobody says otherwise.
pub const KEPT_IMAGES: usize = 5;

/// What a name stands for, and stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// [`STREAM_VERSION`] of the program that wrote it.
    pub version: u32,
    /// The name, so that no stream can pass for another.
    pub name: String,
    /// Counts the changes.
    pub generation: u64,
    /// The images, newest first; never empty.
    pub images: Vec<Issue>,
}

/// An image that was given the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// BLAKE3 of its manifest.
    pub manifest: Digest,
    /// When, in seconds since the epoch.
    pub issued: u64,
}

impl Stream {
    /// A new name, for nothing yet.
    pub fn new(name: &str) -> Self {
        let (name, images) = (name.to_owned(), Vec::new());
        Self { version: STREAM_VERSION, name, generation: 0, images }
    }

    /// The image that the name stands for now.
    pub fn newest(&self) -> Option<Digest> {
        self.images.first().map(|issue| issue.manifest)
    }

    /// Gives the name to an image, and forgets all but the newest `keep`.
    pub fn issue(&mut self, manifest: Digest, keep: usize) {
        self.generation += 1;
        self.images.retain(|issue| issue.manifest != manifest);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.images.insert(0, Issue { manifest, issued: since_epoch.as_secs() });
        self.images.truncate(keep.max(1));
    }

    /// The bytes of the file, signed.
    pub fn to_bytes(&self, key: &SecretKey) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("invariant: a stream has only string keys");
        let signature = key.sign(&bytes);
        bytes.extend(format!("\ned25519 {} {signature}\n", key.public()).bytes());
        bytes
    }

    /// Reads the file of `name` and says who signed it. Fails if the signature is not of this key
    /// and text.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<(Self, PublicKey), StoreError> {
        let bad = |reason: &str| StoreError::corrupt(format!("refs/{name}"), reason);
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text"))?;
        let unsigned = || bad("it is not signed");
        let (json, tail) = text.split_once('\n').ok_or_else(unsigned)?;
        let tail = tail.strip_prefix("ed25519 ").and_then(|tail| tail.strip_suffix('\n'));
        let (key, signature) = tail.and_then(|tail| tail.split_once(' ')).ok_or_else(unsigned)?;
        let key: PublicKey = key.parse().map_err(|_| bad("its key is none"))?;
        if !key.has_signed(json.as_bytes(), signature) {
            return Err(bad("its signature is wrong"));
        }
        let stream: Self = serde_json::from_str(json).map_err(|e| bad(&e.to_string()))?;
        if stream.version != STREAM_VERSION {
            return Err(bad("it has a format that this program does not read"));
        }
        if stream.name != name || stream.images.is_empty() {
            return Err(bad("it is about another name, or about no image"));
        }
        Ok((stream, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest([byte; 32])
    }

    #[test]
    fn the_newest_image_has_the_name_and_history_is_short() {
        let mut stream = Stream::new("web");
        for byte in 1..=4 {
            stream.issue(digest(byte), 3);
        }
        stream.issue(digest(3), 3);
        let images: Vec<Digest> = stream.images.iter().map(|issue| issue.manifest).collect();
        assert_eq!(images, [digest(3), digest(4), digest(2)]);
        assert_eq!((stream.newest(), stream.generation), (Some(digest(3)), 5));
    }

    #[test]
    fn a_changed_stream_is_refused() {
        let key = SecretKey::generate().unwrap();
        let mut stream = Stream::new("web");
        stream.issue(digest(1), 3);
        let bytes = stream.to_bytes(&key);
        assert_eq!(Stream::from_bytes(&bytes, "web").unwrap(), (stream.clone(), key.public()));
        assert!(Stream::from_bytes(&bytes, "mail").is_err(), "passed for another name");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = Stream::from_bytes(&changed, "web");
            assert!(read.is_err(), "byte {at} was changed: {read:?}");
        }
        let other = SecretKey::generate().unwrap();
        assert_ne!(Stream::from_bytes(&stream.to_bytes(&other), "web").unwrap().1, key.public());
    }
}
