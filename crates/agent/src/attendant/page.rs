//! The page: what the machine is doing, for who would rather look than read. It can be looked at
//! only; nothing on it changes anything.
//!
//! The page is whole without its script, and then loads itself again every few seconds. With the
//! script the part that changes comes by server-sent events, rendered here too.

use super::watched::{LogLine, Watched};
use hostwright_host::boot::clock;
use hostwright_model::fault::Fault;
use hostwright_model::phase::Phase;
use hostwright_model::plan::Plan;
use hostwright_model::progress::{PhaseProgress, PhaseState, RunProgress};
use hostwright_model::size::ByteSize;
use hostwright_plan::storage::{Bar, bars, draw};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Lines of the log on the page; all that is kept is at `/log`.
const LOG_LINES: usize = 200;
/// Width of the pictures, in the units of their view boxes.
const WIDTH: u64 = 1000;

/// The whole page.
pub(super) fn page(state: &Watched) -> String {
    let name = if state.machine.is_empty() { "a machine" } else { &state.machine };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " – Hostwright" }
                link rel="stylesheet" href="/style.css";
                noscript { meta http-equiv="refresh" content="5"; }
                script src="/page.js" defer {}
            }
            body { main #live { (PreEscaped(live(state))) } }
        }
    };
    page.into_string()
}

/// The part of it that changes.
pub(super) fn live(state: &Watched) -> String {
    let progress = &state.progress;
    let (tone, word) = word(state);
    let page = html! {
        header class=(tone) {
            h1 { (if state.machine.is_empty() { "(not named yet)" } else { &state.machine }) }
            span.state { (word) }
            span.soft {
                @if !state.run.is_empty() { "run " (state.run) ", attempt " (progress.attempt) }
            }
            a.soft href="/status.json" { "JSON" }
            a.soft href="/metrics" { "metrics" }
            a.soft href="/log" { "log" }
        }
        @if let Some(fault) = &progress.fault { (fault_box(fault)) }
        section.phases {
            (phase_picture(progress))
            @if !progress.phases.is_empty() { (phase_table(progress)) }
        }
        @if let Some(step) = &progress.step {
            section.step {
                h2 { (step.title) }
                p.soft { (step.id) }
                @if step.total > 0 {
                    progress max=(step.total) value=(step.done) {}
                    p.soft { (amount(step.done, step.total, &step.unit)) }
                }
            }
        }
        @for fetch in progress.fetches.iter().filter(|f| f.done_bytes < f.total_bytes) {
            section.step {
                h2 { "Fetching " (fetch.what) }
                progress max=(fetch.total_bytes) value=(fetch.done_bytes) {}
                p.soft { (amount(fetch.done_bytes, fetch.total_bytes, "bytes")) }
            }
        }
        @if let Some(plan) = &state.plan { (disks(plan)) (steps(plan)) }
        (log(state))
        footer.soft { (shell_word(state)) }
    };
    page.into_string()
}

/// The state of the machine: a class of the style sheet, and a word.
fn word(state: &Watched) -> (&'static str, &'static str) {
    let progress = &state.progress;
    match (progress.rebooting, progress.ended) {
        (true, _) => ("done", "installed; restarting"),
        (false, Some(true)) => ("done", "installed"),
        (false, Some(false)) => ("bad", "failed; it stays up and waits"),
        (false, None) if progress.phases.is_empty() => ("busy", "preparing"),
        (false, None) => ("busy", "installing"),
    }
}

fn fault_box(fault: &Fault) -> Markup {
    html! {
        section.fault {
            h2 { (fault.message) }
            p { (fault.cure) }
            @if let Some(command) = &fault.command { pre { "$ " (command) } }
            @if !fault.output.is_empty() { pre { (fault.output.join("\n")) } }
            p.soft { (fault.code) }
        }
    }
}

