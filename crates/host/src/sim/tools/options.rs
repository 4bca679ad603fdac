//! Takes the arguments of a simulated tool apart, by a list of everything it may be called with.

use std::collections::{BTreeMap, BTreeSet};

/// Arguments by meaning. An option with several names is known by the first of its list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options<'a> {
    flags: BTreeSet<&'static str>,
    values: BTreeMap<&'static str, Vec<&'a str>>,
    /// Everything that is no option.
    pub(super) words: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// `flags` and `valued` are names of options, several names of one option separated by blanks.
    /// Gives the first word that is no option of the tool as an error.
    pub(super) fn parse(
        args: &'a [String],
        flags: &[&'static str],
        valued: &[&'static str],
    ) -> Result<Self, &'a str> {
        let mut options = Self::default();
        let mut rest = args.iter().map(String::as_str);
        while let Some(arg) = rest.next() {
            if !arg.starts_with('-') || arg == "-" {
                options.words.push(arg);
            } else if let Some(name) = find(flags, arg) {
                options.flags.insert(name);
            } else if let Some(name) = find(valued, arg) {
                let value = rest.next().ok_or(arg)?;
                options.values.entry(name).or_default().push(value);
            } else if let Some((name, value)) = attached(valued, arg) {
                options.values.entry(name).or_default().push(value);
            } else {
                return Err(arg);
            }
        }
        Ok(options)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.flags.contains(name)
    }

    /// The last value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.values(name).last().copied()
    }

    /// All values of an option that may be given several times.
    pub(super) fn values(&self, name: &str) -> &[&'a str] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

fn find(names: &[&'static str], arg: &str) -> Option<&'static str> {
    let entry = names.iter().find(|entry| entry.split(' ').any(|name| name == arg))?;
    entry.split(' ').next()
}

/// `--option=value` and `-ovalue`.
fn attached<'a>(names: &[&'static str], arg: &'a str) -> Option<(&'static str, &'a str)> {
    if arg.starts_with("--") {
        let (name, value) = arg.split_once('=')?;
        return Some((find(names, name)?, value));
    }
    let (name, value) = arg.split_at_checked(2)?;
    Some((find(names, name)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn options_have_values_in_every_usual_form() {
        let args = words("--all -n one --size=5 -La b -");
        let (flags, valued) = (["-a --all"], ["--name -n", "--size", "-L --label"]);
        let options = Options::parse(&args, &flags, &valued).expect("all are known");
        assert!(options.has("-a"));
        assert_eq!(options.value("--name"), Some("one"));
        assert_eq!(options.value("--size"), Some("5"));
        assert_eq!(options.value("-L"), Some("a"));
        assert_eq!(options.words, ["b", "-"]);
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        let args = words("-x /dev/vda");
        assert_eq!(Options::parse(&args, &["-a"], &[]), Err("-x"));
        let args = words("-n");
        assert_eq!(Options::parse(&args, &[], &["-n"]), Err("-n"));
    }
}
