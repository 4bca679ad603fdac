//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from 0.2 to 10 seconds. Without jitter: each machine talks to one server of its own
/// network, and a rack that comes back should not wait longer than it must.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The time to wait now.
    pub fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        now
    }

    /// Begins afresh after a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_afresh() {
        let mut backoff = Backoff::default();
        let total: Duration = (0..6).map(|_| backoff.step()).sum();
        assert_eq!(total, FIRST * 63);
        assert_eq!((0..4).map(|_| backoff.step()).last(), Some(LONGEST));
        backoff.reset();
        assert_eq!(backoff.step(), FIRST);
    }
}
