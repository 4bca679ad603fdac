//! Steps of a boot as the server sees them: enough to say where a machine stopped, and why.

use crate::decide::{ClientKind, Silence};
use crate::script::BootSpec;
use hostwright_model::ids::MacAddr;
use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;

/// One step of one machine's boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootEvent {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// The machine's interface, where it is known: TFTP and HTTP find it by its lease.
    pub mac: Option<MacAddr>,
    /// The address the machine speaks from, once it has one.
    pub address: Option<Ipv4Addr>,
    /// What happened.
    #[serde(flatten)]
    pub step: BootStep,
}

/// What happened. The text of [`fmt::Display`] is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum BootStep {
    /// DHCP: the machine looks for a server.
    Discover {
        /// What is asking.
        client: ClientKind,
    },
    /// DHCP: it was offered an address.
    Offer {
        /// The address.
        address: Ipv4Addr,
        /// What it was told to load.
        boot_file: Option<String>,
    },
    /// DHCP: it took its address, or keeps it.
    Ack {
        /// What is asking.
        client: ClientKind,
        /// The address.
        address: Ipv4Addr,
        /// What it was told to load.
        boot_file: Option<String>,
    },
    /// DHCP: it has an address and asked for the rest.
    Inform {
        /// What is asking.
        client: ClientKind,
    },
    /// DHCP: it asked for an address that is wrong here, and was told so.
    Nak {
        /// What it asked for.
        asked: Ipv4Addr,
        /// Why that is wrong.
        reason: String,
    },
    /// DHCP: it was not answered.
    Ignored {
        /// What is asking.
        client: ClientKind,
        /// Why not.
        reason: Silence,
    },
    /// DHCP: it found its address in use by somebody else.
    Declined {
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCP: it gave its address back.
    Released {
        /// The address.
        address: Ipv4Addr,
    },
    /// TFTP: it began to load a file.
    TftpStarted {
        /// The file.
        file: String,
        /// Its length.
        size_bytes: u64,
        /// Bytes in a block, as agreed.
        block_bytes: u16,
        /// Blocks sent before an acknowledgement is awaited, as agreed.
        window_blocks: u16,
    },
    /// TFTP: it only wanted to know how long a file is.
    TftpProbed {
        /// The file.
        file: String,
        /// Its length.
        size_bytes: u64,
    },
    /// TFTP: it has the whole file.
    TftpFinished {
        /// The file.
        file: String,
        /// Its length.
        size_bytes: u64,
        /// How long that took.
        duration_ms: u64,
        /// Times that something had to be sent again.
        retransmits: u64,
    },
    /// TFTP: it does not have the file.
    TftpFailed {
        /// The file.
        file: String,
        /// Bytes it acknowledged.
        done_bytes: u64,
        /// What went wrong.
        reason: String,
    },
    /// HTTP: it was given a boot script.
    ScriptServed {
        /// What the script boots: `install`, `local-disk`, `hold`.
        boots: &'static str,
    },
    /// HTTP: it began to load a file or a part of it.
    HttpStarted {
        /// The file.
        file: String,
        /// Bytes of this answer.
        size_bytes: u64,
    },
    /// HTTP: it has what it asked for.
    HttpFinished {
        /// The file.
        file: String,
        /// Bytes of this answer.
        size_bytes: u64,
        /// How long that took.
        duration_ms: u64,
    },
    /// HTTP: it hung up in the middle, or was refused.
    HttpFailed {
        /// The file.
        file: String,
        /// Bytes sent.
        done_bytes: u64,
        /// What went wrong.
        reason: String,
    },
}

impl BootStep {
    /// The step of serving a script for `spec`.
    pub(crate) fn script_served(spec: &BootSpec) -> Self {
        Self::ScriptServed { boots: spec.kind() }
    }
}

impl fmt::Display for BootStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discover { client } => write!(f, "{client} looks for a DHCP server"),
            Self::Offer { address, boot_file } => {
                write!(f, "offered {address}")?;
                write_boot_file(f, boot_file.as_deref())
            }
            Self::Ack { client, address, boot_file } => {
                write!(f, "{client} has {address}")?;
                write_boot_file(f, boot_file.as_deref())
            }
            Self::Inform { client } => write!(f, "{client} asked for network settings"),
            Self::Nak { asked, reason } => write!(f, "refused {asked}: {reason}"),
            Self::Ignored { client, reason } => write!(f, "{client} was not answered: {reason}"),
            Self::Declined { address } => write!(f, "found {address} in use by somebody else"),
            Self::Released { address } => write!(f, "gave {address} back"),
            Self::TftpStarted { file, size_bytes, .. } => {
                write!(f, "loads {file} ({size_bytes} bytes) over TFTP")
            }
            Self::TftpProbed { file, .. } => write!(f, "asked how long {file} is"),
            Self::TftpFinished { file, duration_ms, retransmits, .. } => {
                write!(f, "loaded {file} over TFTP in {duration_ms} ms")?;
                if *retransmits > 0 {
                    write!(f, ", {retransmits} times sent again")?;
                }
                Ok(())
            }
            Self::TftpFailed { file, done_bytes, reason } => {
                write!(f, "could not load {file} over TFTP ({done_bytes} bytes done): {reason}")
            }
            Self::ScriptServed { boots } => write!(f, "got its boot script: {boots}"),
            Self::HttpStarted { file, size_bytes } => {
                write!(f, "loads {file} ({size_bytes} bytes) over HTTP")
            }
            Self::HttpFinished { file, duration_ms, .. } => {
                write!(f, "loaded {file} over HTTP in {duration_ms} ms")
            }
            Self::HttpFailed { file, done_bytes, reason } => {
                write!(f, "could not load {file} over HTTP ({done_bytes} bytes done): {reason}")
            }
        }
    }
}

fn write_boot_file(f: &mut fmt::Formatter<'_>, boot_file: Option<&str>) -> fmt::Result {
    boot_file.map_or(Ok(()), |file| write!(f, ", told to load {file}"))
}
