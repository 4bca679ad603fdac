//! Where a run is: its events folded into what a person wants to see at a glance.
//!
//! The terminal, the live page and `run show` draw this one value, so that they never disagree.

use crate::event::{Event, EventBody, Stream};
use crate::fault::Fault;
use crate::ids::StepId;
use crate::phase::Phase;
use crate::plan::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How many of the last lines of output are kept.
pub const OUTPUT_LINES: usize = 12;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunProgress {
    /// Which start of the agent it is about; 0 before the first.
    pub attempt: u32,
    /// When its latest event happened, milliseconds since the epoch.
    pub at_ms: Option<i64>,
    /// What is or was fetched, in the order of asking.
    pub fetches: Vec<FetchProgress>,
    /// The phases in the order of the plan.
    pub phases: Vec<PhaseProgress>,
    /// The step under way, or the one that failed.
    pub step: Option<StepInHand>,
    /// The last lines that tools and scripts wrote, oldest first.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<OutputLine>))]
    pub output: VecDeque<OutputLine>,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// FAI's highest task error, once the run has ended.
    pub task_error: Option<u32>,
    /// Scripts and hooks that ended with another status than 0; FAI goes on, whatever it is.
    pub nonzero_exits: Vec<(StepId, i32)>,
    /// How it ended: true if everything was done.
    pub ended: Option<bool>,
    /// True once the machine restarts into what was installed.
    pub rebooting: bool,
}

/// A fetch under way or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FetchProgress {
    /// What: `tools`, `space`, `image`.
    pub what: String,
    /// Bytes so far.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// A phase of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PhaseProgress {
    /// The phase.
    pub phase: Phase,
    /// How far it is.
    pub state: PhaseState,
    /// Steps known so far.
    pub steps: u64,
    /// Steps done.
    pub finished: u64,
    /// When it began.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PhaseState {
    /// Still to come.
    Waiting,
    /// Under way.
    Running,
    /// Done.
    Done,
    /// A step of it failed.
    Failed,
}

/// A step under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepInHand {
    /// The step.
    pub id: StepId,
    /// Its phase.
    pub phase: Phase,
    /// What it does, for people.
    pub title: String,
    /// Work done, in `unit`.
    pub done: u64,
    /// All of the work; 0 while that is unknown.
    pub total: u64,
    /// `bytes`, `packages`, `files`; empty while nothing is known.
    pub unit: String,
    /// When it began.
    pub started_at_ms: i64,
}

/// A line that a tool or script wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutputLine {
    /// From which stream.
    pub stream: Stream,
    /// The line, without its end.
    pub line: String,
}

impl RunProgress {
    /// Takes the next event into account. Events of an earlier start of the agent are ignored, those
    /// of a later one begin afresh.
    pub fn apply(&mut self, attempt: u32, event: &Event) {
        if attempt < self.attempt {
            return;
        }
        if attempt > self.attempt {
            *self = Self { attempt, ..Self::default() };
        }
        self.at_ms = Some(event.at_ms);
        match &event.body {
            EventBody::Fetch { what, done_bytes, total_bytes } => {
                self.fetched(what, *done_bytes, *total_bytes);
            }
            EventBody::Planned { phases, finished, .. } => self.planned(phases, *finished),
            EventBody::PhaseStarted { phase } => self.phase_started(*phase, event.at_ms),
            EventBody::PhaseFinished { phase } => self.phase_finished(*phase, event.at_ms),
            EventBody::StepStarted { step, phase, title } => {
                self.step_started(step, *phase, title, event.at_ms);
            }
            EventBody::StepProgress { step, done, total, unit } => {
                self.step_progressed(step, *done, *total, unit);
            }
            EventBody::StepFinished { step, outcome } => self.step_finished(step, outcome),
            EventBody::StepFailed { fault, .. } => self.failed(fault, event.at_ms),
            EventBody::Output { stream, line, .. } => self.printed(*stream, line),
            EventBody::RunFinished { ok, task_error, fault } => {
                self.ended = Some(*ok);
                self.task_error = Some(*task_error);
                if let Some(fault) = fault {
                    self.failed(fault, event.at_ms);
                }
            }
            EventBody::Rebooting => self.rebooting = true,
            EventBody::AgentStarted { .. } | EventBody::Unknown => {}
        }
    }

