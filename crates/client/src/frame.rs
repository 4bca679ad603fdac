//! Frames of the remote shell on a stream of bytes; `model::shell` draws them.

use hostwright_model::shell::{FRAME_BYTES_MAX, FrameKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind, Read, Write};

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Its content.
    pub content: Vec<u8>,
}

impl Frame {
    /// The content as JSON of what its kind promises.
    pub fn json<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.content)
            .map_err(|error| garbled(format!("a {:?} frame: {error}", self.kind)))
    }
}

/// Reads the next frame; the end of the stream is an error.
pub fn read_frame(from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let kind = FrameKind::from_byte(kind)
        .ok_or_else(|| garbled(format!("no frame begins with byte {kind:#04x}")))?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(garbled(format!("a frame of {length} bytes is too long")));
    }
    let mut content = vec![0; length];
    from.read_exact(&mut content)?;
    Ok(Frame { kind, content })
}

/// Writes one frame.
pub fn write_frame(to: &mut impl Write, kind: FrameKind, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| garbled("too much for one frame".to_owned()))?;
    let mut frame = Vec::with_capacity(content.len() + 5);
    frame.push(kind.to_byte());
    frame.extend(length.to_be_bytes());
    frame.extend(content);
    to.write_all(&frame)
}

/// Writes one frame of JSON.
pub fn write_json(to: &mut impl Write, kind: FrameKind, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value).expect("invariant: plain data serialises");
    write_frame(to, kind, &json)
}

fn garbled(reason: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        let long = vec![7; FRAME_BYTES_MAX];
        for content in [b"".as_slice(), b"ls\n", &long] {
            write_frame(&mut wire, FrameKind::Data, content).unwrap();
        }
        let mut wire = wire.as_slice();
        for content in [b"".as_slice(), b"ls\n", &long] {
            let frame = read_frame(&mut wire).unwrap();
            assert_eq!((frame.kind, frame.content.as_slice()), (FrameKind::Data, content));
        }
        let end = read_frame(&mut wire).expect_err("no more");
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_frame_is_refused_before_memory_is_asked_for() {
        let cases: [&[u8]; 3] = [b"GET / ", b"D\xff\xff\xff\xff", b"D\x00\x01\x00\x01"];
        for mut wire in cases {
            let error = read_frame(&mut wire).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
        let long = vec![0; FRAME_BYTES_MAX + 1];
        assert!(write_frame(&mut Vec::new(), FrameKind::Data, &long).is_err());
    }
}
