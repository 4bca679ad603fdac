//! What the templates show: machines and runs in words, lengths and permille.

use crate::fleet::Member;
use hostwright_model::api::{Machine, Run, RunState, UnknownMachine};
use hostwright_model::event::Stream;
use hostwright_model::facts::{Facts, Firmware};
use hostwright_model::fault::{Fault, FaultKind};
use hostwright_model::monitored::{MonitoredMachine, MonitoredTask};
use hostwright_model::progress::{
    FetchProgress, PhaseProgress, PhaseState, RunProgress, StepInHand,
};
use serde::Serialize;

/// A machine with its latest run, or one run of it.
#[derive(Debug, Serialize)]
pub(super) struct MachineView {
    pub(super) name: String,
    /// Class in the style sheet: `idle`, `busy`, `done`, `bad`.
    pub(super) tone: &'static str,
    sign: &'static str,
    pub(super) word: &'static str,
    run: Option<String>,
    /// Since when the state lasts, by the server's clock, if it still does.
    since_ms: Option<i64>,
    lasted_ms: Option<i64>,
    about: String,
    hint: Option<String>,
    progress: Option<ProgressView>,
}

/// How many machines are in a state.
#[derive(Debug, Serialize)]
pub(super) struct CountView {
    number: usize,
    word: &'static str,
    tone: &'static str,
}

/// One line about the hardware.
#[derive(Debug, Serialize)]
pub(super) struct FactView {
    what: &'static str,
    value: String,
}

/// A machine that speaks FAI's monitor protocol.
#[derive(Debug, Serialize)]
pub(super) struct MonitoredView {
    name: String,
    address: String,
    last_heard_ms: i64,
    tasks: Vec<MonitoredTaskView>,
}

#[derive(Debug, Serialize)]
struct MonitoredTaskView {
    name: String,
    word: &'static str,
    error: u32,
}

/// What is unknown, for the list.
#[derive(Debug, Serialize)]
pub(super) struct UnknownView {
    mac: String,
    last_seen_ms: i64,
    asked_for: String,
}

#[derive(Debug, Serialize)]
struct ProgressView {
    permille: u64,
    finished: u64,
    steps: u64,
    complete: bool,
    fetches: Vec<FetchView>,
    phases: Vec<PhaseView>,
    step: Option<StepView>,
    fault: Option<FaultView>,
    nonzero: Vec<ExitView>,
    output: Vec<LineView>,
}

#[derive(Debug, Serialize)]
struct FetchView {
    word: String,
    done_bytes: u64,
    total_bytes: u64,
    permille: u64,
}

