//! Class names and the ordered list of a machine's classes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One class. Any text without blanks, `/` or control characters: FAI documents upper case but
/// accepts more, and host names are classes too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct ClassName(String);

/// Why a text is not a [`ClassName`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadClassName(pub String);

impl fmt::Display for BadClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a class name: it must not be empty, or hold a blank, '/' or '#'",
            self.0
        )
    }
}

impl std::error::Error for BadClassName {}

impl FromStr for ClassName {
    type Err = BadClassName;
    fn from_str(text: &str) -> Result<Self, BadClassName> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '#');
        if text.is_empty() || text.contains(bad) {
            return Err(BadClassName(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ClassName {
    type Error = BadClassName;
    fn try_from(text: String) -> Result<Self, BadClassName> {
        text.parse()
    }
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        name.0
    }
}

impl ClassName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A machine's classes in priority order, lowest first, none twice.
///
/// FAI keeps duplicates and then runs hooks and scripts twice; here the first mention counts, unless
/// FAI's way is asked for ([`ClassList::push_again`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct ClassList(Vec<ClassName>);

impl ClassList {
    /// Appends `name` unless it is there. True if it was new.
    pub fn push(&mut self, name: ClassName) -> bool {
        let new = !self.0.contains(&name);
        if new {
            self.0.push(name);
        }
        new
    }

    /// Appends `name`, whether it is there or not.
    pub fn push_again(&mut self, name: ClassName) {
        self.0.push(name);
    }

    /// The same list with the first mention of each class only.
    pub fn once(&self) -> Self {
        self.iter().cloned().collect()
    }

    /// True if `name` is one of the classes.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|class| class.as_str() == name)
    }

    /// The classes, lowest priority first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &ClassName> {
        self.0.iter()
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no class.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<ClassName> for ClassList {
    fn from_iter<I: IntoIterator<Item = ClassName>>(names: I) -> Self {
        let mut list = Self::default();
        names.into_iter().for_each(|name| {
            list.push(name);
        });
        list
    }
}

impl FromStr for ClassList {
    type Err = BadClassName;
    /// Names separated by commas or blanks.
    fn from_str(text: &str) -> Result<Self, BadClassName> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        words.filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for ClassList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, class) in self.0.iter().enumerate() {
            write!(f, "{}{class}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
