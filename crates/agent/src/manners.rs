//! What follows a failure: never a restart, since a machine that installs the same again and again
//! tells nobody why.

use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::manners::FailurePolicy;
use std::time::Duration;

/// The first pause before a step is tried again; each one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same again, from the step that failed.
    Retry(Duration),
    /// The machine stays up and waits.
    Hold,
    /// The machine is switched off.
    PowerOff,
}

/// What follows `fault` after so many retries. What is wrong in the configuration, or in this
/// program, does not get better by itself: it is not tried again.
pub(crate) fn after_failure(policy: FailurePolicy, fault: &Fault, retries: u32) -> Next {
    let lasts = matches!(fault.kind, FaultKind::Config | FaultKind::Bug);
    match policy {
        FailurePolicy::Retry { times } if retries < times && !lasts => {
            let doubled = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(retries));
            Next::Retry(doubled.min(LONGEST_PAUSE))
        }
        FailurePolicy::PowerOff => Next::PowerOff,
        FailurePolicy::Retry { .. } | FailurePolicy::Hold => Next::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_grow_further_apart_and_end_in_a_machine_that_waits() {
        let fault = |kind| Fault::new(kind, "x", "y", "z");
        let remote = fault(FaultKind::Remote);
        let retry = FailurePolicy::Retry { times: 20 };
        let pauses: Vec<u64> = (0..)
            .map_while(|retries| match after_failure(retry, &remote, retries) {
                Next::Retry(pause) => Some(pause.as_secs()),
                Next::Hold => None,
                Next::PowerOff => panic!("nobody asked for that"),
            })
            .collect();
        assert_eq!((pauses.len(), pauses[..3].to_vec()), (20, vec![15, 30, 60]));
        assert_eq!(pauses[19], 600);
        for kind in [FaultKind::Config, FaultKind::Bug] {
            assert_eq!(after_failure(retry, &fault(kind), 0), Next::Hold, "{kind:?}");
        }
        assert_eq!(after_failure(FailurePolicy::Hold, &remote, 0), Next::Hold);
        assert_eq!(after_failure(FailurePolicy::PowerOff, &remote, 0), Next::PowerOff);
    }
}
