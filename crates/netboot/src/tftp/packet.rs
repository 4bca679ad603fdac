//! TFTP packets (RFC 1350, 2347) and what client and server agree on (RFC 2348, 2349, 7440).
//!
//! ```text
//! 1 RRQ    file 0 mode 0 (option 0 value 0)*      4 ACK    block (16 bits)
//! 3 DATA   block (16 bits), up to blksize bytes   5 ERROR  code (16 bits), message 0
//! 6 OACK   (option 0 value 0)*
//! ```

use std::time::Duration;

/// Fits an Ethernet frame without fragments: 1500 less 20 (IP), 8 (UDP) and 4 (TFTP).
const MAX_BLOCK_BYTES: u16 = 1468;
const DEFAULT_BLOCK_BYTES: u16 = 512;
/// Enough to fill a fast network, and little enough for firmware's receive buffers.
const MAX_WINDOW_BLOCKS: u16 = 64;

/// ERROR codes of RFC 1350 and 2347.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum ErrorCode {
    Undefined = 0,
    NotFound = 1,
    AccessViolation = 2,
    IllegalOperation = 4,
}

/// A packet from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientPacket {
    Read(ReadRequest),
    Write,
    Ack(u16),
    Error { code: u16, message: String },
}

/// A client wants a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadRequest {
    pub(super) file: String,
    /// In lower case.
    pub(super) mode: String,
    /// Names in lower case, in the order they came.
    pub(super) options: Vec<(String, String)>,
}

impl ClientPacket {
    /// Reads a datagram; `None` if it is nothing that a client sends to a server of files.
    pub(super) fn parse(datagram: &[u8]) -> Option<Self> {
        match *datagram {
            [0, 1, ref rest @ ..] => ReadRequest::parse(rest).map(Self::Read),
            [0, 2, ..] => Some(Self::Write),
            [0, 4, high, low, ..] => Some(Self::Ack(u16::from_be_bytes([high, low]))),
            [0, 5, high, low, ref text @ ..] => {
                let code = u16::from_be_bytes([high, low]);
                let message = strings(text).next().unwrap_or_default();
                Some(Self::Error { code, message })
            }
            _ => None,
        }
    }
}

impl ReadRequest {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut words = strings(bytes);
        let file = words.next()?;
        let mode = words.next()?.to_ascii_lowercase();
        let mut options = Vec::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            options.push((name.to_ascii_lowercase(), value));
        }
        Some(Self { file, mode, options })
    }
}

/// Texts that each end in a zero byte; firmware that forgets the last one is forgiven.
fn strings(bytes: &[u8]) -> impl Iterator<Item = String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let printable = |c: &char| !c.is_control();
    let text = move |part: &[u8]| String::from_utf8_lossy(part).chars().filter(printable).collect();
    bytes.split(|byte| *byte == 0).map(text)
}

/// How a file is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) block_bytes: u16,
    pub(super) window_blocks: u16,
    /// Time until something is sent again, if the client wants a certain one.
    pub(super) interval: Option<Duration>,
    /// True if the client asked how long the file is.
    pub(super) asked_size: bool,
    /// The options to acknowledge, in order; if there are none there is no OACK.
    pub(super) acknowledged: Vec<(&'static str, u64)>,
}

impl Terms {
    /// Takes of `options` what makes sense, cut down to our limits; the rest is not acknowledged,
    /// which is how TFTP refuses an option.
    pub(super) fn agree(options: &[(String, String)], size_bytes: u64) -> Self {
        let mut terms = Self {
            block_bytes: DEFAULT_BLOCK_BYTES,
            window_blocks: 1,
            interval: None,
            asked_size: false,
            acknowledged: Vec::new(),
        };
        for (name, value) in options {
            let Ok(number) = value.parse::<u32>() else { continue };
            terms.agree_on(name, number, size_bytes);
        }
        terms
    }

    fn agree_on(&mut self, name: &str, number: u32, size_bytes: u64) {
        let capped = |limit: u16| u16::try_from(number).unwrap_or(u16::MAX).min(limit);
        match (name, number) {
            ("blksize", 8..=65464) => {
                self.block_bytes = capped(MAX_BLOCK_BYTES);
                self.acknowledged.push(("blksize", u64::from(self.block_bytes)));
            }
            ("windowsize", 1..=65535) => {
                self.window_blocks = capped(MAX_WINDOW_BLOCKS);
                self.acknowledged.push(("windowsize", u64::from(self.window_blocks)));
            }
            ("timeout", 1..=255) => {
                self.interval = Some(Duration::from_secs(u64::from(number)));
                self.acknowledged.push(("timeout", u64::from(number)));
            }
            ("tsize", _) => {
                self.asked_size = true;
                self.acknowledged.push(("tsize", size_bytes));
            }
            _ => {}
        }
    }

    /// The OACK packet.
    pub(super) fn oack(&self) -> Vec<u8> {
        let mut packet = vec![0, 6];
        for (name, value) in &self.acknowledged {
            packet.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        packet
    }
}

/// A DATA packet; block numbers start again at 0 after 65535.
pub(super) fn data(block: u64, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = block.to_be_bytes();
    let mut packet = Vec::with_capacity(4 + content.len());
    packet.extend_from_slice(&[0, 3, high, low]);
    packet.extend_from_slice(content);
    packet
}

/// An ERROR packet.
pub(super) fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    let [high, low] = (code as u16).to_be_bytes();
    let mut packet = vec![0, 5, high, low];
    packet.extend_from_slice(message.as_bytes());
    packet.push(0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> ReadRequest {
        match ClientPacket::parse(bytes) {
            Some(ClientPacket::Read(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_with_its_options() {
        let request =
            read(b"\0\x01ipxe.efi\0OCTET\0tsize\x000\0BlkSize\x001468\0windowsize\x004\0");
        assert_eq!((request.file.as_str(), request.mode.as_str()), ("ipxe.efi", "octet"));
        let terms = Terms::agree(&request.options, 1_000_000);
        assert_eq!((terms.block_bytes, terms.window_blocks), (1468, 4));
        assert!(terms.asked_size);
        assert_eq!(terms.oack(), b"\0\x06tsize\x001000000\0blksize\x001468\0windowsize\x004\0");
    }

    #[test]
    fn the_last_zero_may_be_missing_and_odd_words_are_dropped() {
        let request = read(b"\0\x01a\0octet\0blksize\x00512\0tsize");
        assert_eq!(request.options, [("blksize".to_owned(), "512".to_owned())]);
        assert_eq!(read(b"\0\x01a\0octet").mode, "octet");
        assert_eq!(ClientPacket::parse(b"\0\x01a"), None);
        assert_eq!(ClientPacket::parse(b"\0\x09"), None);
        assert_eq!(ClientPacket::parse(b""), None);
    }

    #[test]
    fn what_makes_no_sense_is_not_acknowledged_and_what_is_too_much_is_cut() {
        let ask = |name: &str, value: &str| {
            Terms::agree(&[(name.to_owned(), value.to_owned())], 10).acknowledged
        };
        assert_eq!(ask("blksize", "65464"), [("blksize", 1468)]);
        assert_eq!(ask("windowsize", "65535"), [("windowsize", 64)]);
        assert_eq!(ask("timeout", "3"), [("timeout", 3)]);
        for (name, value) in
            [("blksize", "7"), ("blksize", "x"), ("windowsize", "0"), ("timeout", "0")]
        {
            assert_eq!(ask(name, value), [], "{name}={value}");
        }
        assert_eq!(ask("multicast", "1"), []);
    }
}
