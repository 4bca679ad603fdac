//! What a person and the machine that is being installed say to each other through the remote shell.
//!
//! Both ends prove who they are by TLS 1.3 first. What they say then are frames:
//!
//! ```text
//! ┌──────┬────────────────────────┬─────────┐
//! │ kind │ length, 32 bits, big-e.│ content │   content: at most 64 KiB
//! └──────┴────────────────────────┴─────────┘
//!    'Q'  a Request, JSON          the client's first frame, and only that
//!    'A'  an Answer, JSON          the machine's first frame
//!    'D'  bytes                    of the terminal, or of the file
//!    'S'  a TerminalSize, JSON     the client's window changed
//!    'Z'  nothing                  the end of the file
//!    'X'  an End, JSON             the machine's last frame
//!    'P'  nothing                  a sign of life; every 5 seconds, both ways
//! ```

use serde::{Deserialize, Serialize};

/// By which the two ends agree on this protocol (ALPN, RFC 7301).
pub const PROTOCOL: &str = "hostwright-shell/1";
/// The port of a machine that is being installed: page, metrics, remote shell.
pub const PORT: u16 = 6978;
/// Longest content of a frame.
pub const FRAME_BYTES_MAX: usize = 64 << 10;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A [`Request`].
    Request,
    /// An [`Answer`].
    Answer,
    /// Bytes of the terminal or file.
    Data,
    /// A [`TerminalSize`].
    Size,
    /// The end of the file.
    EndOfFile,
    /// An [`End`].
    End,
    /// A sign of life.
    Ping,
}

impl FrameKind {
    /// All of them, with their bytes.
    const TABLE: [(Self, u8); 7] = [
        (Self::Request, b'Q'),
        (Self::Answer, b'A'),
        (Self::Data, b'D'),
        (Self::Size, b'S'),
        (Self::EndOfFile, b'Z'),
        (Self::End, b'X'),
        (Self::Ping, b'P'),
    ];

    /// The byte it is on the wire.
    pub fn to_byte(self) -> u8 {
        let found = Self::TABLE.iter().find(|(kind, _)| *kind == self);
        found.expect("invariant: the table is whole").1
    }

    /// The kind of a byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known)| *known == byte).map(|(kind, _)| *kind)
    }
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// What somebody wants of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "kebab-case")]
pub enum Request {
    /// A new shell.
    Shell {
        /// The kind of terminal, `xterm-256color`.
        term: String,
        /// How large it is.
        size: TerminalSize,
        /// A command for the shell to run instead of asking for commands.
        command: Option<String>,
    },
    /// A shell whose connection broke.
    Attach {
        /// The word that its [`Answer`] named.
        session: String,
        /// Bytes of its output that have come.
        seen_bytes: u64,
        /// How large the terminal is now.
        size: TerminalSize,
    },
    /// Write a file on the machine; its content follows.
    Put {
        /// Where.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// Read a file of the machine.
    Get {
        /// Which.
        path: String,
    },
}

/// What the machine says to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// A shell: bytes follow both ways.
    Shell {
        /// The word to come back to it by.
        session: String,
        /// The number, in the shell's output, of the next byte that comes. Larger than what was
        /// asked for if the machine did not keep all of what was missed.
        next_byte: u64,
    },
    /// A file: its content follows.
    File {
        /// Its length.
        size_bytes: u64,
        /// Its mode.
        mode: u32,
    },
    /// Go on with the content of the file.
    Ready,
    /// No.
    Refused {
        /// Why not, and what to do.
        reason: String,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The exit status; 128 plus the signal's number if one ended the shell. 0 for a file that was
    /// copied whole.
    pub status: i32,
    /// What went wrong.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_byte_of_its_own() {
        for (kind, byte) in FrameKind::TABLE {
            assert_eq!((FrameKind::from_byte(byte), kind.to_byte()), (Some(kind), byte));
        }
        assert_eq!(FrameKind::from_byte(0x16), None, "a TLS record is no frame");
    }
}
