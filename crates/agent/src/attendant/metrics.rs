//! Metrics in the text format of Prometheus (version 0.0.4), by phase.

use super::page::lasted_ms;
use super::watched::Watched;
use hostwright_host::boot::process;
use hostwright_model::progress::PhaseState;
use std::fmt::Write as _;

/// What a scraper gets.
pub(super) fn render(state: &Watched) -> String {
    let mut text = Text::default();
    let progress = &state.progress;
    let labels =
        [("version", env!("CARGO_PKG_VERSION")), ("machine", &state.machine), ("run", &state.run)];
    text.family("hostwright_agent_info", "gauge", "What this is about.");
    text.sample("hostwright_agent_info", &labels, 1.0);
    text.single(
        "hostwright_uptime_seconds",
        "Since the kernel started.",
        seconds(process::uptime_ms()),
    );
    text.single("hostwright_run_attempt", "Start of the agent.", f64::from(progress.attempt));
    text.family("hostwright_run_state", "gauge", "1 for the state that the run is in.");
    for (name, is) in [
        ("running", progress.ended.is_none()),
        ("failed", progress.ended == Some(false)),
        ("installed", progress.ended == Some(true)),
    ] {
        text.sample("hostwright_run_state", &[("state", name)], f64::from(u8::from(is)));
    }
    phases(&mut text, state);
    fetches(&mut text, state);
    let errors = progress.task_error.unwrap_or(0);
    text.single("hostwright_task_error", "FAI's highest task error.", f64::from(errors));
    let failed = progress.nonzero_exits.len();
    text.single("hostwright_scripts_failed", "Scripts with a status above 0.", failed as f64);
    let shells = state.attached_shells as f64;
    text.single("hostwright_shells_attached", "Remote shells that somebody looks at.", shells);
    text.family("hostwright_log_lines_total", "counter", "Lines of the log.");
    text.sample("hostwright_log_lines_total", &[], state.log_lines as f64);
    text.0
}

fn phases(text: &mut Text, state: &Watched) {
    let phases = &state.progress.phases;
    text.family("hostwright_phase_state", "gauge", "1 for the state that a phase is in.");
    for phase in phases {
        let now = match phase.state {
            PhaseState::Waiting => "waiting",
            PhaseState::Running => "running",
            PhaseState::Done => "done",
            PhaseState::Failed => "failed",
        };
        let labels = [("phase", phase.phase.name()), ("state", now)];
        text.sample("hostwright_phase_state", &labels, 1.0);
    }
    text.family("hostwright_phase_seconds", "gauge", "How long a phase took, or takes until now.");
    for phase in phases {
        if let Some(ms) = lasted_ms(phase) {
            let labels = [("phase", phase.phase.name())];
            text.sample("hostwright_phase_seconds", &labels, seconds(ms.unsigned_abs()));
        }
    }
    text.family("hostwright_phase_steps", "gauge", "Steps of a phase known so far.");
    for phase in phases {
        let labels = [("phase", phase.phase.name())];
        text.sample("hostwright_phase_steps", &labels, phase.steps as f64);
    }
    text.family("hostwright_phase_steps_finished", "gauge", "Steps of a phase that are done.");
    for phase in phases {
        let labels = [("phase", phase.phase.name())];
        text.sample("hostwright_phase_steps_finished", &labels, phase.finished as f64);
    }
}

fn fetches(text: &mut Text, state: &Watched) {
    let fetches = &state.progress.fetches;
    text.family("hostwright_fetch_bytes", "gauge", "Bytes that were fetched.");
    for fetch in fetches {
        text.sample("hostwright_fetch_bytes", &[("what", &fetch.what)], fetch.done_bytes as f64);
    }
    text.family("hostwright_fetch_size_bytes", "gauge", "Bytes to fetch in all.");
    for fetch in fetches {
        let labels = [("what", fetch.what.as_str())];
        text.sample("hostwright_fetch_size_bytes", &labels, fetch.total_bytes as f64);
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// The format.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn single(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let label = |(name, value): &(&str, &str)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        };
        let labels: Vec<String> = labels.iter().map(label).collect();
        match labels.is_empty() {
            true => self.line(format_args!("{name} {value}\n")),
            false => self.line(format_args!("{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("invariant: writing to a String works");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::event::{Event, EventBody};
    use hostwright_model::phase::Phase;

    #[test]
    fn phases_have_states_and_times_and_labels_are_escaped() {
        let mut state = Watched { machine: "a\"b\\c\nd".into(), ..Watched::default() };
        for (seq, body) in [
            EventBody::PhaseStarted { phase: Phase::Partition },
            EventBody::PhaseFinished { phase: Phase::Partition },
            EventBody::Fetch { what: "tools".into(), done_bytes: 5, total_bytes: 10 },
        ]
        .into_iter()
        .enumerate()
        {
            let at_ms = 1500 * (seq as i64 + 1);
            state.progress.apply(0, &Event { seq: seq as u64 + 1, at_ms, body });
        }
        let text = render(&state);
        for line in [
            "hostwright_phase_seconds{phase=\"partition\"} 1.5",
            "hostwright_phase_state{phase=\"partition\",state=\"done\"} 1",
            "hostwright_fetch_bytes{what=\"tools\"} 5",
            "hostwright_run_state{state=\"running\"} 1",
            "machine=\"a\\\"b\\\\c\\nd\"",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