#[derive(Debug, Serialize)]
struct PhaseView {
    name: &'static str,
    tone: &'static str,
    sign: &'static str,
    word: &'static str,
    permille: u64,
    since_ms: Option<i64>,
    lasted_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct StepView {
    id: String,
    title: String,
    total: u64,
    permille: u64,
    amount: String,
}

#[derive(Debug, Serialize)]
struct FaultView {
    message: String,
    cure: String,
    code: String,
    who: &'static str,
    command: Option<String>,
    output: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ExitView {
    step: String,
    status: i32,
}

#[derive(Debug, Serialize)]
struct LineView {
    stream: &'static str,
    line: String,
}

impl MachineView {
    /// A machine as it is at `now_ms`.
    pub(super) fn new(member: &Member, now_ms: i64) -> Self {
        let machine = &member.machine;
        let run = machine.run.as_ref();
        let (tone, sign, word) = state_words(run.map(|run| run.state));
        let started = run.map(begin_ms);
        let ended = run.and_then(|run| run.ended_at_ms);
        Self {
            name: machine.spec.name.to_string(),
            tone,
            sign,
            word,
            run: run.map(|run| run.id.to_string()),
            since_ms: started.filter(|_| ended.is_none()),
            lasted_ms: started.map(|started| ended.unwrap_or(now_ms) - started),
            about: about(machine),
            hint: hint(member),
            progress: run
                .filter(|run| run.attempts > 0)
                .map(|_| ProgressView::new(&member.progress, member.skew_ms, now_ms)),
        }
    }
}

/// From when on a run's time is counted: people wait from the moment the machine boots.
fn begin_ms(run: &Run) -> i64 {
    match run.state {
        RunState::Armed => run.armed_at_ms,
        _ => run.booted_at_ms.or(run.started_at_ms).unwrap_or(run.armed_at_ms),
    }
}

fn state_words(state: Option<RunState>) -> (&'static str, &'static str, &'static str) {
    match state {
        None => ("idle", "○", "never installed"),
        Some(RunState::Armed) => ("busy", "◔", "armed"),
        Some(RunState::Booting) => ("busy", "◑", "booting"),
        Some(RunState::Running) => ("busy", "▶", "installing"),
        Some(RunState::Installed) => ("done", "✓", "installed"),
        Some(RunState::Failed) => ("bad", "✗", "failed"),
        Some(RunState::Cancelled) => ("idle", "–", "cancelled"),
    }
}

fn about(machine: &Machine) -> String {
    let spec = &machine.spec;
    let macs: Vec<String> = spec.macs.iter().map(ToString::to_string).collect();
    let mut parts = vec![macs.join(", ")];
    parts.extend(spec.address.map(|address| address.to_string()));
    parts.push(match &spec.image {
        Some(image) => format!("image {image} of space {}", spec.space),
        None => format!("packages of space {}", spec.space),
    });
    if !spec.classes.is_empty() {
        parts.push(format!("classes {}", spec.classes.join(" ")));
    }
    parts.join(" · ")
}

/// What helps a person who waits for this machine.
fn hint(member: &Member) -> Option<String> {
    let run = member.machine.run.as_ref()?;
    let boot = member.boot.as_ref().map(|event| event.step.to_string());
    match run.state {
        RunState::Armed => Some(match boot {
            Some(step) => format!("Waits for its network boot. Last heard: {step}."),
            None => "Waits for its network boot: power it on.".to_owned(),
        }),
        RunState::Booting => boot.map(|step| format!("Last heard: {step}.")),
        RunState::Running if run.attempts > 1 => Some(format!(
            "Attempt {}: it started again before it was done, and goes on from the beginning.",
            run.attempts
        )),
        RunState::Installed if member.progress.rebooting => {
            Some("Restarted into what was installed.".to_owned())
        }
        RunState::Failed => {
            Some("The machine is up and waits, with a shell on its console.".to_owned())
        }
        _ => None,
    }
}

impl ProgressView {
    /// `skew_ms` is how much the server's clock is ahead of the machine's.
    fn new(progress: &RunProgress, skew_ms: i64, now_ms: i64) -> Self {
        let (finished, steps) = progress.steps();
        let done = progress.ended == Some(true);
        let permille: u64 =
            progress.phases.iter().map(|phase| progress.permille(phase) * phase.steps).sum();
        let all = if done { 1000 } else { permille.checked_div(steps).unwrap_or(0) };
        Self {
            permille: all,
            finished,
            steps,
            complete: progress.ended.is_some(),
            // What has arrived is of interest until the plan is made.
            fetches: progress
                .fetches
                .iter()
                .filter(|fetch| is_shown(fetch, progress))
                .map(FetchView::new)
                .collect(),
            phases: progress
                .phases
                .iter()
                .map(|phase| PhaseView::new(phase, progress, skew_ms, now_ms))
                .collect(),
            step: progress.step.as_ref().filter(|_| !done).map(StepView::new),
            fault: progress.fault.as_ref().map(FaultView::new),
            nonzero: progress
                .nonzero_exits
                .iter()
                .map(|(step, status)| ExitView { step: step.to_string(), status: *status })
                .collect(),
            output: if done { Vec::new() } else { lines(progress) },
        }
    }
}

fn is_shown(fetch: &FetchProgress, progress: &RunProgress) -> bool {
    progress.phases.is_empty() || fetch.done_bytes < fetch.total_bytes
}

fn lines(progress: &RunProgress) -> Vec<LineView> {
    let view = |line: &hostwright_model::progress::OutputLine| LineView {
        stream: match line.stream {
            Stream::Out => "out",
            Stream::Err => "err",
        },
        line: line.line.clone(),
    };
    progress.output.iter().map(view).collect()
}

impl FetchView {
    fn new(fetch: &FetchProgress) -> Self {
        let FetchProgress { what, done_bytes, total_bytes } = fetch;
        let word = match what.as_str() {
            "tools" => "Tools image".to_owned(),
            "space" => "Config space".to_owned(),
            "image" => "System image".to_owned(),
            other => other.to_owned(),
        };
        let permille = (1000 * done_bytes).checked_div(*total_bytes).unwrap_or(0);
        Self { word, done_bytes: *done_bytes, total_bytes: *total_bytes, permille }
    }
}

impl PhaseView {
    fn new(phase: &PhaseProgress, progress: &RunProgress, skew_ms: i64, now_ms: i64) -> Self {
        let (tone, sign, word) = match phase.state {
            PhaseState::Waiting => ("idle", "·", "waiting"),
            PhaseState::Running => ("busy", "▶", "running"),
            PhaseState::Done => ("done", "✓", "done"),
            PhaseState::Failed => ("bad", "✗", "failed"),
        };
        let started_ms = phase.started_at_ms.map(|at_ms| at_ms + skew_ms);
        let ended_ms = phase.ended_at_ms.map(|at_ms| at_ms + skew_ms);
        let runs = phase.state == PhaseState::Running;
        let end_ms = ended_ms.or(runs.then_some(now_ms));
        Self {
            name: phase.phase.name(),
            tone,
            sign,
            word,
            permille: progress.permille(phase),
            since_ms: started_ms.filter(|_| runs),
            lasted_ms: started_ms.zip(end_ms).map(|(started, end)| (end - started).max(0)),
        }
    }
}

impl StepView {
    fn new(step: &StepInHand) -> Self {
        let StepInHand { id, title, done, total, unit, .. } = step;
        let amount = match unit.as_str() {
            "bytes" => format!("{} of {}", bytes(*done), bytes(*total)),
            unit => format!("{done} of {total} {unit}"),
        };
        let permille = (1000 * done).checked_div(*total).unwrap_or(0);
        Self { id: id.to_string(), title: title.clone(), total: *total, permille, amount }
    }
}

impl FaultView {
    fn new(fault: &Fault) -> Self {
        let who = match fault.kind {
            FaultKind::Config => "For the author of the config space or configuration.",
            FaultKind::Hardware => "For whoever owns the hardware.",
            FaultKind::Environment => "For whoever runs this machine and its network.",
            FaultKind::Remote => "For whoever runs the other side of the connection.",
            FaultKind::Bug => "A bug of Hostwright: please report it.",
        };
        let Fault { message, cure, code, command, output, .. } = fault.clone();
        Self { message, cure, code, who, command, output }
    }
}

/// How many machines are in which state; the troubled ones first.
pub(super) fn counts(machines: &[MachineView]) -> Vec<CountView> {
    let words = ["failed", "installing", "booting", "armed", "installed", "cancelled"];
    let words = words.into_iter().chain(["never installed"]);
    let count = |word: &'static str| {
        let mut found = machines.iter().filter(|machine| machine.word == word).peekable();
        let tone = found.peek()?.tone;
        Some(CountView { number: found.count(), word, tone })
    };
    words.filter_map(count).collect()
}

/// The hardware in a few lines.
pub(super) fn facts(facts: &Facts) -> Vec<FactView> {
    let product = [&facts.dmi.vendor, &facts.dmi.product].into_iter().flatten();
    let product = product.cloned().collect::<Vec<_>>().join(" ");
    let disk = |disk: &hostwright_model::facts::Disk| {
        let model = disk.model.as_deref().map_or(String::new(), |model| format!(" ({model})"));
        format!("{} {}{model}", disk.name, bytes(disk.size_bytes))
    };
    let firmware = match facts.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    };
    let lines = [
        ("Hardware", product),
        ("Firmware", firmware.to_owned()),
        ("Processors", facts.cpus.to_string()),
        ("Memory", bytes(facts.memory_bytes)),
        ("Disks", facts.disks.iter().map(disk).collect::<Vec<_>>().join(", ")),
        ("Kernel", facts.kernel.clone()),
    ];
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(what, value)| FactView { what, value }).collect()
}

