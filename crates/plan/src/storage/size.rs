//! Sizes of a disk_config, with FAI's arithmetic.
//!
//! FAI counts in MiB in floating point and keeps bounds as text of 15 significant digits. Both
//! can be seen in the last bytes of a volume, so both are done here in the same order. Only where
//! the text loses a fraction of a byte (`12340MB`) is it put right: FAI then makes partitions that
//! overlap by a byte, and parted(8) refuses them.

use super::cursor::{Cursor, is_blank};
use hostwright_model::size::MIB;

/// One bound of a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// An absolute size in MiB.
    Mib(f64),
    /// So many hundredths of the disk or of the volume group.
    Percent(f64),
    /// So many hundredths of the machine's memory.
    RamPercent(f64),
}

/// The sizes that a volume may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeRange {
    /// At least this.
    pub min: Amount,
    /// At most this.
    pub max: Amount,
}

/// A range in bytes; a share of the memory may end in a fraction of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ByteRange {
    pub min: f64,
    pub max: f64,
}

impl Amount {
    /// Bytes of a lower bound, where `base_bytes` is 100 %.
    fn lower_bytes(self, base_bytes: f64, memory_bytes: u64) -> f64 {
        self.bytes(base_bytes, memory_bytes, f64::floor)
    }

    /// Bytes of an upper bound, where `base_bytes` is 100 %.
    fn upper_bytes(self, base_bytes: f64, memory_bytes: u64) -> f64 {
        self.bytes(base_bytes, memory_bytes, f64::ceil)
    }

    fn bytes(self, base_bytes: f64, memory_bytes: u64, round: fn(f64) -> f64) -> f64 {
        match self {
            Self::Percent(percent) => round(base_bytes * percent / 100.0),
            Self::Mib(mib) => mib_to_bytes(through_text(mib)).round(),
            Self::RamPercent(percent) => {
                let memory_kib = memory_bytes as f64 / 1024.0;
                mib_to_bytes(through_text(percent / 100.0 * (memory_kib / 1024.0)))
            }
        }
    }
}

impl SizeRange {
    /// Both bounds in bytes, where `base_bytes` is 100 %.
    pub(super) fn bytes(&self, base_bytes: f64, memory_bytes: u64) -> ByteRange {
        ByteRange {
            min: self.min.lower_bytes(base_bytes, memory_bytes),
            max: self.max.upper_bytes(base_bytes, memory_bytes),
        }
    }

    /// True if the upper bound is below the lower one on every disk.
    pub(super) fn is_inverted(&self) -> bool {
        match (self.min, self.max) {
            (Amount::Mib(min), Amount::Mib(max))
            | (Amount::Percent(min), Amount::Percent(max))
            | (Amount::RamPercent(min), Amount::RamPercent(max)) => max < min,
            _ => false,
        }
    }
}

/// Bytes of so many MiB.
pub(super) fn mib_to_bytes(mib: f64) -> f64 {
    mib * MIB as f64
}

/// What remains of a number that Perl writes as text and reads again: 15 significant digits.
pub(super) fn through_text(number: f64) -> f64 {
    format!("{number:.14e}").parse().expect("invariant: Rust reads the numbers that it writes")
}

/// MiB of `number` in `unit`; `None` for an unknown unit.
pub(super) fn to_mib(number: f64, unit: &str) -> Option<f64> {
    const KIBI: f64 = 1024.0;
    const KILO: f64 = 1000.0;
    const KILO_IN_KIBI: f64 = KILO / KIBI;
    let mega = KILO_IN_KIBI * KILO_IN_KIBI;
    Some(match unit {
        "B" => number / KIBI / KIBI,
        "k" | "K" | "kiB" | "KiB" => number / KIBI,
        "kB" | "KB" => number * KILO_IN_KIBI / KIBI,
        "" | "M" | "MiB" => number,
        "MB" => number * mega,
        "G" | "GiB" => number * KIBI,
        "GB" => number * KILO * mega,
        "T" | "TiB" => number * KIBI * KIBI,
        "TB" => number * KILO * KILO * mega,
        "P" | "PiB" => number * KIBI * KIBI * KIBI,
        "PB" => number * KILO * KILO * KILO * mega,
        _ => return None,
    })
}

