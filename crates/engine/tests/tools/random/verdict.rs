//! Is an outcome equal, different on purpose, or wrong? And the table of all.

use super::bench::{Found, Outcome, Sample};
use std::collections::{BTreeMap, BTreeSet};

/// Why an outcome differs on purpose: a closed list, each in `docs/reference/fai-tools.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A mistyped option must not look like a job done.
    UnknownOption,
    /// Both fail; the number is that of some bygone error of Perl's.
    BothFail,
    /// The line to append gets a line of its own.
    OwnLine,
    /// A quoted line is quoted once, so that it is found again.
    QuotedOnce,
    /// A wrong pattern is refused before there is a line to match.
    WrongPattern,
    /// A brace that repeats nothing is a brace, wherever it stands.
    BraceIsLiteral,
    /// An empty pattern matches every line; to Perl it is the last one that matched.
    EmptyPattern,
    /// What would be copied into a directory of the destination's name is refused.
    DestinationIsDirectory,
    /// A file with wrong or missing modes in `file-modes` is an error.
    NoModes,
    /// A dry run changes nothing, the modes of what is there included.
    DryRun,
    /// A failing tar is an error.
    TarFailed,
    /// Directories come in the order of their names, not in that of a hash.
    OrderOfNames,
    /// What `-D` prints is for people.
    DebugOutput,
    /// A leaf given to `fcopy -r` is copied.
    LeafSource,
    /// A class that is defined twice counts once.
    ClassTwice,
    /// A word with a `#` cannot be a class.
    NoClassName,
    /// Comments are taken line by line.
    CommentByLine,
    /// A script's interpreter is told from its first line, not by file(1).
    KindOfScript,
    /// A link is not made inside a directory of its name.
    LinkIsDirectory,
    /// Several questions without `-a` or `-o` are an error.
    SeveralQuestions,
    /// A path without a slash in front is below the target, too.
    PathWithoutSlash,
    /// What `-v` prints, and warnings, are for people.
    Chatter,
    /// With `fcopy -H` a file behind a link of the target gets modes and times, not the link.
    BehindLink,
}

/// What the comparison of one sample says.
pub enum Verdict {
    Equal,
    OnPurpose(Reason),
    Differs(Vec<String>),
}

/// Looks at an unequal pair: `None` if it differs without a reason.
pub type Judge = fn(&Sample, &Outcome, &Outcome) -> Option<Reason>;

/// Compares two outcomes; standard error is for people.
pub fn judge(judge: Judge, sample: &Sample, theirs: &Outcome, ours: &Outcome) -> Verdict {
    let found = differences(theirs, ours);
    if found.is_empty() {
        return Verdict::Equal;
    }
    match judge(sample, theirs, ours) {
        Some(reason) => Verdict::OnPurpose(reason),
        None => {
            let mut found = found;
            found.push(format!("stderr: FAI {:?}, ours {:?}", theirs.stderr, ours.stderr));
            Verdict::Differs(found)
        }
    }
}

/// Every difference but of standard error.
pub fn differences(theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut found = tree_differences(theirs, ours);
    if theirs.status != ours.status {
        found.push(format!("status: FAI {}, ours {}", theirs.status, ours.status));
    }
    if theirs.stdout != ours.stdout {
        found.push(format!("stdout: FAI {:?}, ours {:?}", theirs.stdout, ours.stdout));
    }
    found
}

/// Every difference of the trees.
pub fn tree_differences(theirs: &Outcome, ours: &Outcome) -> Vec<String> {
    let paths: BTreeSet<_> = theirs.tree.keys().chain(ours.tree.keys()).collect();
    let show = |found: Option<&Found>| found.map_or("nothing".to_owned(), |f| format!("{f:?}"));
    let pairs = paths.into_iter().map(|path| (path, theirs.tree.get(path), ours.tree.get(path)));
    let unequal = pairs.filter(|(_, theirs, ours)| theirs != ours);
    unequal
        .map(|(path, theirs, ours)| {
            format!("{path}: FAI {}\n        ours {}", show(theirs), show(ours))
        })
        .collect()
}

/// The counts of one tool.
#[derive(Default)]
pub struct Row {
    cases: usize,
    equal: usize,
    differing: usize,
    on_purpose: BTreeMap<Reason, usize>,
}

impl Row {
    /// Counts a verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        self.cases += 1;
        match verdict {
            Verdict::Equal => self.equal += 1,
            Verdict::OnPurpose(reason) => *self.on_purpose.entry(*reason).or_default() += 1,
            Verdict::Differs(_) => self.differing += 1,
        }
    }

    /// The row of the table: cases, equal, different on purpose with reasons, differing.
    pub fn line(&self, tool: &str) -> String {
        let on_purpose: usize = self.on_purpose.values().sum();
        let reasons = self.on_purpose.iter().map(|(reason, count)| format!("{reason:?} {count}"));
        let reasons: Vec<String> = reasons.collect();
        let Self { cases, equal, differing, .. } = self;
        format!(
            "{tool:<16} {cases:>6} {equal:>6} {on_purpose:>6} {differing:>6}  {}",
            reasons.join(", ")
        )
    }
}