/// What machines told FAI's monitor.
pub(super) fn monitored(machines: Vec<MonitoredMachine>) -> Vec<MonitoredView> {
    let task = |task: MonitoredTask| MonitoredTaskView {
        word: task.state.name(),
        name: task.name,
        error: task.error,
    };
    let view = |machine: MonitoredMachine| MonitoredView {
        name: machine.name,
        address: machine.address,
        last_heard_ms: machine.last_heard_ms,
        tasks: machine.tasks.into_iter().map(task).collect(),
    };
    machines.into_iter().map(view).collect()
}

/// Unknown machines for the list.
pub(super) fn unknown(unknown: Vec<UnknownMachine>) -> Vec<UnknownView> {
    let view = |seen: UnknownMachine| UnknownView {
        mac: seen.mac.to_string(),
        last_seen_ms: seen.last_seen_ms,
        asked_for: seen.asked_for,
    };
    unknown.into_iter().map(view).collect()
}

/// A size for people: `1.5 GiB`.
pub(super) fn bytes(size_bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| size_bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = size_bytes / (unit / 10).max(1);
            if tenths >= 1000 {
                format!("{} {name}", size_bytes / unit)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
        None => format!("{size_bytes} B"),
    }
}

/// A length of time for people: `2 min 05 s`. The page's script writes it in the same way.
pub(super) fn lasted(ms: i64) -> String {
    let s = (ms.max(0) + 500) / 1000;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, _) if ms < 10_000 => format!("{}.{} s", ms.max(0) / 1000, ms.max(0) % 1000 / 100),
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 1023, 1024, 1_572_864, 200 << 20, 3 << 30].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "200 MiB", "3.0 GiB"]);
        let times = [-5, 40, 9999, 59_400, 125_000, 3_725_000].map(lasted);
        assert_eq!(times, ["0.0 s", "0.0 s", "9.9 s", "59 s", "2 min 05 s", "1 h 2 min"]);
    }
}
