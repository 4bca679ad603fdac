//! The clock of a machine whose battery is empty: certificates are checked against it.

use super::{failed, failed_io};
use crate::HostError;
use rustix::time::{ClockId, Timespec, clock_settime};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch in a file that `hostwright installer build` puts into the initramfs: no
/// clock that is right shows less.
pub const BUILD_STAMP: &str = "/etc/hostwright-built";

/// What the clock shows, milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Sets the clock forward to what `stamp`, a file like [`BUILD_STAMP`], says. True if it was behind.
/// Without the file, as in a tools image, nothing is done.
pub fn set_forward_to(stamp: &str) -> Result<bool, HostError> {
    let Some(built_ms) = read_stamp(stamp)? else { return Ok(false) };
    let behind = now_ms() < built_ms;
    if behind {
        set(built_ms)?;
    }
    Ok(behind)
}

/// Sets the clock, in milliseconds since the epoch.
pub fn set(at_ms: i64) -> Result<(), HostError> {
    let nanoseconds = at_ms.rem_euclid(1000) * 1_000_000;
    let time = Timespec { tv_sec: at_ms.div_euclid(1000), tv_nsec: nanoseconds };
    clock_settime(ClockId::Realtime, time).map_err(failed("set", "the clock"))
}

fn read_stamp(path: &str) -> Result<Option<i64>, HostError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed_io("read", path))?,
    };
    let seconds: i64 = text.trim().parse().map_err(|error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        failed_io("understand", path)(source)
    })?;
    Ok(Some(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_the_past_changes_nothing_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join("built").display().to_string();
        assert!(!set_forward_to(&stamp).unwrap(), "a missing one does not matter");
        fs::write(&stamp, "1700000000\n").unwrap();
        assert_eq!(read_stamp(&stamp).unwrap(), Some(1_700_000_000_000));
        assert!(!set_forward_to(&stamp).unwrap());
        fs::write(&stamp, "yesterday").unwrap();
        let error = set_forward_to(&stamp).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot understand {stamp}"));
    }
}
