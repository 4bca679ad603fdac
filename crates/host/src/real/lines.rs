//! Turns the bytes of two pipes into lines, keeps the last of them and the whole of stdout.

use crate::OnLine;
use hostwright_model::event::Stream;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Lines of output that an error message carries.
const TAIL_LINES: usize = 40;
/// A longer line is cut into several, so that a program without line ends cannot eat the memory.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// The most that is read after the end of a process: what fits into a pipe at its largest.
const FINAL_BYTES_MAX: usize = 1024 * 1024;

/// Cuts bytes into lines. A carriage return starts a line over, as on a terminal: of a progress
/// display only its last state is a line.
#[derive(Default)]
struct LineSplitter {
    pending: Vec<u8>,
}

impl LineSplitter {
    fn push(&mut self, bytes: &[u8], emit: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.finish_line(emit);
                continue;
            }
            self.pending.push(byte);
            if self.pending.len() >= LINE_BYTES_MAX {
                self.finish_line(emit);
            }
        }
    }

    fn finish_line(&mut self, emit: &mut dyn FnMut(&str)) {
        let mut states = self.pending.rsplit(|&byte| byte == b'\r');
        let shown = states.find(|state| !state.is_empty()).unwrap_or_default();
        emit(&String::from_utf8_lossy(shown));
        self.pending.clear();
    }

    fn finish(&mut self, emit: &mut dyn FnMut(&str)) {
        if !self.pending.is_empty() {
            self.finish_line(emit);
        }
    }
}

/// One of the two pipes; `None` after its end.
struct Pipe {
    stream: Stream,
    file: Option<File>,
    lines: LineSplitter,
}

/// Both output pipes of a process.
pub(super) struct Capture {
    pipes: [Pipe; 2],
    tail: VecDeque<String>,
    stdout: Vec<u8>,
}

impl Capture {
    /// Takes over the reading ends and makes them non-blocking.
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let pipe = |stream, fd: OwnedFd| -> io::Result<Pipe> {
            rustix::io::ioctl_fionbio(&fd, true)?;
            Ok(Pipe { stream, file: Some(fd.into()), lines: LineSplitter::default() })
        };
        let pipes = [pipe(Stream::Out, stdout)?, pipe(Stream::Err, stderr)?];
        Ok(Self { pipes, tail: VecDeque::new(), stdout: Vec::new() })
    }

    /// The pipes that are still open, to be polled.
    pub(super) fn open_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().filter_map(|pipe| pipe.file.as_ref().map(AsFd::as_fd))
    }

    /// Reads once from each pipe. True if there was anything.
    pub(super) fn read_once(&mut self, on_line: OnLine<'_>) -> io::Result<bool> {
        let mut any = false;
        let mut buffer = [0; 16 * 1024];
        for pipe in &mut self.pipes {
            let Some(file) = &mut pipe.file else { continue };
            let count = match file.read(&mut buffer) {
                Ok(0) => {
                    pipe.file = None;
                    continue;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            any = true;
            let (stream, tail) = (pipe.stream, &mut self.tail);
            if stream == Stream::Out {
                self.stdout.extend_from_slice(&buffer[..count]);
            }
            pipe.lines.push(&buffer[..count], &mut |line| {
                keep(tail, line);
                on_line(stream, line);
            });
        }
        Ok(any)
    }

    /// Reads what is in the pipes now and ends unfinished lines. Does not wait for the end of the
    /// pipes: a process in the background may hold them for ever.
    pub(super) fn finish(&mut self, on_line: OnLine<'_>) -> io::Result<()> {
        let mut budget = FINAL_BYTES_MAX / (16 * 1024);
        while budget > 0 && self.read_once(on_line)? {
            budget -= 1;
        }
        for pipe in &mut self.pipes {
            let (stream, tail) = (pipe.stream, &mut self.tail);
            pipe.lines.finish(&mut |line| {
                keep(tail, line);
                on_line(stream, line);
            });
        }
        Ok(())
    }

    /// Standard output and the last lines of both streams since the last call.
    pub(super) fn take(&mut self) -> (String, Vec<String>) {
        let stdout = std::mem::take(&mut self.stdout);
        (String::from_utf8_lossy(&stdout).into_owned(), self.tail.drain(..).collect())
    }
}

fn keep(tail: &mut VecDeque<String>, line: &str) {
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut splitter = LineSplitter::default();
        for chunk in chunks {
            splitter.push(chunk, &mut |line| lines.push(line.to_owned()));
        }
        splitter.finish(&mut |line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(split(&[b"a", b"b\nc", b"\n\nd"]), ["ab", "c", "", "d"]);
        assert_eq!(split(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn of_a_progress_display_the_last_state_stays() {
        assert_eq!(split(&[b"5%\r10%\r", b"100%\r\nnext\r\n"]), ["100%", "next"]);
        assert_eq!(split(&[b"5%\r10%\r"]), ["10%"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        assert_eq!(split(&[&long]).len(), 3);
    }
}
