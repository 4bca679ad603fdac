//! A plan as text for people: by phase, each step with what it does and why.

use crate::storage;
use hostwright_model::boot_loader::{BootSetup, KernelFiles};
use hostwright_model::phase::Phase;
use hostwright_model::plan::{Action, Plan, Stage, Step, TargetFile};
use hostwright_model::storage::{EncryptionKey, TpmSealing};
use std::fmt::Write;

/// Columns of a step's title before its reason follows on a line of its own.
const TITLE_COLUMNS: usize = 52;

/// The whole plan. Nothing in it depends on when or where it is printed.
pub fn render(plan: &Plan) -> String {
    let mut text = format!("plan {}\n", &plan.inputs.to_string()[..12]);
    if let Some(layout) = &plan.layout {
        let _ = writeln!(text, "\ndisks\n{}", indented(&storage::draw(layout)));
    }
    let mut phase = None;
    for stage in &plan.stages {
        if phase != Some(stage.phase) {
            let _ = writeln!(text, "\n{}", stage.phase);
            phase = Some(stage.phase);
        }
        render_stage(&mut text, stage);
    }
    render_left_out(&mut text, plan);
    if !plan.open.is_empty() {
        text.push_str("\nnot known yet\n");
        plan.open.iter().for_each(|open| {
            let _ = writeln!(text, "  {open}");
        });
    }
    let _ = writeln!(text, "\n{}", totals(plan));
    text
}

fn render_stage(text: &mut String, stage: &Stage) {
    stage.steps.iter().for_each(|step| render_step(text, step));
    let asks = |step: &Step| {
        matches!(step.action, Action::CheckPackages { .. } | Action::FetchBaseFile { .. })
    };
    if stage.barrier && stage.steps.iter().any(asks) {
        text.push_str("  ---- then the plan is made again with what this finds\n");
    } else if stage.barrier {
        text.push_str("  ---- then the plan is made again with what this code says\n");
    }
}

fn render_step(text: &mut String, step: &Step) {
    let line = format!("  {:<TITLE_COLUMNS$}  # {}", step.action.title(), reason(step));
    let _ = writeln!(text, "{}", line.trim_end_matches([' ', '#']));
    details(&step.action).iter().for_each(|detail| {
        let _ = writeln!(text, "{}", format!("      {detail}").trim_end());
    });
}

/// Why a step is there. A file that its title names already is left out.
fn reason(step: &Step) -> String {
    let why = step.why.to_string();
    let file = &step.why.file;
    let is_named = !file.is_empty() && step.why.line == 0 && step.action.title().contains(file);
    if !is_named {
        return why;
    }
    step.why.class.as_ref().map(|class| format!("class {class}")).unwrap_or_default()
}

/// What does not fit into a title.
pub(crate) fn details(action: &Action) -> Vec<String> {
    match action {
        Action::Packages { group } => wrapped(group.names(), 84),
        Action::PackageFiles { paths } => wrapped(paths.iter().map(String::as_str), 84),
        Action::Debootstrap { options, .. } if !options.is_empty() => {
            vec![format!("with {}", options.join(" "))]
        }
        Action::Repository { keys, sources } => {
            let mut lines: Vec<String> = keys.iter().map(|key| format!("key {key}")).collect();
            if let Some(sources) = sources {
                let components = sources.components.join(" ");
                lines.push(format!("{} {} {components}", sources.mirror, sources.suite));
                lines.extend(
                    sources
                        .security
                        .iter()
                        .map(|s| format!("{} {} {components}", s.mirror, s.suite)),
                );
            }
            lines
        }
        Action::Format { volume, .. } if !volume.create_options.is_empty() => {
            vec![format!("with {}", volume.create_options.join(" "))]
        }
        Action::Mount { volume } => vec![format!("options {}", volume.mount_options)],
        Action::Encrypt { encrypted } if !encrypted.create_options.is_empty() => {
            let mut lines = wrapped(encrypted.create_options.iter().map(String::as_str), 84);
            lines.extend(opened_by(&encrypted.key));
            lines
        }
        Action::WriteFiles { files, remove, .. } => {
            let removed = remove.iter().map(|path| format!("without {path} of the image"));
            removed.chain(files.iter().flat_map(written)).collect()
        }
        Action::BootLoader { setup } => boot_loader(setup),
        Action::LoadKernel { setup } => setup.kernel.iter().map(kernel_line).collect(),
        _ => Vec::new(),
    }
}

