//! Tells what kind of program a DHCP request comes from.

use crate::dhcp::wire::{Request, option};
use serde::Serialize;
use std::fmt;

/// What is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ClientKind {
    /// PXE firmware of a PC with a BIOS (architecture 0).
    BiosPxe,
    /// PXE firmware of a 64-bit PC with UEFI (architectures 7 and 9).
    UefiX64Pxe,
    /// Network boot firmware that nothing can be offered to.
    OtherFirmware {
        /// Its architecture, RFC 4578 section 2.1.
        architecture: u16,
    },
    /// iPXE, in the network card's ROM or loaded from us.
    Ipxe {
        /// True if it can load over HTTP.
        http: bool,
        /// True if it was started by UEFI.
        uefi: bool,
    },
    /// A running system, which wants an address and nothing to boot.
    System,
}

impl ClientKind {
    /// Reads the vendor class (60), user class (77), architecture (93) and iPXE (175) options.
    pub fn of(request: &Request) -> Self {
        let vendor_class = request.option(option::VENDOR_CLASS).unwrap_or_default();
        let architecture = architecture(request, vendor_class);
        if is_ipxe(request) {
            return Self::Ipxe { http: ipxe_has_http(request), uefi: !matches!(architecture, 0) };
        }
        if vendor_class.starts_with(b"HTTPClient") {
            return Self::OtherFirmware { architecture };
        }
        if !vendor_class.starts_with(b"PXEClient") {
            return Self::System;
        }
        match architecture {
            0 => Self::BiosPxe,
            7 | 9 => Self::UefiX64Pxe,
            _ => Self::OtherFirmware { architecture },
        }
    }

    /// True for firmware that speaks PXE, and for iPXE, which speaks it too.
    pub fn is_boot_client(self) -> bool {
        self != Self::System
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BiosPxe => f.write_str("BIOS firmware"),
            Self::UefiX64Pxe => f.write_str("UEFI firmware"),
            Self::OtherFirmware { architecture } => {
                write!(f, "firmware of architecture {architecture}")
            }
            Self::Ipxe { http: true, .. } => f.write_str("iPXE"),
            Self::Ipxe { http: false, .. } => f.write_str("iPXE without HTTP"),
            Self::System => f.write_str("a running system"),
        }
    }
}

/// The first architecture of option 93; without it the one in `PXEClient:Arch:00007:UNDI:…`;
/// without that 0, which is what firmware older than the option is.
fn architecture(request: &Request, vendor_class: &[u8]) -> u16 {
    if let Some([high, low, ..]) = request.option(option::CLIENT_ARCHITECTURE) {
        return u16::from_be_bytes([*high, *low]);
    }
    let text = String::from_utf8_lossy(vendor_class);
    let mut parts = text.split(':').skip_while(|part| *part != "Arch").skip(1);
    parts.next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// iPXE sends its user class as bare text; RFC 3004 wants a length byte before it. Both count.
fn is_ipxe(request: &Request) -> bool {
    matches!(request.option(option::USER_CLASS), Some(b"iPXE" | b"\x04iPXE"))
}

/// Option 175 encapsulates iPXE's features; number 19 is HTTP.
fn ipxe_has_http(request: &Request) -> bool {
    const HTTP_FEATURE: u8 = 19;
    let features = request.option(option::IPXE).unwrap_or_default();
    sub_options(features).any(|(code, value)| code == HTTP_FEATURE && value.first() != Some(&0))
}

/// The options encapsulated in an option's value, up to the first that is cut short.
fn sub_options(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            match *bytes {
                [0, ref rest @ ..] => bytes = rest,
                [255, ..] | [] | [_] => return None,
                [code, length, ref rest @ ..] => {
                    let value = rest.get(..usize::from(length))?;
                    bytes = &rest[usize::from(length)..];
                    return Some((code, value));
                }
            }
        }
    })
}
