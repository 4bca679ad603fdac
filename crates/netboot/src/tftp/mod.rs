//! A TFTP server for reading: what firmware needs, and nothing else.
//!
//! RFC 1350 with the options blksize (2348), tsize and timeout (2349) and windowsize (7440). Each
//! transfer is a task with its own socket, bound to the address that was asked, as PXE firmware
//! insists on. Existing servers in Rust fall short of firmware: it asks with `tsize`, aborts with
//! an ERROR packet as soon as it knows the length, and asks again from the same port.

mod content;
mod packet;
mod serve;
mod transfer;

pub use serve::{TftpError, TftpServer};

/// True if `datagram` is a packet that a client may send.
pub fn is_client_packet(datagram: &[u8]) -> bool {
    packet::ClientPacket::parse(datagram).is_some()
}
