//! `fai-deps`: adds the classes that others depend on, and puts them in front of these.
//!
//! `class/X.deps`, if it is not executable, names the classes that X depends on, in words; what
//! follows `#` or `;` is a comment. The list of classes is `$LOGDIR/FAI_CLASSES`.

use super::options::Options;
use super::{Session, ToolError};
use hostwright_host::metadata;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const USAGE: &str = "[-dh]";

/// Status without the variables of a run, or with nothing to read.
const NO_RUN: i32 = 1;

pub(super) fn run(args: &[String], session: &mut Session<'_>) -> Result<i32, ToolError> {
    let options = Options::parse("d", args)?;
    let list = session.log_file("FAI_CLASSES");
    let space = session.env.get("FAI").map(|space| session.absolute(space));
    let (Some(list), Some(space)) = (list, space) else {
        return Err(ToolError::refused(
            NO_RUN,
            "FAI and LOGDIR are not set; it is for FAI's scripts",
        ));
    };
    let content = session.host.read(&list)?;
    let missing = || ToolError::refused(NO_RUN, format!("there is no list of classes {list}"));
    let content = String::from_utf8_lossy(&content.ok_or_else(missing)?).into_owned();
    let mut graph = Dependencies::default();
    let mut read = |class: &str| deps_file(&space, class, session);
    graph.collect(content.lines(), &mut read)?;
    if graph.needs.is_empty() {
        return Ok(0);
    }
    for circle in graph.circles() {
        let circle = circle.join(" ");
        session.warn(&format!("fai-deps: these classes depend on each other: {circle}"));
    }
    let sorted = graph.sorted();
    if options.has('d') {
        session.warn(&format!("fai-deps: nothing is changed with -d: {}", sorted.join(" ")));
        return Ok(0);
    }
    session.host.write(&list, format!("{}\n", sorted.join("\n")).as_bytes(), 0o644)?;
    Ok(0)
}

/// The words of `CLASS.deps`, if it is such a file.
fn deps_file(
    space: &str,
    class: &str,
    session: &mut Session<'_>,
) -> Result<Option<Vec<String>>, ToolError> {
    let path = format!("{space}/class/{class}.deps");
    match metadata::stat(&path)? {
        Some(meta) if meta.is_file() && !meta.is_program() => {}
        _ => return Ok(None),
    }
    let text = session.host.read(&path)?.unwrap_or_default();
    Ok(Some(words_of(&String::from_utf8_lossy(&text))))
}

/// The classes that the text of a deps file names.
pub(crate) fn words_of(text: &str) -> Vec<String> {
    let without_comment = |line: &str| line.split(['#', ';']).next().unwrap_or("").to_owned();
    let lines = text.lines().map(without_comment);
    lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Reads what a class depends on; `None` if nothing says so.
type Read<'r> = &'r mut dyn FnMut(&str) -> Result<Option<Vec<String>>, ToolError>;

/// Classes in the order of their first mention, and what each depends on.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    order: Vec<String>,
    needs: BTreeMap<String, Vec<String>>,
}