    /// Steps done, of those known so far.
    pub fn steps(&self) -> (u64, u64) {
        let sum = |count: fn(&PhaseProgress) -> u64| self.phases.iter().map(count).sum();
        (sum(|phase| phase.finished), sum(|phase| phase.steps))
    }

    /// The phase under way.
    pub fn phase(&self) -> Option<&PhaseProgress> {
        self.phases.iter().rfind(|phase| phase.state == PhaseState::Running)
    }

    /// How much of a phase is done, from 0 to 1000, the part of the step under way included.
    pub fn permille(&self, phase: &PhaseProgress) -> u64 {
        if phase.state == PhaseState::Done {
            return 1000;
        }
        let step = self.step.as_ref().filter(|step| step.phase == phase.phase && step.total > 0);
        let part = step.map_or(0, |step| 1000 * step.done.min(step.total) / step.total);
        (1000 * phase.finished + part).checked_div(phase.steps).unwrap_or(0).min(1000)
    }

    fn fetched(&mut self, what: &str, done_bytes: u64, total_bytes: u64) {
        let fetch = FetchProgress { what: what.to_owned(), done_bytes, total_bytes };
        match self.fetches.iter_mut().find(|fetch| fetch.what == what) {
            Some(known) => *known = fetch,
            None => self.fetches.push(fetch),
        }
    }

    /// A plan replaces the numbers of steps and keeps the times. Steps run in the order of the plan,
    /// so the finished ones belong to the first phases.
    fn planned(&mut self, phases: &[(Phase, u64)], finished: u64) {
        let before = std::mem::take(&mut self.phases);
        let mut left = finished;
        for &(phase, steps) in phases {
            let done = left.min(steps);
            left -= done;
            let known = before.iter().find(|known| known.phase == phase);
            self.phases.push(PhaseProgress {
                phase,
                state: known.map_or(PhaseState::Waiting, |known| known.state),
                steps,
                finished: done,
                started_at_ms: known.and_then(|known| known.started_at_ms),
                ended_at_ms: known.and_then(|known| known.ended_at_ms),
            });
        }
    }

    fn phase_started(&mut self, phase: Phase, at_ms: i64) {
        let entry = self.phase_mut(phase);
        entry.state = PhaseState::Running;
        entry.started_at_ms = entry.started_at_ms.or(Some(at_ms));
        entry.ended_at_ms = None;
    }

    fn phase_finished(&mut self, phase: Phase, at_ms: i64) {
        let entry = self.phase_mut(phase);
        entry.state = PhaseState::Done;
        entry.finished = entry.steps;
        entry.ended_at_ms = Some(at_ms);
    }

    fn step_started(&mut self, id: &StepId, phase: Phase, title: &str, at_ms: i64) {
        self.step = Some(StepInHand {
            id: id.clone(),
            phase,
            title: title.to_owned(),
            done: 0,
            total: 0,
            unit: String::new(),
            started_at_ms: at_ms,
        });
    }

    fn step_progressed(&mut self, id: &StepId, done: u64, total: u64, unit: &str) {
        if let Some(step) = self.step.as_mut().filter(|step| step.id == *id) {
            (step.done, step.total) = (done, total);
            unit.clone_into(&mut step.unit);
        }
    }

    fn step_finished(&mut self, id: &StepId, outcome: &Outcome) {
        if let Outcome::Exited(status) = outcome
            && *status != 0
        {
            self.nonzero_exits.push((id.clone(), *status));
        }
        if let Some(step) = self.step.take_if(|step| step.id == *id) {
            let entry = self.phase_mut(step.phase);
            entry.finished += 1;
            entry.steps = entry.steps.max(entry.finished);
        }
    }

