//! One TFTP transfer as a state machine without a socket or clock: acknowledgements and timers go
//! in, what to send comes out.

use super::packet::Terms;
use std::time::{Duration, Instant};

/// Until there is a measured round trip.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MIN_WAIT: Duration = Duration::from_millis(100);
/// Longer than clients' own timeouts (5 s in atftp, 4 s in EDK2): some acknowledge again only after
/// a silence, and sending into it more often than that would keep them waiting for ever.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// A client that says nothing for this long, or six of its own intervals, is gone.
const PATIENCE: Duration = Duration::from_secs(45);
const PATIENCE_INTERVALS: u32 = 6;
/// After blocks were sent twice, the client may acknowledge each of them twice; acknowledgements
/// that repeat the last one mean nothing for this long.
const ECHO: Duration = Duration::from_millis(10);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Send the option acknowledgement.
    SendOptions,
    /// Send `count` blocks, from number `first` on; blocks count from 1.
    SendBlocks { first: u64, count: u64 },
    /// Wait for the client until the deadline.
    Wait,
    /// The client has everything.
    Done,
    /// The client is gone.
    GiveUp,
}

/// The state of a transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    terms: Terms,
    size_bytes: u64,
    /// True until the client has acknowledged the options.
    awaits_options: bool,
    /// The client has all blocks up to this one.
    acked: u64,
    /// All blocks up to this one were sent.
    sent: u64,
    /// Times in a row that the deadline has passed.
    misses: u32,
    /// Times that something was sent again.
    retransmits: u64,
    /// When the window was sent, unless any of it was sent before: such an answer would be
    /// measured against the wrong sending (Karn).
    measured_from: Option<Instant>,
    round_trip: Option<Duration>,
    sent_at: Instant,
    heard_at: Instant,
    echo_until: Instant,
}

impl Transfer {
    /// Begins a transfer of `size_bytes` bytes. Send what is returned.
    pub(super) fn begin(terms: Terms, size_bytes: u64, now: Instant) -> (Self, Action) {
        let awaits_options = !terms.acknowledged.is_empty();
        let mut transfer = Self {
            terms,
            size_bytes,
            awaits_options,
            acked: 0,
            sent: 0,
            misses: 0,
            retransmits: 0,
            measured_from: Some(now),
            round_trip: None,
            sent_at: now,
            heard_at: now,
            echo_until: now,
        };
        let action =
            if awaits_options { Action::SendOptions } else { transfer.send_window(now, true) };
        (transfer, action)
    }

    /// The client acknowledged the block whose number ends in `number`.
    pub(super) fn on_ack(&mut self, number: u16, now: Instant) -> Action {
        if self.awaits_options {
            if number != 0 {
                return Action::Wait;
            }
            self.awaits_options = false;
            self.progress(now);
            return self.send_window(now, true);
        }
        let [.., high, low] = self.acked.to_be_bytes();
        let ahead = u64::from(number.wrapping_sub(u16::from_be_bytes([high, low])));
        if ahead == 0 {
            return self.on_repeated_ack(now);
        }
        if self.acked + ahead > self.sent {
            return Action::Wait;
        }
        let was_resent = self.measured_from.is_none();
        self.acked += ahead;
        self.progress(now);
        if self.acked == self.last_block() {
            return Action::Done;
        }
        if was_resent {
            self.echo_until = now + ECHO;
        }
        // An acknowledgement inside the window says that the next block was lost (RFC 7440 4).
        let lost = self.acked < self.sent;
        self.retransmits += u64::from(lost);
        self.send_window(now, !lost)
    }

    /// With a window, a client that misses its first block repeats its last acknowledgement.
    /// Without one, answering a repeated acknowledgement would double every packet from then on
    /// (the "sorcerer's apprentice" of RFC 1123 section 4.2.3.1).
    fn on_repeated_ack(&mut self, now: Instant) -> Action {
        if self.terms.window_blocks == 1 || now < self.echo_until {
            return Action::Wait;
        }
        self.echo_until = now + ECHO;
        self.retransmits += 1;
        self.send_window(now, false)
    }

