//! Fetches one file: resumed by ranges, verified by BLAKE3, never seen half done under its name.

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::{ClientError, OnBytes, OnWait};
use hostwright_model::api::Blob;
use hostwright_model::ids::Digest;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

/// A file that arrives damaged this often is damaged on the server.
const CORRUPT_LIMIT: u32 = 3;
const CHUNK_BYTES: usize = 256 << 10;

/// Fetches `blob` to `to` through `to` with `.part` behind it.
pub(crate) fn download(
    connection: &Connection,
    blob: &Blob,
    to: &Path,
    on_bytes: OnBytes<'_>,
    on_wait: OnWait<'_>,
) -> Result<(), ClientError> {
    if to.exists() && digest_of(to)? == blob.digest {
        on_bytes(blob.size_bytes, blob.size_bytes);
        return Ok(());
    }
    let part = part_of(to);
    let (mut backoff, mut corrupt) = (Backoff::default(), 0);
    loop {
        let before = length(&part);
        let error = match fetch_rest(connection, blob, &part, on_bytes) {
            Ok(()) => match verify(connection, blob, &part) {
                Ok(()) => return fs::rename(&part, to).map_err(file("rename to", to)),
                Err(error) => {
                    fs::remove_file(&part).map_err(file("remove", &part))?;
                    corrupt += 1;
                    error
                }
            },
            Err(error) => error,
        };
        let corrupted = matches!(error, ClientError::Corrupt { .. }) && corrupt < CORRUPT_LIMIT;
        if !corrupted && !error.is_transient() {
            return Err(error);
        }
        if length(&part) > before {
            backoff.reset();
        }
        let pause = backoff.step();
        on_wait(&error, pause);
        thread::sleep(pause);
    }
}

/// One request for what is still missing.
fn fetch_rest(
    connection: &Connection,
    blob: &Blob,
    part: &Path,
    on_bytes: OnBytes<'_>,
) -> Result<(), ClientError> {
    let url = connection.url(&blob.path);
    let options = OpenOptions::new().append(true).create(true).clone();
    let mut file_part = options.open(part).map_err(file("open", part))?;
    let mut done = length(part);
    if done > blob.size_bytes {
        file_part.set_len(0).map_err(file("truncate", part))?;
        done = 0;
    }
    if done == blob.size_bytes {
        return Ok(());
    }
    let range = (done > 0).then(|| ("range", format!("bytes={done}-")));
    let response = connection.open(&blob.path, range.as_slice())?;
    if done > 0 && response.status() != 206 {
        // The server begins at the beginning; so does the file.
        file_part.set_len(0).map_err(file("truncate", part))?;
        done = 0;
    }
    let broken_off = |source| ClientError::BrokenOff { url: url.clone(), source };
    // One byte more than ordered shows a file that is too long.
    let mut body = response.into_body().into_reader().take(blob.size_bytes - done + 1);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match body.read(&mut chunk).map_err(broken_off)? {
            0 if done < blob.size_bytes => {
                return Err(broken_off(std::io::ErrorKind::UnexpectedEof.into()));
            }
            0 => return Ok(()),
            count => {
                file_part.write_all(&chunk[..count]).map_err(file("write", part))?;
                done += count as u64;
                on_bytes(done.min(blob.size_bytes), blob.size_bytes);
            }
        }
    }
}

fn verify(connection: &Connection, blob: &Blob, part: &Path) -> Result<(), ClientError> {
    let found = digest_of(part)?;
    let want = blob.digest;
    if found == want {
        return Ok(());
    }
    Err(ClientError::Corrupt { url: connection.url(&blob.path), want, found })
}

fn digest_of(path: &Path) -> Result<Digest, ClientError> {
    let mut hasher = blake3::Hasher::new();
    let open = File::open(path).map_err(file("open", path))?;
    hasher.update_reader(open).map_err(file("read", path))?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

fn file(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ClientError {
    let path = path.to_owned();
    move |source| ClientError::File { operation, path, source }
}