    fn failed(&mut self, fault: &Fault, at_ms: i64) {
        self.fault = Some(fault.clone());
        let running = self.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running);
        running.for_each(|phase| {
            phase.state = PhaseState::Failed;
            phase.ended_at_ms = Some(at_ms);
        });
    }

    fn printed(&mut self, stream: Stream, line: &str) {
        if self.output.len() == OUTPUT_LINES {
            self.output.pop_front();
        }
        self.output.push_back(OutputLine { stream, line: line.to_owned() });
    }

    /// The entry of `phase`. An engine that reports a phase outside of its plan is shown all the
    /// same, behind the others.
    fn phase_mut(&mut self, phase: Phase) -> &mut PhaseProgress {
        if let Some(index) = self.phases.iter().position(|known| known.phase == phase) {
            return &mut self.phases[index];
        }
        self.phases.push(PhaseProgress {
            phase,
            state: PhaseState::Waiting,
            steps: 0,
            finished: 0,
            started_at_ms: None,
            ended_at_ms: None,
        });
        self.phases.last_mut().expect("invariant: just pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    fn folded(bodies: Vec<EventBody>) -> RunProgress {
        let mut progress = RunProgress::default();
        for (i, body) in bodies.into_iter().enumerate() {
            let seq = i as u64 + 1;
            progress.apply(1, &Event { seq, at_ms: 1000 * seq as i64, body });
        }
        progress
    }

    fn planned(finished: u64) -> EventBody {
        let phases = vec![(Phase::Partition, 2), (Phase::Extrbase, 1)];
        EventBody::Planned { steps: 3, phases, finished }
    }

    fn started(step: &str) -> EventBody {
        let title = format!("do {step}");
        EventBody::StepStarted { step: step.into(), phase: Phase::Partition, title }
    }

    #[test]
    fn a_phase_moves_with_its_steps_and_their_parts() {
        let progress = folded(vec![
            planned(0),
            EventBody::PhaseStarted { phase: Phase::Partition },
            started("table/vda"),
            EventBody::StepFinished { step: "table/vda".into(), outcome: Outcome::Changed },
            started("format/vda1"),
            EventBody::StepProgress {
                step: "format/vda1".into(),
                done: 1,
                total: 2,
                unit: "bytes".to_owned(),
            },
        ]);
        let phase = progress.phase().expect("one is running");
        assert_eq!((phase.finished, phase.steps, phase.started_at_ms), (1, 2, Some(2000)));
        assert_eq!(progress.permille(phase), 750);
        assert_eq!(progress.steps(), (1, 3));
    }

    #[test]
    fn a_plan_made_again_keeps_times_and_spreads_what_is_finished() {
        let progress = folded(vec![
            planned(0),
            EventBody::PhaseStarted { phase: Phase::Partition },
            EventBody::PhaseFinished { phase: Phase::Partition },
            planned(2),
        ]);
        let [partition, extrbase] = progress.phases.as_slice() else { panic!("two phases") };
        assert_eq!((partition.finished, partition.ended_at_ms), (2, Some(3000)));
        assert_eq!((extrbase.finished, extrbase.state), (0, PhaseState::Waiting));
    }

    #[test]
    fn a_failure_marks_the_running_phase_and_a_new_attempt_forgets_it() {
        let fault = Fault::new(FaultKind::Hardware, "disk-gone", "vda is gone", "look for it");
        let mut progress = folded(vec![
            planned(0),
            EventBody::PhaseStarted { phase: Phase::Partition },
            started("table/vda"),
            EventBody::StepFailed { step: "table/vda".into(), fault: fault.clone() },
        ]);
        assert_eq!(progress.phases[0].state, PhaseState::Failed);
        assert_eq!(progress.fault, Some(fault));
        let again = Event { seq: 1, at_ms: 9000, body: EventBody::AgentStarted { uptime_ms: 1 } };
        progress.apply(2, &again);
        assert_eq!(progress, RunProgress { attempt: 2, at_ms: Some(9000), ..Default::default() });
        progress.apply(1, &Event { seq: 9, at_ms: 9001, body: EventBody::Rebooting });
        assert!(!progress.rebooting, "an earlier attempt cannot change a later one");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let line = |i: usize| EventBody::Output {
            step: None,
            stream: Stream::Out,
            line: format!("line {i}"),
        };
        let progress = folded((0..OUTPUT_LINES + 3).map(line).collect());
        assert_eq!(progress.output.len(), OUTPUT_LINES);
        assert_eq!(progress.output[0].line, "line 3");
    }
}
