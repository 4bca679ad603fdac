//! Names of Debian packages: which ones a list of packages has, and what of a word of package_config
//! may be one.

/// Names of packages, and what they provide, in a `Packages` file of a repository or in what
/// `apt-cache dumpavail` prints.
pub fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let name = line.strip_prefix("Package:").map(str::trim);
        let provided = line.strip_prefix("Provides:").unwrap_or_default().split(',');
        let first_word = |entry: &'_ str| entry.find([' ', ':', '(']);
        let provided = provided.map(str::trim).filter(|entry| !entry.is_empty());
        let provided =
            provided.map(move |entry| first_word(entry).map_or(entry, |end| &entry[..end]));
        name.into_iter().chain(provided)
    })
}

/// What of a word may be a name, in the order in which FAI tries it: the word as it is, without `-`,
/// without `+`, without `/release` or `=version`, without `:arch`.
pub fn candidates(word: &str) -> [&str; 6] {
    let without_removal = word.strip_suffix('-').unwrap_or(word);
    let without_sign = without_removal.strip_suffix('+').unwrap_or(without_removal);
    let plain = without_sign.split(['/', '=']).next().unwrap_or(without_sign);
    let bare = plain.split(':').next().unwrap_or(plain);
    let stem = bare.strip_suffix('-').unwrap_or(bare);
    [word, without_removal, without_sign, plain, bare, stem]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_known_without_their_marks() {
        let text = "Package: nginx\nProvides: httpd (= 1), web:any,x\n\nPackage: g++\nVersion: 1\n";
        let known: BTreeSet<&str> = listed(text).collect();
        assert_eq!(
            known.iter().copied().collect::<Vec<_>>(),
            ["g++", "httpd", "nginx", "web", "x"]
        );
        let knows = |word: &str| candidates(word).iter().any(|name| known.contains(name));
        for word in [
            "nginx",
            "nginx-",
            "nginx+",
            "nginx=1.2",
            "nginx/sid",
            "nginx:amd64",
            "nginx-:i386",
            "nginx:i386=1",
            "g++",
            "g++-",
            "httpd",
            "web",
        ] {
            assert!(knows(word), "{word}");
        }
        for word in ["apache2", "", "ngin", "ngin-"] {
            assert!(!knows(word), "{word}");
        }
    }
}