impl Dependencies {
    /// Takes the classes in, and all that they depend on.
    pub(crate) fn collect<'c>(
        &mut self,
        classes: impl Iterator<Item = &'c str>,
        read: Read<'_>,
    ) -> Result<(), ToolError> {
        let mut known = BTreeSet::new();
        for class in classes.filter(|class| !class.is_empty()) {
            if known.insert(class.to_owned()) {
                self.order.push(class.to_owned());
            }
        }
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = self.order.iter().rev().cloned().collect();
        while let Some(class) = open.pop() {
            if !seen.insert(class.clone()) {
                continue;
            }
            let Some(needed) = read(&class)? else { continue };
            let first = self.order.len();
            for need in &needed {
                if known.insert(need.clone()) {
                    self.order.push(need.clone());
                }
            }
            // What is new is read before the next class of the list.
            open.extend(self.order[first..].iter().rev().cloned());
            if !needed.is_empty() {
                self.needs.insert(class, needed);
            }
        }
        Ok(())
    }

    fn needs_of(&self, class: &str) -> &[String] {
        self.needs.get(class).map_or(&[], Vec::as_slice)
    }

    /// All that `class` depends on, however indirectly.
    fn reach(&self, class: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.needs_of(class).iter().map(String::as_str).collect();
        while let Some(class) = open.pop() {
            if found.insert(class) {
                open.extend(self.needs_of(class).iter().map(String::as_str));
            }
        }
        found
    }

    /// Groups of classes that depend on each other.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let mut circles: Vec<Vec<&str>> = Vec::new();
        for class in self.needs.keys() {
            let reach = self.reach(class);
            let is_new = !circles.iter().any(|circle| circle.contains(&class.as_str()));
            if reach.contains(class.as_str()) && is_new {
                let is_mutual = |other: &&&str| self.reach(other).contains(class.as_str());
                circles.push(reach.iter().filter(is_mutual).copied().collect());
            }
        }
        circles
    }

    /// The classes with each behind what it depends on, else in their order. Classes that depend on
    /// each other keep theirs.
    pub(crate) fn sorted(&self) -> Vec<&str> {
        let circles = self.circles();
        let mut done = BTreeSet::new();
        let mut sorted = Vec::new();
        for class in &self.order {
            // A stack of our own: a chain of dependencies may be long.
            let mut stack = vec![class.as_str()];
            while let Some(&class) = stack.last() {
                let open = self.open_needs(class, &circles, &done);
                if open.is_empty() || done.contains(class) {
                    stack.pop();
                    if done.insert(class) {
                        sorted.push(class);
                    }
                } else {
                    stack.extend(open.into_iter().rev());
                }
            }
        }
        sorted
    }

    /// What `class` needs and is not done, in the order of the classes; of a circle all of it.
    fn open_needs<'d>(
        &'d self,
        class: &str,
        circles: &[Vec<&'d str>],
        done: &BTreeSet<&str>,
    ) -> Vec<&'d str> {
        let circle_of = |class: &str| circles.iter().find(|circle| circle.contains(&class));
        let own = circle_of(class).map_or(&[][..], Vec::as_slice);
        let mut needed = BTreeSet::new();
        for need in self.needs_of(class).iter().map(String::as_str) {
            match circle_of(need) {
                Some(circle) => needed.extend(circle.iter().copied()),
                None => drop(needed.insert(need)),
            }
        }
        needed.retain(|need| !own.contains(need) && !done.contains(need));
        self.order.iter().map(String::as_str).filter(|class| needed.contains(class)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(classes: &str, files: &[(&str, &str)]) -> String {
        let mut graph = Dependencies::default();
        let mut read = |class: &str| {
            Ok(files.iter().find(|(name, _)| *name == class).map(|(_, text)| words_of(text)))
        };
        graph.collect(classes.split(' '), &mut read).unwrap();
        graph.sorted().join(" ")
    }

    #[test]
    fn what_is_needed_comes_first() {
        let files = [("WORDPRESS", "VHOST\nPOSTGRES"), ("VHOST", "# web\n WEBSERVER ; apache")];
        let all = sorted("DEFAULT WORDPRESS LAST", &files);
        assert_eq!(all, "DEFAULT WEBSERVER VHOST POSTGRES WORDPRESS LAST");
        assert_eq!(sorted("A B A", &[]), "A B");
    }

    #[test]
    fn circles_end() {
        let files = [("A", "B"), ("B", "A C"), ("C", "C")];
        assert_eq!(sorted("A B C", &files), "A C B");
        let chain: Vec<(String, String)> =
            (0..3000).map(|n| (format!("C{n}"), format!("C{}", n + 1))).collect();
        let files: Vec<(&str, &str)> =
            chain.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(sorted("C0", &files).starts_with("C3000 C2999 "));
    }
}
