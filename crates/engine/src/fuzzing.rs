//! What the fuzz targets need of parsers that are nobody else's business.
//!
//! Each takes what a config space, a target or a record directory may hold, and must neither panic
//! nor run away.

use crate::actions::{fetched_base, is_dump};
use crate::journal::Journal;
use crate::observe;
use crate::tools::fcopy::{self, Settings};
use crate::tools::options::Options;
use crate::tools::perl_regex::{LinePattern, quote};
use crate::tools::{Session, debconf, deps, ifclass, mount2dir};
use hostwright_host::Host;

/// A pattern of `ainsl` on a line: whether it matches, `None` if it is wrong or runs away.
pub fn pattern_matches(pattern: &str, line: &[u8]) -> Option<bool> {
    LinePattern::new(pattern).ok()?.matches(line).ok()
}

/// The pattern that matches `text` and nothing else.
pub fn quoted(text: &str) -> String {
    quote(text)
}

/// A question of `ifclass`; `None` if it makes no sense.
pub fn class_question(question: &str, classes: &[String]) -> Option<bool> {
    ifclass::holds(question, classes).ok()
}

/// The classes of a deps file, and all of them sorted as if each class had that file.
pub fn sorted_dependencies(classes: &str, text: &str) -> Vec<String> {
    let mut graph = deps::Dependencies::default();
    let mut lines = text.lines();
    let mut read = |_: &str| Ok(lines.next().map(deps::words_of));
    if graph.collect(classes.split_whitespace(), &mut read).is_err() {
        return Vec::new();
    }
    graph.sorted().into_iter().map(str::to_owned).collect()
}

/// True if a command line of `fcopy` makes sense.
pub fn fcopy_call(args: &[String], session: &mut Session<'_>) -> bool {
    Settings::parse(args, session).is_ok()
}

/// True if a table `file-modes` says something about `class`.
pub fn file_modes(table: &str, class: &str) -> bool {
    fcopy::modes::from_table(table, class).is_some()
}

/// A text with its variables filled in.
pub fn substituted(text: &[u8], session: &Session<'_>) -> Vec<u8> {
    fcopy::substitute::substitute(text, &session.env).0
}

/// How many lines of an fstab are about file systems on disks.
pub fn fstab_entries(text: &str) -> usize {
    mount2dir::entries(text).len()
}

/// True if the file at `path` is a journal.
pub fn is_journal(host: &mut dyn Host, path: &str) -> bool {
    Journal::open(host, path.to_owned()).is_ok_and(|journal| journal.is_some())
}

/// The classes that a class script printed, in both readings of its comments.
pub fn printed_classes(stdout: &str) -> (Vec<String>, Vec<String>) {
    (observe::printed_classes(stdout), observe::joined_classes(stdout))
}

/// Functions of FAI's that a shell defines anew.
pub fn redefined_functions(functions: &str) -> Vec<String> {
    observe::redefined(functions)
}

/// The base file of the highest class among those that a server lists.
pub fn chosen_base_file(base: &str, listing: &str, classes: &[&str]) -> Option<String> {
    let names = fetched_base::names(base, listing);
    fetched_base::chosen(&names, classes.iter().copied()).cloned()
}

/// How many packages own answers for debconf.
pub fn debconf_owners(answers: &str) -> usize {
    debconf::packages(answers).len()
}

/// The options of the tools that read theirs as getopts does.
pub const KNOWN_OPTIONS: [&str; 3] = ["1Ddirvs:t:c:", "nE", "cdGHvlLm:p:nNPs"];

/// True if a command line of such a tool makes sense.
pub fn options(known: &str, args: &[String]) -> bool {
    Options::parse(known, args).is_ok()
}

/// True if this is what sfdisk(8) says of a disk.
pub fn is_table_dump(device: &str, text: &str) -> bool {
    is_dump(device, text)
}
