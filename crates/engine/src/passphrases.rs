//! Passphrases of a disk_config, while a step needs them: never printed, never written.

use std::collections::BTreeMap;
use std::fmt;

/// Passphrases by file of the space and line.
#[derive(Clone, Default)]
pub(crate) struct Passphrases(BTreeMap<(String, u32), String>);

impl Passphrases {
    /// Remembers one.
    pub(crate) fn put(&mut self, file: &str, line: u32, passphrase: String) {
        self.0.insert((file.to_owned(), line), passphrase);
    }

    /// The one that a line gives.
    pub(crate) fn get(&self, file: &str, line: u32) -> Option<&str> {
        self.0.get(&(file.to_owned(), line)).map(String::as_str)
    }
}

impl fmt::Debug for Passphrases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passphrases", self.0.len())
    }
}
