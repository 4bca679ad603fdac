//! Owner, group and mode of a copied file: from `file-modes`, from `-m`, or from its source.
//!
//! `file-modes` has lines `OWNER GROUP MODE [CLASS]`. The first line with the class counts, else
//! the last line without one.

use crate::tools::{Session, accounts};
use hostwright_host::HostError;
use hostwright_host::metadata::FileStat;

/// Owner and group as names or numbers, and a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Modes {
    user: String,
    group: String,
    mode: u32,
}

impl Modes {
    /// `None` if `mode` is not an octal number of a mode.
    pub(super) fn new(user: &str, group: &str, mode: &str) -> Option<Self> {
        let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777)?;
        Some(Self { user: user.to_owned(), group: group.to_owned(), mode })
    }

    /// Those of a file.
    pub(super) fn of(meta: &FileStat) -> Self {
        Self { user: meta.uid.to_string(), group: meta.gid.to_string(), mode: meta.mode }
    }

    /// Numbers instead of names; `Err` with the name that the target does not know.
    pub(super) fn resolve(
        &self,
        session: &mut Session<'_>,
        target: &str,
    ) -> Result<Result<Owned, String>, HostError> {
        let Some(uid) = accounts::uid(session, target, &self.user)? else {
            return Ok(Err(format!("user {}", self.user)));
        };
        let Some(gid) = accounts::gid(session, target, &self.group)? else {
            return Ok(Err(format!("group {}", self.group)));
        };
        Ok(Ok(Owned { uid, gid, mode: self.mode }))
    }
}

/// Owner and group as numbers, and a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// What the table `text` says about `class`; `None` if it says nothing that makes sense.
pub(crate) fn from_table(text: &str, class: &str) -> Option<Modes> {
    let mut default = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [user, group, mode, of_class, ..] if of_class == class => {
                return Modes::new(user, group, mode);
            }
            [user, group, mode] => default = Modes::new(user, group, mode),
            _ => {}
        }
    }
    default
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_class_beats_the_default() {
        let table = "# comment\nroot adm 0640\n\nroot root 0600 DEMO\nroot root 0644 DEMO\n";
        assert_eq!(from_table(table, "DEMO"), Modes::new("root", "root", "0600"));
        assert_eq!(from_table(table, "OTHER"), Modes::new("root", "adm", "0640"));
        assert_eq!(from_table("root root 0600 DEMO\n", "OTHER"), None);
        assert_eq!(from_table("root root rw DEMO\n", "DEMO"), None);
    }
}
