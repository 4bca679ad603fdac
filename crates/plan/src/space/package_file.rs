//! `package_config/CLASS`: which packages a class brings.
//!
//! ```text
//! line    = "#" …                                              a comment, from column 1 on
//!         | ("PRELOAD" | "PRELOADRM") url directory
//!         | "PACKAGES" action [ "release=" suite ] [ condition ]   from column 1 on
//!         | { package }                                        for the latest header
//! ```
//! A `#` further right begins a comment, too.

use super::condition::Condition;
use crate::finding::{Finding, Line};
use hostwright_model::diagnostic::Diagnostic;
use hostwright_model::package::{PackageAction, PackageSystem};

/// Actions of FAI that Hostwright does not execute: package managers that are gone from the field.
const FOREIGN_ACTIONS: [&str; 9] =
    ["y2i", "y2r", "yast", "urpmi", "urpme", "smarti", "smartr", "cupt", "cupt-r"];

/// What dpkg can be told to select for a package.
const SELECTIONS: [&str; 4] = ["install", "hold", "deinstall", "purge"];

/// What a header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockAction {
    /// Something that is done.
    Known(PackageAction),
    /// An action of FAI for a package manager that is not supported; it stops a plan if it is wanted.
    Foreign(String),
}

impl BlockAction {
    /// The word behind `PACKAGES`.
    pub fn word(&self) -> &str {
        match self {
            Self::Known(action) => action.word(),
            Self::Foreign(word) => word,
        }
    }
}

/// A header and the packages below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageBlock {
    /// What to do.
    pub action: BlockAction,
    /// `release=`.
    pub release: Option<String>,
    /// When.
    pub condition: Condition,
    /// Line of the header.
    pub line: u32,
    /// With what.
    pub words: Vec<PackageWord>,
}

/// A package as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageWord {
    /// `nginx`, `nginx-`, `${kernelname}`.
    pub text: String,
    /// Its line.
    pub line: u32,
    /// Its column in bytes, from 1.
    pub column: u32,
}

/// A line `PRELOAD URL DIRECTORY`, or `PRELOADRM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preload {
    /// `file:/PATH` for a file of the target, else what curl(1) takes.
    pub url: String,
    /// The directory of the target that it goes into.
    pub directory: String,
    /// True for `PRELOADRM`: removed again when everything is installed.
    pub is_temporary: bool,
    /// Line of the file.
    pub line: u32,
}

/// A parsed `package_config/CLASS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFile {
    /// Path relative to the space.
    pub path: String,
    /// Headers in order.
    pub blocks: Vec<PackageBlock>,
    /// Files to fetch before anything is installed.
    pub preloads: Vec<Preload>,
    text: String,
}

impl PackageFile {
    /// Reads a file; every mistake in it is among the diagnostics.
    pub fn parse(path: &str, text: &str) -> (Self, Vec<Diagnostic>) {
        let file = Self { path: path.to_owned(), text: text.to_owned(), ..Self::default() };
        let mut reader = Reader { file, findings: Vec::new(), header: Header::None };
        for line in Line::all(path, text) {
            reader.line(line);
        }
        let Reader { file, mut findings, .. } = reader;
        findings.extend(file.blocks.iter().filter_map(|block| odd_selection(&file, block)));
        (file, findings)
    }

