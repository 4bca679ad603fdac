//! The content of a boot file while it is being sent.

use crate::files::BootFile;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An open boot file.
pub(super) enum Content {
    Bytes(Arc<[u8]>),
    File { file: Arc<std::fs::File>, size_bytes: u64 },
}

impl Content {
    /// Opens `file`.
    pub(super) async fn open(file: BootFile) -> io::Result<Self> {
        match file {
            BootFile::Bytes(bytes) => Ok(Self::Bytes(bytes)),
            BootFile::Path(path) => {
                let file = tokio::fs::File::open(path).await?;
                let size_bytes = file.metadata().await?.len();
                Ok(Self::File { file: Arc::new(file.into_std().await), size_bytes })
            }
        }
    }

    /// Its length when it was opened.
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }

    /// Up to `length` bytes from `offset` on, fewer only at the end.
    pub(super) async fn read(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let length = length.min(self.size_bytes().saturating_sub(offset));
        let length = usize::try_from(length).map_err(io::Error::other)?;
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                Ok(bytes.get(start..start + length).unwrap_or_default().to_owned())
            }
            Self::File { file, .. } => {
                // On a thread that may block: the file may be on a network or a sleeping disk.
                let file = file.clone();
                let read = move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, offset).map(|()| bytes)
                };
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
            }
        }
    }
}
