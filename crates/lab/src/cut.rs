//! Moments of an installation at which something is broken, chosen by chance over all of it.

use hostwright_model::phase::Phase;
use hostwright_model::progress::{PhaseState, RunProgress};
use std::fmt;
use std::time::Duration;

/// A moment of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The phase,
    pub phase: Phase,
    /// how much of it is done at least,
    pub permille: u64,
    /// and for how long to wait from there.
    pub pause: Duration,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, permille, pause } = self;
        write!(f, "{permille}‰ of {} and {} ms", phase.name(), pause.as_millis())
    }
}

impl Moment {
    /// True once an installation is there, or further.
    pub fn is_reached(&self, progress: &RunProgress) -> bool {
        progress.phases.iter().any(|entry| match entry.state {
            PhaseState::Waiting => false,
            _ if entry.phase == self.phase => progress.permille(entry) >= self.permille,
            _ => entry.phase > self.phase,
        })
    }
}

/// A moment in each part of the installation of an image: while partitions and file systems are
/// made, while the image is laid down, while the machine gets its identity, in the script of the boot
/// loader, and when the logs are saved. Of the script nothing can be known but the time since it
/// began; `script` is how much of it is sure to be there.
pub fn moments(seed: u64, script: Duration) -> [Moment; 5] {
    let mut chance = Chance(seed);
    let mut within = |phase, from: u64, to: u64| Moment {
        phase,
        permille: from + chance.below(to - from),
        pause: Duration::from_millis(chance.below(500)),
    };
    // Of the three steps of extrbase the image is the first.
    let mut chosen = [
        within(Phase::Partition, 0, 1000),
        within(Phase::Extrbase, 0, 330),
        within(Phase::Extrbase, 334, 1000),
        within(Phase::Configure, 100, 101),
        within(Phase::Savelog, 0, 1),
    ];
    let script_ms = u64::try_from(script.as_millis()).unwrap_or(u64::MAX);
    chosen[3].pause = Duration::from_millis(chance.below(script_ms));
    // After the logs little is left to be cut.
    chosen[4].pause = Duration::ZERO;
    chosen
}

/// A small generator of random numbers (SplitMix64), so that a seed repeats a scenario.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::event::{Event, EventBody};
    use hostwright_model::plan::Outcome;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_repeats_its_moments_and_others_choose_others() {
        let script = Duration::from_secs(40);
        assert_eq!(moments(42, script), moments(42, script));
        let different: BTreeSet<String> =
            (0..50).map(|seed| moments(seed, script).map(|m| m.to_string()).join(" ")).collect();
        assert_eq!(different.len(), 50);
        for seed in 0..50 {
            let chosen = moments(seed, script);
            assert!(chosen.is_sorted_by_key(|moment| (moment.phase, moment.permille)));
            assert!(chosen.iter().all(|moment| moment.pause < script));
        }
    }

    #[test]
    fn a_moment_is_reached_when_its_part_is_done_or_its_phase_is_over() {
        let mut progress = RunProgress::default();
        let mut seq = 0;
        let mut then = |body| {
            seq += 1;
            progress.apply(1, &Event { seq, at_ms: 0, body });
            let at = |phase, permille| {
                Moment { phase, permille, pause: Duration::ZERO }.is_reached(&progress)
            };
            [at(Phase::Partition, 0), at(Phase::Partition, 500), at(Phase::Extrbase, 0)]
        };
        let phases = vec![(Phase::Partition, 2), (Phase::Extrbase, 1)];
        let step = "table/vda";
        let phase = Phase::Partition;
        let started = EventBody::StepStarted { step: step.into(), phase, title: String::new() };
        let finished = EventBody::StepFinished { step: step.into(), outcome: Outcome::Changed };
        assert_eq!(then(EventBody::Planned { steps: 3, phases, finished: 0 }), [false; 3]);
        assert_eq!(then(EventBody::PhaseStarted { phase }), [true, false, false]);
        assert_eq!(then(started), [true, false, false]);
        assert_eq!(then(finished), [true, true, false]);
        assert_eq!(then(EventBody::PhaseFinished { phase }), [true, true, false]);
        assert_eq!(then(EventBody::PhaseStarted { phase: Phase::Extrbase }), [true; 3]);
    }
}