/// True for the letters that FAI reads behind the digits of a size.
pub(super) fn is_unit_letter(c: char) -> bool {
    matches!(c, 'k' | 'K' | 'M' | 'G' | 'T' | 'P' | '%' | 'i' | 'B')
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadSize {
    /// No digits where a size must be.
    NotASize,
    /// Digits and letters that are no unit.
    Unit(String),
    /// More than any disk will ever hold; FAI's arithmetic ends here too.
    TooLarge,
}

/// Bounds reach up to this number of MiB, or of hundredths.
const LIMIT: f64 = 1e15;

/// Reads `A`, `A-B`, `A-` or `-B`; what follows it stays unread, be it glued or not.
pub(super) fn read_range(cursor: &mut Cursor<'_>) -> Result<SizeRange, BadSize> {
    let mut text = cursor.rest();
    let whole = text.len();
    let lower = read_amount(&mut text)?;
    let range = match (lower, text.strip_prefix('-')) {
        (Some(min), None) => SizeRange { min, max: min },
        (lower, Some(upper)) => {
            text = upper;
            let max = read_amount(&mut text)?;
            if lower.is_none() && max.is_none() {
                return Err(BadSize::NotASize);
            }
            SizeRange {
                min: lower.unwrap_or(Amount::Mib(0.0)),
                max: max.unwrap_or(Amount::Percent(100.0)),
            }
        }
        (None, None) => return Err(BadSize::NotASize),
    };
    // FAI wants a blank behind the form without a lower bound, and nowhere else.
    if lower.is_none() && !text.starts_with(is_blank) && !text.starts_with(':') {
        return Err(BadSize::NotASize);
    }
    cursor.advance(whole - text.len());
    Ok(range)
}

fn read_amount(text: &mut &str) -> Result<Option<Amount>, BadSize> {
    let (ram, digits) = match text.strip_prefix("RAM:") {
        Some(rest) => (true, rest),
        None => (false, *text),
    };
    let end_of_digits = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let Ok(number) = digits[..end_of_digits].parse::<f64>() else { return Ok(None) };
    let rest = &digits[end_of_digits..];
    if ram {
        let Some(rest) = rest.strip_prefix('%') else {
            return Err(BadSize::Unit(format!("RAM:{number}")));
        };
        *text = rest;
        return match number < LIMIT {
            true => Ok(Some(Amount::RamPercent(number))),
            false => Err(BadSize::TooLarge),
        };
    }
    let end_of_unit = rest.find(|c| !is_unit_letter(c)).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end_of_unit);
    *text = rest;
    let amount = match unit {
        "%" => Some(Amount::Percent(number)),
        _ => to_mib(number, unit).map(Amount::Mib),
    };
    match amount {
        None => Err(BadSize::Unit(unit.to_owned())),
        Some(Amount::Mib(large) | Amount::Percent(large)) if large >= LIMIT => {
            Err(BadSize::TooLarge)
        }
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(SizeRange, String), BadSize> {
        let mut cursor = Cursor::new(text, 1);
        read_range(&mut cursor).map(|range| (range, cursor.rest().to_owned()))
    }

    #[test]
    fn all_forms_of_sizes_read() {
        use Amount::{Mib, Percent, RamPercent};
        for (text, min, max, rest) in [
            ("100", Mib(100.0), Mib(100.0), ""),
            ("2G-50G ext4", Mib(2048.0), Mib(51200.0), "ext4"),
            ("100-ext4", Mib(100.0), Percent(100.0), "ext4"),
            ("-50% ext4", Mib(0.0), Percent(50.0), "ext4"),
            ("RAM:50%-10G -", RamPercent(50.0), Mib(10240.0), "-"),
            ("1MB", Mib(0.953_674_316_406_25), Mib(0.953_674_316_406_25), ""),
            ("100k:resize", Mib(0.097_656_25), Mib(0.097_656_25), ":resize"),
        ] {
            assert_eq!(read(text), Ok((SizeRange { min, max }, rest.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for (text, reason) in [
            ("", BadSize::NotASize),
            ("- ext4", BadSize::NotASize),
            ("-50%ext4 rw", BadSize::NotASize),
            ("big", BadSize::NotASize),
            ("100Gi", BadSize::Unit("Gi".to_owned())),
            ("RAM:50 ext4", BadSize::Unit("RAM:50".to_owned())),
            ("2-9999999999999T", BadSize::TooLarge),
        ] {
            assert_eq!(read(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn shares_round_outwards_but_those_of_memory_do_not() {
        let range = SizeRange { min: Amount::Percent(10.0), max: Amount::Percent(10.0) };
        assert_eq!(range.bytes(1001.0, 0), ByteRange { min: 100.0, max: 101.0 });
        let range = SizeRange { min: Amount::RamPercent(33.0), max: Amount::RamPercent(50.0) };
        assert_eq!(range.bytes(0.0, 4096).max, 2048.0);
        assert!((range.bytes(0.0, 4096).min - 1351.68).abs() < 1e-9);
    }

    #[test]
    fn text_may_not_cost_a_byte() {
        let mut noisy = 0;
        for megabytes in 1..100_000 {
            let mib = to_mib(f64::from(megabytes), "MB").expect("a unit");
            let exact = f64::from(megabytes) * 1e6;
            noisy += u32::from(mib_to_bytes(through_text(mib)) < exact);
            assert_eq!(Amount::Mib(mib).lower_bytes(0.0, 0), exact);
        }
        assert!(noisy > 1000, "without care {noisy} sizes would end a byte too early");
    }
}