/// Ways to open an encrypted device besides its key file.
fn opened_by(key: &EncryptionKey) -> Vec<String> {
    let EncryptionKey::RandomFile { tpm2, recovery_key } = key else { return Vec::new() };
    let pcrs = |tpm: &TpmSealing| tpm.pcrs.iter().map(u8::to_string).collect::<Vec<_>>().join("+");
    let sealed = tpm2.as_ref().map(|tpm| format!("opened by the TPM, registers {}", pcrs(tpm)));
    let recovery = recovery_key.then(|| "a recovery key goes to the server".to_owned());
    sealed.into_iter().chain(recovery).collect()
}

/// A file with its text.
fn written(file: &TargetFile) -> Vec<String> {
    let head = format!("{} ({:o})", file.path, file.mode);
    let lines = file.content.lines().map(|line| format!("    {}", line.replace('\t', "    ")));
    std::iter::once(head).chain(lines.map(|line| line.trim_end().to_owned())).collect()
}

fn kernel_line(kernel: &KernelFiles) -> String {
    match &kernel.initrd {
        Some(initrd) => format!("{} with {initrd}", kernel.kernel),
        None => kernel.kernel.clone(),
    }
}

fn boot_loader(setup: &BootSetup) -> Vec<String> {
    let mut lines: Vec<String> = setup.kernel.iter().map(kernel_line).collect();
    if setup.rebuild_initrd {
        lines.push("with an initramfs that is made anew".to_owned());
    }
    lines.push(format!("root=UUID of {} {}", setup.root_device, setup.kernel_args.join(" ")));
    let ways = [
        (setup.nvram_entry, "an entry in the firmware's list"),
        (setup.removable_path, "the path that firmware tries without one"),
    ];
    let found: Vec<&str> = ways.iter().filter(|(is, _)| *is).map(|(_, way)| *way).collect();
    if !found.is_empty() {
        lines.push(format!("found by {}", found.join(", and by ")));
    }
    lines
}

/// Words in lines of at most `columns`.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// With an image, the phases whose results are in it.
fn render_left_out(text: &mut String, plan: &Plan) {
    let image = plan.steps().find_map(|(_, step)| match &step.action {
        Action::FetchImage { image } => Some(image),
        _ => None,
    });
    // Without a config space there is nothing to leave out.
    let has_space = plan.stages.iter().any(|stage| stage.phase < Phase::Install);
    let Some(image) = image.filter(|_| has_space) else { return };
    let phases = [Phase::Debconf, Phase::Repository, Phase::Updatebase, Phase::Instsoft];
    let names: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
    let _ = writeln!(
        text,
        "\nnot in this plan\n  {}: their results are in image {}",
        names.join(", "),
        image.name
    );
    text.push_str("  scripts of classes other than GRUB_*: they ran when the image was built\n");
}

fn totals(plan: &Plan) -> String {
    let steps = plan.steps().count();
    let barriers = plan.stages.iter().filter(|stage| stage.barrier).count();
    let mut phases: Vec<Phase> = plan.stages.iter().map(|stage| stage.phase).collect();
    phases.dedup();
    let known = if plan.open.is_empty() { "" } else { " known so far" };
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let (steps, phases) = (count(steps, "step"), count(phases.len(), "phase"));
    format!("{steps} in {phases}, {}{known}", count(barriers, "barrier"))
}

fn indented(text: &str) -> String {
    let lines =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!("  {line}") });
    lines.collect::<Vec<_>>().join("\n")
}
