//! The images of a store that is elsewhere, by name, for whoever trusts one key.

use crate::StoreError;
use crate::keys::PublicKey;
use crate::pack;
use crate::source::{Source, read_as};
use crate::store::{check_name, image_ref, read_manifest, read_map};
use crate::stream::Stream;
use hostwright_model::ids::Digest;
use hostwright_model::image::ImageRef;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A store elsewhere, whose names are signed by one key.
pub struct RemoteStore {
    source: Box<dyn Source + Send>,
    key: PublicKey,
    /// The newest generation of each name that was seen.
    seen: Mutex<HashMap<String, u64>>,
}

impl RemoteStore {
    /// The store that `source` has, as far as `key` signs for it.
    pub fn new(source: Box<dyn Source + Send>, key: PublicKey) -> Self {
        Self { source, key, seen: Mutex::default() }
    }

    /// Where its files come from.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// The image that a name, `NAME~2` or a digest stands for, after a look at the lengths of its
    /// packs: whether all of it is there.
    pub fn complete(&self, name: &str) -> Result<ImageRef, StoreError> {
        let digest = match name.parse() {
            Ok(digest) => digest,
            Err(_) => self.digest_of(name)?,
        };
        let manifest = read_manifest(self.source(), digest)?;
        for part in read_map(self.source(), digest)?.packs {
            let object = pack::path(part.digest);
            let end = part.frames.last().map_or(0, |frame| frame.offset + u64::from(frame.length));
            match self.source.length(&object)? {
                Some(length) if length >= end => {}
                Some(length) => {
                    let reason = format!("it has {length} of at least {end} bytes");
                    return Err(StoreError::corrupt(object, reason));
                }
                None => return Err(StoreError::Missing { object }),
            }
        }
        Ok(image_ref(name, digest, &manifest))
    }

    fn digest_of(&self, name: &str) -> Result<Digest, StoreError> {
        let (stem, back) = match name.split_once('~') {
            Some((stem, back)) => (stem, back.parse().ok()),
            None => (name, Some(0)),
        };
        check_name(stem)?;
        let unknown = || StoreError::UnknownImage { name: name.to_owned() };
        let back: usize = back.ok_or_else(unknown)?;
        let path = format!("refs/{stem}");
        let stream = read_as(self.source(), &path, &|bytes| self.accept(bytes, stem))?;
        let stream = stream.ok_or_else(unknown)?;
        stream.images.get(back).map(|issue| issue.manifest).ok_or_else(unknown)
    }

    /// A name as it is there, if it is signed by the key and not older than what was seen.
    fn accept(&self, bytes: &[u8], name: &str) -> Result<Stream, StoreError> {
        let (stream, found) = Stream::from_bytes(bytes, name)?;
        let name = name.to_owned();
        if found != self.key {
            return Err(StoreError::other_key(name, found, self.key));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = seen.entry(name.clone()).or_default();
        if stream.generation < *newest {
            let (seen, found) = (*newest, stream.generation);
            return Err(StoreError::RolledBack { name, seen, found });
        }
        *newest = stream.generation;
        Ok(stream)
    }
}
