//! `class/*.profile`: named sets of classes, for people to choose from.
//!
//! ```text
//! Default: Xfce
//! Name: Xfce
//! Description: XFCE desktop
//! Short: one line, and
//! Long: several, until the next keyword
//! Classes: FAIBASE DEBIAN XORG XFCE
//! ```

use crate::tree::ConfigTree;
use hostwright_model::class::ClassName;

/// A set of classes with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What people choose it by.
    pub name: String,
    /// What it is, in a line; may be empty.
    pub description: String,
    /// Its classes; words that are none are left to `check`.
    pub classes: Vec<ClassName>,
    /// True for the one that is chosen if nobody chooses.
    pub is_default: bool,
}

/// All profiles of a space, in the order of files and lines.
pub fn profiles(tree: &ConfigTree) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    let mut default = None;
    for (path, file) in tree.expanded() {
        if !path.starts_with("class/") || !path.ends_with(".profile") {
            continue;
        }
        for line in file.text().lines() {
            let Some((keyword, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match (keyword, profiles.last_mut()) {
                ("Default", _) => default = Some(value.to_owned()),
                ("Name", _) => profiles.push(Profile {
                    name: value.to_owned(),
                    description: String::new(),
                    classes: Vec::new(),
                    is_default: false,
                }),
                ("Description", Some(profile)) => value.clone_into(&mut profile.description),
                ("Classes", Some(profile)) => {
                    let words = value.split_whitespace();
                    profile.classes = words.filter_map(|word| word.parse().ok()).collect();
                }
                _ => {}
            }
        }
    }
    for profile in &mut profiles {
        profile.is_default = default.as_ref() == Some(&profile.name);
    }
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TreeFile;

    #[test]
    fn profiles_are_read_in_order() {
        let text = "# mine\nDefault: Big\n\nName: Small\nDescription: a server\nShort: s\n\
                    Long: it is: small\nClasses: A  B\n\nName: Big\nClasses: C\n";
        let mut tree = ConfigTree::default();
        tree.files.insert("class/x.profile".to_owned(), TreeFile::file(text, false));
        let found = profiles(&tree);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].description.as_str()), ("Small", "a server"));
        let classes: Vec<&str> = found[0].classes.iter().map(ClassName::as_str).collect();
        assert_eq!((classes, found[0].is_default), (vec!["A", "B"], false));
        assert!(found[1].is_default);
    }
}
