//! Progress of a run: a bar a phase in a terminal, a line a change elsewhere.

use hostwright_model::progress::{PhaseState, RunProgress};
use hostwright_model::size::ByteSize;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// Draws where a run is.
pub struct Bars {
    screen: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    step: ProgressBar,
    /// Without a terminal: what was said last of each phase or fetch.
    said: BTreeMap<String, String>,
    terminal: bool,
}

impl Default for Bars {
    fn default() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let screen = MultiProgress::new();
        let step = screen.add(ProgressBar::no_length());
        step.set_style(style("{spinner} {wide_msg}"));
        Self { screen, bars: BTreeMap::new(), step, said: BTreeMap::new(), terminal }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("invariant: the templates are valid");
    style.progress_chars("█▉▊▋▌▍▎▏ ")
}

impl Bars {
    /// Writes a line above the bars.
    pub fn say(&mut self, line: &str) {
        match self.terminal {
            true => self.screen.suspend(|| eprintln!("{line}")),
            false => eprintln!("{line}"),
        }
    }

    /// Draws a run as it is now.
    pub fn show(&mut self, progress: &RunProgress) {
        for fetch in &progress.fetches {
            let total = ByteSize(fetch.total_bytes).rounded();
            self.row(&format!("fetch {}", fetch.what), fetch.done_bytes, fetch.total_bytes, &total);
        }
        for phase in &progress.phases {
            let shown = match phase.state {
                PhaseState::Waiting => continue,
                PhaseState::Running => "",
                PhaseState::Done => "done",
                PhaseState::Failed => "failed",
            };
            self.row(phase.phase.name(), progress.permille(phase), 1000, shown);
        }
        if let Some(step) = &progress.step {
            let last = progress.output.back().map_or("", |output| output.line.as_str());
            self.step.set_message(format!("{}  {last}", step.title));
            self.step.tick();
        }
    }

    /// Takes the bars away.
    pub fn clear(&mut self) {
        self.step.finish_and_clear();
        for bar in self.bars.values() {
            bar.abandon();
        }
    }

    fn row(&mut self, name: &str, done: u64, total: u64, shown: &str) {
        if !self.terminal {
            return self.tell(name, done, total);
        }
        let (screen, step) = (&self.screen, &self.step);
        let bar = self.bars.entry(name.to_owned()).or_insert_with(|| {
            let bar = screen.insert_before(step, ProgressBar::new(total));
            bar.set_style(style("  {prefix:14} {wide_bar} {percent:>3}% {msg:10}"));
            bar.set_prefix(name.to_owned());
            bar
        });
        bar.set_length(total.max(1));
        bar.set_position(done);
        bar.set_message(shown.to_owned());
    }

    /// Without a terminal only beginnings and ends are worth a line.
    fn tell(&mut self, name: &str, done: u64, total: u64) {
        let word = if done >= total && total > 0 { "done" } else { "begun" };
        if self.said.insert(name.to_owned(), word.to_owned()).as_deref() != Some(word) {
            eprintln!("  {name}: {word}");
        }
    }
}