    /// A diagnostic about `length` bytes at a place of this file.
    pub(crate) fn at(&self, finding: Finding, line: u32, column: u32, length: u32) -> Diagnostic {
        let text = self.text.split('\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
        finding.at_column(Line { file: &self.path, number: line, text }, column, length)
    }

    /// A diagnostic about the first mention of a word in a line of this file.
    pub(crate) fn at_word(&self, finding: Finding, line: u32, word: &str) -> Diagnostic {
        let text = self.text.split('\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
        let column = text.find(word).map_or(0, |at| at as u32 + 1);
        self.at(finding, line, column, word.len() as u32)
    }
}

/// What the lines below belong to.
enum Header {
    /// No header was read yet.
    None,
    /// A broken one: it was reported, and what is below it is not reported again.
    Broken,
    /// The latest block.
    Block,
}

struct Reader {
    file: PackageFile,
    findings: Vec<Diagnostic>,
    header: Header,
}

impl Reader {
    fn line(&mut self, line: Line<'_>) {
        let code = line.text.split('#').next().unwrap_or_default();
        let mut words = code.split_whitespace();
        let Some(first) = words.next() else { return };
        match first {
            "PRELOAD" | "PRELOADRM" if code.starts_with(first) => self.preload(line, code),
            "PACKAGES" if code.starts_with(first) => self.header(line, &code[first.len()..]),
            "PACKAGES" => {
                let message = "'PACKAGES' only begins a block in the first column of a line";
                let finding = Finding::error(
                    "indented-packages-header",
                    message,
                    "remove the blanks in front of it",
                );
                self.findings.push(finding.at_span(line, first));
                self.header = Header::Broken;
            }
            _ => self.packages(line, code),
        }
    }

    fn preload(&mut self, line: Line<'_>, code: &str) {
        let words: Vec<&str> = code.split_whitespace().collect();
        let [word, url, directory] = words[..] else {
            let message = "a preload takes a URL and a directory of the target";
            let cure = "write 'PRELOAD URL DIRECTORY'";
            let finding = Finding::error("bad-preload", message, cure);
            self.findings.push(finding.at_span(line, code.trim()));
            return;
        };
        if !url.contains(":/") || url.ends_with('/') {
            let message = format!("'{url}' does not name a file by a URL");
            let cure = "write http://…/FILE, or file:/PATH for a file of the target";
            self.findings.push(Finding::error("bad-preload", message, cure).at_span(line, url));
            return;
        }
        self.file.preloads.push(Preload {
            url: url.to_owned(),
            directory: directory.to_owned(),
            is_temporary: word == "PRELOADRM",
            line: line.number,
        });
    }

    fn header(&mut self, line: Line<'_>, rest: &str) {
        self.header = Header::Broken;
        match parse_header(line, rest) {
            Ok((block, finding)) => {
                self.findings.extend(finding);
                self.file.blocks.push(block);
                self.header = Header::Block;
            }
            Err(NoBlock::Hidden) => {}
            Err(NoBlock::Broken(diagnostic)) => self.findings.push(*diagnostic),
        }
    }

    fn packages(&mut self, line: Line<'_>, code: &str) {
        if let Header::None = self.header {
            let message = "packages without a header above them; as with FAI they are ignored";
            let cure = "write a line such as 'PACKAGES install' above them";
            let finding = Finding::warning("packages-before-header", message, cure);
            self.findings.push(finding.at_span(line, code.trim()));
            self.header = Header::Broken;
        }
        let Header::Block = self.header else { return };
        let block = self.file.blocks.last_mut().expect("invariant: Header::Block has a block");
        for word in code.split_whitespace() {
            if let BlockAction::Known(action) = block.action {
                self.findings.extend(word_finding(action, word).map(|it| it.at_span(line, word)));
            }
            let column = line.column_of(word);
            block.words.push(PackageWord { text: word.to_owned(), line: line.number, column });
        }
    }
}

/// Why a header begins no block.
enum NoBlock {
    /// The idiom `PACKAGES skip`, by which people hide a block from FAI.
    Hidden,
    /// It is wrong.
    Broken(Box<Diagnostic>),
}

impl NoBlock {
    fn at(finding: Finding, line: Line<'_>, span: &str) -> Self {
        Self::Broken(Box::new(finding.at_span(line, span)))
    }
}

/// Reads what follows `PACKAGES`; with a block may come a warning about it.
fn parse_header(line: Line<'_>, rest: &str) -> Result<(PackageBlock, Option<Diagnostic>), NoBlock> {
    let mut words = rest.split_whitespace();
    let Some(action_word) = words.next() else {
        let finding = Finding::error(
            "packages-without-action",
            "'PACKAGES' without an action",
            "name one, such as in 'PACKAGES install'; 'install_packages -H' lists them",
        );
        return Err(NoBlock::at(finding, line, line.text.trim_end()));
    };
    let action = action(line, action_word)?;
    let mut condition_from = line.column_of(action_word) as usize - 1 + action_word.len();
    let (mut release, mut bad_option) = (None, None);
    for word in words {
        let Some((key, value)) = word.split_once('=') else { break };
        if key == "release" && !value.is_empty() && release.is_none() {
            release = Some(value.to_owned());
        } else {
            let message = format!("'{word}' is not an option of 'PACKAGES', and has no effect");
            let cure = "the only option is 'release=SUITE', once, in front of the classes";
            let finding = Finding::warning("bad-package-option", message, cure);
            bad_option = Some(finding.at_span(line, word));
        }
        condition_from = line.column_of(word) as usize - 1 + word.len();
    }
    let code_end = line.column_of(rest) as usize - 1 + rest.len();
    let condition =
        Condition::parse(line.text[condition_from..code_end].trim()).map_err(|bad| {
            let cure = "write classes, or an expression of classes with ! && || ( )";
            NoBlock::at(Finding::error("bad-condition", bad.message, cure), line, bad.span)
        })?;
    let block = PackageBlock { action, release, condition, line: line.number, words: Vec::new() };
    Ok((block, bad_option))
}

fn action(line: Line<'_>, word: &str) -> Result<BlockAction, NoBlock> {
    if let Some(action) = PackageAction::ALL.iter().find(|action| action.word() == word) {
        return Ok(BlockAction::Known(*action));
    }
    if FOREIGN_ACTIONS.contains(&word) {
        return Ok(BlockAction::Foreign(word.to_owned()));
    }
    if word == "skip" {
        return Err(NoBlock::Hidden);
    }
    let message =
        format!("'{word}' is not an action of 'PACKAGES', so nothing is done with what follows");
    let cure = match word.chars().all(|c| !c.is_ascii_lowercase()) {
        true => format!("it looks like a class; write 'PACKAGES install {word}'"),
        false => "write one such as 'PACKAGES install', or 'PACKAGES skip' to hide it".to_owned(),
    };
    let finding = Finding::warning("unknown-package-action", message, cure);
    Err(NoBlock::at(finding, line, word))
}

/// The finding about `dselect-upgrade` without a selection behind each package.
fn odd_selection(file: &PackageFile, block: &PackageBlock) -> Option<Diagnostic> {
    if block.action != BlockAction::Known(PackageAction::DselectUpgrade) {
        return None;
    }
    let wrong = block.words.chunks(2).find(|pair| {
        pair.get(1).is_none_or(|selection| !SELECTIONS.contains(&selection.text.as_str()))
    })?;
    let place = wrong.last()?;
    let message = format!("'{}' has no selection behind it", wrong[0].text);
    let cure = format!("write pairs of package and selection: {}", SELECTIONS.join(", "));
    let finding = Finding::error("bad-selection", message, cure);
    Some(file.at(finding, place.line, place.column, place.text.len() as u32))
}

/// What is wrong with a word, if its package manager cannot take it.
fn word_finding(action: PackageAction, word: &str) -> Option<Finding> {
    match variable(word) {
        Err(()) => {
            let message = format!("'{word}' is more than a package name with one variable");
            let cure = "write '$name' or '${name}', and compute the value in a .var file";
            Some(Finding::error("bad-package-word", message, cure))
        }
        Ok(None) if action.system() == PackageSystem::Apt => debian_name_finding(word),
        Ok(_) => None,
    }
}

fn debian_name_finding(word: &str) -> Option<Finding> {
    let name = word.split(['=', '/', ':']).next().unwrap_or_default();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.*?^~".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    // aptitude has patterns, such as ~tdesktop.
    if (starts_well || name.starts_with(['~', '?'])) && name.chars().all(legal) {
        return None;
    }
    let message = format!("'{word}' cannot be the name of a Debian package");
    let cure = match word.to_ascii_lowercase() {
        lower if lower != word => format!("package names are lower case; did you mean '{lower}'?"),
        _ => "a name holds lower case letters, digits and + - .".to_owned(),
    };
    Some(Finding::warning("bad-package-name", message, cure))
}

/// The variable in a package word, as its bytes from `$` on and its name. `Err` for shell text that
/// is more than that.
pub(crate) fn variable(word: &str) -> Result<Option<(&str, &str)>, ()> {
    let Some(start) = word.find('$') else {
        return if word.contains(['`', ';', '(', ')', '"', '\'']) { Err(()) } else { Ok(None) };
    };
    let behind = &word[start + 1..];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, length) = match behind.strip_prefix('{') {
        Some(inner) => {
            let end = inner.find('}').ok_or(())?;
            (&inner[..end], end + 3)
        }
        None => {
            let end = behind.find(|c| !is_name(c)).unwrap_or(behind.len());
            (&behind[..end], end + 1)
        }
    };
    let well_formed = !name.is_empty() && name.chars().all(is_name);
    if !well_formed || word[start + length..].contains(['$', '`', ';', '(', ')']) {
        return Err(());
    }
    Ok(Some((&word[start..start + length], name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_carry_action_release_condition_and_words() {
        let text = "# c\nPACKAGES install-norec\na b # x\n\n\
                    PACKAGES install release=sid A B # x\n${k}-\nPACKAGES cupt\nFoo\n\
                    PACKAGES skip\nx\nPACKAGES remove !A\nz\r\nPRELOAD file:/x /y\n";
        let (file, findings) = PackageFile::parse("package_config/T", text);
        assert_eq!(findings, []);
        let words = |i: usize| {
            let words = file.blocks[i].words.iter();
            words.map(|w| (w.text.as_str(), w.line, w.column)).collect::<Vec<_>>()
        };
        assert_eq!(words(0), [("a", 3, 1), ("b", 3, 3)]);
        assert_eq!(file.blocks[1].release.as_deref(), Some("sid"));
        assert_eq!(file.blocks[1].condition.classes().len(), 2);
        assert_eq!(words(1), [("${k}-", 6, 1)]);
        assert_eq!(file.blocks[2].action, BlockAction::Foreign("cupt".to_owned()));
        assert_eq!(words(3), [("z", 12, 1)]);
        assert_eq!(file.blocks.len(), 4);
        let preload = &file.preloads[0];
        assert_eq!((preload.url.as_str(), preload.directory.as_str()), ("file:/x", "/y"));
        assert_eq!((preload.is_temporary, preload.line), (false, 13));
    }

    #[test]
    fn every_mistake_is_reported_once_with_its_place() {
        let text = "early\nearly2\nPACKAGES\nx\nPACKAGES LVM\nPACKAGES instal\n \
                    PACKAGES install\nPACKAGES install a=b\nPACKAGES install A &&\n\
                    PACKAGES install\nFoo f_o $(x) ${a}${b} $a-$b\n";
        let (_, findings) = PackageFile::parse("p", text);
        let found: Vec<_> = findings
            .iter()
            .map(|d| {
                let at = d.at.as_ref().expect("a place");
                (d.code.as_str(), at.line, at.column, at.length)
            })
            .collect();
        let expected = [
            ("packages-before-header", 1, 1, 5),
            ("packages-without-action", 3, 1, 8),
            ("unknown-package-action", 5, 10, 3),
            ("unknown-package-action", 6, 10, 6),
            ("indented-packages-header", 7, 2, 8),
            ("bad-package-option", 8, 18, 3),
            ("bad-condition", 9, 18, 4),
            ("bad-package-name", 11, 1, 3),
            ("bad-package-name", 11, 5, 3),
            ("bad-package-word", 11, 9, 4),
            ("bad-package-word", 11, 14, 8),
            ("bad-package-word", 11, 23, 5),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn variables_in_words() {
        assert_eq!(variable("${kernelname}-"), Ok(Some(("${kernelname}", "kernelname"))));
        assert_eq!(variable("linux-$flavour"), Ok(Some(("$flavour", "flavour"))));
        assert_eq!(variable("nginx"), Ok(None));
        for bad in ["$", "${}", "${a", "${a:-b}", "`x`", "$a$b", "a;b"] {
            assert_eq!(variable(bad), Err(()), "{bad}");
        }
    }
}
