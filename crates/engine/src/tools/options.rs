//! Short options in the way of getopts: `-a`, `-abc`, `-o value`, `-ovalue`, `--`.

use super::ToolError;
use super::session::usage;
use std::collections::BTreeMap;

/// A command line, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    values: BTreeMap<char, String>,
    /// What follows the options.
    pub(super) rest: Vec<String>,
}

impl Options {
    /// Takes `args` apart. `known` lists the letters; one with `:` behind it takes a value. Of an
    /// option that is given twice the last value counts.
    pub(crate) fn parse(known: &str, args: &[String]) -> Result<Self, ToolError> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.rest.push(arg.clone());
                break;
            };
            if letters == "-" {
                break;
            }
            options.take(known, letters, &mut args)?;
        }
        options.rest.extend(args.cloned());
        Ok(options)
    }

    fn take<'a>(
        &mut self,
        known: &str,
        letters: &str,
        args: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), ToolError> {
        for (at, letter) in letters.char_indices() {
            let place = known.find(letter).filter(|_| letter != ':');
            let place = place.ok_or_else(|| usage(format!("unknown option -{letter}")))?;
            if !known[place + letter.len_utf8()..].starts_with(':') {
                self.values.insert(letter, String::new());
                continue;
            }
            let glued = &letters[at + letter.len_utf8()..];
            let value = match glued {
                "" => args.next().cloned(),
                glued => Some(glued.to_owned()),
            };
            let value = value.ok_or_else(|| usage(format!("option -{letter} needs a value")))?;
            self.values.insert(letter, value);
            return Ok(());
        }
        Ok(())
    }

    /// True if the option was given.
    pub(super) fn has(&self, letter: char) -> bool {
        self.values.contains_key(&letter)
    }

    /// The value of an option.
    pub(super) fn value(&self, letter: char) -> Option<&str> {
        self.values.get(&letter).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(known: &str, line: &str) -> Result<Options, ToolError> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Options::parse(known, &args)
    }

    #[test]
    fn letters_may_be_joined_and_values_glued() {
        let options = parse("ivrMm:", "-ivr -mroot,root,0644 a -b").unwrap();
        assert!(options.has('i') && options.has('v') && options.has('r') && !options.has('M'));
        assert_eq!(options.value('m'), Some("root,root,0644"));
        assert_eq!(options.rest, ["a", "-b"]);
        let options = parse("im:", "-im x -- -y").unwrap();
        assert_eq!(options.value('m'), Some("x"));
        assert_eq!(options.rest, ["-y"]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |known, line| parse(known, line).unwrap_err().to_string();
        assert_eq!(message("a", "-ab"), "unknown option -b");
        assert_eq!(message("a:", "-a"), "option -a needs a value");
        assert_eq!(message("a:", "-:"), "unknown option -:");
    }
}
