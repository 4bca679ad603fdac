//! Targets: what FAI's tools read, without letting them touch anything.

use crate::{machine, text};
use hostwright_engine::fuzzing;
use hostwright_engine::tools::{PackageLists, PackageRequest, PackageSelection, Session};
use hostwright_host::sim::{RootKind, SimHost};

/// The first line, and what follows it.
fn first_line(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (text(&bytes[..end]), bytes.get(end + 1..).unwrap_or_default())
}

/// A pattern in the first line, the file in the others. Quoted text must match itself.
pub(crate) fn ainsl_pattern(bytes: &[u8]) {
    let (pattern, file) = first_line(bytes);
    for line in file.split_inclusive(|byte| *byte == b'\n').take(4) {
        fuzzing::pattern_matches(&pattern, line);
    }
    let found = fuzzing::pattern_matches(&fuzzing::quoted(&pattern), pattern.as_bytes());
    assert_ne!(found, Some(false), "the quoted text {pattern:?} does not match itself");
}

/// A question about classes.
pub(crate) fn ifclass(bytes: &[u8]) {
    let classes = ["A", "DEBIAN", "FAI-BASE", "web01"].map(str::to_owned);
    fuzzing::class_question(&text(bytes), &classes);
}

/// Classes in the first line, what each depends on in the others. Nothing may get lost.
pub(crate) fn class_deps(bytes: &[u8]) {
    let (classes, rest) = first_line(bytes);
    let sorted = fuzzing::sorted_dependencies(&classes, &text(rest));
    for class in classes.split_whitespace() {
        assert!(sorted.iter().any(|found| found == class), "{class} is lost");
    }
}

/// A table of modes.
pub(crate) fn fcopy_modes(bytes: &[u8]) {
    fuzzing::file_modes(&text(bytes), "DEMO");
}

/// A file with variables.
pub(crate) fn fcopy_substitute(bytes: &[u8]) {
    with_session(|session| {
        fuzzing::substituted(bytes, session);
    });
}

/// A command line of fcopy, a word a line.
pub(crate) fn fcopy_call(bytes: &[u8]) {
    let words: Vec<String> = text(bytes).lines().map(str::to_owned).collect();
    with_session(|session| {
        fuzzing::fcopy_call(&words, session);
    });
}

/// An fstab.
pub(crate) fn fstab(bytes: &[u8]) {
    fuzzing::fstab_entries(&text(bytes));
}

/// What a class script prints, and what a shell says of its functions, behind a byte of 0.
pub(crate) fn class_output(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0).map(text);
    fuzzing::printed_classes(&parts.next().unwrap_or_default());
    fuzzing::redefined_functions(&parts.next().unwrap_or_default());
}

/// What a server lists of its base files: a page, and the lines of an FTP server.
pub(crate) fn base_file_list(bytes: &[u8]) {
    for base in ["http://server/base", "ftp://server/base"] {
        fuzzing::chosen_base_file(base, &text(bytes), &["A", "DEBIAN"]);
    }
}

/// A file of answers for debconf.
pub(crate) fn debconf_answers(bytes: &[u8]) {
    fuzzing::debconf_owners(&text(bytes));
}

/// A command line of the tools that take theirs as getopts does, a word a line.
pub(crate) fn tool_options(bytes: &[u8]) {
    let words: Vec<String> = text(bytes).lines().map(str::to_owned).collect();
    for known in fuzzing::KNOWN_OPTIONS {
        fuzzing::options(known, &words);
    }
}

/// Lends a session on a machine that does not exist.
fn with_session(work: impl FnOnce(&mut Session<'_>)) {
    let mut host = SimHost::new(machine(), RootKind::Disk);
    host.add_file("/list", "# comment\nDEMO LAST\n", 0o644);
    let vars = [("FAI", "/space"), ("FAI_ROOT", "/target"), ("classes", "A DEMO"), ("A", "a")];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    work(&mut Session {
        env: vars.into_iter().collect(),
        dir: "/".to_owned(),
        host: &mut host,
        packages: &NoPackages,
        out: &mut out,
        err: &mut err,
    });
}

/// These tools ask for none.
struct NoPackages;

impl PackageLists for NoPackages {
    fn select(&self, _: PackageRequest<'_>) -> PackageSelection {
        PackageSelection::default()
    }
}