    /// The deadline has passed.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Action {
        if now < self.deadline() {
            return Action::Wait;
        }
        let intervals = self.terms.interval.unwrap_or_default() * PATIENCE_INTERVALS;
        if now.duration_since(self.heard_at) >= PATIENCE.max(intervals) {
            return Action::GiveUp;
        }
        self.misses += 1;
        self.retransmits += 1;
        if self.awaits_options {
            self.measured_from = None;
            self.sent_at = now;
            return Action::SendOptions;
        }
        self.send_window(now, false)
    }

    /// When [`Self::on_deadline`] wants to be called. An interval that the client asked for is the
    /// longest wait: on a network that answers in a millisecond, curl's 6 seconds for each lost
    /// packet would help nobody.
    pub(super) fn deadline(&self) -> Instant {
        let wait = self.round_trip.map_or(FIRST_WAIT, |round_trip| round_trip * 4);
        let backed_off = wait.max(MIN_WAIT) * 2u32.pow(self.misses.min(7));
        self.sent_at + backed_off.min(self.terms.interval.unwrap_or(MAX_WAIT))
    }

    /// True once the client has taken any of the file.
    pub(super) fn has_progressed(&self) -> bool {
        !self.awaits_options && self.acked > 0
    }

    /// True if the client asked for the length and has not taken any of the file yet.
    pub(super) fn is_size_probe(&self) -> bool {
        self.terms.asked_size && self.acked == 0
    }

    /// True once the last block was sent.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sent == self.last_block()
    }

    /// Bytes that the client has acknowledged.
    pub(super) fn done_bytes(&self) -> u64 {
        (self.acked * u64::from(self.terms.block_bytes)).min(self.size_bytes)
    }

    /// Times that something was sent again.
    pub(super) fn retransmits(&self) -> u64 {
        self.retransmits
    }

    /// Length of the file.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What was agreed on.
    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The last block is shorter than the others, even if that means that it is empty.
    fn last_block(&self) -> u64 {
        self.size_bytes / u64::from(self.terms.block_bytes) + 1
    }

    fn progress(&mut self, now: Instant) {
        self.heard_at = now;
        self.misses = 0;
        if let Some(from) = self.measured_from {
            let measured = now.duration_since(from);
            self.round_trip =
                Some(self.round_trip.map_or(measured, |before| (before * 7 + measured) / 8));
        }
    }

    fn send_window(&mut self, now: Instant, is_new: bool) -> Action {
        let first = self.acked + 1;
        let last = (self.acked + u64::from(self.terms.window_blocks)).min(self.last_block());
        self.sent = last;
        self.sent_at = now;
        self.measured_from = is_new.then_some(now);
        Action::SendBlocks { first, count: last - self.acked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that keeps what it gets in order and acknowledges as RFC 7440 says, behind a
    /// network that loses what `lost` picks.
    fn run(size_bytes: u64, options: &[(&str, &str)], mut lost: impl FnMut() -> bool) -> Transfer {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let terms = Terms::agree(&options, size_bytes);
        let window = u64::from(terms.window_blocks);
        let mut now = Instant::now();
        let (mut transfer, mut action) = Transfer::begin(terms, size_bytes, now);
        let (mut have, mut unacked) = (0_u64, 0_u64);
        for _ in 0..1_000_000 {
            now += Duration::from_micros(300);
            let mut acks = Vec::new();
            match action {
                Action::SendOptions if !lost() => acks.push(0),
                Action::SendBlocks { first, count } => {
                    for block in first..first + count {
                        if lost() {
                            continue;
                        }
                        let is_next = block == have + 1;
                        have += u64::from(is_next);
                        unacked += u64::from(is_next);
                        let is_last = have == transfer.last_block();
                        if !is_next || unacked == window || is_last {
                            unacked = 0;
                            acks.push(have);
                        }
                    }
                }
                Action::Done => {
                    assert_eq!(have, transfer.last_block());
                    return transfer;
                }
                Action::GiveUp => panic!("gave up at {transfer:?}"),
                Action::SendOptions | Action::Wait => {}
            }
            action = Action::Wait;
            for ack in acks.into_iter().filter(|_| !lost()) {
                let next = transfer.on_ack((ack & 0xffff) as u16, now);
                if next != Action::Wait {
                    action = next;
                    if action == Action::Done {
                        break;
                    }
                }
            }
            if action == Action::Wait {
                now = transfer.deadline();
                action = transfer.on_deadline(now);
            }
        }
        panic!("no end in sight: {transfer:?}");
    }

    fn lossy(percent: u64, mut seed: u64) -> impl FnMut() -> bool {
        move || {
            // xorshift64
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % 100 < percent
        }
    }

    #[test]
    fn without_loss_nothing_is_sent_twice() {
        for size in [0, 1, 511, 512, 513, 100_000] {
            assert_eq!(run(size, &[], || false).retransmits(), 0, "{size} bytes");
            let options = [("blksize", "1468"), ("windowsize", "16"), ("tsize", "0")];
            let transfer = run(size, &options, || false);
            assert_eq!((transfer.retransmits(), transfer.done_bytes()), (0, size));
        }
    }

    #[test]
    fn block_numbers_start_again_after_65535() {
        let transfer = run(8 * 140_000, &[("blksize", "8"), ("windowsize", "64")], || false);
        assert_eq!(transfer.done_bytes(), 8 * 140_000);
        run(8 * 70_000, &[("blksize", "8")], || false);
    }

    #[test]
    fn a_lossy_network_is_survived() {
        for seed in 1..40 {
            for window in ["1", "4", "64"] {
                let transfer = run(300_000, &[("windowsize", window)], lossy(20, seed));
                assert!(transfer.retransmits() > 0, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_repeated_acknowledgement_does_not_double_the_traffic() {
        let now = Instant::now();
        let (mut transfer, _) = Transfer::begin(Terms::agree(&[], 5000), 5000, now);
        assert_eq!(transfer.on_ack(1, now), Action::SendBlocks { first: 2, count: 1 });
        assert_eq!(transfer.on_ack(1, now), Action::Wait);
        assert_eq!(transfer.on_ack(40_000, now), Action::Wait, "never sent");
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let mut now = Instant::now();
        let begun = now;
        let (mut transfer, _) = Transfer::begin(Terms::agree(&[], 5000), 5000, now);
        for _ in 0..100 {
            now = transfer.deadline();
            if transfer.on_deadline(now) == Action::GiveUp {
                let waited = now - begun;
                assert!(waited >= PATIENCE && waited < PATIENCE * 2, "{waited:?}");
                return;
            }
        }
        panic!("still waiting");
    }
}