/// One bar with a part for each phase, filled as far as the phase is.
fn phase_picture(progress: &RunProgress) -> Markup {
    let count = progress.phases.len().max(1) as u64;
    let share = WIDTH / count;
    html! {
        svg.bar viewBox={ "0 0 " (WIDTH) " 38" } role="img" aria-label="phases" {
            rect.ground x="0" y="0" width=(WIDTH) height="22" rx="4" {}
            @for (index, phase) in progress.phases.iter().enumerate() {
                @let x = index as u64 * share;
                @let filled = (share - 2) * progress.permille(phase) / 1000;
                rect class={ "wait" } x=(x) y="0" width=(share - 2) height="22" rx="3" {}
                rect class=(tone(phase)) x=(x) y="0" width=(filled) height="22" rx="3" {
                    title { (phase.phase) ": " (phase_word(phase)) }
                }
                @if phase.state == PhaseState::Failed {
                    rect.bad x=(x) y="0" width=(share - 2) height="22" rx="3" {}
                }
                text x=(x + 2) y="33" { (short(phase.phase, share)) }
            }
        }
    }
}

/// As much of the name as there is room for; a letter takes about 6 units.
fn short(phase: Phase, share: u64) -> String {
    let room = usize::try_from(share / 6).unwrap_or(usize::MAX);
    phase.name().chars().take(room.max(1)).collect()
}

fn tone(phase: &PhaseProgress) -> &'static str {
    match phase.state {
        PhaseState::Waiting => "wait",
        PhaseState::Running => "busy",
        PhaseState::Done => "done",
        PhaseState::Failed => "bad",
    }
}

fn phase_word(phase: &PhaseProgress) -> &'static str {
    match phase.state {
        PhaseState::Waiting => "to come",
        PhaseState::Running => "under way",
        PhaseState::Done => "done",
        PhaseState::Failed => "failed",
    }
}

fn phase_table(progress: &RunProgress) -> Markup {
    let begun = progress.phases.iter().filter(|phase| phase.state != PhaseState::Waiting);
    html! {
        table {
            tr { th { "phase" } th { "" } th.number { "steps" } th.number { "time" } }
            @for phase in begun {
                tr class=(tone(phase)) {
                    td { (phase.phase) }
                    td { (phase_word(phase)) }
                    td.number { (phase.finished) "/" (phase.steps) }
                    td.number { (seconds(phase)) }
                }
            }
        }
    }
}

/// How long a phase took, or takes until now.
pub(super) fn lasted_ms(phase: &PhaseProgress) -> Option<i64> {
    let started = phase.started_at_ms?;
    Some((phase.ended_at_ms.unwrap_or_else(clock::now_ms) - started).max(0))
}

