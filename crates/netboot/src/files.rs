//! The files that TFTP and HTTP serve, by name: never a directory that a path could leave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Where the content of a boot file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFile {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// On disk; opened anew for each request.
    Path(PathBuf),
}

/// Boot files by name.
pub trait Files: Send + Sync + 'static {
    /// The file called `name`: relative, `/` between its parts, none of them empty, `.` or `..`.
    fn open(&self, name: &str) -> Option<BootFile>;
}

/// A set of files that can change while it is served.
#[derive(Debug, Default)]
pub struct FileSet(RwLock<BTreeMap<String, BootFile>>);

impl FileSet {
    /// Serves `file` as `name` from now on.
    pub fn insert(&self, name: impl Into<String>, file: BootFile) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), file);
    }
}

impl Files for FileSet {
    fn open(&self, name: &str) -> Option<BootFile> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// The name that a client means: without leading slashes (and with DOS separators turned, as some
/// firmware sends them); `None` if it could point outside.
pub(crate) fn clean_name(asked: &str) -> Option<String> {
    let name = asked.replace('\\', "/");
    let name = name.trim_start_matches('/');
    let safe = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    name.split('/').all(safe).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_points_outside() {
        assert_eq!(clean_name("/boot.ipxe").as_deref(), Some("boot.ipxe"));
        assert_eq!(clean_name("efi\\snponly.efi").as_deref(), Some("efi/snponly.efi"));
        for bad in ["", "/", "../x", "a/../x", "a//b", "a/./b", "..\\x", "a\0b"] {
            assert_eq!(clean_name(bad), None, "{bad:?}");
        }
    }
}
