//! Sizes in bytes, as people write and read them.

use crate::ids::serde_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One mebibyte, the unit in which FAI counts.
pub const MIB: u64 = 1 << 20;
/// One gibibyte.
pub const GIB: u64 = 1 << 30;

/// A number of bytes. Written `20GiB`, `512MiB` or, where nothing larger fits exactly, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 13] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("B", 1),
];

/// Why a text is not a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSize(pub String);

impl fmt::Display for BadSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a size; write a whole number and a unit, such as 20GiB", self.0)
    }
}

impl std::error::Error for BadSize {}

impl FromStr for ByteSize {
    type Err = BadSize;
    /// Binary units are `K M G T` with or without `iB`; decimal ones are `kB MB GB TB`; no unit is bytes.
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize(text.to_owned());
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1,
        };
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for ByteSize {
    /// Exact: the largest binary unit that divides the size. For people see [`ByteSize::rounded`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            UNITS[..4].iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match exact {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl ByteSize {
    /// The size in the largest binary unit that it reaches, to one decimal place: `12.9 GiB`.
    pub fn rounded(self) -> String {
        match UNITS[..4].iter().find(|(_, factor)| self.0 >= *factor) {
            Some((name, factor)) => format!("{:.1} {name}", self.0 as f64 / *factor as f64),
            None => format!("{} B", self.0),
        }
    }
}

serde_as_text!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in
            [("20GiB", 20 * GIB), ("512M", 512 * MIB), ("7", 7), ("2MB", 2_000_000)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "GiB", "1.5G", "1XB", "99999999999T"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(20 * GIB).to_string(), "20GiB");
        assert_eq!(ByteSize(1537).to_string(), "1537B");
        assert_eq!(ByteSize(13_892_314_624).rounded(), "12.9 GiB");
    }
}