fn seconds(phase: &PhaseProgress) -> String {
    lasted_ms(phase).map_or(String::new(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
}

fn amount(done: u64, total: u64, unit: &str) -> String {
    match unit {
        "bytes" => format!("{} of {}", ByteSize(done).rounded(), ByteSize(total).rounded()),
        unit => format!("{done} of {total} {unit}"),
    }
}

/// The disks as the planner draws them, in colours and in text.
fn disks(plan: &Plan) -> Markup {
    let Some(layout) = &plan.layout else { return html! {} };
    html! {
        section.disks {
            h2 { "Disks" }
            @for bar in bars(layout) { p { (bar.heading) } (disk_picture(&bar)) }
            details { summary { "to the byte" } pre { (draw(layout)) } }
        }
    }
}

fn disk_picture(bar: &Bar) -> Markup {
    let widths = widths(bar);
    let begins = |index: usize| widths[..index].iter().sum::<u64>();
    html! {
        svg.bar viewBox={ "0 0 " (WIDTH) " 46" } role="img" aria-label=(bar.heading) {
            @for (index, (part, width)) in bar.parts.iter().zip(&widths).enumerate() {
                @let x = begins(index);
                @let class = if part.free { "free".to_owned() } else { format!("part{}", index % 6) };
                @let room = usize::try_from(width / 7).unwrap_or(1);
                rect class=(class) x=(x) y="0" width=(width - 2) height="44" rx="3" {
                    title { (part.name) ", " (part.size) }
                }
                text.name x=(x + 5) y="18" { (part.name.chars().take(room).collect::<String>()) }
                text x=(x + 5) y="35" { (part.size.chars().take(room).collect::<String>()) }
            }
        }
    }
}

/// By size, but wide enough to be seen.
fn widths(bar: &Bar) -> Vec<u64> {
    let count = bar.parts.len().max(1) as u64;
    let narrowest = (WIDTH / (2 * count)).min(90);
    let rest = WIDTH - narrowest * count;
    let total: u128 = bar.parts.iter().map(|part| u128::from(part.size_bytes)).sum();
    let share = |size: u64| (u128::from(rest) * u128::from(size) / total.max(1)) as u64;
    bar.parts.iter().map(|part| narrowest + share(part.size_bytes)).collect()
}

fn steps(plan: &Plan) -> Markup {
    html! {
        section {
            details {
                summary { "Plan: " (plan.steps().count()) " steps known so far" }
                table {
                    @for (phase, step) in plan.steps() {
                        tr { td { (phase) } td { (step.action.title()) } td.soft { (step.why) } }
                    }
                }
            }
        }
    }
}

fn log(state: &Watched) -> Markup {
    let skipped = state.log.len().saturating_sub(LOG_LINES);
    html! {
        section {
            h2 { "Log" }
            pre.log {
                @for line in state.log.iter().skip(skipped) {
                    span class=(line.from) { (log_text(line)) "\n" }
                }
            }
        }
    }
}

/// A line of the log with the time of the day, UTC.
pub(super) fn log_text(line: &LogLine) -> String {
    let second = line.at_ms.div_euclid(1000).rem_euclid(86_400);
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02} {:5} {}", line.from, line.text)
}

fn shell_word(state: &Watched) -> String {
    match (&state.no_shell_because, state.shell) {
        (_, true) => format!(
            "Remote shell: hostwright machine shell {} ({} attached)",
            state.machine, state.attached_shells
        ),
        (Some(reason), false) => format!("No remote shell: {reason}"),
        (None, false) => "No remote shell yet: there is no certificate".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostwright_model::event::{Event, EventBody};
    use hostwright_model::fault::FaultKind;

    fn failed() -> Watched {
        let mut state =
            Watched { machine: "web1".into(), run: "web1-1".into(), ..Watched::default() };
        let phases = vec![(Phase::Partition, 2), (Phase::Extrbase, 1)];
        let fault =
            Fault::new(FaultKind::Config, "x", "<script>alert(1)</script> & more", "mend it");
        let bodies = [
            EventBody::Planned { steps: 3, phases, finished: 0 },
            EventBody::PhaseStarted { phase: Phase::Partition },
            EventBody::RunFinished { ok: false, task_error: 0, fault: Some(fault) },
        ];
        for (seq, body) in bodies.into_iter().enumerate() {
            state.progress.apply(0, &Event { seq: seq as u64 + 1, at_ms: 1000, body });
        }
        let text = "<img src=x>".to_owned();
        state.log.push_back(LogLine { at_ms: 3_661_000, from: "out", text });
        state
    }

    #[test]
    fn what_others_wrote_is_text_on_the_page() {
        let text = page(&failed());
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"), "{text}");
        assert!(text.contains("01:01:01 out   &lt;img src=x&gt;"), "{text}");
        assert!(text.contains("failed; it stays up and waits"), "{text}");
    }

    #[test]
    fn a_failed_phase_is_drawn_and_a_machine_that_just_started_has_a_page() {
        assert!(live(&failed()).contains("rect class=\"bad\""));
        let text = live(&Watched::default());
        assert!(text.contains("preparing") && text.contains("No remote shell yet"), "{text}");
    }

    #[test]
    fn every_part_of_a_disk_is_wide_enough_to_be_seen() {
        use hostwright_plan::storage::BarPart;
        let part =
            |size_bytes| BarPart { name: "p".into(), size: "s".into(), size_bytes, free: false };
        let bar = Bar { heading: "vda".into(), parts: vec![part(1), part(u64::MAX / 2), part(1)] };
        let widths = widths(&bar);
        assert!(widths.iter().all(|width| *width >= 90), "{widths:?}");
        assert!(widths.iter().sum::<u64>() <= WIDTH);
    }
}
