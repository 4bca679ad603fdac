//! Undoes the compression of a stream, whatever it is: its first bytes tell.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt as _;

/// The longest of the marks.
const MARK_BYTES: usize = 6;

/// The content of `input`: decompressed if it begins like a gzip, xz, zstd or bzip2 stream, else as it
/// is. Streams one behind the other count as one.
pub(super) fn decompress<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut mark = Vec::with_capacity(MARK_BYTES);
    (&mut input).take(MARK_BYTES as u64).read_to_end(&mut mark)?;
    let kind = kind(&mark);
    let whole = BufReader::with_capacity(256 << 10, Cursor::new(mark).chain(input));
    Ok(match kind {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new(whole, true)),
        Compression::Zstd => Box::new(zstd::stream::Decoder::with_buffer(whole)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        Compression::None => Box::new(whole),
    })
}

/// True if a file begins like a compressed stream. It is read from its first byte again afterwards.
pub(super) fn is_compressed(file: &File) -> io::Result<bool> {
    let mut mark = [0; MARK_BYTES];
    let read = file.read_at(&mut mark, 0)?;
    Ok(kind(&mark[..read]) != Compression::None)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    None,
}

fn kind(mark: &[u8]) -> Compression {
    match mark {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // pzstd and others write a frame to be skipped first.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        _ => Compression::None,
    }
}
