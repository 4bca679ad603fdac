//! One file of a config space, as somebody read it.

/// What a [`TreeFile`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link; the file has no content of its own.
    Symlink {
        /// Where it points, as written in the link.
        target: String,
    },
}

/// One file of a config space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Its bytes; empty for a link.
    pub content: Vec<u8>,
    /// True if its owner may execute it.
    pub executable: bool,
    /// File or link.
    pub kind: FileKind,
}

impl TreeFile {
    /// A regular file.
    pub fn file(content: impl Into<Vec<u8>>, executable: bool) -> Self {
        Self { content: content.into(), executable, kind: FileKind::File }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        let kind = FileKind::Symlink { target: target.into() };
        Self { content: Vec::new(), executable: false, kind }
    }

    /// The content as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}
